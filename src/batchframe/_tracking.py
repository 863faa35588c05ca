"""Batches under way → their latest status, and their result files at home.

In: a job folder and a service. Out: the journal's STATUS and FETCHED events, and result files.
Must not know: frames, prices, what stands in a result line.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batchframe._folder import sync_folder
from batchframe._service import Batch
from batchframe._submission import Submission
from batchframe.errors import ServiceError

_DOWNLOADS: Final = 3


@dataclass(frozen=True)
class _Download:
    bytes: int
    sha256: str


def refresh(run: Submission) -> None:
    """Look at every batch that may have changed, and bring home what has ended.

    The caller holds the job's lock.

    Raises
    ------
    ServiceError
        If the service cannot be reached; everything that is at home stays.
    """
    for shard, state in enumerate(run.state().shards):
        if state.batch is None or state.fetched:
            continue
        batch = state.batch
        if not batch.ended:
            batch = run.service.retrieve_batch(batch.id)
            if batch != state.batch:
                run.note("STATUS", shard, batch=batch.to_json())
        if batch.ended:
            fetch(run, shard, batch)


def fetch(run: Submission, shard: int, batch: Batch) -> None:
    """Bring home both result files of one batch, verified and durable."""
    homes = {"output": run.folder.output(shard), "errors": run.folder.errors(shard)}
    files = {"output": batch.output_file_id, "errors": batch.error_file_id}
    told: dict[str, Any] = {}
    for kind, file_id in files.items():
        if file_id is not None:
            got = _download(run, file_id, homes[kind])
            told[kind] = {"file_id": file_id, "bytes": got.bytes, "sha256": got.sha256}
    run.note("FETCHED", shard, **told)


def cancel(run: Submission) -> None:
    """Ask the service to stop every batch that has not ended; what it finished will be kept."""
    for shard, state in enumerate(run.state().shards):
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


def _download(run: Submission, file_id: str, home: Path) -> _Download:
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
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    partial.replace(home)
    sync_folder(home.parent)
    return _Download(size, digest)
