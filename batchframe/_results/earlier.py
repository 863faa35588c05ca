"""Find requests that earlier jobs have answered or are processing.

Requests are matched by content, so a paid answer is reused for an identical request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.digests import to_arrow
from batchframe._base.errors import JobError, UnreadableJobWarning, warn_user
from batchframe._endpoints import endpoint_of, files_of
from batchframe._recipe.recipe import Recipe
from batchframe._requests.table import RequestTable
from batchframe._results.job_answers import STORED, read_answers, read_reused, typed
from batchframe._services.accounts import Account
from batchframe._services.connect import format_identity
from batchframe._store.index import Index
from batchframe._store.manifest import Record, quiet_records, records
from batchframe._store.rows import read_rows_of


@dataclass(frozen=True, eq=False)
class ReusePlan:
    """Reusable answers and pending duplicates of requests in earlier jobs.

    Attributes
    ----------
    table
        The requests, with answered ones last.
    answers
        One row for each answered request, in the order of the table.
    files
        The paths of the files that the answers reference.
    under_way
        The number of the other requests that each job is processing.
    searched
        Whether other jobs were searched; False if all requests are to be sent again.
    jobs
        All jobs on this machine, newest first; None if they were not read.
    job
        The job with the same requests, if some of it may have been sent.
    answered_by
        The ids of the jobs whose answers are reused.
    """

    table: RequestTable
    answers: pa.Table = field(default_factory=STORED.empty_table)
    files: tuple[Path, ...] = ()
    under_way: Mapping[str, int] = field(default_factory=dict)
    searched: bool = False
    jobs: Sequence[Record] | None = None
    job: Record | None = None
    answered_by: frozenset[str] = frozenset()

    @property
    def existing_job_name(self) -> str | None:
        """The display name of the job with the same requests, or None."""
        return self.job.manifest.display_name if self.job is not None and self.job.sent else None


@dataclass(frozen=True, eq=False)
class _Match:
    """The requests that a job shares with the search.

    Attributes
    ----------
    places
        The positions of the shared requests; the other attributes follow their order.
    accepted
        Whether the job has an answer that matches the output schema.
    waiting
        Whether a batch that exists or may exist has yet to answer it.
    """

    places: np.ndarray
    answers: pa.Table
    accepted: np.ndarray
    waiting: np.ndarray


def find_answers(table: RequestTable, account: Account, jobs: Sequence[Record]) -> ReusePlan:
    """Search the jobs of an account for answers to these requests.

    Only answers that match the output schema count; the newest job takes precedence.
    """
    digests = to_arrow(table.request_digest)
    unanswered = np.ones(table.requests, dtype=bool)
    tables: list[pa.Table] = []
    files: list[Path] = []
    waiting: dict[str, np.ndarray] = {}
    answered_by: set[str] = set()
    for record in jobs:
        places = np.flatnonzero(unanswered)
        match = _match(record, table.recipe, account, digests.take(pa.array(places)))
        if match is None:
            continue
        places = places[match.places]
        waiting[_display_name(record, waiting)] = places[match.waiting]
        answered = places[match.accepted]
        unanswered[answered] = False
        answers = match.answers.filter(pa.array(match.accepted))
        tables.append(answers.append_column("digest", digests.take(pa.array(answered))))
        files += _files(record, answers)
        if len(answered):
            answered_by.add(record.manifest.id)
    # A request answered by another job is no longer pending.
    counts = {job: int(unanswered[places].sum()) for job, places in waiting.items()}
    under_way = {job: count for job, count in counts.items() if count}
    return ReusePlan(
        *_move_answered_last(table, tables),
        tuple(files),
        under_way,
        searched=True,
        jobs=jobs,
        answered_by=frozenset(answered_by),
    )


def reused_by(record: Record, table: RequestTable) -> ReusePlan:
    """Return the reuse plan of an existing job for its requests.

    Raises
    ------
    JobError
        If the file of reused answers is damaged.
    """
    tables = [read_reused(record)] if record.manifest.reused else []
    return ReusePlan(
        *_move_answered_last(table, tables), searched=record.manifest.reuse, job=record
    )


def without_sent(plan: ReusePlan) -> ReusePlan:
    """Keep the requests that submitting an existing job would send now."""
    if plan.job is None or not plan.job.begun:
        return plan
    unsent = _unsent_digests(plan.job)
    is_unsent = pc.is_in(to_arrow(plan.table.request_digest), unsent)
    is_sent = ~np.asarray(is_unsent.to_numpy(zero_copy_only=False), dtype=bool)
    return replace(plan, table=plan.table.without(is_sent))


def _unsent_digests(record: Record) -> pa.Array:
    """Return the digests of the requests whose batch was not created."""
    numbers = [
        np.arange(file.start, file.stop)
        for file, state in zip(record.state.files, record.state.inputs, strict=True)
        if state.step in {"new", "uploaded"}
    ]
    numbers.append(np.zeros(0, np.int64))  # concatenate needs one array
    return read_rows_of(record).request_digest.take(pa.array(np.concatenate(numbers)))


def answered_by_others(plan: ReusePlan, account: Account) -> dict[str, int]:
    """Count requests to send that jobs of other accounts here have answered."""
    table = plan.table
    counts: dict[str, int] = {}
    if not table.to_send:
        return {}
    digests = to_arrow(table.request_digest[: table.to_send])
    for record in quiet_records() if plan.jobs is None else plan.jobs:
        owner, state = record.manifest.identity, record.state
        if account.owns(owner, state.batches, state.uploads):
            continue
        match = _match(record, table.recipe, Account(owner), digests)
        if match is not None and (count := int(match.accepted.sum())):
            name = _display_name(record, counts)
            counts[f"{name!r} ({format_identity(owner)})"] = count
    return counts


def count_elsewhere(record: Record, account: Account) -> dict[str, int]:
    """Count a job's unsent requests that other jobs answer, by job."""
    manifest = record.manifest
    digests = _unsent_digests(record)
    if not len(digests) or not manifest.reuse:
        return {}
    counts: dict[str, int] = {}
    for other in records():
        if other.manifest.id == manifest.id:
            continue
        match = _match(other, manifest.recipe, account, digests)
        if match is not None and (count := int(match.accepted.sum() + match.waiting.sum())):
            counts[_display_name(other, counts)] = count
    return counts


