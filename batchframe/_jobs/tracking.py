"""Polling of a job's batches, and download of their result files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Final

from batchframe._base.errors import ServiceError
from batchframe._base.safe_text import ACCOUNT, NextStep, job_step
from batchframe._jobs.downloads import download_result_file, is_intact, max_bytes
from batchframe._jobs.pilot import finish
from batchframe._jobs.reconciliation import never_ran, refusal_is_final
from batchframe._jobs.run import SubmissionContext, queue_again
from batchframe._results.line import count_lines
from batchframe._services.advice import is_full
from batchframe._services.batch import Batch
from batchframe._services.protocol import REALTIME, Transfers
from batchframe._services.transfers import prefetching
from batchframe._store.events import AllFetched, Fetched
from batchframe._store.folder import JobFolder
from batchframe._store.journal import InputFileState, JobState, after

_MAX_SHORT_POLLS: Final = 3
_UNSEEN: Final = frozenset({404, 410})


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
        errors = _for_each_batch(context, partial(_poll, thorough=thorough))
    # A batch that this client does not see does not hold up the others.
    is_unseen = all(error.status in _UNSEEN for error in errors.values())
    if errors and (thorough or not is_unseen or not _others_are_running(run, errors)):
        raise next(iter(errors.values()))


def _others_are_running(run: SubmissionContext, errors: Mapping[int, ServiceError]) -> bool:
    states = enumerate(run.state().inputs)
    return any(state.batch and not state.fetched and at not in errors for at, state in states)


@contextmanager
def _prefetching(run: SubmissionContext) -> Iterator[SubmissionContext]:
    """Prefetch several batches and their files concurrently."""
    wanted = [
        (state, state.batch)
        for state in run.state().inputs
        if state.batch is not None and not state.fetched and state.batch.id != REALTIME
    ]
    if len(wanted) < 2:  # noqa: PLR2004 - a single batch gains nothing
        yield run
        return
    with prefetching(run.service, "downloading") as prefetcher:
        for state, batch in wanted:
            poll = _needs_poll(state, batch)
            prefetcher.prefetch(batch, run.folder.output(state.number), max_bytes, poll=poll)
        yield replace(run, prefetcher=prefetcher)


def cancel(run: SubmissionContext) -> None:
    """Drop unsent and refused input files; cancel all running batches.

    Finished answers remain available.

    Raises
    ------
    ServiceError
        As in :func:`refresh`.
    """
    for index, state in enumerate(run.state().inputs):
        is_unsent = state.step in {"new", "uploaded"}
        if is_unsent or (state.refused and refusal_is_final(run, index, state)):
            run.record_event("DROPPED", index)
    if errors := _for_each_batch(run, _cancel_batch):
        raise next(iter(errors.values()))


def results_are_downloaded(folder: JobFolder, state: JobState, *, thorough: bool = False) -> bool:
    """Check whether all result files are there, as :func:`refresh` would."""
    return all(_is_downloaded(folder, file, thorough=thorough) for file in state.inputs)


def _is_downloaded(folder: JobFolder, state: InputFileState, *, thorough: bool) -> bool:
    output, errors = folder.output(state.number), folder.errors(state.number)
    files = ((output, state.output), (errors, state.errors))
    downloaded = [(path, fetched) for path, fetched in files if fetched is not None]
    if not thorough:
        return state.fetched and all(path.is_file() for path, _ in downloaded)
    complete = state.fetched and not state.incomplete
    return complete and all(is_intact(path, fetched) for path, fetched in downloaded)


def _for_each_batch(
    run: SubmissionContext, act: Callable[[SubmissionContext, int, InputFileState, Batch], None]
) -> dict[int, ServiceError]:
    """Act on each batch, and return the errors by input file."""
    errors: dict[int, ServiceError] = {}
    for index, state in enumerate(run.state().inputs):
        if state.batch is None:
            continue
        try:
            act(run, index, state, state.batch)
        except ServiceError as error:
            errors[index] = error
            if error.out_of_reach:
                break
    return errors


def _poll(
    run: SubmissionContext, index: int, state: InputFileState, batch: Batch, *, thorough: bool
) -> None:
    if _is_downloaded(run.folder, state, thorough=thorough):
        return
    if batch.id == REALTIME:
        # The lock is free, so the kernel of the pilot has ended.
        finish(run.folder, batch)
        return
    if _needs_poll(state, batch):
        latest = _retrieve(run, run.transfers, batch)
        if latest != batch:
            run.record_event("STATUS", index, batch=latest.to_json())
        batch = latest
    if never_ran(batch):
        full = [error for error in batch.errors if is_full(error.code, error.message)]
        queue_again(run, index, full[0].message)
    elif batch.ended:
        _fetch(run, index, state, batch)


def _retrieve(run: SubmissionContext, service: Transfers, batch: Batch) -> Batch:
    try:
        return service.retrieve_batch(batch.id)
    except ServiceError as reason:
        if reason.status not in _UNSEEN:
            raise
        job = run.manifest.display_name
        error = ServiceError(
            f"This client does not see {batch.id} of job {job!r} (HTTP {reason.status}): the "
            "service lost it, or it belongs to another account or project.",
            next_step="Fix: "
            + NextStep(f"bf.job({job!r}, client=...) with the client that submitted it", ACCOUNT)
            + ". If it is lost: "
            + job_step(job, "abandon")
            + ".",
        )
        error.status = reason.status
        raise error from None


def _needs_poll(state: InputFileState, batch: Batch) -> bool:
    return not batch.ended or bool(state.short)


def _fetch(run: SubmissionContext, index: int, state: InputFileState, batch: Batch) -> None:
    """Download both result files of a batch, verified and durable."""
    file, number = run.state().files[index], state.number
    requests = file.stop - file.start
    paths = {"output": run.folder.output(number), "errors": run.folder.errors(number)}
    before = {"output": state.output, "errors": state.errors}
    settled = state.fetched and not state.incomplete
    downloaded: dict[str, Any] = {}
    missing: list[str] = []
    for kind, file_id in _result_files(batch).items():
        previous = before[kind]
        if settled and previous is not None and is_intact(paths[kind], previous):
            fetched: Fetched | None = previous
        else:
            fetched = download_result_file(run.transfers, file_id, paths[kind], requests, previous)
        if fetched is not None:
            downloaded[kind] = fetched
        elif state.fetched and previous is not None:
            raise ServiceError(
                f"{paths[kind]!s} was changed or deleted after its download, and the service no "
                f"longer has {file_id}. Fix: restore the file from a copy of the job's folder."
            )
        else:
            missing.append(file_id)
    lines = sum(count_lines(paths[kind]).whole for kind in downloaded)
    facts = {kind: asdict(fetched) for kind, fetched in downloaded.items()}
    short = bool(missing) or lines < _expected(batch, requests)
    if short and not state.fetched and state.short < _MAX_SHORT_POLLS:
        # The files of an ended batch may become available later.
        run.record_event("SHORT", index, lines=lines, **facts)
        return
    event = AllFetched(shard=index, **downloaded, gone=tuple(missing), incomplete=short)
    if not state.fetched or after(state, event) != state:
        run.record_event("FETCHED", index, **facts, gone=missing, incomplete=short)


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


def _cancel_batch(run: SubmissionContext, index: int, _: InputFileState, batch: Batch) -> None:
    if batch.ended:
        return
    if batch.id == REALTIME:
        finish(run.folder, batch)
        return
    try:
        batch = run.service.cancel_batch(batch.id)
    except ServiceError as reason:
        if reason.out_of_reach:
            raise
        # Services differ in the status of the error for a batch that has ended.
        batch = _retrieve(run, run.service, batch)
        if not batch.ended and batch.status != "cancelling":
            raise
    run.record_event("STATUS", index, batch=batch.to_json())
