"""Listing of the jobs on this machine, and lookup by name."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from batchframe._api.cards import failed_rows
from batchframe._base.errors import JobError, UnreadableJobWarning, warn_user
from batchframe._base.safe_text import NextStep
from batchframe._display import FinishedFrame, Style, count, duration, money
from batchframe._results.billing import summary_of
from batchframe._services.batch import Batch
from batchframe._services.connect import connect
from batchframe._store.folder import JobFolder, is_job_id
from batchframe._store.journal import InputFileState, JobState, status_word
from batchframe._store.manifest import Record, find_record, records

if TYPE_CHECKING:
    from openai import OpenAI

_COLUMNS: Final = (
    "name", "id", "status", "rows", "ok", "failed", "estimated", "cost", "submitted", "age",
    "folder",
)  # fmt: skip
_COUNTS: Final = {"rows": "Int64", "ok": "Int64", "failed": "Int64"}

OPTIONAL_COLUMNS: Final = ("estimated", "age", "cost", "where", "failed")
"""Columns that a narrow terminal omits, in this order."""

_HERE: Final = "here"
RECOVERABLE: Final = NextStep(
    "on the server only: bf.recover() restores it",
    "on the server only: batchframe recover restores it",
)
_DUPLICATE: Final = "on the server only: another batch of a job listed here"
_FOREIGN: Final = "on the server only, not created by batchframe"


class JobList(FinishedFrame):
    """DataFrame of jobs, displayed as a finished table."""

    _style = Style(
        "job",
        formats={
            "estimated": money,
            "cost": money,
            "age": lambda age: duration(age.total_seconds()),
            **dict.fromkeys(("rows", "ok", "failed"), count),
        },
        hidden=("submitted", "folder"),
        last=("age", "id"),
        text=("name", "id", "status", "age", "where"),
        optional=OPTIONAL_COLUMNS,
        truncate="name",
    )


def jobs(*, remote: bool = False, client: OpenAI | None = None) -> pd.DataFrame:
    """List all jobs on this machine, newest first.

    Parameters
    ----------
    remote
        Whether to list batches on the server that no job folder here contains.
    client
        Client that lists the batches; by default one made from ``OPENAI_API_KEY``. Only for
        `remote`.

    Returns
    -------
    One row per job: ``name``, ``id``, ``status`` at the last poll, number of ``rows``, of ``ok``
    and of ``failed`` rows (no valid answer, and none pending), ``estimated`` and actual ``cost``
    (USD, `Decimal`), ``submitted`` (UTC), ``age`` and ``folder``. A folder that cannot be read is
    omitted with a warning. On a narrow terminal, some columns are omitted and
    named below the table.

    With `remote`, the column ``where`` is "here", or says that the job is on the server only and
    how to recover it. For those jobs, ``ok`` and ``failed`` are the service's counts of requests;
    batches that batchframe did not create have the id of the batch.

    Raises
    ------
    ClientError
        If `remote` is set and ``OPENAI_API_KEY`` is not.
    ServiceError
        If `remote` is set and the service cannot be reached.

    Examples
    --------
    >>> jobs().columns.tolist()
    ['name', 'id', 'status', 'rows', 'ok', 'failed', 'estimated', 'cost', 'submitted', 'age', ...]
    """
    local = list(records())
    rows = [row for record in local if (row := _row(record)) is not None]
    if not remote:
        return _frame(rows, _COLUMNS)
    remote_rows = _remote_rows(connect(client).list_batches(), local)
    rows = [{**row, "where": _HERE} for row in rows] + list(remote_rows)
    return _frame(rows, (*_COLUMNS, "where"))


def _frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> JobList:
    frame: JobList = JobList(rows, columns=list(columns)).astype(_COUNTS)
    frame["submitted"] = pd.to_datetime(frame["submitted"], unit="s", utc=True)
    frame["age"] = pd.to_timedelta(frame["age"], unit="s")
    return frame


def _row(record: Record) -> dict[str, Any] | None:
    manifest, state = record.manifest, record.state
    try:
        summary = summary_of(record)
    except JobError as reason:
        warn_user(UnreadableJobWarning.skipped(reason))
        return None
    created = [batch.created_at for batch in state.batches]
    return {
        "name": manifest.name,
        "id": manifest.id,
        "status": status_word(state),
        "rows": manifest.rows,
        "ok": summary.counts.get("ok", 0),
        "failed": sum(failed_rows(summary.counts).values()),
        "estimated": None if manifest.cost is None else manifest.cost.expected,
        "cost": summary.cost,
        **_dates(created, manifest.created_at),
        "folder": str(record.folder.path),
    }


def _dates(sent: Iterable[float | None], prepared: float | None) -> dict[str, float | None]:
    """Return the submission time (server's clock) and the age in seconds."""
    times = [int(seconds) for seconds in sent if seconds is not None]
    start = min(times, default=prepared)
    age = None if start is None else max(0, int(time.time() - start))
    return {"submitted": min(times, default=None), "age": age}


def _remote_rows(batches: Iterable[Batch], local: Sequence[Record]) -> Iterator[dict[str, Any]]:
    batch_ids = {batch.id for record in local for batch in record.state.batches}
    job_ids = {record.manifest.id for record in local}
    by_job: dict[str, list[Batch]] = {}
    for batch in batches:
        if batch.id not in batch_ids:
            job_id = batch.metadata.get("bf_job", "")
            by_job.setdefault(job_id if is_job_id(job_id) else batch.id, []).append(batch)
    for name, group in by_job.items():
        where = _FOREIGN if name == group[0].id else _DUPLICATE if name in job_ids else RECOVERABLE
        yield _remote_row(name, group, where)


def _remote_row(name: str, batches: Sequence[Batch], where: str) -> dict[str, Any]:
    inputs = tuple(InputFileState(step="created", batch=batch) for batch in batches)
    return {
        "name": batches[0].metadata.get("bf_name") or None,
        "id": name,
        "status": status_word(JobState(intended=True, inputs=inputs)),
        "ok": sum(batch.completed for batch in batches),
        "failed": sum(batch.failed for batch in batches),
        **_dates([batch.created_at for batch in batches], None),
        "where": where,
    }


def find(name: str | Path) -> JobFolder:
    """Find a job by id, name (the newest of several) or folder.

    A string is a folder only if no job has that name: a folder shipped with someone's notebook
    must not replace the user's own job.

    Raises
    ------
    JobError
        If the job is not found.
    """
    candidates: list[str] = []
    if isinstance(name, str) and (found := find_record(name)):
        return found.folder
    for record in records() if isinstance(name, str) else ():
        manifest = record.manifest
        candidates += filter(None, (manifest.id, manifest.name, *manifest.aliases))
    if _is_job(Path(name)):
        return JobFolder(Path(name))
    matches = get_close_matches(str(name), dict.fromkeys(candidates))
    raise JobError.not_found(str(name), matches)


def _is_job(path: Path) -> bool:
    try:
        return JobFolder(path).manifest.is_file()
    except OSError:
        return False  # a name that no file could have
