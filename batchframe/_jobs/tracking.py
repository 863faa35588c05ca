"""Refresh the status of a job's batches, and bring their result files home."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Final

from batchframe._base.errors import ServiceError
from batchframe._jobs.downloads import bring_home, is_intact, most_bytes
from batchframe._jobs.pilot import end
from batchframe._jobs.run import SubmissionContext, queue_again
from batchframe._results.line import count_lines
from batchframe._services.batch import Batch
from batchframe._services.protocol import REALTIME
from batchframe._services.transfers import prefetching
from batchframe._store.events import AllFetched, Fetched
from batchframe._store.folder import JobFolder
from batchframe._store.journal import JobState, ShardState, after
from batchframe._store.queue import is_full

_SHORT_POLLS: Final = 3


def refresh(run: SubmissionContext, *, thorough: bool = False) -> None:
    """Poll every batch that may have changed, and bring home what has ended.

    The caller holds the job's lock.

    Parameters
    ----------
    thorough
        Also compare what is at home with its checksums, and ask again for what was given up.

    Raises
    ------
    ServiceError
        If the service cannot be reached, or one batch gives trouble; the others are polled all the
        same, and everything that is at home stays.
    """
    with _fetching_ahead(run) as quicker:
        _for_each_batch(quicker, partial(_poll, thorough=thorough))


@contextmanager
def _fetching_ahead(run: SubmissionContext) -> Iterator[SubmissionContext]:
    """Ask for several batches and their files at once; what comes is taken in turn as ever."""
    wanted = [
        (shard, state, state.batch)
        for shard, state in enumerate(run.state().shards)
        if state.batch is not None and not state.fetched and state.batch.id != REALTIME
    ]
    if len(wanted) < 2:  # noqa: PLR2004 - one alone has nothing to be ahead of
        yield run
        return
    with prefetching(run.service, "downloading") as prefetcher:
        for shard, state, batch in wanted:
            poll = _is_asked_for(state, batch)
            prefetcher.prefetch(batch, run.folder.output(shard), most_bytes, poll=poll)
        yield replace(run, prefetcher=prefetcher)


def cancel(run: SubmissionContext) -> None:
    """Drop what was not sent, and ask the service to stop every batch that has not ended.

    What it finished will be kept.

    Raises
    ------
    ServiceError
        As for :func:`refresh`.
    """
    for shard, state in enumerate(run.state().shards):
        if state.step in {"new", "uploaded"}:
            run.record_event("DROPPED", shard)
    _for_each_batch(run, _stop)


def all_at_home(folder: JobFolder, state: JobState, *, thorough: bool = False) -> bool:
    """Tell whether there is nothing to look for; `thorough` is as for :func:`refresh`."""
    return all(
        _is_at_home(folder, shard, now, thorough=thorough) for shard, now in enumerate(state.shards)
    )


def _is_at_home(folder: JobFolder, shard: int, state: ShardState, *, thorough: bool) -> bool:
    homes = ((folder.output(shard), state.output), (folder.errors(shard), state.errors))
    there = [(path, home) for path, home in homes if home is not None]
    if not thorough:
        return state.fetched and all(path.is_file() for path, _ in there)
    whole = state.fetched and not state.incomplete
    return whole and all(is_intact(path, home) for path, home in there)


def _for_each_batch(
    run: SubmissionContext, act: Callable[[SubmissionContext, int, ShardState], None]
) -> None:
    troubles: list[ServiceError] = []
    for shard, state in enumerate(run.state().shards):
        if state.batch is None:
            continue
        try:
            act(run, shard, state)
        except ServiceError as trouble:
            troubles.append(trouble)
            if trouble.out_of_reach:
                break
    if troubles:
        raise troubles[0]


def _poll(run: SubmissionContext, shard: int, state: ShardState, *, thorough: bool) -> None:
    batch = state.batch
    if batch is None or _is_at_home(run.folder, shard, state, thorough=thorough):
        return
    if batch.id == REALTIME:
        # Its kernel is gone, or it would hold the lock: there will be no more answers.
        end(run, batch)
        return
    if _is_asked_for(state, batch):
        latest = run.transfers.retrieve_batch(batch.id)
        if latest != batch:
            run.record_event("STATUS", shard, batch=latest.to_json())
        batch = latest
    full = [error for error in batch.errors if is_full(error.code, error.message)]
    if batch.status == "failed" and full:
        # It was refused whole and nothing of it is billed: it is sent again later.
        queue_again(run, shard, full[0].message)
    elif batch.ended:
        _fetch(run, shard, state, batch)


def _is_asked_for(state: ShardState, batch: Batch) -> bool:
    return not batch.ended or bool(state.short)


def _fetch(run: SubmissionContext, shard: int, state: ShardState, batch: Batch) -> None:
    """Bring home both result files of one batch, verified and durable."""
    requests = run.manifest.inputs[shard].stop - run.manifest.inputs[shard].start
    homes = {"output": run.folder.output(shard), "errors": run.folder.errors(shard)}
    before = {"output": state.output, "errors": state.errors}
    settled = state.fetched and not state.incomplete
    got: dict[str, Fetched] = {}
    gone: list[str] = []
    for kind, file_id in _result_files(batch).items():
        old = before[kind]
        if settled and old is not None and is_intact(homes[kind], old):
            fetched: Fetched | None = old
        else:
            fetched = bring_home(run.transfers, file_id, homes[kind], requests, old)
        if fetched is not None:
            got[kind] = fetched
        elif state.fetched and old is not None:
            raise ServiceError(
                f"{homes[kind]!s} is not what came back from the service: it was changed or "
                f"removed since, and the service has no result file {file_id} any more. Restore it "
                "from a copy of the job's folder."
            )
        else:
            gone.append(file_id)
    lines = sum(count_lines(homes[kind]).whole for kind in got)
    facts: dict[str, Any] = {kind: asdict(home) for kind, home in got.items()}
    short = bool(gone) or lines < _expected(batch, requests)
    if short and not state.fetched and state.short < _SHORT_POLLS:
        # A batch may end before its files show, or show whole; what stays away is missing.
        run.record_event("SHORT", shard, lines=lines, **facts)
        return
    event = AllFetched(
        shard=shard,
        output=got.get("output"),
        errors=got.get("errors"),
        gone=tuple(gone),
        incomplete=short,
    )
    if not state.fetched or after(state, event) != state:
        run.record_event("FETCHED", shard, **facts, gone=gone, incomplete=short)


def _result_files(batch: Batch) -> dict[str, str]:
    files = {"output": batch.output_file_id, "errors": batch.error_file_id}
    if files["output"] == files["errors"]:
        files.pop("errors")
    return {kind: file_id for kind, file_id in files.items() if file_id is not None}


def _expected(batch: Batch, asked: int) -> int:
    """Return how many lines to look for; the counts may lie, and then prove nothing."""
    if batch.status == "completed":
        return asked
    return min(asked, batch.completed + batch.failed)


def _stop(run: SubmissionContext, shard: int, state: ShardState) -> None:
    if state.batch is None or state.batch.ended:
        return
    if state.batch.id == REALTIME:
        end(run, state.batch)
    else:
        batch = _cancel(run, state.batch)
        run.record_event("STATUS", shard, batch=batch.to_json())


def _cancel(run: SubmissionContext, batch: Batch) -> Batch:
    try:
        return run.service.cancel_batch(batch.id)
    except ServiceError as reason:
        if reason.status != 409:  # noqa: PLR2004 - HTTP's own number; the batch ended first
            raise
    return run.service.retrieve_batch(batch.id)
