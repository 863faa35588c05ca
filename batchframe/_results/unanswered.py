"""Collect the unanswered requests of a job.

They are read from the input files exactly as they were sent, so the frame is not required.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.digests import NONE, digests_of, from_arrow
from batchframe._base.errors import JobError
from batchframe._base.private_files import open_private, translate_os_errors
from batchframe._display import plural
from batchframe._endpoints.endpoint import ASKED_AGAIN, ASKED_ON_DEMAND, UNDELIVERED
from batchframe._requests.custom_ids import custom_id
from batchframe._requests.lines import restore_endpoint
from batchframe._requests.table import RequestTable, table_of_requests
from batchframe._results.job_answers import JobAnswers
from batchframe._store.manifest import Record


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
        list(_requests(record, job, numbers)),
        np.searchsorted(numbers, job.rows.number[rows]),
        digest=from_arrow(job.rows.digest.take(pa.array(rows))),
        identity=identity,
        labels=pd.Index(rows),
    )


def undelivered_rows(record: Record, job: JobAnswers) -> int:
    """Count the rows whose answers the service counts but has not delivered."""
    number = job.rows.number
    return int(_undelivered(record, job)[number[number >= 0]].sum())


def _undelivered(record: Record, job: JobAnswers) -> npt.NDArray[np.bool_]:
    """Mark requests without a line in batches that count more answers than arrived."""
    is_silent = _has_status(job, set(ASKED_AGAIN) - {"failed"})
    for file, state in zip(record.manifest.inputs, record.state.inputs, strict=True):
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
        'them. To fetch them: job.refresh(). To pay again: job.unanswered(also="undelivered").'
    )


def still_waiting(job: str, rows: int) -> str:
    """Build the message for rows of a job that are still pending.

    Examples
    --------
    >>> still_waiting("tone", 2)
    "Job 'tone' is not done: 2 rows are pending and not included. Fix: call job.wait() first."
    """
    verb = "is" if rows == 1 else "are"
    return (
        f"Job {job!r} is not done: {plural(rows, 'row')} {verb} pending and not included. "
        "Fix: call job.wait() first."
    )


def nothing_left(job: str, counts: Mapping[str, int]) -> str:
    """Build the message for a job without unanswered rows.

    Examples
    --------
    >>> nothing_left("tone", {"ok": 7})
    "Job 'tone' has no unanswered rows."
    >>> nothing_left("tone", {"ok": 7, "invalid": 2}).partition("rows. ")[2]
    'To resend 2 invalid rows: job.unanswered(also=["invalid"]).'
    """
    text = f"Job {job!r} has no unanswered rows."
    others = [status for status in ASKED_ON_DEMAND if counts.get(status)]
    if not others:
        return text
    rows = plural(sum(counts[status] for status in others), f"{' or '.join(others)} row")
    also = ", ".join(f'"{status}"' for status in others)
    return f"{text} To resend {rows}: job.unanswered(also=[{also}])."


def _requests(
    record: Record, job: JobAnswers, request_numbers: npt.NDArray[np.int64]
) -> Iterator[bytes]:
    """Yield the bytes after ``custom_id`` in the lines of these requests."""
    prefix = len(b'{"custom_id":"' + custom_id(record.manifest.fingerprint, 0, NONE).encode())
    digests = job.rows.request_digest
    for number, file in enumerate(record.manifest.inputs):
        is_in_file = (request_numbers >= file.start) & (request_numbers < file.stop)
        numbers = request_numbers[is_in_file] - file.start
        if not len(numbers):
            continue
        path = record.folder.input(number)
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