_DIGESTS: Final = Index[pa.Array]("manifest.json", "rows.parquet")


def _match(record: Record, recipe: Recipe, account: Account, digests: pa.Array) -> _Match | None:
    """Find the requests that a job shares; None if none or unreadable."""
    other, owner, state = record.manifest.recipe, record.manifest.identity, record.state
    if (other.endpoint, other.model) != (recipe.endpoint, recipe.model):
        return None
    if not account.may_own(owner):
        return None
    try:
        own = _DIGESTS.get(record.folder.path, lambda: read_rows_of(record).request_digest)
        number = pc.index_in(digests, own)
        # The client is asked only about a job that shares requests.
        if number.null_count == len(number):
            return None
        if not account.owns(owner, state.batches, state.uploads):
            return None
        places = np.flatnonzero(pc.is_valid(number).to_numpy(zero_copy_only=False))
        number = number.drop_null()
        answers = read_answers(record, read_rows_of(record)).take(number)
    except JobError as reason:
        warn_user(UnreadableJobWarning.skipped(reason))
        return None
    typed_answers, _ = typed(recipe, answers)
    accepted = np.asarray(pc.equal(typed_answers["status"], "ok").to_numpy(), dtype=bool)
    return _Match(places, answers, accepted, _waiting(record, number.to_numpy(), answers))


def _files(record: Record, answers: pa.Table) -> list[Path]:
    """List the paths of the files that answers reference."""
    if endpoint_of(record.manifest.recipe.endpoint).answer_kind == "inline":
        return []
    names = [name for text in answers["text"].to_pylist() for name in files_of(text)]
    return [record.folder.files / name for name in names]


def _display_name(record: Record, others: Mapping[str, object]) -> str:
    """Return the display name of a job, or its ID if the name is taken."""
    name = record.manifest.display_name
    return record.manifest.id if name in others else name


def _move_answered_last(
    table: RequestTable, tables: list[pa.Table]
) -> tuple[RequestTable, pa.Table]:
    """Move answered requests to the end and sort answers accordingly."""
    if not any(len(part) for part in tables):
        return table, STORED.empty_table()
    answers = pa.concat_tables(tables).cast(STORED)
    answered = pc.is_in(to_arrow(table.request_digest), answers["digest"].combine_chunks())
    table = table.without(np.asarray(answered.to_numpy(zero_copy_only=False), dtype=bool))
    last = to_arrow(table.request_digest[table.to_send :])
    return table, answers.take(pc.index_in(last, answers["digest"].combine_chunks()))


def _waiting(record: Record, number: np.ndarray, answers: pa.Table) -> np.ndarray:
    """Return a mask of requests that a batch has yet to answer."""
    pending = np.asarray(pc.equal(answers["status"], "pending").to_numpy(), dtype=bool)
    is_submitted = np.zeros(record.manifest.requests, dtype=bool)
    for file, state in zip(record.state.files, record.state.inputs, strict=True):
        is_submitted[file.start : file.stop] = state.step in {"creating", "created"} or state.queued
    is_waiting: np.ndarray = is_submitted[number] & pending
    return is_waiting
