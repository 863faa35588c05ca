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

from batchframe._base.digests import NONE, Digests, digests_of, from_arrow
from batchframe._base.errors import JobError
from batchframe._base.private_files import open_private, translate_os_errors
from batchframe._endpoints.endpoint import ASKED_ON_DEMAND
from batchframe._requests.custom_ids import custom_id
from batchframe._requests.lines import as_named
from batchframe._requests.table import RequestTable, kept_table
from batchframe._results.job_answers import JobAnswers
from batchframe._store.manifest import Record


def unanswered(record: Record, job: JobAnswers, statuses: Collection[str]) -> RequestTable:
    """Build a request table of the requests with one of these statuses.

    Raises
    ------
    JobError
        If an input file has changed since it was written.
    """
    is_unanswered = pc.is_in(job.answers["status"], pa.array(list(statuses), pa.string()))
    # Reused answers have no request in the input files.
    sent = record.manifest.requests - record.manifest.reused
    numbers = np.flatnonzero(is_unanswered.to_numpy())
    numbers = numbers[numbers < sent]
    rows = np.flatnonzero(np.isin(job.rows.number, numbers))
    return kept_table(
        record.manifest.recipe,
        list(_requests(record, job, numbers)),
        np.searchsorted(numbers, job.rows.number[rows]),
        digest=from_arrow(job.rows.digest.take(pa.array(rows))),
        identity=_identity(job, rows),
        labels=pd.Index(rows),
    )


def still_waiting(job: str, rows: int) -> str:
    """Build the message for rows of a job that are still pending.

    Examples
    --------
    >>> still_waiting("tone", 2)
    'Job tone is not done: 2 rows wait for an answer, and are not among these. job.wait() first.'
    """
    count = f"{rows:,} row waits" if rows == 1 else f"{rows:,} rows wait"
    return (
        f"Job {job} is not done: {count} for an answer, and are not among these. job.wait() first."
    )


def nothing_left(job: str, counts: Mapping[str, int]) -> str:
    """Build the message for a job without unanswered rows.

    Examples
    --------
    >>> nothing_left("tone", {"ok": 7})
    'Job tone left no row without an answer: there is nothing to ask again.'
    >>> nothing_left("tone", {"ok": 7, "invalid": 2}).partition("again. ")[2]
    'The answers to 2 rows are not as asked for: job.unanswered(also=["invalid"]) asks again.'
    """
    text = f"Job {job} left no row without an answer: there is nothing to ask again."
    others = [status for status in ASKED_ON_DEMAND if counts.get(status)]
    if not others:
        return text
    rows = sum(counts[status] for status in others)
    subject = "The answer to 1 row is" if rows == 1 else f"The answers to {rows:,} rows are"
    also = ", ".join(f'"{status}"' for status in others)
    return f"{text} {subject} not as asked for: job.unanswered(also=[{also}]) asks again."


def _identity(job: JobAnswers, rows: npt.NDArray[np.int64]) -> Digests | None:
    if job.manifest.recipe.prompt is not None:
        return None
    return from_arrow(job.rows.identity.take(pa.array(rows)))


def _requests(
    record: Record, job: JobAnswers, request_numbers: npt.NDArray[np.int64]
) -> Iterator[bytes]:
    """Yield the bytes after ``custom_id`` in the lines of these requests."""
    prefix = len(b'{"custom_id":"' + custom_id(record.manifest.fingerprint, 0, NONE).encode())
    digests = job.rows.request_digest
    for number, file in enumerate(record.manifest.inputs):
        numbers = (
            request_numbers[(request_numbers >= file.start) & (request_numbers < file.stop)]
            - file.start
        )
        if not len(numbers):
            continue
        path = record.folder.input(number)
        line_numbers = set(numbers.tolist())
        with translate_os_errors(path), open_private(path) as lines:
            requests = [
                as_named(line[prefix:-1]) for at, line in enumerate(lines) if at in line_numbers
            ]
        expected = digests.take(pa.array(numbers + file.start))
        if len(requests) != len(numbers) or (digests_of(requests) != from_arrow(expected)).any():
            raise JobError.damaged(str(path), "it is not what was written")
        yield from requests
