"""Polling of a job's batches, and download of their result files."""

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

_MAX_SHORT_POLLS: Final = 3


def refresh(run: SubmissionContext, *, thorough: bool = False) -> None:
    """Poll every batch that may have changed; download ended ones.

    The caller holds the job's lock.

    Parameters
    ----------
    thorough
        Whether to also verify the checksums of downloaded files, and to retry missing files.

    Raises
    ------
    ServiceError
        If the service cannot be reached, or a batch fails to update; the others are still polled,
        and downloaded files stay.
    """
    with _prefetching(run) as context:
        _for_each_batch(context, partial(_poll, thorough=thorough))


@contextmanager
def _prefetching(run: SubmissionContext) -> Iterator[SubmissionContext]:
    """Prefetch several batches and their files concurrently."""
    wanted = [
        (shard, state, state.batch)
        for shard, state in enumerate(run.state().shards)
        if state.batch is not None and not state.fetched and state.batch.id != REALTIME
    ]
    if len(wanted) < 2:  # noqa: PLR2004 - a single batch gains nothing
        yield run
        return
    with prefetching(run.service, "downloading") as prefetcher:
        for shard, state, batch in wanted:
            poll = _needs_poll(state, batch)
            prefetcher.prefetch(batch, run.folder.output(shard), most_bytes, poll=poll)
        yield replace(run, prefetcher=prefetcher)


def cancel(run: SubmissionContext) -> None:
    """Drop unsent input files, and cancel every batch that has not ended.

    Finished answers remain available.

    Raises
    ------
    ServiceError
        As in :func:`refresh`.
    """
    for shard, state in enumerate(run.state().shards):
        if state.step in {"new", "uploaded"}:
            run.record_event("DROPPED", shard)
    _for_each_batch(run, _cancel_shard)


def all_at_home(folder: JobFolder, state: JobState, *, thorough: bool = False) -> bool:
    """Check whether all result files are there, as :func:`refresh` would."""
    return all(
        _is_downloaded(folder, shard, now, thorough=thorough)
        for shard, now in enumerate(state.shards)
    )


def _is_downloaded(folder: JobFolder, shard: int, state: ShardState, *, thorough: bool) -> bool:
    files = ((folder.output(shard), state.output), (folder.errors(shard), state.errors))
    downloaded = [(path, home) for path, home in files if home is not None]
    if not thorough:
        return state.fetched and all(path.is_file() for path, _ in downloaded)
    whole = state.fetched and not state.incomplete
    return whole and all(is_intact(path, home) for path, home in downloaded)


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
    if batch is None or _is_downloaded(run.folder, shard, state, thorough=thorough):
        return
    if batch.id == REALTIME:
        # The lock is free, so the kernel of the pilot has ended.
        end(run, batch)
        return
    if _needs_poll(state, batch):
        latest = run.transfers.retrieve_batch(batch.id)
        if latest != batch:
            run.record_event("STATUS", shard, batch=latest.to_json())
        batch = latest
    full = [error for error in batch.errors if is_full(error.code, error.message)]
    if batch.status == "failed" and full:
        # A batch that failed for a full queue bills nothing, so it is sent again later.
        queue_again(run, shard, full[0].message)
    elif batch.ended:
        _fetch(run, shard, state, batch)


def _needs_poll(state: ShardState, batch: Batch) -> bool:
    return not batch.ended or bool(state.short)


def _fetch(run: SubmissionContext, shard: int, state: ShardState, batch: Batch) -> None:
    """Download both result files of a batch, verified and durable."""
    requests = run.manifest.inputs[shard].stop - run.manifest.inputs[shard].start
    homes = {"output": run.folder.output(shard), "errors": run.folder.errors(shard)}
    before = {"output": state.output, "errors": state.errors}
    settled = state.fetched and not state.incomplete
    downloaded: dict[str, Fetched] = {}
    missing: list[str] = []
    for kind, file_id in _result_files(batch).items():
        previous = before[kind]
        if settled and previous is not None and is_intact(homes[kind], previous):
            fetched: Fetched | None = previous
        else:
            fetched = bring_home(run.transfers, file_id, homes[kind], requests, previous)
        if fetched is not None:
            downloaded[kind] = fetched
        elif state.fetched and previous is not None:
            raise ServiceError(
                f"{homes[kind]!s} is not what came back from the service: it was changed or "
                f"removed since, and the service has no result file {file_id} any more. Restore it "
                "from a copy of the job's folder."
            )
        else:
            missing.append(file_id)
    lines = sum(count_lines(homes[kind]).whole for kind in downloaded)
    facts: dict[str, Any] = {kind: asdict(home) for kind, home in downloaded.items()}
    short = bool(missing) or lines < _expected(batch, requests)
    if short and not state.fetched and state.short < _MAX_SHORT_POLLS:
        # The files of an ended batch may become available later.
        run.record_event("SHORT", shard, lines=lines, **facts)
        return
    event = AllFetched(
        shard=shard,
        output=downloaded.get("output"),
        errors=downloaded.get("errors"),
        gone=tuple(missing),
        incomplete=short,
    )
    if not state.fetched or after(state, event) != state:
        run.record_event("FETCHED", shard, **facts, gone=missing, incomplete=short)


def _result_files(batch: Batch) -> dict[str, str]:
    files = {"output": batch.output_file_id, "errors": batch.error_file_id}
    if files["output"] == files["errors"]:
        files.pop("errors")
    return {kind: file_id for kind, file_id in files.items() if file_id is not None}


def _expected(batch: Batch, requests: int) -> int:
    """Return the expected number of lines; the service's counts may be wrong."""
    if batch.status == "completed":
        return requests
    return min(requests, batch.completed + batch.failed)


def _cancel_shard(run: SubmissionContext, shard: int, state: ShardState) -> None:
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
