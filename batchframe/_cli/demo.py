"""Run the demo: label sample reviews, from a CSV to a labeled frame and its cost."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from batchframe._api.functions import join, requests
from batchframe._api.job import Job
from batchframe._api.requests import Requests
from batchframe._display import count, format_range, money
from batchframe._services.connect import connect

if TYPE_CHECKING:
    from openai import OpenAI

_LABELS = ["positive", "negative", "mixed"]
_LIMIT = "2.00"
_REHEARSED = """\
No model was asked: the batch server on this machine labelled by a list of words, so the labels are
only as good as that. Nothing was spent. With OPENAI_API_KEY set, `python -m batchframe demo --live`
asks a real model."""
_GOOD = re.compile(
    r"\b(best|comfort|delight|easy|excellent|fast|five stars|good|gorgeous|great|happy|lov(e|ely)"
    r"|perfect|quick|quiet|recommend|satisf|soft|solid|sturdy|warm|well|wonder|worth)",
    re.IGNORECASE,
)
_BAD = re.compile(
    r"\b(bad|broke|but|cheap|crack|dead|disappoint|fail|flims|hate|however|leak|loud|never|noisy"
    r"|only|peel|poor|refund|return|rust|shame|slow|snap|stopp|tore|too|useless|wast|worst|wrong)",
    re.IGNORECASE,
)


def demo(
    *, live: bool, model: str, yes: bool = False, ended: Callable[[Job], object] = lambda _job: None
) -> int:
    """Label the sample reviews; ask before anything is spent. Return the exit code.

    Parameters
    ----------
    ended
        Is shown the job while its folder is there: a rehearsal leaves nothing behind.
    """
    reviews = pd.read_csv(_reviews())
    asked = requests(
        reviews,
        "Classify the sentiment of this review.\n\n{{ text }}",
        model=model,
        output=_LABELS,
        on_missing="skip",
        reasoning_effort="none",
    )
    _print(asked)
    _print(asked.estimate())
    if live:
        connect()  # without a key, say so before the question
        if not (yes or _agreed(asked)):
            _print("Nothing was sent.")
            return 0
        return _label(reviews, asked, None, ended)
    with _rehearsal() as client:
        return _label(reviews, asked, client, ended)


def _label(
    reviews: pd.DataFrame, asked: Requests, client: OpenAI | None, ended: Callable[[Job], object]
) -> int:
    job = asked.submit("sentiment", max_cost=_LIMIT, client=client)
    job.wait()
    if client is not None:
        _print(_REHEARSED)
    labelled = join(reviews, job)
    _print(job)
    _print(labelled[["text", "sentiment", "label", "bf_status"]].head(8).to_string(max_colwidth=48))
    _print(labelled["bf_status"].value_counts().loc[lambda rows: rows > 0].to_string())
    _print(_proof(asked, job))
    ended(job)
    return 0 if set(job.counts) <= {"ok", "skipped"} else 1


def _proof(asked: Requests, job: Job) -> str:
    estimate, usage = asked.estimate(), job.usage
    figures = {
        "input tokens": (format_range(estimate.input_tokens, count), count(usage.input_tokens)),
        "output tokens": (format_range(estimate.output_tokens, count), count(usage.output_tokens)),
        "cost": (format_range(estimate.cost, money), money(job.cost)),
    }
    return str(pd.DataFrame.from_dict(figures, orient="index", columns=["estimated", "actual"]))


def _by_words(body: Mapping[str, Any]) -> dict[str, str]:
    """Label a review by the words in it, so that a rehearsal shows labels that make some sense."""
    text = body["messages"][-1]["content"].partition("\n\n")[2]
    good, bad = len(_GOOD.findall(text)), len(_BAD.findall(text))
    if good and bad and min(good, bad) * 2 > max(good, bad):
        return {"label": "mixed"}
    return {"label": "negative" if bad > good else "positive"}


@contextmanager
def _rehearsal() -> Iterator[OpenAI]:
    """Yield a client of a batch server on this machine; its state and the job's go with it."""
    # Optional: the extra "local" brings the server.
    from batchframe.local import serve  # noqa: PLC0415

    kept = os.environ.get("BATCHFRAME_HOME")
    with tempfile.TemporaryDirectory() as home:
        os.environ["BATCHFRAME_HOME"] = kept or home
        try:
            with serve(_by_words, seconds=2.0) as server:
                yield server.client()
        finally:
            if kept is None:
                del os.environ["BATCHFRAME_HOME"]


def _agreed(asked: Requests) -> bool:
    cost = format_range(asked.estimate().cost, money)
    try:
        answer = input(f"Send {len(asked)} requests to {asked.model} for {cost}? [y/N] ")
    except EOFError:
        return False  # nobody is there to agree
    return answer.strip().lower() in {"y", "yes"}


def _reviews() -> Path:
    here = Path("data_samples/reviews.csv")
    return here if here.is_file() else Path(str(files("batchframe") / "data_samples/reviews.csv"))


def _print(shown: object) -> None:
    print(shown, end="\n\n", flush=True)  # noqa: T201 - a command line speaks to its user
