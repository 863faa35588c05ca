"""Batches under way → their latest status, and their result files at home.

In: a job folder and a service. Out: the journal's STATUS and FETCHED events, and result files.
Must not know: frames, prices, what stands in a result line.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from batchframe._folder import JobFolder, sha256_of, sync_folder
from batchframe._journal import Fetched, JobState, ShardState
from batchframe._service import Batch
from batchframe._submission import Submission, queue_again
from batchframe._waves import is_full
from batchframe.errors import ServiceError

_DOWNLOADS: Final = 3
_SHORT_LOOKS: Final = 3


def refresh(run: Submission) -> None:
    """Look at every batch that may have changed, and bring home what has ended.

    The caller holds the job's lock.

    Raises
    ------
    ServiceError
        If the service cannot be reached, or one batch gives trouble; the others are looked at all
        the same, and everything that is at home stays.
    """
    _for_each_batch(run, _look)


def cancel(run: Submission) -> None:
    """Drop what was not sent, and ask the service to stop every batch that has not ended.

    What it finished will be kept.

    Raises
    ------
    ServiceError
        As for :func:`refresh`.
    """
    for shard, state in enumerate(run.state().shards):
        if state.step in {"new", "uploaded"}:
            run.note("DROPPED", shard)
    _for_each_batch(run, _stop)


def lost_files(folder: JobFolder, state: JobState) -> list[int]:
    """List the shards whose result files came home and are there no more."""
    return [shard for shard, now in enumerate(state.shards) if _is_lost(folder, shard, now)]


def _is_lost(folder: JobFolder, shard: int, state: ShardState) -> bool:
    homes = ((folder.output(shard), state.output), (folder.errors(shard), state.errors))
    return any(home is not None and not path.is_file() for path, home in homes)


def _for_each_batch(run: Submission, act: Callable[[Submission, int, ShardState], None]) -> None:
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


def _look(run: Submission, shard: int, state: ShardState) -> None:
    batch = state.batch
    if batch is None or (state.fetched and not _is_lost(run.folder, shard, state)):
        return
    if not batch.ended or state.short:
        latest = run.service.retrieve_batch(batch.id)
        if latest != batch:
            run.note("STATUS", shard, batch=latest.to_json())
        batch = latest
    full = [error for error in batch.errors if is_full(error.code, error.message)]
    if batch.status == "failed" and full:
        # It was refused whole and nothing of it is billed: it is sent again later.
        queue_again(run, shard, full[0].message)
    elif batch.ended:
        _fetch(run, shard, state, batch)


def _fetch(run: Submission, shard: int, state: ShardState, batch: Batch) -> None:
    """Bring home both result files of one batch, verified and durable."""
    homes = {"output": run.folder.output(shard), "errors": run.folder.errors(shard)}
    files = {"output": batch.output_file_id, "errors": batch.error_file_id}
    got = {
        kind: _download(run, file_id, homes[kind])
        for kind, file_id in files.items()
        if file_id is not None
    }
    asked = run.manifest.inputs[shard].stop - run.manifest.inputs[shard].start
    lines = sum(_lines(homes[kind]) for kind in got)
    if batch.status == "completed" and lines < asked and state.short < _SHORT_LOOKS:
        # A batch may end before its files show, or show whole; what stays away is missing.
        run.note("SHORT", shard, lines=lines)
        return
    run.note("FETCHED", shard, **{kind: asdict(home) for kind, home in got.items()})


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def _stop(run: Submission, shard: int, state: ShardState) -> None:
    if state.batch is not None and not state.batch.ended:
        batch = _cancel(run, state.batch)
        run.note("STATUS", shard, batch=batch.to_json())


def _cancel(run: Submission, batch: Batch) -> Batch:
    try:
        return run.service.cancel_batch(batch.id)
    except ServiceError as reason:
        if reason.status != 409:  # noqa: PLR2004 - HTTP's own number; the batch ended first
            raise
    return run.service.retrieve_batch(batch.id)


def _download(run: Submission, file_id: str, home: Path) -> Fetched:
    # A cut connection can look like a whole answer, so the bytes are compared with the server's.
    whole = run.service.retrieve_file(file_id).bytes
    partial = home.with_name(home.name + ".part")
    size = run.service.download(file_id, partial)
    for _ in range(_DOWNLOADS - 1):
        if whole in {None, size}:
            break
        size = run.service.download(file_id, partial)
    if whole is not None and size != whole:
        raise ServiceError.cut_short(file_id, size, whole)
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    digest = sha256_of(partial)
    partial.replace(home)
    sync_folder(home.parent)
    return Fetched(size, digest)
