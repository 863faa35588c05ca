"""The demo: label customer messages, from a CSV to a labeled frame."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
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
from batchframe._display import count, format_range, money, percent
from batchframe._estimate.estimate import Estimate
from batchframe._evaluation.evaluation import evaluate
from batchframe._services.connect import connect

if TYPE_CHECKING:
    from openai import OpenAI

_TOPICS = [
    "trash collection", "swimming pool", "library", "dogs", "passport", "parking",
    "street lights", "drinking water", "weddings", "kindergarten",
]  # fmt: skip
_LIMIT = "2.00"
_LOCAL_RUN = """\
Local run: nothing is billed. MiniLM, a small model on this machine, stands in for the real one.
For a real model, set OPENAI_API_KEY and run: python -m batchframe demo --live"""


def demo(*, live: bool, model: str, yes: bool = False) -> tuple[int, dict[str, Any] | None]:
    """Label the sample messages; return the exit code and the job's facts."""
    messages = pd.read_csv(_messages())
    plan = requests(
        messages,
        "Which topic is this message about?\n\n{{ text }}",
        model=model,
        output=_TOPICS,
        on_missing="skip",
        reasoning_effort="none",
    )
    _print(plan)
    estimate = plan.estimate()
    _print(estimate)
    if live:
        connect()  # report a missing key before asking for consent
        cost = format_range(estimate.cost, money)
        if not (yes or confirm(f"Send {len(plan)} requests to {model} for {cost}?")):
            _print("Nothing was sent.")
            return codes.OK, None
        return _label(messages, plan, estimate, None)
    with _local_client() as client:
        return _label(messages, plan, estimate, client)


def _label(
    messages: pd.DataFrame, plan: Requests, estimate: Estimate, client: OpenAI | None
) -> tuple[int, dict[str, Any]]:
    job = plan.submit("topics", max_cost=_LIMIT, client=client)
    job.wait()
    if client is not None:
        _print(_LOCAL_RUN)
    labeled = join(messages, job)
    _print(job)
    _print(labeled[["text", "topic", "label", "bf_status"]].head(8).to_string(max_colwidth=46))
    _print(labeled["bf_status"].value_counts().loc[lambda rows: rows > 0].to_string())
    evaluation = evaluate(labeled, truth="topic", predicted="label")
    _print(
        f"Accuracy: {percent(evaluation.accuracy)} of the {evaluation.answered} messages "
        "that a person labeled."
    )
    _print(_comparison(estimate, job))
    return codes.code_of(job), job_facts(job)


def _comparison(estimate: Estimate, job: Job) -> str:
    usage = job.usage
    figures = {
        "input tokens": (format_range(estimate.input_tokens, count), count(usage.input_tokens)),
        "output tokens": (format_range(estimate.output_tokens, count), count(usage.output_tokens)),
        "cost": (format_range(estimate.cost, money), money(job.cost)),
    }
    return str(pd.DataFrame.from_dict(figures, orient="index", columns=["estimated", "actual"]))


@contextmanager
def _local_client() -> Iterator[OpenAI]:
    """Yield a client of a local batch server; delete all state afterwards."""
    # Both need the extra "demo".
    from batchframe.local import minilm, serve  # noqa: PLC0415

    previous = os.environ.get("BATCHFRAME_HOME")
    with tempfile.TemporaryDirectory() as home:
        os.environ["BATCHFRAME_HOME"] = previous or home
        try:
            with serve(minilm(), seconds=2.0) as server:
                yield server.client()
        finally:
            if previous is None:
                del os.environ["BATCHFRAME_HOME"]


def _messages() -> Path:
    name = "data_samples/customer_messages.csv"
    return Path(name) if Path(name).is_file() else Path(str(files("batchframe") / name))


def _print(value: object) -> None:
    print(value, end="\n\n", flush=True)  # noqa: T201 - the demo prints its output
