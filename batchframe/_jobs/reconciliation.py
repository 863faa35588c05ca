"""Reconciliation of create requests whose outcome is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from batchframe._base.clock import Backoff, Retries
from batchframe._base.errors import (
    SentElsewhere,
    ServiceError,
    SeveralBatchesWarning,
    SubmissionUncertain,
    format_list,
    shorten,
    warn_user,
)
from batchframe._base.safe_text import ACCOUNT, RUN_AGAIN, NextStep, job_step
from batchframe._jobs.run import SubmissionContext
from batchframe._services.batch import Batch
from batchframe._services.protocol import newest_batches, since
from batchframe._store.journal import InputFileState

_CLOCK_SLACK: Final = 60.0


def reconcile(run: SubmissionContext) -> None:
    """Resolve creates of unknown outcome from the batches on the server.

    Raises
    ------
    SubmissionUncertain
        If it is still unknown whether a batch was created.
    """
    for index, state in enumerate(run.state().inputs):
        if state.step == "creating":
            reconcile_create(run, index, state)


def listed_batches(run: SubmissionContext, index: int, state: InputFileState) -> list[Batch]:
    """Find the batches of an input file among the newest ones of the service."""
    return list(_matching(run, index, state, newest_batches(run.service)))


def created_elsewhere(run: SubmissionContext, index: int, state: InputFileState) -> list[Batch]:
    """Find batches of the same input file, sent from a deleted folder.

    Raises
    ------
    SentElsewhere
        If the job was sent from there with its requests in another order.
    """
    newest = newest_batches(run.service)
    matches = list(_matching(run, index, state, newest))
    fingerprints = {run.fingerprint(number) for number in range(run.input_count)}
    others = [
        batch.id
        for batch in newest
        if batch.metadata.get("bf_job") == run.manifest.id
        and batch.metadata.get("bf_fp") not in fingerprints
        and batch.id not in run.elsewhere
    ]
    if others and not matches and not state.attempts and not run.recreate:
        raise _in_another_order_error(run.manifest.display_name, others)
    return matches


def _matching(
    run: SubmissionContext, index: int, state: InputFileState, batches: Iterable[Batch]
) -> Iterator[Batch]:
    """Filter the batches of an input file, by fingerprint or by file id."""
    fingerprint = run.fingerprint(index)
    uploads = {upload.file_id for upload in state.uploads}
    for batch in batches:
        if batch.id in state.dead:
            continue
        if batch.status == "failed" and batch.input_file_id in state.fenced_files:
            continue  # the service rejected a batch of a deleted file, and bills nothing
        if batch.metadata.get("bf_fp") == fingerprint or batch.input_file_id in uploads:
            yield batch


def adopt(run: SubmissionContext, index: int, state: InputFileState, batches: list[Batch]) -> None:
    """Adopt the oldest batch of an input file; warn about others, also billed.

    Raises
    ------
    SubmissionUncertain
        If the service may still reject a batch whose input file batchframe deleted.
    """
    for batch in batches:
        if batch.status == "validating" and batch.input_file_id in state.fenced_files:
            raise SubmissionUncertain(
                f"{run.describe(index)}: {batch.id} was created while batchframe deleted its input "
                "file, and may still fail validation.",
                next_step="Fix: in a minute, "
                + job_step(run.manifest.display_name, "resume")
                + ".",
            )
    # A failed batch bills nothing.
    billed = [batch for batch in batches if batch.status != "failed"]
    # Dates are in whole seconds; the list is newest first.
    oldest = min(reversed(billed or batches), key=lambda batch: batch.created_at or 0.0)
    run.record_event("CREATED", index, batch=oldest.to_json(), adopted=True)
    if len(billed) > 1:
        ids = [batch.id for batch in billed]
        warn_user(SeveralBatchesWarning.found(run.manifest.display_name, index + 1, ids))


def reconcile_create(run: SubmissionContext, index: int, state: InputFileState) -> None:
    """Resolve one create of unknown outcome.

    Raises
    ------
    SubmissionUncertain
        If it is still unknown whether a batch was created, or whether the service will reject a
        batch whose input file batchframe deleted.
    """
    recreate = index in run.consents
    run.consents.discard(index)
    batches, is_complete = _search_until_settled(run, index, state, in_full=recreate)
    if not batches:
        if not recreate or not is_complete:
            raise _uncertain_error(run, index, state, is_complete=is_complete)
        _fence(run, index, state)
        state = run.state().inputs[index]
        batches = list(_scan(run, index, state))
    if batches:
        adopt(run, index, state, batches)
    else:
        run.record_event("FENCED", index)


def _uncertain_error(
    run: SubmissionContext, index: int, state: InputFileState, *, is_complete: bool
) -> SubmissionUncertain:
    job, reason = run.manifest.display_name, f" ({shorten(state.reason)})" if state.reason else ""
    search = "does not list the batch yet" if is_complete else "returned an incomplete list"
    return SubmissionUncertain(
        f"{run.describe(index)}: the response to the create was lost{reason}, and the service "
        f"{search}. Creating it again could bill it twice.",
        next_step="Fix: in a few minutes:\n    "
        + job_step(job, "resume", alone=True)
        + "\nOr, if the service's web page shows no such batch, send it again:\n    "
        + job_step(job, "resume", "recreate", alone=True),
    )


def _fence(run: SubmissionContext, index: int, state: InputFileState) -> None:
    """Delete the uploads, so that the service rejects a late create.

    Raises
    ------
    SubmissionUncertain
        If an upload is missing although batchframe did not delete it: the key may belong to another
        account, which can see neither file nor batch.
    """
    job = run.manifest.display_name
    for upload in state.uploads[state.fenced :]:
        if not _is_on_server(run, upload.file_id):
            raise SubmissionUncertain(
                f"{run.describe(index)}: {upload.file_id} is missing on the server, although "
                "batchframe did not delete it. The client's key may belong to another project.",
                next_step=NextStep(
                    "Fix: pass the client that submitted the job, "
                    f"bf.job({job!r}, client=...).resume(recreate=True).",
                    f"{ACCOUNT}: {job_step(job, 'resume', 'recreate').shell}.",
                ),
            )
    run.record_event("FENCING", index)
    for upload in state.uploads:
        run.service.delete_file(upload.file_id)


def _is_on_server(run: SubmissionContext, file_id: str) -> bool:
    try:
        run.service.retrieve_file(file_id)
    except ServiceError as reason:
        if reason.status != 404:  # noqa: PLR2004 - HTTP's own number
            raise
        return False
    return True


def _search_until_settled(
    run: SubmissionContext, index: int, state: InputFileState, *, in_full: bool
) -> tuple[list[Batch], bool]:
    """Poll the list for our batches; return them, and whether it was complete.

    With `in_full`, the settling time starts now, which does not depend on a clock change.
    """
    elapsed = 0.0 if in_full else max(0.0, run.clock.now() - state.creating_at)
    retries = Retries(Backoff(), run.clock, timeout=max(0.0, run.profile.settle - elapsed))
    while True:
        try:
            batches, is_complete = list(_scan(run, index, state)), True
        except ServiceError:
            batches, is_complete = [], False
        if batches or not retries.pause():
            return batches, is_complete


def _scan(run: SubmissionContext, index: int, state: InputFileState) -> Iterator[Batch]:
    # Both dates are from the server, because the local clock may be wrong.
    dates = [upload.created_at for upload in state.uploads]
    valid = [date for date in dates if date is not None]
    oldest = min(valid) - _CLOCK_SLACK if len(valid) == len(dates) and valid else None
    return _matching(run, index, state, since(oldest, run.service.list_batches()))


def _in_another_order_error(job: str, batches: Sequence[str]) -> SentElsewhere:
    error = SentElsewhere(
        f"Job {job!r} was submitted before with its rows in another order "
        f"({format_list(batches)}), its folder is missing, and only part of it can be recovered. "
        "Nothing was sent.",
        next_step="Fix: "
        + NextStep("bf.recover()", "`batchframe recover`")
        + ", then "
        + RUN_AGAIN
        + "; to pay again for the rest: "
        + job_step(job, "resume", "recreate")
        + ".",
    )
    error.batches = frozenset(batches)
    return error
