"""Warn of a join that finds few rows, and say what differs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.errors import JobError, JoinWarning, format_row, quote, warn_user
from batchframe._endpoints import endpoint_of
from batchframe._frames.tabular import of_frame
from batchframe._requests.rendering import request_of_row
from batchframe._results.job_answers import JobAnswers
from batchframe._results.join import RowMatch
from batchframe._results.unanswered import requests_of
from batchframe._store.manifest import Record

_MOST_COMPARED: Final = 20_000
"""Requests that are compared with a row, which is moved or changed."""
_AROUND: Final = 30
_ENOUGH: Final = 0.5
"""Share of the rows of the frame, or of a smaller job; a lower one is likely an accident."""

_SAME: Final[dict[str, Callable[[str], str]]] = {
    "dtype": lambda text: re.sub(
        r"(?<=\d)\.0+(?!\d)|[ T]00:00:00(?!\d)|(?<![\d.])0+(?=\d)", "", text
    ),
    "white space": lambda text: "".join(text.split()),
    "case": str.casefold,
}


def warn_of_missing(
    frame: pd.DataFrame,
    jobs: Sequence[JobAnswers],
    records: Sequence[Record],
    matches: Sequence[RowMatch],
) -> None:
    """Warn if few rows match a request, or if one differs by an accident.

    Parameters
    ----------
    matches
        For each job, the request of each row.
    """
    found = np.any([match.number >= 0 for match in matches], axis=0)
    is_skipped = pc.is_in(matches[0].status, pa.array(["skipped"])).to_numpy(zero_copy_only=False)
    missing = np.flatnonzero(~found & ~is_skipped)
    total = int(len(frame) - is_skipped.sum())
    if not len(missing):
        return
    row, count = int(missing[0]), total - len(missing)
    difference = _difference(frame, row, jobs[0], records[0])
    # Of a sample, such as a pilot, few rows of the frame can be found.
    share = count / min(total, sum(int((job.rows.number >= 0).sum()) for job in jobs) or 1)
    if share >= _ENOUGH and not difference.startswith(_BY_ACCIDENT):
        return
    name = records[0].manifest.display_name
    which = f"job {name!r}" if len(jobs) == 1 else "these jobs"
    warn_user(
        JoinWarning(
            f"join(): {count:,} of {total:,} rows match a request of {which}. The "
            f"first that does not, {format_row(row, frame.index[row])}, {difference}. Fix: join "
            "the frame as it was submitted, then change it."
        )
    )


_BY_ACCIDENT: Final = "differs in "


def _difference(frame: pd.DataFrame, row: int, job: JobAnswers, record: Record) -> str:
    recipe = job.manifest.recipe
    if recipe.prompt is None:
        return "has a cell that changed, in value or dtype"
    try:
        request = request_of_row(recipe, of_frame(frame.iloc[[row]]))
        sent = _sent_prompts(record, job, row if len(frame) == len(job.rows) else None)
    except (JobError, OSError, ValueError):  # the input files are only a second opinion
        request, sent = None, []
    if request is None:
        return "has another text"
    text = _prompt(record, request)
    keys = {_key(other): other for other in sent}
    other = keys.get(_key(text))
    if other is None or other == text:
        return f"was not sent: {quote(text)}"
    causes = [name for name in _SAME if _key(text, without=name) != _key(other, without=name)]
    ours, theirs = _around_difference(text, other)
    return f"{_BY_ACCIDENT}{' and '.join(causes)}: {ours!r} where {theirs!r} was sent"


def _sent_prompts(record: Record, job: JobAnswers, row: int | None) -> list[str]:
    """Return the prompts to compare with: that of the same row, or the first."""
    own = record.manifest.requests - record.manifest.reused
    number = -1 if row is None else int(job.rows.number[row])
    wanted = np.arange(min(own, _MOST_COMPARED)) if number < 0 else np.array([number])
    requests = requests_of(record, job, wanted[wanted < own])
    return [_prompt(record, request) for request in islice(requests, _MOST_COMPARED)]


def _prompt(record: Record, request: bytes) -> str:
    body: Any = msgspec.json.decode(b'{"custom_id":"' + request)["body"]
    return endpoint_of(record.manifest.recipe.endpoint).prompt_text(body)


def _key(text: str, without: str = "") -> str:
    for name, same in _SAME.items():
        if name != without:
            text = same(text)
    return text


def _around_difference(text: str, other: str) -> tuple[str, str]:
    """Cut both strings to the words around their first difference."""
    pairs = zip(text, other, strict=False)
    same = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(text), len(other)))
    start = max(0, same - _AROUND)
    return text[start : same + _AROUND], other[start : same + _AROUND]
