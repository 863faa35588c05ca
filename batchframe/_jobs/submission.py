"""The at-most-once protocol, from an input file in a job folder to one batch on the server.

Creating a batch spends money and cannot be repeated safely, so its intent is on the disk before it
is begun, it is asked exactly once, and whatever is not a clear yes or no is settled by looking for
the batch on the server. docs/reliability.md tells the whole protocol and what it cannot promise.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from batchframe._base.clock import Backoff, Retries
from batchframe._base.errors import (
    JobError,
    ServiceError,
    SubmissionError,
)
from batchframe._base.private_files import sha256_of
from batchframe._base.safe_text import RUN_AGAIN, NextStep, job_step
from batchframe._jobs.reconciliation import adopt, created_elsewhere, reconcile_create
from batchframe._jobs.run import SubmissionContext, queue_again
from batchframe._services.advice import advice, may_pass
from batchframe._services.protocol import (
    Ambiguous,
    Created,
    CreateOutcome,
    Rejected,
    RemoteFile,
    Unsent,
)
from batchframe._services.transfers import PendingUpload, uploading
from batchframe._store.journal import ShardState
from batchframe._store.queue import is_full

_UNSENT_TRIES: Final = 5
_REFUSED_TRIES: Final = 4
_LONGEST_PAUSE: Final = 120.0


def submit(run: SubmissionContext) -> None:
    """Bring every shard to a batch that the service has room for. The caller holds the job's lock.

    What does not fit is queued: the same call at a later time sends it.

    Raises
    ------
    SubmissionError
        If the service refuses; what was created before goes on.
    SubmissionUncertain
        If nobody can know yet whether a batch was created.
    ServiceError
        If the service cannot be reached for anything but the create.
    """
    state = run.state()
    if not state.understood:
        raise JobError(
            f"The journal in {run.folder.path!s} holds events of a newer version of batchframe, "
            "so this one sends nothing for it. Upgrade: pip install --upgrade batchframe."
        )
    if not state.intended:
        run.folder.append({"event": "INTENT", "at": run.clock.now()})
    while shards := run.due():
        states = run.state().shards
        new = {shard: _to_upload(run, shard) for shard in shards if states[shard].step == "new"}
        with uploading(run.service, new, partial(_note_upload, run)) as prefetcher:
            for shard in shards:
                if not _bring_to_batch(replace(run, prefetcher=prefetcher), shard):
                    break
    for shard, left in enumerate(run.state().shards):
        if left.step in {"new", "uploaded"} and not left.queued:
            run.record_event("QUEUED", shard)


def _bring_to_batch(run: SubmissionContext, shard: int) -> bool:
    """Do what it takes; return False if the service's queue is full."""
    unsent = Retries(Backoff(), run.clock, attempts=_UNSENT_TRIES)
    refused = Retries(Backoff(2.0), run.clock, attempts=_REFUSED_TRIES)
    while (state := run.state().shards[shard]).step not in {"created", "dropped"}:
        if state.step == "creating":
            reconcile_create(run, shard, state)
        elif state.step == "new":
            _upload(run, shard)
        elif state.attempts == 0 and (found := created_elsewhere(run, shard, state)):
            adopt(run, shard, found)
        else:
            match _create(run, shard, state):
                case Unsent(reason):
                    if not unsent.pause():
                        raise _unsent_error(run, reason)
                case Rejected() as outcome if is_full(outcome.code, outcome.message):
                    queue_again(run, shard, outcome.message)
                    return False
                case Rejected() as outcome:
                    _pause_refused(run, shard, outcome, refused)
    return True


def _upload(run: SubmissionContext, shard: int) -> None:
    written = run.manifest.inputs[shard]
    path, name, sha256, purpose, lifetime = _to_upload(run, shard)
    if sha256_of(path) != sha256:
        raise JobError.damaged(str(path), "it is not what was written")
    stored = run.transfers.upload(path, name, purpose, lifetime)
    if stored.bytes is not None and stored.bytes != written.bytes:
        raise ServiceError(
            f"The service stored {stored.bytes:,} bytes of {name}, but {written.bytes:,} were "
            "sent. No batch was created.",
            next_step=NextStep("Run the cell", "Run the command") + " again to upload it anew.",
        )
    _note_upload(run, shard, stored)


