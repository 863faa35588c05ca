"""Reconciliation of create requests whose outcome is unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeVar

from batchframe._base.clock import Backoff, Retries
from batchframe._base.errors import (
    SentElsewhere,
    ServiceError,
    SeveralBatchesWarning,
    SubmissionError,
    SubmissionUncertain,
    format_list,
    shorten,
    warn_user,
)
from batchframe._base.private_files import sha256_of
from batchframe._base.safe_text import ACCOUNT, RUN_AGAIN, NextStep, job_step, named_batch_step
from batchframe._jobs.downloads import max_bytes
from batchframe._jobs.run import Listing, SubmissionContext
from batchframe._results.line import ids_in
from batchframe._services.advice import is_full
from batchframe._services.batch import Batch
from batchframe._services.protocol import NO_LIST, newest_batches, since
from batchframe._store.journal import InputFileState

_T = TypeVar("_T")
_CLOCK_SLACK: Final = 60.0
_LISTING_AGE: Final = 60.0  # seconds for which a list serves the input files of a wave
_LATE_LISTING: Final = 10
"""Settling times to wait before a list without the batch confirms a rejection in another format."""


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
    """Find the batches of an input file among the newest ones, in a new list."""
    run.memory.listing = None
    return _listed(run, index, state, read_listing(run))


def created_elsewhere(run: SubmissionContext, index: int, state: InputFileState) -> list[Batch]:
    """Find batches of the same input file, sent from a deleted folder.

    Raises
    ------
    SentElsewhere
        If the job was sent from there with its requests in another order.
    """
    listing = read_listing(run)
    matches = _listed(run, index, state, listing)
    is_sent = state.attempts or not all(map(never_ran, matches))
    if listing.other and not is_sent and not run.recreate:
        raise _in_another_order_error(run.manifest.display_name, listing.other)
    return matches


def read_listing(run: SubmissionContext, oldest: float | None = None) -> Listing:
    """Return the newest batches, cached for a minute.

    Parameters
    ----------
    oldest
        Date of an upload that the job does not record, on the server's clock.
    """
    now = run.clock.elapsed()
    listing = run.memory.listing
    if listing is None or now - listing.read_at > _LISTING_AGE:
        state = run.state()
        recorded = {batch.id for batch in state.batches}
        since_upload = _oldest_upload(state.inputs, oldest)
        batches = newest_batches(run.service, run.manifest.id, recorded, since_upload)
        other = _in_another_order(run, batches)
        listing = run.memory.listing = Listing(batches, other, now)
    return listing


def _in_another_order(run: SubmissionContext, batches: Iterable[Batch]) -> list[str]:
    """Return the ids of batches of this job with unknown input files."""
    own = [batch for batch in batches if batch.metadata.get("bf_job") == run.manifest.id]
    fingerprints = {run.fingerprint(index) for index in range(run.input_count)} if own else set()
    known = run.elsewhere | {batch for file in run.state().divided for batch in file.dead}
    return [
        batch.id
        for batch in own
        if batch.metadata.get("bf_fp") not in fingerprints
        and batch.id not in known
        and not never_ran(batch)
    ]


def _oldest_upload(states: Iterable[InputFileState], unrecorded: float | None) -> float | None:
    """Return the server's date of the oldest upload without a batch."""
    waiting = (state for state in states if state.step not in {"created", "dropped"})
    dates = [unrecorded, *(upload.created_at for state in waiting for upload in state.uploads)]
    oldest = min((date for date in dates if date is not None), default=None)
    return None if oldest is None else oldest - _CLOCK_SLACK


def _listed(
    run: SubmissionContext, index: int, state: InputFileState, listing: Listing
) -> list[Batch]:
    keys = [run.fingerprint(index), *(upload.file_id for upload in state.uploads)]
    return list(_matching(run, index, state, listing.select(keys)))


def never_ran(batch: Batch) -> bool:
    """Check whether a batch failed for a full queue, so it is sent again."""
    full = any(is_full(error.code, error.message) for error in batch.errors)
    return batch.status == "failed" and full


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


def adopt_named(run: SubmissionContext, batch_id: str) -> None:
    """Adopt a batch that the user names, after checking its content.

    Raises
    ------
    SubmissionError
        If it holds other requests, or its content is unknown.
    """
    state, job = run.state(), run.manifest.display_name
    if any(batch.id == batch_id for batch in state.batches):
        return
    batch = run.service.retrieve_batch(batch_id)
    evidence, index = next(_evidence(run, batch), (None, None))
    if evidence is None:
        raise SubmissionError(
            f"The content of {batch_id} is unknown: it has no metadata, its input file cannot be "
            f"read, and it has no answers yet. It was not adopted for job {job!r}.",
            next_step="Fix: once the batch has ended, try again.",
        )
    if index is None:
        raise SubmissionError(
            f"{batch_id} is not a batch of job {job!r}: {evidence} belongs to other requests. It "
            "was not adopted.",
            next_step="Fix: check the id of the batch, and the name of the job.",
        )
    if state.inputs[index].step not in {"new", "uploaded", "creating"}:
        raise SubmissionError(
            f"{run.describe(index)}: {batch_id} holds the same requests, but this input file needs "
            "no batch. It was not adopted.",
            next_step="Fix: if it is not needed, client.batches.cancel(id).",
        )
    run.record_event("CREATED", index, batch=batch.to_json(), adopted=True)


