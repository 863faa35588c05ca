"""Recovery of job folders from the batches on the server.

The server does not store the frame and the prompt template; running the cell that created the job
restores them. Responses are verified: an input file must match, byte for byte, the fingerprint in
the metadata of its batch.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from batchframe._base.clock import SYSTEM
from batchframe._base.digests import Digests, digests_of, to_arrow
from batchframe._base.errors import (
    BatchframeError,
    InputError,
    ServiceError,
    SeveralBatchesWarning,
    UnrecoveredBatchWarning,
    warn_user,
    without_link,
)
from batchframe._base.private_files import open_private, sha256_of, sync_folder
from batchframe._base.ranges import Range
from batchframe._base.safe_text import RUN_THAT
from batchframe._endpoints import endpoint_of
from batchframe._jobs.run import input_file_fingerprint
from batchframe._recipe.recipe import Recipe
from batchframe._requests.custom_ids import ID_VERSION
from batchframe._requests.input_files import InputFile
from batchframe._requests.lines import restore_endpoint
from batchframe._requests.table import fingerprint_of
from batchframe._services.batch import Batch
from batchframe._services.protocol import Service
from batchframe._store.folder import JobFolder, is_job_id
from batchframe._store.manifest import Manifest, write_manifest
from batchframe._store.rows import Rows, write_rows

_MAX_BYTES: Final = 10**9
_INPUT_FILE_NUMBER: Final = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")
_LINE: Final = re.compile(
    rb'\{"custom_id":"' + ID_VERSION.encode() + rb"-([0-9a-f]{8})-([0-9]{7,12})-([0-9a-f]{10})"
)


@dataclass(frozen=True)
class _RecoveredFile:
    """A batch of a job, and the content of its input file.

    Attributes
    ----------
    first
        Number of the first request, from its ``custom_id``.
    stamp
        First digits of the job's fingerprint, from the ``custom_id``.
    """

    batch: Batch
    path: Path
    sha256: str
    first: int
    stamp: str
    digests: Digests
    recipe: Recipe


def recover(service: Service) -> list[JobFolder]:
    """Rebuild every job on the server without a folder here, newest first.

    Raises
    ------
    ServiceError
        If the service cannot be reached.
    """
    jobs: dict[str, list[Batch]] = {}
    for batch in service.list_batches():
        job_id = batch.metadata.get("bf_job", "")
        if is_job_id(job_id):
            jobs.setdefault(job_id, []).append(batch)
    rebuilt: list[JobFolder] = []
    for job_id, batches in jobs.items():
        folder = JobFolder.of(job_id)
        if folder.journal.is_file():
            continue
        folder.create()
        with folder.lock() as locked:
            if locked and not folder.journal.is_file():
                rebuilt += rebuild(service, folder, batches)
    return rebuilt


def rebuild(service: Service, folder: JobFolder, batches: Sequence[Batch]) -> list[JobFolder]:
    """Rebuild one job from its batches; return [] if it exists already.

    The caller holds the job's lock. A complete job keeps its id. An incomplete one becomes a
    separate job, whose answers are matched by content when the cell runs again.
    """
    job_id = folder.path.name
    with TemporaryDirectory(dir=folder.path.parent, prefix=".recovering-") as scratch:
        chosen, complete = _select_batches(job_id, batches)
        downloads = [
            _fetch(service, job_id, batch, Path(scratch) / f"{index}.jsonl")
            for index, batch in enumerate(chosen)
        ]
        files = [file for file in downloads if file is not None]
        if not files:
            return []
        fingerprint = fingerprint_of(
            files[0].recipe.endpoint, np.concatenate([file.digests for file in files])
        )
        if not (complete and len(files) == len(chosen) and fingerprint.startswith(files[0].stamp)):
            ids = " ".join([job_id, *(file.batch.id for file in files)])
            folder = JobFolder.of(hashlib.sha256(ids.encode()).hexdigest()[:20])
            fingerprint = files[0].stamp
            if folder.journal.is_file():
                return []
        _write(folder, fingerprint, files, service)
    return [folder]


def _select_batches(job_id: str, batches: Sequence[Batch]) -> tuple[list[Batch], bool]:
    """Select the oldest batch per input file; return whether all are present."""
    by_number: dict[int, list[Batch]] = {}
    total = 0
    for batch in batches:
        if match := _INPUT_FILE_NUMBER.fullmatch(batch.metadata.get("bf_shard", "")):
            total = max(total, int(match[2]))
            by_number.setdefault(int(match[1]), []).append(batch)
    for number, candidates in by_number.items():
        # A failed batch bills nothing, and its input file may have been sent again.
        candidates.sort(key=lambda batch: (batch.status == "failed", batch.created_at or 0.0))
        if len(candidates) > 1:
            ids = [batch.id for batch in candidates]
            warn_user(SeveralBatchesWarning.found(job_id, number, ids))
    return [by_number[number][0] for number in sorted(by_number)], len(by_number) == total


def _fetch(service: Service, job_id: str, batch: Batch, path: Path) -> _RecoveredFile | None:
    """Download and parse the input file of a batch; None if unusable."""
    try:
        service.download(batch.input_file_id or "", path, _MAX_BYTES)
        return _read(batch, path, job_id)
    except _UNUSABLE as reason:
        if isinstance(reason, ServiceError) and reason.status not in {404, 410}:
            raise  # a retry may succeed
        path.unlink(missing_ok=True)
        problem = _WRONG_FILE
        if isinstance(reason, BatchframeError):
            problem = without_link(getattr(reason, "cause", "") or reason)
        warn_user(
            UnrecoveredBatchWarning(
                f"Batch {batch.id} of job {job_id} was not recovered: {problem}. Fix: "
                + RUN_THAT
                + " that submitted it; batchframe then finds the batch by its content."
            )
        )
        return None


# Parsing untrusted bytes can raise any of these.
_UNUSABLE: Final = (
    ServiceError, InputError, ValueError, LookupError, TypeError, AttributeError, RecursionError,
)  # fmt: skip
_WRONG_FILE: Final = "its input file is invalid, or not the one that was sent"


def _read(batch: Batch, path: Path, job_id: str) -> _RecoveredFile:
    sha256 = sha256_of(path)
    if input_file_fingerprint(job_id, sha256) != batch.metadata.get("bf_fp"):
        raise ValueError(_WRONG_FILE)
    requests: list[bytes] = []
    first: re.Match[bytes] | None = None
    with open_private(path) as lines:
        for line in lines:
            name = _LINE.match(line)
            if name is None:
                raise ValueError(_WRONG_FILE)
            first = first or name
            requests.append(restore_endpoint(line[name.end() : -1]))
    if first is None:
        raise ValueError(_WRONG_FILE)
    request = msgspec.json.decode(b'{"custom_id":"' + requests[0], type=dict[str, Any])
    return _RecoveredFile(
        batch=batch,
        path=path,
        sha256=sha256,
        first=int(first[2]),
        stamp=first[1].decode(),
        digests=digests_of(requests),
        recipe=endpoint_of(request["url"]).recipe_of(request["body"]),
    )


def _write(
    folder: JobFolder, fingerprint: str, files: Sequence[_RecoveredFile], service: Service
) -> None:
    folder.create()
    folder.journal.unlink(missing_ok=True)
    inputs: list[InputFile] = []
    for index, file in enumerate(files):
        start = inputs[-1].stop if inputs else 0
        stop = start + len(file.digests)
        size = file.path.stat().st_size
        inputs.append(InputFile(start, stop, size, file.sha256, file.first - start))
        file.path.replace(folder.input(index))
    folder.remove_inputs_from(len(inputs))
    digest = to_arrow(np.concatenate([file.digests for file in files]))
    absent = pa.nulls(len(digest), pa.string())
    write_rows(Rows(digest, np.arange(len(digest)), absent, digest), folder.rows)
    sync_folder(folder.path)
    first = files[0].batch
    manifest = Manifest(
        id=folder.path.name,
        name=first.metadata.get("bf_name") or None,
        created_at=first.created_at or SYSTEM.now(),
        fingerprint=fingerprint,
        identity=service.identity,
        rerun=first.metadata.get("bf_rerun") or None,
        recipe=files[0].recipe,
        rows=len(digest),
        requests=len(digest),
        reused=0,
        reuse=True,
        inputs=tuple(inputs),
        input_tokens=Range(0, None, None),
        output_tokens=Range(0, None, None),
        cost=None,
        prices=None,
        provider=service.profile,
        recovered=True,
        tier="batch",
        max_enqueued_tokens=None,
    )
    write_manifest(folder, manifest)
    # Atomic, because a partial journal would mean that the rest was never sent.
    folder.write_journal(_events(files))


def _events(files: Sequence[_RecoveredFile]) -> list[dict[str, Any]]:
    now = SYSTEM.now()
    events: list[dict[str, Any]] = [{"event": "INTENT", "at": now, "recovered": True}]
    for index, file in enumerate(files):
        batch, about = file.batch, {"shard": index, "at": now}
        upload = {"file_id": batch.input_file_id, "created_at": batch.created_at}
        events.append({"event": "UPLOADED", **upload, **about})
        events.append({"event": "CREATED", "batch": batch.to_json(), "adopted": True, **about})
    return events
