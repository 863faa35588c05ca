"""Collect the unanswered requests of a job.

They are read from the input files exactly as they were sent, so the frame is not required.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.digests import NONE, digests_of, from_arrow
from batchframe._base.errors import JobError
from batchframe._base.private_files import open_private, translate_os_errors
from batchframe._base.safe_text import NextStep, job_step
from batchframe._display import plural
from batchframe._endpoints import STATUSES
from batchframe._endpoints.endpoint import ASKED_AGAIN, ASKED_ON_DEMAND, UNDELIVERED
from batchframe._requests.custom_ids import custom_id
from batchframe._requests.lines import restore_endpoint
from batchframe._requests.table import RequestTable, table_of_requests
from batchframe._results.job_answers import JobAnswers
from batchframe._results.pandas_columns import category_codes
from batchframe._store.manifest import Record

AGAIN: Final = "unanswered of "
"""Start of the run label of a job that sends unanswered requests again; the id follows."""


def unanswered(record: Record, job: JobAnswers, statuses: Collection[str]) -> RequestTable:
    """Build a request table of the requests with one of these statuses.

    Raises
    ------
    JobError
        If an input file has changed since it was written.
    """
    is_unanswered = _has_status(job, statuses)
    if UNDELIVERED not in statuses:
        is_unanswered &= ~_undelivered(record, job)
    # Reused answers have no request in the input files.
    sent = record.manifest.requests - record.manifest.reused
    numbers = np.flatnonzero(is_unanswered)
    numbers = numbers[numbers < sent]
    rows = np.flatnonzero(np.isin(job.rows.number, numbers))
    is_function = record.manifest.recipe.prompt is None
    identity = from_arrow(job.rows.identity.take(pa.array(rows))) if is_function else None
    return table_of_requests(
        record.manifest.recipe,
        list(requests_of(record, job, numbers)),
        np.searchsorted(numbers, job.rows.number[rows]),
        digest=from_arrow(job.rows.digest.take(pa.array(rows))),
        identity=identity,
        labels=pd.Index(rows),
    )


def undelivered_rows(record: Record, job: JobAnswers) -> dict[str, int]:
    """Count rows that the service counts but has not delivered, by status."""
    number = job.rows.number
    rows = number[number >= 0]
    rows = rows[_undelivered(record, job)[rows]]
    codes = category_codes(job.answers["status"], STATUSES)[rows]
    counts = np.bincount(codes, minlength=len(STATUSES))
    return {status: int(n) for status, n in zip(STATUSES, counts, strict=True) if n}


def _undelivered(record: Record, job: JobAnswers) -> npt.NDArray[np.bool_]:
    """Mark requests whose answers the service counts but did not deliver."""
    is_silent = _has_status(job, set(ASKED_AGAIN) - {"failed"})
    for file, state in zip(record.state.files, record.state.inputs, strict=True):
        of_file, batch = is_silent[file.start : file.stop], state.batch
        arrived = len(of_file) - int(of_file.sum())
        is_counted = batch is not None and (
            batch.completed > arrived or batch.output_file_id in state.gone
        )
        of_file &= is_counted and state.fetched and not state.abandoned
    is_silent[record.manifest.requests - record.manifest.reused :] = False
    return is_silent


def _has_status(job: JobAnswers, statuses: Collection[str]) -> npt.NDArray[np.bool_]:
    is_in = pc.is_in(job.answers["status"], pa.array(list(statuses), pa.string()))
    return np.array(is_in.to_numpy(), dtype=bool)


def not_delivered(job: str, rows: int) -> str:
    """Build the message for rows that were answered but not delivered.

    Examples
    --------
    >>> not_delivered("tone", 2).partition(". ")[0]
    "Job 'tone': the service counts answers to 2 rows and has not delivered them"
    """
    return (
        f"Job {job!r}: the service counts answers to {plural(rows, 'row')} and has not delivered "
        "them. To fetch them: "
        + job_step(job, "refresh")
        + ". To pay again: "
        + _also_step(job, UNDELIVERED)
        + "."
    )


def still_waiting(job: str, rows: int) -> str:
    """Build the message for rows of a job that are still pending.

    Examples
    --------
    >>> still_waiting("tone", 2)
    "Job 'tone' is not done: 2 rows are pending and not included. Fix: bf.job('tone').wait()."
    """
    verb = "is" if rows == 1 else "are"
    return (
        f"Job {job!r} is not done: {plural(rows, 'row')} {verb} pending and not included. Fix: "
        + job_step(job, "wait")
        + "."
    )


def nothing_left(job: str, counts: Mapping[str, int]) -> str:
    """Build the message for a job without unanswered rows.

    Examples
    --------
    >>> nothing_left("tone", {"ok": 7})
    "Job 'tone' has no unanswered rows."
    >>> nothing_left("tone", {"ok": 7, "invalid": 2}).partition("rows. ")[2]
    "To send 2 invalid rows again: bf.job('tone').unanswered(also=['invalid'])."
    """
    text = f"Job {job!r} has no unanswered rows."
    others = [status for status in ASKED_ON_DEMAND if counts.get(status)]
    if not others:
        return text
    rows = plural(sum(counts[status] for status in others), f"{' or '.join(others)} row")
    return f"{text} To send {rows} again: " + _also_step(job, *others) + "."


def _also_step(job: str, *statuses: str) -> NextStep:
    options = " ".join(f"--also {status}" for status in statuses)
    return NextStep(
        f"bf.job({job!r}).unanswered(also={list(statuses)})",
        f"`batchframe unanswered {shlex.quote(job)} {options}`",
    )


def requests_of(
    record: Record, job: JobAnswers, request_numbers: npt.NDArray[np.int64]
) -> Iterator[bytes]:
    """Yield the bytes after ``custom_id`` in the lines of these requests."""
    prefix = len(b'{"custom_id":"' + custom_id(record.manifest.fingerprint, 0, NONE).encode())
    digests = job.rows.request_digest
    for file, state in zip(record.state.files, record.state.inputs, strict=True):
        is_in_file = (request_numbers >= file.start) & (request_numbers < file.stop)
        numbers = request_numbers[is_in_file] - file.start
        if not len(numbers):
            continue
        path = record.folder.input(state.number)
        line_numbers = set(numbers.tolist())
        with translate_os_errors(path), open_private(path) as lines:
            requests = [
                restore_endpoint(line[prefix:-1])
                for at, line in enumerate(lines)
                if at in line_numbers
            ]
        expected = digests.take(pa.array(numbers + file.start))
        if len(requests) != len(numbers) or (digests_of(requests) != from_arrow(expected)).any():
            raise JobError.damaged(str(path), "its content has changed")
        yield from requests
