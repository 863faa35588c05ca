"""Recovery of job folders from the batches on the server.

The server does not store the frame and the prompt template; running the cell that created the job
restores them. Responses are verified: an input file must match, byte for byte, the fingerprint in
the metadata of its batch.

Where the list of batches does not show what a lost folder sent, the names of uploaded files do:
they contain the fingerprint of their content.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
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
    SubmissionUncertain,
    UnrecoveredBatchWarning,
    warn_user,
    without_link,
)
from batchframe._base.private_files import open_private, sha256_of, sync_folder
from batchframe._base.ranges import Range
from batchframe._base.safe_text import RUN_THAT, job_step, named_batch_step
from batchframe._endpoints import endpoint_of
from batchframe._jobs.reconciliation import never_ran, read_listing
from batchframe._jobs.run import SubmissionContext, input_file_fingerprint
from batchframe._recipe.recipe import Recipe
from batchframe._requests.custom_ids import ID_VERSION
from batchframe._requests.input_files import InputFile
from batchframe._requests.lines import restore_endpoint
from batchframe._requests.table import fingerprint_of
from batchframe._services.accounts import Account
from batchframe._services.batch import Batch
from batchframe._services.protocol import NO_LIST, RemoteFile, Service
from batchframe._store.folder import JobFolder, is_job_id
from batchframe._store.manifest import Manifest, quiet_records, write_manifest
from batchframe._store.rows import Rows, write_rows

_MAX_BYTES: Final = 10**9
_MAX_FILES: Final = 10_000
_INPUT_FILE_NUMBER: Final = re.compile(r"[0-9]{1,6}/[0-9]{1,6}")
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

    @property
    def stop(self) -> int:
        """Number of the last request plus one."""
        return self.first + len(self.digests)

    def overlaps(self, other: _RecoveredFile) -> bool:
        """Check whether both files have a request in common."""
        return self.first < other.stop and other.first < self.stop


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
        files = _fetch_all(service, job_id, batches, Path(scratch))
        if not files:
            return []
        fingerprint = fingerprint_of(
            files[0].recipe.endpoint, np.concatenate([file.digests for file in files])
        )
        if not (_is_contiguous(files) and fingerprint.startswith(files[0].stamp)):
            ids = " ".join([job_id, *(file.batch.id for file in files)])
            folder = JobFolder.of(hashlib.sha256(ids.encode()).hexdigest()[:20])
            fingerprint = files[0].stamp
            if folder.journal.is_file():
                return []
        _write(folder, fingerprint, files, service)
    return [folder]


def _fetch_all(
    service: Service, job_id: str, batches: Sequence[Batch], scratch: Path
) -> list[_RecoveredFile]:
    """Download the input files of a job, one per request, in order."""
    chosen = _select_batches(job_id, batches)
    files: list[_RecoveredFile] = []
    for index, batch in enumerate(chosen):
        # A failed batch bills nothing, and its requests may have been sent again.
        if batch.status == "failed" and _is_contiguous(files):
            break
        file = _fetch(service, job_id, batch, scratch / f"{index}.jsonl")
        if file is None or any(file.overlaps(other) for other in files):
            continue
        files = sorted([*files, file], key=attrgetter("first"))
    return files


def _is_contiguous(files: Sequence[_RecoveredFile]) -> bool:
    """Check whether input files begin at the first request and have no gap."""
    ends = [0, *(file.stop for file in files)]
    return bool(files) and [file.first for file in files] == ends[:-1]


def _select_batches(job_id: str, batches: Sequence[Batch]) -> list[Batch]:
    """Select the oldest batch of each input file; failed batches come last."""
    by_file: dict[str, list[Batch]] = {}
    for batch in batches:
        if _INPUT_FILE_NUMBER.fullmatch(batch.metadata.get("bf_shard", "")):
            by_file.setdefault(batch.metadata.get("bf_fp", ""), []).append(batch)
    for candidates in by_file.values():
        candidates.sort(key=lambda batch: (batch.status == "failed", batch.created_at or 0.0))
        billed = [batch.id for batch in candidates if batch.status != "failed"]
        if len(billed) > 1:
            number = int(candidates[0].metadata["bf_shard"].partition("/")[0])
            warn_user(SeveralBatchesWarning.found(job_id, number, billed))
    oldest = [candidates[0] for candidates in by_file.values()]
    return sorted(oldest, key=lambda batch: (batch.status == "failed", batch.created_at or 0.0))


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
        metadata={key: text for key, text in first.metadata.items() if not key.startswith("bf_")},
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


def find_unrecorded(run: SubmissionContext) -> list[tuple[int, RemoteFile]]:
    """Find uploads of a job whose batches are listed without metadata.

    Raises
    ------
    SubmissionUncertain
        If it cannot be known whether the job was sent before, unless the user allows to send it
        again.
    """
    # The user may have named the batches of some input files.
    unsent = {index for index, file in enumerate(run.state().inputs) if file.step == "new"}
    if not unsent or run.profile.list_is_complete or read_listing(run).has_fingerprints:
        return []
    files = _uploaded(run, unsent)
    if files is None:
        if not (run.recreate or _has_sent(run)):
            raise _unlisted_error(run)
        return []
    if not files:
        return []
    run.memory.listing = None
    dates = [file.created_at for _, file in files if file.created_at is not None]
    listing = read_listing(run, min(dates, default=None))
    sent = [
        (index, file) for index, file in files if not all(map(never_ran, listing.select([file.id])))
    ]
    lost = [(index, file) for index, file in files if index not in dict(sent)]
    if lost and not run.recreate:
        raise _lost_error(run, *lost[0])
    return sent


def _uploaded(
    run: SubmissionContext, unsent: Iterable[int]
) -> Sequence[tuple[int, RemoteFile]] | None:
    """List uploads of the job's input files; None if files are not listed."""
    indexes = {_stem(run.upload_name(index)): index for index in unsent}
    try:
        files = list(islice(run.service.list_files(), _MAX_FILES))
    except ServiceError as reason:
        lasting = reason.status in NO_LIST or not reason.passing
        if lasting or not (reason.out_of_reach or reason.status):
            return None
        raise
    named = ((indexes.get(_stem(file.name or "")), file) for file in files)
    return [(index, file) for index, file in named if index is not None]


