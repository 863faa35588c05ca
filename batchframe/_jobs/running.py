"""Submission of a job under its lock, and its pause after a high bill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Final

from batchframe._base.clock import SYSTEM
from batchframe._base.errors import (
    NamesakeWarning,
    SentElsewhere,
    ServiceError,
    SubmissionError,
    warn_user,
)
from batchframe._base.safe_text import NextStep, job_step
from batchframe._display import money
from batchframe._jobs.division import divide
from batchframe._jobs.preparation import Plan, prepare
from batchframe._jobs.reconciliation import reconcile
from batchframe._jobs.recovery import rebuild
from batchframe._jobs.run import Memory, OnUncertain, SubmissionContext
from batchframe._jobs.submission import submit
from batchframe._results.billing import cost_of, job_price
from batchframe._results.earlier import count_elsewhere
from batchframe._results.job_answers import read_job
from batchframe._services.accounts import Account
from batchframe._services.protocol import Service, newest_batches
from batchframe._store.folder import JobFolder
from batchframe._store.journal import InputFileState, JobState, is_held
from batchframe._store.manifest import Manifest, Record, read_manifest, read_state, records
from batchframe._store.queue import Load, limits_of, may_be_in_queue

_LOCK_RETRY_PAUSE: Final = 0.1


def start(plan: Plan, service: Service | None, on_uncertain: OnUncertain) -> JobFolder:
    """Prepare and submit a job, unless another kernel is doing so."""
    folder = JobFolder.of(plan.job_id)
    if not folder.manifest.is_file():
        _warn_of_namesake(plan)
    folder.create()
    while True:
        with folder.lock() as locked:
            if locked:
                manifest = prepare(plan, folder)
                if service is not None:
                    _submit(plan, _context(folder, manifest, service, on_uncertain))
        if folder.manifest.is_file():
            return folder
        # Another kernel is preparing the job; if it dies, the next attempt gets the lock.
        plan.clock.sleep(_LOCK_RETRY_PAUSE)


def submit_rest(run: SubmissionContext) -> None:
    """Send the rest of a job, unless other jobs sent the same requests.

    Raises
    ------
    SubmissionError
        If other jobs sent them, and the user did not choose to pay twice.
    """
    reconcile(run)
    divide(run)
    if pause_if_dearer(run):
        return
    # A queued job is polled often, so the other jobs are read only if an input file is due.
    sent_elsewhere = {} if run.recreate or not run.due() else _count_elsewhere(run)
    if sent_elsewhere:
        text = ", ".join(f"{number:,} in job {other!r}" for other, number in sent_elsewhere.items())
        name = run.manifest.display_name
        raise SubmissionError(
            f"Unsent requests of job {name!r} are already in other jobs ({text}); sending them "
            "would be billed twice.",
            next_step="Fix: "
            + job_step(name, "cancel")
            + ", then "
            + job_step(name, "unanswered")
            + NextStep(".submit()", "")
            + ". To pay twice: "
            + job_step(name, "resume", "recreate")
            + ".",
        )
    submit(run)


def _count_elsewhere(run: SubmissionContext) -> dict[str, int]:
    return count_elsewhere(run.record(), Account(run.manifest.identity, lambda: run.service))


def _submit(plan: Plan, run: SubmissionContext) -> None:
    try:
        # A new preparation was compared with the other jobs already.
        submit_rest(run) if run.state().intended else submit(run)
    except SentElsewhere as error:
        # The folder was lost and the rows were reordered, so the sent batches are recovered.
        local = frozenset(batch.id for record in records() for batch in record.state.batches)
        if local >= error.batches:
            submit(replace(run, elsewhere=local, memory=Memory()))
            return
        if run.state().divided:
            raise
        newest = newest_batches(run.service, run.manifest.id)
        batches = [batch for batch in newest if batch.id in error.batches]
        rebuilt = rebuild(run.service, run.folder, batches)
        if rebuilt != [run.folder]:
            if rebuilt:
                # Nothing was created here, so the next run can start from the recovered job.
                run.folder.journal.unlink()
            raise
        submit(replace(run, manifest=prepare(plan, run.folder), memory=Memory()))


def _warn_of_namesake(plan: Plan) -> None:
    """Warn if a job of this name exists, and list the differences."""
    if not plan.name:
        return
    for record in records() if plan.reuse.jobs is None else plan.reuse.jobs:
        other = record.manifest
        if other.id == plan.job_id:
            return  # another kernel submitted the same job
        if other.name == plan.name and Account(plan.identity).may_own(other.identity):
            differences = plan.table.recipe.difference(other.recipe)
            differences += ["rerun"] if plan.rerun != other.rerun else []
            warn_user(
                NamesakeWarning(
                    f"A job named {plan.name!r} exists, which differs in "
                    f"{', '.join(differences or ['rows'])}; this is a separate job, billed "
                    f"separately. {plan.name!r} now names the new one; the earlier one is "
                    + job_step(other.id)
                    + "."
                )
            )
            return


@contextmanager
def working_on(
    folder: JobFolder, service: Service, *, recreate: bool = False
) -> Iterator[SubmissionContext | None]:
    """Hold the job's lock; yield None if another kernel holds it."""
    with folder.lock() as locked:
        yield (
            _context(folder, read_manifest(folder), service, recreate=recreate) if locked else None
        )