def _evidence(run: SubmissionContext, batch: Batch) -> Iterator[tuple[str, int | None]]:
    """Yield proofs of a batch's content, each with the matching input file."""
    states, files = run.state().inputs, run.state().files
    if fingerprint := batch.metadata.get("bf_fp"):
        own = [run.fingerprint(index) for index in range(len(files))]
        yield "the fingerprint in its metadata", _index(own, lambda one: one == fingerprint)
    if file_id := batch.input_file_id:
        uploads = [{upload.file_id for upload in state.uploads} for state in states]
        index = _index(uploads, lambda ids: file_id in ids)
        if index is not None:
            yield "its input file", index
        with _downloaded(run, file_id) as path:
            if path is not None:
                digest = sha256_of(path)
                yield "its input file", _index(files, lambda file: file.sha256 == digest)
    for result in filter(None, (batch.output_file_id, batch.error_file_id)):
        with _downloaded(run, result) as path:
            names = frozenset(() if path is None else ids_in(path))
        if names:
            own_names = [ids_in(run.folder.input(state.number)) for state in states]
            yield "its result file", _index(own_names, names.issubset)


def _index(values: Iterable[_T], matches: Callable[[_T], bool]) -> int | None:
    return next((index for index, value in enumerate(values) if matches(value)), None)


@contextmanager
def _downloaded(run: SubmissionContext, file_id: str) -> Iterator[Path | None]:
    """Download a file for a moment; None if the service does not return it."""
    with TemporaryDirectory(dir=run.folder.path, prefix=".adopting-") as folder:
        path = Path(folder) / "file.jsonl"
        try:
            run.service.download(file_id, path, max_bytes(None))
        except ServiceError as reason:
            if reason.status is None:
                raise
            yield None
            return
        yield path


def reconcile_create(run: SubmissionContext, index: int, state: InputFileState) -> None:
    """Resolve one create of unknown outcome.

    Raises
    ------
    SubmissionUncertain
        If it is still unknown whether a batch was created, or whether the service will reject a
        batch whose input file batchframe deleted.
    """
    run.memory.listing = None  # the search may take minutes
    consented = state.number in run.consents
    run.consents.discard(state.number)
    batches, is_complete, has_list = _search_until_settled(run, index, state, in_full=consented)
    if not batches:
        if not is_complete or not (consented or _is_settled_refusal(run, state)):
            raise _uncertain_error(run, index, state, is_complete=is_complete)
        _fence(run, index, state)
        state = run.state().inputs[index]
        batches = list(_scan(run, index, state)) if has_list else []
    if batches:
        adopt(run, index, state, batches)
    else:
        run.record_event("FENCED", index)


def refusal_is_final(run: SubmissionContext, index: int, state: InputFileState) -> bool:
    """Adopt the batch of a refused create; return True if there is none."""
    batches, is_complete, _ = _search_until_settled(run, index, state, in_full=False)
    if batches:
        adopt(run, index, state, batches)
    return is_complete and not batches


def _is_settled_refusal(run: SubmissionContext, state: InputFileState) -> bool:
    elapsed = run.clock.now() - state.creating_at
    is_late = state.refused and elapsed >= _LATE_LISTING * run.profile.settle
    # A list that shows no batch of batchframe may never show any.
    return is_late and read_listing(run).has_fingerprints


def _uncertain_error(
    run: SubmissionContext, index: int, state: InputFileState, *, is_complete: bool
) -> SubmissionUncertain:
    job, reason = run.manifest.display_name, f" ({shorten(state.reason)})" if state.reason else ""
    search = "does not list the batch yet" if is_complete else "returned an incomplete list"
    if state.refused:
        return SubmissionUncertain(
            f"{run.describe(index)}: the service rejected the batch{reason} and {search}. Because "
            "the error is not in OpenAI's format, it may come from a gateway, and creating the "
            "batch again could bill it twice.",
            next_step="Fix: if the service's web page shows no such batch, send it again:\n    "
            + job_step(job, "resume", "recreate", alone=True)
            + "\nOr drop it:\n    "
            + job_step(job, "cancel", alone=True),
        )
    return SubmissionUncertain(
        f"{run.describe(index)}: the response to the create request was lost{reason}, and the "
        f"service {search}. Creating it again could bill it twice.",
        next_step="Fix: in a few minutes:\n    "
        + job_step(job, "resume", alone=True)
        + "\nOr, if the service's web page shows its batch:\n    "
        + named_batch_step(job)
        + "\nOr, if it shows no such batch, send it again:\n    "
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
) -> tuple[list[Batch], bool, bool]:
    """Poll the list for our batches.

    After a consent (`in_full`), the settling time starts now, and there may be no list: then every
    poll says so.

    Returns
    -------
    The batches, whether the list was complete, and whether it exists.
    """
    elapsed = 0.0 if in_full else max(0.0, run.clock.now() - state.creating_at)
    retries = Retries(Backoff(), run.clock, timeout=max(0.0, run.profile.settle - elapsed))
    has_list = not in_full
    while True:
        try:
            batches, is_complete, has_list = list(_scan(run, index, state)), True, True
        except ServiceError as reason:
            has_list = has_list or reason.status not in NO_LIST
            batches, is_complete = [], not has_list
        if batches or not retries.pause():
            return batches, is_complete, has_list


def _scan(run: SubmissionContext, index: int, state: InputFileState) -> Iterator[Batch]:
    # Both dates are the server's; the local clock may be wrong.
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
