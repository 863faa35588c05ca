"""The demo: label sample reviews, from a CSV to a labeled frame."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from batchframe._api.functions import join, requests
from batchframe._api.job import Job
from batchframe._api.requests import Requests
from batchframe._cli import exit_codes as codes
from batchframe._cli.json_facts import job_facts
from batchframe._cli.streams import confirm
from batchframe._display import count, format_range, money
from batchframe._services.connect import connect

if TYPE_CHECKING:
    from openai import OpenAI

_LABELS = ["positive", "negative", "mixed"]
_LIMIT = "2.00"
_LOCAL_RUN = """\
Local run: nothing is billed. The labels come from a word list instead of a model; some are wrong.
For a real model, set OPENAI_API_KEY and run: python -m batchframe demo --live"""
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


def demo(*, live: bool, model: str, yes: bool = False) -> tuple[int, dict[str, Any] | None]:
    """Label the sample reviews; return the exit code and the job as JSON values."""
    reviews = pd.read_csv(_reviews())
    batch_requests = requests(
        reviews,
        "Classify the sentiment of this review.\n\n{{ text }}",
        model=model,
        output=_LABELS,
        on_missing="skip",
        reasoning_effort="none",
    )
    _print(batch_requests)
    _print(batch_requests.estimate())
    if live:
        connect()  # report a missing key before asking for consent
        cost = format_range(batch_requests.estimate().cost, money)
        if not (yes or confirm(f"Send {len(batch_requests)} requests to {model} for {cost}?")):
            _print("Nothing was sent.")
            return codes.OK, None
        return _label(reviews, batch_requests, None)
    with _local_client() as client:
        return _label(reviews, batch_requests, client)


def _label(
    reviews: pd.DataFrame, batch_requests: Requests, client: OpenAI | None
) -> tuple[int, dict[str, Any]]:
    job = batch_requests.submit("sentiment", max_cost=_LIMIT, client=client)
    job.wait()
    if client is not None:
        _print(_LOCAL_RUN)
    labeled = join(reviews, job)
    _print(job)
    _print(labeled[["text", "sentiment", "label", "bf_status"]].head(8).to_string(max_colwidth=48))
    _print(labeled["bf_status"].value_counts().loc[lambda rows: rows > 0].to_string())
    _print(_comparison(batch_requests, job))
    return codes.code_of(job), job_facts(job)


def _comparison(batch_requests: Requests, job: Job) -> str:
    estimate, usage = batch_requests.estimate(), job.usage
    figures = {
        "input tokens": (format_range(estimate.input_tokens, count), count(usage.input_tokens)),
        "output tokens": (format_range(estimate.output_tokens, count), count(usage.output_tokens)),
        "cost": (format_range(estimate.cost, money), money(job.cost)),
    }
    return str(pd.DataFrame.from_dict(figures, orient="index", columns=["estimated", "actual"]))


def _label_by_words(body: Mapping[str, Any]) -> dict[str, str]:
    """Label a review by its words, so that a local run has plausible labels."""
    text = body["messages"][-1]["content"].partition("\n\n")[2]
    good, bad = len(_GOOD.findall(text)), len(_BAD.findall(text))
    if good and bad and min(good, bad) * 2 > max(good, bad):
        return {"label": "mixed"}
    return {"label": "negative" if bad > good else "positive"}


@contextmanager
def _local_client() -> Iterator[OpenAI]:
    """Yield a client of a local batch server; delete all state afterwards."""
    # The server needs the extra "local".
    from batchframe.local import serve  # noqa: PLC0415

    previous = os.environ.get("BATCHFRAME_HOME")
    with tempfile.TemporaryDirectory() as home:
        os.environ["BATCHFRAME_HOME"] = previous or home
        try:
            with serve(_label_by_words, seconds=2.0) as server:
                yield server.client()
        finally:
            if previous is None:
                del os.environ["BATCHFRAME_HOME"]


def _reviews() -> Path:
    path = Path("data_samples/reviews.csv")
    return path if path.is_file() else Path(str(files("batchframe") / "data_samples/reviews.csv"))


def _print(value: object) -> None:
    print(value, end="\n\n", flush=True)  # noqa: T201 - the demo prints its output
