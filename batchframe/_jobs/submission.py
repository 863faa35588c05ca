"""The at-most-once protocol: create one batch per input file.

Creating a batch costs money and is not idempotent. The intent is therefore written to disk first,
the create request is sent once, and an ambiguous outcome is resolved by searching for the batch on
the server. docs/reliability.md describes the protocol and its limits.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from typing import Final

from batchframe._base.clock import Backoff, Retries
from batchframe._base.errors import (
    JobError,
    ServiceError,
    SubmissionError,
    UnverifiedBatchWarning,
    shorten,
    warn_user,
)
from batchframe._base.private_files import sha256_of
from batchframe._base.safe_text import RUN_AGAIN, NextStep, job_step
from batchframe._jobs.reconciliation import (
    adopt,
    created_elsewhere,
    listed_batches,
    reconcile_create,
)
from batchframe._jobs.recovery import find_unrecorded
from batchframe._jobs.run import SubmissionContext, queue_again
from batchframe._services.advice import advice, is_full, may_pass
from batchframe._services.batch import Batch
from batchframe._services.protocol import (
    Ambiguous,
    Created,
    CreateOutcome,
    Rejected,
    RemoteFile,
    Unsent,
)
from batchframe._services.transfers import PendingUpload, uploading
from batchframe._store.journal import InputFileState

_UNSENT_ATTEMPTS: Final = 5
_REJECTED_ATTEMPTS: Final = 4
_MAX_PAUSE: Final = 120.0


def submit(run: SubmissionContext) -> None:
    """Create a batch for every input file that fits the service's queue.

    The caller holds the job's lock. The remaining input files are queued; a later call sends them.

    Raises
    ------
    SubmissionError
        If the service rejects an input file; batches created before continue.
    SubmissionUncertain
        If it is unknown whether a batch was created.
    ServiceError
        If another request than the create fails.
    """
    state = run.state()
    if not state.understood:
        raise JobError(
            f"{run.folder.journal!s} has events of a newer version of batchframe. Nothing was "
            "sent. Fix: pip install --upgrade batchframe."
        )
    if not state.intended:
        uploads = find_unrecorded(run)
        run.append("INTENT")
        for index, upload in uploads:
            _record_upload(run, index, upload)
    while indexes := run.due():
        states = run.state().inputs
        new = {
            index: _pending_upload(run, index) for index in indexes if states[index].step == "new"
        }
        with uploading(run.service, new, partial(_record_upload, run)) as prefetcher:
            for index in indexes:
                if not _create_until_done(replace(run, prefetcher=prefetcher), index):
                    break
    for index, file in enumerate(run.state().inputs):
        if file.step in {"new", "uploaded"} and not file.queued:
            run.record_event("QUEUED", index)


def _create_until_done(run: SubmissionContext, index: int) -> bool:
    """Upload and create one batch; return False if the queue is full."""
    unsent = Retries(Backoff(), run.clock, attempts=_UNSENT_ATTEMPTS)
    rejected = Retries(Backoff(2.0), run.clock, attempts=_REJECTED_ATTEMPTS)
    while (state := run.state().inputs[index]).step not in {"created", "dropped"}:
        if state.step == "creating":
            reconcile_create(run, index, state)
        elif state.step == "new":
            _upload(run, index)
        elif batches := _search_again(run, index, state, unsent):
            adopt(run, index, state, batches)
        else:
            match _create(run, index, state):
                case Unsent(reason):
                    if not unsent.pause():
                        raise _unsent_error(run, index, reason)
                case Rejected(foreign=False) as outcome if is_full(outcome.code, outcome.message):
                    queue_again(run, index, outcome.message)
                    return False
                case Rejected() as outcome:
                    if not _pause_after_rejection(run, index, outcome, rejected):
                        _adopt_rejected(run, index, outcome)
    return True


def _search_again(
    run: SubmissionContext, index: int, state: InputFileState, retries: Retries
) -> list[Batch]:
    """Search for a batch before a create; retry an unreachable service."""
    while True:
        try:
            return created_elsewhere(run, index, state)
        except ServiceError as reason:
            if not (state.attempts and reason.out_of_reach):
                raise
            if not retries.pause():
                raise _unsent_error(run, index, state.reason or "no connection") from None


def _upload(run: SubmissionContext, index: int) -> None:
    input_file = run.state().files[index]
    file = _pending_upload(run, index)
    if sha256_of(file.path) != file.sha256:
        raise JobError.damaged(str(file.path), "its checksum differs")
    stored = run.transfers.upload(
        file.path, file.filename, file.purpose, file.lifetime, by_redirect=file.by_redirect
    )
    if stored.bytes is not None and stored.bytes != input_file.bytes:
        raise ServiceError(
            f"{run.describe(index)}: the service stored {stored.bytes:,} of {input_file.bytes:,} "
            "bytes. No batch was created.",
            next_step="Fix: " + RUN_AGAIN + ".",
        )
    _record_upload(run, index, stored)


def _record_upload(run: SubmissionContext, index: int, stored: RemoteFile) -> None:
    run.record_event("UPLOADED", index, file_id=stored.id, created_at=stored.created_at)


def _pending_upload(run: SubmissionContext, index: int) -> PendingUpload:
    state, profile = run.state(), run.profile
    path, sha256 = run.folder.input(state.inputs[index].number), state.files[index].sha256
    name = run.upload_name(index)
    return PendingUpload(
        path, name, sha256, profile.purpose, profile.upload_lifetime, profile.uploads_by_redirect
    )


def _create(run: SubmissionContext, index: int, state: InputFileState) -> CreateOutcome:
    file_id, metadata = state.uploads[-1].file_id, _metadata(run, index)
    run.record_event("CREATING", index, file_id=file_id, attempt=state.attempts + 1)
    # After an interrupt between here and the event below, CREATING is the last event: the next run
    # searches for the batch first.
    endpoint = run.profile.created_for(run.manifest.recipe.endpoint)
    outcome = run.service.create_batch(
        file_id,
        endpoint,
        metadata,
        _key(run, index, state),
        run.profile.window,
        output_lifetime=run.manifest.output_expires_after,
    )
    match outcome:
        case Created(batch):
            run.record_event("CREATED", index, batch=batch.to_json())
            if batch.input_file_id is None:
                warn_user(
                    UnverifiedBatchWarning(
                        f"{run.describe(index)}: the service created {batch.id} without naming its "
                        "input file. batchframe assumes it is this one; answers are matched by "
                        "custom_id."
                    )
                )
        case Unsent(reason):
            run.record_event("UNSENT", index, reason=reason)
        case Rejected(status, _, message, foreign=True):
            run.record_event("AMBIGUOUS", index, status=status, reason=message, refused=True)
        case Rejected(status, code, message):
            lost = file_id in message or code == "file_not_found"
            facts = {"status": status, "code": code, "reason": message}
            run.record_event("REJECTED", index, **facts, file_lost=lost)
        case Ambiguous(reason):
            run.record_event("AMBIGUOUS", index, reason=reason)
    return outcome


def _key(run: SubmissionContext, index: int, state: InputFileState) -> str:
    """Return the Idempotency-Key of a create; it changes after rejections."""
    fingerprint, rejections = run.fingerprint(index), state.rejections + len(state.dead)
    if not rejections:
        return fingerprint
    return hashlib.sha256(f"{fingerprint} {rejections}".encode()).hexdigest()


def _metadata(run: SubmissionContext, index: int) -> dict[str, str]:
    return {
        **run.manifest.metadata,
        "bf_fp": run.fingerprint(index),
        "bf_job": run.manifest.id,
        "bf_name": (run.manifest.name or "")[:512],
        "bf_rerun": (run.manifest.rerun or "")[:512],
        "bf_shard": f"{index + 1}/{run.input_count}",
        "bf_v": "1",
    }


def _unsent_error(run: SubmissionContext, index: int, reason: str) -> SubmissionError:
    return SubmissionError(
        f"{run.describe(index)}: could not be sent ({shorten(reason)}). Nothing is billed for it.",
        next_step="Fix: once the service can be reached, " + _resume_step(run) + ".",
    )


def _pause_after_rejection(
    run: SubmissionContext, index: int, outcome: Rejected, retries: Retries
) -> bool:
    """Pause before another attempt; return False if there is none."""
    busy = outcome.status == 429 and may_pass(outcome.code, outcome.message)  # noqa: PLR2004
    # A new upload may not be visible on every server yet.
    unseen = run.state().inputs[index].step == "new"
    pause = retries.next_pause(outcome.retry_after)
    if pause is None or pause > _MAX_PAUSE or not (busy or unseen):
        return False
    if unseen:
        # The upload comes before the pause, because a new file needs the pause too.
        _upload(run, index)
    run.clock.sleep(pause)
    return True


def _adopt_rejected(run: SubmissionContext, index: int, outcome: Rejected) -> None:
    """Adopt the batch of a rejected create, if the service created one.

    Raises
    ------
    SubmissionError
        If the service does not list such a batch; later attempts search again.
    """
    state = run.state().inputs[index]
    try:
        batches = listed_batches(run, index, state)
    except ServiceError:
        batches = []
    if not batches:
        raise _rejected_error(run, index, outcome)
    adopt(run, index, state, batches)


def _rejected_error(run: SubmissionContext, index: int, outcome: Rejected) -> SubmissionError:
    remedy = advice(outcome.code, outcome.message, outcome.status)
    status = f"{outcome.status}, {outcome.code}" if outcome.code else f"{outcome.status}"
    problem = (
        f"{run.describe(index)}: the service rejected the batch (HTTP {status}): "
        f"{outcome.message}\n" + (remedy and f"{remedy}\n")
    )
    if outcome.foreign:
        job = run.manifest.display_name
        return SubmissionError(
            problem
            + "The service lists no such batch, and a rejected one is not billed. The error is not "
            "in OpenAI's format, so the list is searched again before the batch is sent again.",
            next_step="Fix: once the problem is solved, "
            + job_step(job, "resume", "recreate")
            + "; to drop it, "
            + job_step(job, "cancel")
            + ".",
        )
    return SubmissionError(
        problem + "No batch was created, and nothing is billed.",
        next_step="Fix: once the problem is solved, "
        + _resume_step(run)
        + "; batchframe sends only the rest.",
    )


def _resume_step(run: SubmissionContext) -> NextStep:
    return RUN_AGAIN + " or call " + job_step(run.manifest.display_name, "resume")