def _stem(name: str) -> str:
    """Return the name of an upload without its number, which may change."""
    return name.rpartition("-")[0]


def _has_sent(run: SubmissionContext) -> bool:
    """Return whether another job of this machine was sent to the account."""
    account = Account(run.manifest.identity)
    return any(
        record.state.intended and account.owns(record.manifest.identity, ())
        for record in quiet_records()
        if record.manifest.id != run.manifest.id
    )


def _unlisted_error(run: SubmissionContext) -> SubmissionUncertain:
    job = run.manifest.display_name
    return SubmissionUncertain(
        f"Job {job!r}: this machine has sent no job to the service yet, and the service lists "
        "neither batches nor files. If the job was sent from another machine or a deleted folder, "
        "sending it again would bill it twice. Nothing was sent.",
        next_step="Fix: if it was not sent before (asked once for each account):\n    "
        + job_step(job, "resume", "recreate", alone=True)
        + "\nOr, if the service's web page shows its batch:\n    "
        + named_batch_step(job),
    )


def _lost_error(run: SubmissionContext, index: int, file: RemoteFile) -> SubmissionUncertain:
    job = run.manifest.display_name
    return SubmissionUncertain(
        f"{run.describe(index)}: it was uploaded before ({file.id}), but not from this folder, and "
        "the service's list does not show whether a batch was created. Sending it again could bill "
        "it twice. Nothing was sent.",
        next_step="Fix: restore the earlier folder in BATCHFRAME_HOME. Or, if the service's web "
        "page shows its batch:\n    " + named_batch_step(job) + "\n"
        "Or, if it shows no such batch, send it:\n    "
        + job_step(job, "resume", "recreate", alone=True),
    )
