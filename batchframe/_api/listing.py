"""The jobs of this machine: all of them as a frame, and one by its name."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from batchframe._api.cards import failed_rows
from batchframe._base.errors import JobError, UnreadableJobWarning, warn_user
from batchframe._display import narrow_table
from batchframe._results.billing import summary_of
from batchframe._services.batch import Batch
from batchframe._services.connect import connect
from batchframe._store.folder import JobFolder, is_job_id
from batchframe._store.journal import JobState, ShardState, status_word
from batchframe._store.manifest import Record, records

if TYPE_CHECKING:
    from openai import OpenAI

_COLUMNS: Final = (
    "name", "id", "status", "rows", "ok", "failed", "estimated", "cost", "submitted", "age",
    "folder",
)  # fmt: skip
_COUNTS: Final = {"rows": "Int64", "ok": "Int64", "failed": "Int64"}

OPTIONAL_COLUMNS: Final = ("folder", "age", "submitted", "estimated", "cost", "where", "failed")
"""What a narrow terminal does without, the first one first."""

_HERE: Final = "here"
_OURS: Final = "on the server only: bf.recover() brings it here"
_ANOTHER: Final = "on the server only: another batch of a job that is here"
_FOREIGN: Final = "on the server only, not made by batchframe"


class JobList(pd.DataFrame):  # type: ignore[misc]
    """A frame of jobs that a narrow terminal shows so that each job can be told and followed.

    pandas would leave out the columns in the middle, a job's id and status among them.
    """

    @property
    def _constructor(self) -> type[JobList]:
        return JobList

    def __repr__(self) -> str:
        # 0 is pandas' word for as many as the terminal has room for.
        in_full = pd.get_option("display.max_columns") != 0
        if in_full or self.empty or not self.columns.is_unique:
            return repr(pd.DataFrame(self))
        return narrow_table(
            self, shutil.get_terminal_size().columns, optional=OPTIONAL_COLUMNS, cut="name"
        )


def jobs(*, remote: bool = False, client: OpenAI | None = None) -> pd.DataFrame:
    """List all jobs of this machine, newest first.

    Parameters
    ----------
    remote
        Also ask the service for its batches, and list those that no folder here knows.
    client
        Whose batches; by default one made from ``OPENAI_API_KEY``. Only for `remote`.

    Returns
    -------
    One row a job: ``name``, ``id``, ``status`` at the last look, ``rows``, how many of them are
    ``ok`` and how many ``failed`` (have no valid answer and wait for none), the expected cost
    ``estimated`` before and the ``cost`` so far (USD, `Decimal`), when it was ``submitted`` (UTC),
    its ``age`` and its ``folder``. A folder that cannot be read is left out and warned of. A narrow
    terminal shows the first of these columns, and says which ones it does not.

    With `remote` one column more, ``where``: "here", or that the job is on the server only, and how
    to bring it here. Of those, ``ok`` and ``failed`` are the service's counts of requests, and
    batches that were not made by batchframe have the batch's id.

    Raises
    ------
    ClientError
        If there is no key, for `remote`.
    ServiceError
        If the service cannot be reached, for `remote`.

    Examples
    --------
    >>> jobs().columns.tolist()
    ['name', 'id', 'status', 'rows', 'ok', 'failed', 'estimated', 'cost', 'submitted', 'age', ...]
    """
    here = list(records())
    rows = [row for record in here if (row := _row(record)) is not None]
    if not remote:
        return _frame(rows, _COLUMNS)
    elsewhere = _elsewhere(connect(client).list_batches(), here)
    rows = [{**row, "where": _HERE} for row in rows] + list(elsewhere)
    return _frame(rows, (*_COLUMNS, "where"))


def _frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> JobList:
    frame: JobList = JobList(rows, columns=list(columns)).astype(_COUNTS)
    frame["submitted"] = pd.to_datetime(frame["submitted"], unit="s", utc=True)
    frame["age"] = pd.to_timedelta(frame["age"], unit="s")
    return frame


def _row(record: Record) -> dict[str, Any] | None:
    manifest, state = record.manifest, record.state
    try:
        known = summary_of(record)
    except JobError as reason:
        warn_user(UnreadableJobWarning.skipped(reason))
        return None
    sent = [shard.batch.created_at for shard in state.shards if shard.batch is not None]
    return {
        "name": manifest.name,
        "id": manifest.id,
        "status": status_word(state),
        "rows": manifest.rows,
        "ok": known.counts.get("ok", 0),
        "failed": sum(failed_rows(known.counts).values()),
        "estimated": None if manifest.cost is None else manifest.cost.expected,
        "cost": known.cost,
        **_dates(sent, manifest.created_at),
        "folder": str(record.folder.path),
    }


def _dates(sent: Iterable[float | None], prepared: float | None) -> dict[str, float | None]:
    """Say when it was sent, on the server's clock, and how many seconds ago it was begun."""
    known = [int(seconds) for seconds in sent if seconds is not None]
    begun = min(known, default=prepared)
    age = None if begun is None else max(0, int(time.time() - begun))
    return {"submitted": min(known, default=None), "age": age}


def _elsewhere(batches: Iterable[Batch], here: Sequence[Record]) -> Iterator[dict[str, Any]]:
    known = {
        shard.batch.id
        for record in here
        for shard in record.state.shards
        if shard.batch is not None
    }
    mine = {record.manifest.id for record in here}
    ours: dict[str, list[Batch]] = {}
    for batch in batches:
        if batch.id not in known:
            job_id = batch.metadata.get("bf_job", "")
            ours.setdefault(job_id if is_job_id(job_id) else batch.id, []).append(batch)
    for name, parts in ours.items():
        where = _FOREIGN if name == parts[0].id else _ANOTHER if name in mine else _OURS
        yield _remote_row(name, parts, where)


def _remote_row(name: str, parts: Sequence[Batch], where: str) -> dict[str, Any]:
    shards = tuple(ShardState(step="created", batch=batch) for batch in parts)
    return {
        "name": parts[0].metadata.get("bf_name") or None,
        "id": name,
        "status": status_word(JobState(intended=True, shards=shards)),
        "ok": sum(batch.completed for batch in parts),
        "failed": sum(batch.failed for batch in parts),
        **_dates([batch.created_at for batch in parts], None),
        "where": where,
    }


def find(name: str | Path) -> JobFolder:
    """Find a job by its id or its name, of several with one name the newest; or by its folder.

    A text means a folder only if no job is called so: a folder that came with someone's notebook
    must not stand in for the user's own job.

    Raises
    ------
    JobError
        If there is none.
    """
    known: list[str] = []
    for record in records() if isinstance(name, str) else ():
        names = record.manifest.id, record.manifest.name
        if name in names:
            return record.folder
        known += filter(None, names)
    if _is_job(Path(name)):
        return JobFolder(Path(name))
    near = get_close_matches(str(name), dict.fromkeys(known))
    raise JobError.not_found(str(name), near)


def _is_job(path: Path) -> bool:
    try:
        return JobFolder(path).manifest.is_file()
    except OSError:
        return False  # a name that no file could have
