"""Benchmark of ``bf.join(frame, job)`` in a new kernel.

The frame is the submitted one, or has its rows in another order. The baselines are decoding the
lines (and the JSON answers in them) with msgspec, and ``json.loads`` with ``DataFrame.merge``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import msgspec
import pandas as pd

import batchframe as bf
from batchframe._store.folder import JobFolder
from benchmarks._data import LABELS, TOPICS, reviews
from benchmarks._jobs import finished_job
from benchmarks._measure import Runs, Section


class _Message(msgspec.Struct, gc=False):
    content: str
    refusal: str | None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    finish_reason: str


class _Cached(msgspec.Struct, gc=False):
    cached_tokens: int


class _Reasoned(msgspec.Struct, gc=False):
    reasoning_tokens: int


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _Cached
    completion_tokens_details: _Reasoned


class _Body(msgspec.Struct, gc=False):
    choices: list[_Choice]
    usage: _Usage


class _Response(msgspec.Struct, gc=False):
    status_code: int
    body: _Body


class _Line(msgspec.Struct, gc=False):
    custom_id: str
    response: _Response


class _Content(msgspec.Struct, gc=False):
    label: Literal[tuple(LABELS)]  # type: ignore[valid-type]
    confidence: float
    topic: Literal[tuple(TOPICS)]  # type: ignore[valid-type]
    reason: str


def measure(rows: int, rounds: int, *, as_json: bool) -> Section:
    """Time batchframe, with both row orders, and the two baselines."""
    frame = reviews(rows)
    shuffled = frame.sample(frac=1, random_state=1)
    folder = finished_job(frame, as_json=as_json)
    ids = _ids(folder, frame)

    def ours(frame: pd.DataFrame) -> None:
        folder.answers.unlink(missing_ok=True)
        joined = bf.join(frame, bf.job(folder.path))
        assert joined["bf_status"].eq("ok").all()  # noqa: S101 - otherwise the time is meaningless

    def decoding(_: int) -> None:
        decode, content = msgspec.json.Decoder(_Line).decode, msgspec.json.Decoder(_Content).decode
        for path in sorted(folder.path.glob("output-*")):
            with path.open("rb") as file:
                lines = [decode(line) for line in file]
            if as_json:
                _ = [content(line.response.body.choices[0].message.content) for line in lines]

    ways: dict[str, Callable[[int], object]] = {
        "batchframe": lambda _: ours(frame),
        "batchframe, other order": lambda _: ours(shuffled),
        "decode alone": decoding,
        "json.loads + merge": lambda _: _naive(folder, frame, ids, as_json=as_json),
    }
    runs = Runs(ways, rounds)
    kind = "four-field JSON" if as_json else "text"
    return Section(
        f"parse and join, {rows:,} answers, {kind}",
        runs.medians,
        [
            runs.ratio(
                f"join / decode alone, {kind}, {rows:,}", "batchframe", "decode alone", at_most=2.0
            ),
            runs.ratio(
                f"join of another order / decode alone, {kind}, {rows:,}",
                "batchframe, other order",
                "decode alone",
            ),
            runs.ratio(
                f"json.loads + merge / join, {kind}, {rows:,}",
                "json.loads + merge",
                "batchframe",
                at_least=5.0,
            ),
        ],
    )


def _ids(folder: JobFolder, frame: pd.DataFrame) -> list[str]:
    """Return the custom_id of each row, for the naive reader."""
    ids: list[str] = []
    for path in sorted(folder.path.glob("input-*")):
        with path.open("rb") as file:
            ids += [line[14:45].decode() for line in file]
    assert len(ids) == len(frame)  # noqa: S101 - rows are distinct, so each is one request
    return ids


def _naive(folder: JobFolder, frame: pd.DataFrame, ids: list[str], *, as_json: bool) -> Any:
    answers = []
    for path in sorted(folder.path.glob("output-*")):
        with path.open(encoding="utf-8") as file:
            for raw in file:
                line = json.loads(raw)
                body = line["response"]["body"]
                content = body["choices"][0]["message"]["content"]
                values = json.loads(content) if as_json else {"response": content}
                answers.append(
                    {
                        "custom_id": line["custom_id"],
                        **values,
                        "finish_reason": body["choices"][0]["finish_reason"],
                        "input_tokens": body["usage"]["prompt_tokens"],
                        "output_tokens": body["usage"]["completion_tokens"],
                    }
                )
    return frame.assign(custom_id=ids).merge(pd.DataFrame(answers), on="custom_id", how="left")
