"""Answers that earlier jobs have to the requests of a new one, and jobs that are asking them now.

A request is known by its content, so an answer that was paid for once answers it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.digests import to_arrow
from batchframe._base.errors import JobError, UnreadableJobWarning, warn_user
from batchframe._endpoints import endpoint_of, files_of
from batchframe._recipe.recipe import Recipe
from batchframe._requests.table import RequestTable
from batchframe._results.job_answers import STORED, read_answers, read_reused, typed
from batchframe._services.protocol import Identity
from batchframe._store.manifest import Record, records
from batchframe._store.rows import Rows, read_rows_of


@dataclass(frozen=True, eq=False)
class Earlier:
    """Requests, those that are answered already last, and their answers.

    Attributes
    ----------
    answers
        One row for each of the last requests of the table, in order.
    under_way
        How many of the others each job is asking at this moment.
    looked
        Whether other jobs were looked through: not where every request is to be asked anew.
    files
        Those that the answers name, where they stand now.
    """

    table: RequestTable
    answers: pa.Table = field(default_factory=STORED.empty_table)
    under_way: Mapping[str, int] = field(default_factory=dict)
    looked: bool = False
    files: tuple[Path, ...] = ()


def earlier(table: RequestTable, identity: Identity) -> Earlier:
    """Look through all jobs of an account for answers to these requests.

    Only an answer that the output spec accepts counts. Of several, the newest job's is taken.
    """
    wanted = to_arrow(table.request_digest)
    open_ = np.ones(table.requests, dtype=bool)
    found: list[pa.Table] = []
    files: list[Path] = []
    waiting: dict[str, np.ndarray] = {}
    for record, rows in _jobs_that_asked(table.recipe, identity):
        asked = np.flatnonzero(open_)
        number = pc.index_in(wanted.take(pa.array(asked)), rows.request_digest)
        if number.null_count == len(number):
            continue
        mine = np.asarray(pc.is_valid(number).to_numpy(zero_copy_only=False), dtype=bool)
        try:
            answers = read_answers(record, rows).take(number.drop_null())
        except JobError as reason:
            warn_user(UnreadableJobWarning.skipped(str(reason)))
            continue
        good = _accepted(table.recipe, answers)
        waits = _waiting(record, number.drop_null().to_numpy(), answers)
        waiting[_display_name(record, waiting)] = asked[mine][waits]
        answered = asked[mine][good]
        open_[answered] = False
        kept = answers.filter(pa.array(good))
        found.append(kept.append_column("digest", wanted.take(pa.array(answered))))
        files += _files(record, kept)
    # What another job answered meanwhile is nobody's to wait for.
    counts = {job: int(open_[requests].sum()) for job, requests in waiting.items()}
    under_way = {job: count for job, count in counts.items() if count}
    return Earlier(*_last(table, found), under_way, looked=True, files=tuple(files))


def _files(record: Record, answers: pa.Table) -> list[Path]:
    """List the files that answers brought."""
    if endpoint_of(record.manifest.recipe.endpoint).brings == "words":
        return []
    names = [name for text in answers["text"].to_pylist() for name in files_of(text)]
    return [record.folder.files / name for name in names]


def _display_name(record: Record, others: Mapping[str, object]) -> str:
    """Say what to find a job by; where another has its name, by its id."""
    name = record.manifest.display_name
    return record.manifest.id if name in others else name


def reused_by(record: Record, table: RequestTable) -> Earlier:
    """Return the requests as a job that is there already divides them.

    Raises
    ------
    JobError
        If the file of reused answers is damaged.
    """
    found = [read_reused(record)] if record.manifest.reused else []
    return Earlier(*_last(table, found), looked=record.manifest.reuse)


def asked_meanwhile(record: Record) -> dict[str, int]:
    """Count the requests that a job has not sent and other jobs have answered or are asking."""
    unsent = [
        np.arange(file.start, file.stop)
        for file, state in zip(record.manifest.inputs, record.state.shards, strict=True)
        if state.step in {"new", "uploaded"}
    ]
    if not unsent or not record.manifest.reuse:
        return {}
    wanted = read_rows_of(record).request_digest.take(pa.array(np.concatenate(unsent)))
    asked: dict[str, int] = {}
    for other, rows in _jobs_that_asked(record.manifest.recipe, record.manifest.identity):
        number = pc.index_in(wanted, rows.request_digest).drop_null()
        if other.manifest.id == record.manifest.id or not len(number):
            continue
        try:
            answers = read_answers(other, rows).take(number)
        except JobError as reason:
            warn_user(UnreadableJobWarning.skipped(str(reason)))
            continue
        answered = int(_accepted(record.manifest.recipe, answers).sum())
        if count := answered + int(_waiting(other, number.to_numpy(), answers).sum()):
            asked[_display_name(other, asked)] = count
    return asked


def _last(table: RequestTable, found: list[pa.Table]) -> tuple[RequestTable, pa.Table]:
    """Put the answered requests last, and their answers in the same order."""
    if not any(len(part) for part in found):
        return table, STORED.empty_table()
    answers = pa.concat_tables(found).cast(STORED)
    answered = pc.is_in(to_arrow(table.request_digest), answers["digest"].combine_chunks())
    table = table.without(np.asarray(answered.to_numpy(zero_copy_only=False), dtype=bool))
    last = to_arrow(table.request_digest[table.to_send :])
    return table, answers.take(pc.index_in(last, answers["digest"].combine_chunks()))


def _jobs_that_asked(recipe: Recipe, identity: Identity) -> Iterator[tuple[Record, Rows]]:
    for record in records():
        theirs = record.manifest.recipe
        same = (theirs.endpoint, theirs.model) == (recipe.endpoint, recipe.model)
        if same and record.manifest.identity == identity:
            try:
                yield record, read_rows_of(record)
            except JobError as reason:
                warn_user(UnreadableJobWarning.skipped(str(reason)))


def _accepted(recipe: Recipe, answers: pa.Table) -> np.ndarray:
    """Say which answers are good under a recipe's output spec."""
    read, _ = typed(recipe, answers)
    good = pc.equal(read["status"], "ok").to_numpy()
    return np.asarray(good, dtype=bool)


def _waiting(record: Record, number: np.ndarray, answers: pa.Table) -> np.ndarray:
    """Say which requests of these numbers a batch, or what may be one, has still to answer."""
    pending = np.asarray(pc.equal(answers["status"], "pending").to_numpy(), dtype=bool)
    begun = np.zeros(record.manifest.requests, dtype=bool)
    for file, state in zip(record.manifest.inputs, record.state.shards, strict=True):
        begun[file.start : file.stop] = state.step in {"creating", "created"} or state.queued
    waits: np.ndarray = begun[number] & pending
    return waits