def _note_upload(run: SubmissionContext, shard: int, stored: RemoteFile) -> None:
    run.record_event("UPLOADED", shard, file_id=stored.id, created_at=stored.created_at)


def _to_upload(run: SubmissionContext, shard: int) -> PendingUpload:
    name = f"batchframe-{run.fingerprint(shard)[:16]}-s{shard:03d}.jsonl"
    sha256, profile = run.manifest.inputs[shard].sha256, run.profile
    path = run.folder.input(shard)
    return PendingUpload(path, name, sha256, profile.purpose, profile.upload_lifetime)


def _create(run: SubmissionContext, shard: int, state: ShardState) -> CreateOutcome:
    file_id, metadata = state.uploads[-1].file_id, _metadata(run, shard)
    run.record_event("CREATING", shard, file_id=file_id, attempt=state.attempts + 1)
    # An interrupt from here to the note below leaves CREATING as the last word: the next run looks
    # for the batch before it does anything else.
    endpoint = run.profile.created_for(run.manifest.recipe.endpoint)
    outcome = run.service.create_batch(
        file_id, endpoint, metadata, run.fingerprint(shard), run.profile.window
    )
    match outcome:
        case Created(batch):
            run.record_event("CREATED", shard, batch=batch.to_json())
        case Unsent(reason):
            run.record_event("UNSENT", shard, reason=reason)
        case Rejected(status, code, message):
            lost = file_id in message or code == "file_not_found"
            run.record_event(
                "REJECTED", shard, status=status, code=code, reason=message, file_lost=lost
            )
        case Ambiguous(reason):
            run.record_event("AMBIGUOUS", shard, reason=reason)
    return outcome


def _metadata(run: SubmissionContext, shard: int) -> dict[str, str]:
    return {
        "bf_fp": run.fingerprint(shard),
        "bf_job": run.manifest.id,
        "bf_name": (run.manifest.name or "")[:512],
        "bf_rerun": (run.manifest.rerun or "")[:512],
        "bf_shard": f"{shard + 1}/{run.shards}",
        "bf_v": "1",
    }


def _unsent_error(run: SubmissionContext, reason: str) -> SubmissionError:
    return SubmissionError(
        f"Nothing of this part of job {run.manifest.display_name} reached the service: {reason}. "
        "Nothing is billed for it.",
        next_step="When the connection is back, "
        + RUN_AGAIN
        + " or call "
        + job_step(run.manifest.display_name, "resume")
        + ".",
    )


def _pause_refused(run: SubmissionContext, shard: int, outcome: Rejected, retries: Retries) -> None:
    busy = outcome.status == 429 and may_pass(outcome.code, outcome.message)  # noqa: PLR2004
    # A fresh upload may not be visible everywhere yet.
    unseen = run.state().shards[shard].step == "new"
    pause = retries.next_pause(outcome.retry_after)
    if pause is None or pause > _LONGEST_PAUSE or not (busy or unseen):
        raise _refused_error(run, shard, outcome)
    if unseen:
        # Before the pause, which a new file needs as much as the last one did.
        _upload(run, shard)
    run.clock.sleep(pause)


def _refused_error(run: SubmissionContext, shard: int, outcome: Rejected) -> SubmissionError:
    remedy = advice(outcome.code, outcome.message, outcome.status)
    job = run.manifest.display_name
    status = f"{outcome.status}, {outcome.code}" if outcome.code else f"{outcome.status}"
    return SubmissionError(
        f"The service refused part {shard + 1} of {run.shards} of job {job} (HTTP {status}): "
        f"{outcome.message}\n"
        + remedy
        + (remedy and "\n")
        + "No batch was created for it and nothing is billed for it.",
        next_step="When the cause is mended, "
        + RUN_AGAIN
        + " or call "
        + job_step(job, "resume")
        + ": what was created goes on, and only the rest is sent.",
    )
