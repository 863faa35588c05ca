"""Answers of a job beside the prompts that were sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd

from batchframe._display import Table, plural, shortened
from batchframe._endpoints import endpoint_of
from batchframe._results.job_answers import JobAnswers
from batchframe._results.join import ledger
from batchframe._results.unanswered import requests_of
from batchframe._store.manifest import Record

_ROWS: Final = 5
_COLUMNS: Final = 4
_LONGEST: Final = 300
_SHORTEST_START: Final = 20
_NOT_SENT: Final = "(not sent: answered by an earlier job, or skipped)"


def answer_examples(record: Record, job: JobAnswers) -> Table:
    """Build a table of the first answered rows, with the text that was sent."""
    results = ledger(job)
    status = results["bf_status"].astype("string")
    answered = np.flatnonzero(status.ne("pending").to_numpy())
    is_ok = status.eq("ok").to_numpy()[answered]
    rows = np.sort(answered[np.argsort(~is_ok, kind="stable")[:_ROWS]])
    numbers = job.rows.number[rows]
    prompt_text = endpoint_of(record.manifest.recipe.endpoint).prompt_text
    wanted = np.unique(numbers[numbers >= 0])
    wanted = wanted[wanted < record.manifest.requests - record.manifest.reused]
    sent = zip(wanted.tolist(), requests_of(record, job, wanted), strict=True)
    prompts = {number: prompt_text(_body(request)) for number, request in sent}
    texts = [prompts.get(number, _NOT_SENT) for number in numbers.tolist()]
    return example_table(texts, results.iloc[rows], total=len(answered))


def _body(request: bytes) -> Any:
    return msgspec.json.decode(b'{"custom_id":"' + request)["body"]


def example_table(prompts: Sequence[str], results: pd.DataFrame, total: int = 0) -> Table:
    """Build a table of prompts and the answer columns of the same rows."""
    prompts, results = prompts[:_ROWS], results.head(_ROWS)
    columns = [name for name in results.columns if not str(name).startswith("bf_")][:_COLUMNS]
    rows = [
        (shortened(prompt, _LONGEST), *_answer(row, columns))
        for prompt, (_, row) in zip(_without_start(prompts), results.iterrows(), strict=True)
    ]
    caption = f"{len(rows):,} of {plural(total, 'row')}" if total > len(rows) else "answers"
    return Table(caption, ("prompt", *map(str, columns)), tuple(rows), is_text=True)


def _answer(row: pd.Series, columns: Iterable[Any]) -> tuple[str, ...]:
    if row["bf_status"] != "ok":
        reason = row["bf_error"] if isinstance(row["bf_error"], str) else ""
        failed = shortened(f"{row['bf_status']}: {reason}".rstrip(": "), _LONGEST)
        return (failed, *("" for _ in list(columns)[1:]))
    return tuple(shortened(str(row[name]), _LONGEST) for name in columns)


def _without_start(prompts: Sequence[str]) -> list[str]:
    """Replace the lines with which all prompts begin, such as instructions."""
    pairs = zip(min(prompts, default=""), max(prompts, default=""), strict=False)
    start = "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    if len(set(prompts)) == 1:
        return list(prompts)
    start = start[: max(start.rfind("\n"), start.rfind(": ") + 1, 0)]
    if len(start) < _SHORTEST_START:
        return list(prompts)
    return [f"…{prompt[len(start) :].lstrip()}" for prompt in prompts]