def _context(
    folder: JobFolder,
    manifest: Manifest,
    service: Service,
    on_uncertain: OnUncertain = "ask",
    *,
    recreate: bool = False,
) -> SubmissionContext:
    consents = _consents(folder, manifest, on_uncertain, recreate=recreate)
    run = SubmissionContext(folder, manifest, service, recreate, consents)
    return replace(run, queued_elsewhere=_queued_elsewhere(run))


def _consents(
    folder: JobFolder, manifest: Manifest, on_uncertain: OnUncertain, *, recreate: bool
) -> set[int]:
    """Select the input files that may be created again, once each."""
    states = read_state(folder, manifest).inputs
    if on_uncertain == "recreate" and manifest.provider.list_is_complete:
        return {state.number for state in states}
    return {state.number for state in states if recreate and state.step == "creating"}


def _queued_elsewhere(run: SubmissionContext) -> Load:
    """Sum what other jobs have queued, if there is a limit."""
    manifest = run.manifest
    if limits_of(run.state(), run.profile, manifest.recipe.endpoint) == Load(None, None):
        return Load()
    account = Account(manifest.identity)
    files = [
        file
        for record in records()
        if record.manifest.id != manifest.id
        and record.manifest.recipe.model == manifest.recipe.model
        and account.owns(record.manifest.identity, record.state.batches)
        for file, state in zip(record.state.files, record.state.inputs, strict=True)
        if may_be_in_queue(state, SYSTEM.now(), record.manifest.provider.hours)
        and not _has_ended(state, run.service)
    ]
    return Load(sum(file.tokens for file in files), sum(file.stop - file.start for file in files))


def _has_ended(state: InputFileState, service: Service) -> bool:
    """Check at the service whether a batch has ended."""
    try:
        return state.batch is not None and service.retrieve_batch(state.batch.id).ended
    except ServiceError:
        return False


def pause_if_dearer(run: SubmissionContext) -> bool:
    """Pause a job if an input file cost more than its upper bound."""
    state, record = run.state(), run.record()
    if state.paused is not None:
        return True
    if state.resumed or not _has_unsent(state) or not any(file.fetched for file in state.inputs):
        return False
    price = job_price(run.manifest)
    highs = [] if price is None else run.manifest.file_highs
    # Input files that replaced one count toward it.
    files = zip(run.manifest.inputs, highs, strict=False)
    answers = read_job(record).answers if highs else None
    for number, (file, high) in enumerate(files):
        if price is None or answers is None:
            break
        cost = cost_of(answers.slice(file.start, file.stop - file.start), price)
        if cost > high:
            run.append("PAUSED", file=number, cost=f"{cost:f}", high=f"{high:f}")
            return True
    return False


def resume_paused(run: SubmissionContext) -> None:
    """Record the user's consent to the rest of a paused job."""
    if run.state().paused is not None:
        run.append("RESUMED")


def refuse_paused(record: Record) -> None:
    """Raise if a job is paused and has no batch left to wait for.

    Raises
    ------
    SubmissionError
        With the amounts, and how to continue.
    """
    if is_held(record.state):
        name = record.manifest.display_name
        raise SubmissionError(
            f"Job {name!r} is paused. {format_pause(record)}",
            next_step="Fix: "
            + job_step(name, "resume")
            + " sends the rest; "
            + job_step(name, "cancel")
            + " drops it.",
        )


def format_pause(record: Record) -> str:
    """Format by how much an input file exceeded its upper bound, if one did."""
    paused = record.state.paused
    if paused is None:
        return ""
    cost, high = Decimal(paused.cost), Decimal(paused.high)
    unsent = sum(file.step in {"new", "uploaded"} for file in record.state.inputs)
    return (
        f"Input file {paused.file + 1} cost {money(cost)}, {money(cost - high)} above its upper "
        f"bound of {money(high)}; {unsent:,} of {len(record.state.inputs):,} input files are not "
        "sent."
    )


def _has_unsent(state: JobState) -> bool:
    return any(file.step in {"new", "uploaded"} for file in state.inputs)
