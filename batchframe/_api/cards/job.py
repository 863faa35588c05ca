"""Card of a job."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from batchframe._api.cards.next_steps import next_step
from batchframe._api.cards.progress import (
    answered,
    bar,
    failed_rows,
    figures,
    format_status,
    rows_text,
    shares,
)
from batchframe._base.safe_text import REFRESH, NextStep, job_step
from batchframe._display.card import Card, Details, Table, Tone
from batchframe._display.format import (
    clock_time,
    count,
    duration,
    format_range,
    money,
    plural,
    shortened,
    when,
)
from batchframe._jobs.running import format_pause
from batchframe._results.billing import job_cost
from batchframe._results.job_answers import JobAnswers, failures, row_counts
from batchframe._results.unanswered import undelivered_rows
from batchframe._services.advice import advice_on
from batchframe._store.journal import InputFileState, is_paused, status_word
from batchframe._store.manifest import Record

_MAX_REASON: Final = 200
_MAX_TABLE_ROWS: Final = 6
_UNSENT: Final = frozenset({"submitting", "uncertain"})


def job_card(record: Record, job: JobAnswers, polled: float | None = None) -> Card:
    """Build the card of a job, as of the last poll, with the next step.

    Parameters
    ----------
    polled
        Time of the last poll, if it is later than the last change of the job's folder.
    """
    manifest, states = record.manifest, record.state.inputs
    status = format_status(status_word(record.state))
    if not manifest.requests:
        status += ", nothing to send"
    counts, cost = row_counts(job), job_cost(job)
    undelivered = sum(undelivered_rows(record, job).values())
    queue_facts, queue_notes = _queue(record)
    as_of = max(record.changed_at, polled or 0.0)
    rows = rows_text(record, counts)
    return Card(
        title=f"Job {_title(record)}: {status}",
        figures=figures(record, job, cost, as_of),
        bar=bar(record, job),
        facts=(
            *(() if rows is None else (("rows", rows),)),
            *_deadline(record, as_of),
            *queue_facts,
        ),
        shares=shares(record, job),
        notes=(
            *_brake_notes(record),
            *queue_notes,
            *_failure_notes(failures(job)),
            *_undelivered_notes(record, undelivered),
        ),
        next_step=next_step(record, counts, undelivered),
        as_of=None if record.done else clock_time(as_of),
        details=Details(
            facts=(
                ("model", manifest.recipe.model),
                ("estimated", format_range(manifest.cost, money)),
                *_dates(record),
                *_batch_facts(states),
                ("id", manifest.id),
            ),
            table=_batch_table(record),
        ),
        tone=_tone(record, counts),
    )


def _title(record: Record) -> str:
    """Return the name; with the id, if the name finds another job."""
    manifest = record.manifest
    name = manifest.name or manifest.id
    return f"{name} ({manifest.id})" if manifest.shadowed else name


def _brake_notes(record: Record) -> list[str]:
    """Format a pause, or that nothing is left to hold back."""
    states = record.state.inputs
    if is_paused(record.state):
        resume = job_step(record.manifest.display_name, "resume")
        return [format_pause(record) + " " + resume + " sends them."]
    if len(states) < 2 or record.done or record.manifest.tier != "batch":  # noqa: PLR2004
        return []
    if not any(state.step in {"new", "uploaded"} for state in states):
        return [
            "All input files are sent, so a bill above the estimate can no longer pause the job."
        ]
    return [] if record.manifest.file_highs else ["Without an upper bound, no bill pauses the job."]


def _failure_notes(failures: Mapping[str, int]) -> list[str]:
    """Format failure reasons, most common first, each advice once."""
    notes: list[str] = []
    seen = set()
    for reason, number in failures.items():
        note = f"{plural(number, 'request')} failed: {shortened(reason, _MAX_REASON)}"
        advice = advice_on(reason)
        notes.append(note if not advice or advice in seen else note.rstrip(".") + ". " + advice)
        seen.add(advice)
    return notes


def _undelivered_notes(record: Record, rows: int) -> list[str]:
    if not rows:
        return []
    name = record.reference
    code = NextStep(
        f'bf.job({name!r}).unanswered(also="undelivered")',
        f"`batchframe unanswered {shlex.quote(name)} --also undelivered`",
    )
    text = f"The service counts answers to {plural(rows, 'row')} and has not delivered them. "
    return [text + REFRESH + " fetches them once it has them; " + code + " pays for them again."]


def with_poll_error(card: Card, reason: str) -> Card:
    """Add a note to a card that the last poll failed, and why."""
    return replace(card, notes=(*card.notes, f"The last poll failed: {reason}"), tone="warn")


def _queue(record: Record) -> tuple[list[tuple[str, str]], list[str]]:
    """Return facts and notes about input files waiting for the queue."""
    queued = [state for state in record.state.inputs if state.queued]
    if not queued or record.state.paused is not None:
        return [], []
    manifest, last = record.manifest, max(queued, key=lambda state: state.retry_at)
    limit = record.state.max_tokens or manifest.provider.max_enqueued_tokens
    if last.retry_at:
        detail = f"retried at the first poll after {when(last.retry_at)}"
    elif limit is not None:
        detail = f"at most {limit:,} input tokens at once"
    else:
        detail = f"at most {manifest.provider.max_creates:,} new batches per hour"
    waiting = f"{plural(len(queued), 'input file')} waiting for the service's queue: {detail}"
    polls = NextStep(
        "job.wait(), job.watch() or job.refresh()", "`batchframe wait JOB` or `batchframe show JOB`"
    )
    notes: list[str] = ["batchframe sends the waiting input files during " + polls + "."]
    if last.retry_at and last.reason is not None:
        notes.insert(0, f"The service's queue is full: {shortened(last.reason, _MAX_REASON)}")
    return [("not sent", waiting)], notes


def _dates(record: Record) -> list[tuple[str, str]]:
    batches = record.state.batches
    starts = [batch.created_at for batch in batches if batch.created_at is not None]
    first = ("submitted", min(starts)) if starts else ("prepared", record.manifest.created_at)
    ends = [batch.ended_at for batch in batches if batch.ended_at is not None]
    last = [("ended", max(ends))] if ends and record.done else []
    return [(name, when(seconds)) for name, seconds in [first, *last]]


def _deadline(record: Record, now: float) -> tuple[tuple[str, str], ...]:
    """Format when the first running batch expires."""
    ends = [b.expires_at for b in record.state.batches if b.expires_at is not None and not b.ended]
    if record.done or not ends:
        return ()
    return (("expires", f"in {duration(min(ends) - now)}, {when(min(ends))}"),)


def _batch_facts(states: Sequence[InputFileState]) -> list[tuple[str, str]]:
    """Format the batch, or a summary of many; the table lists a few."""
    if len(states) == 1:
        batch = states[0].batch
        prefix = "none yet" if batch is None else f"{batch.id} {_batch_status(states[0])}"
        return [("batch", prefix)]
    if len(states) <= _MAX_TABLE_ROWS:
        return []
    statuses = Counter(map(_batch_status, states)).items()
    summary = ", ".join(f"{number:,} {status}" for status, number in statuses)
    return [("batches", f"{len(states):,}: {summary}")]


def _batch_status(state: InputFileState) -> str:
    if state.step == "dropped":
        return "never sent"
    if state.abandoned:
        return "abandoned"
    if state.batch is not None:
        return format_status(state.batch.status)
    if state.queued:
        return "waiting for the queue"
    return "uncertain" if state.step == "creating" and not state.refused else "not sent"


def _batch_table(record: Record) -> Table | None:
    files, states = record.state.files, record.state.inputs
    if not 1 < len(files) <= _MAX_TABLE_ROWS:
        return None
    rows = (
        (
            str(number),
            count(file.stop - file.start),
            count(answered(state)),
            _batch_status(state),
            "" if state.batch is None else state.batch.id,
        )
        for number, (file, state) in enumerate(zip(files, states, strict=True), start=1)
    )
    return Table("input files", ("", "requests", "answered", "status", "batch"), tuple(rows))


def _tone(record: Record, counts: Mapping[str, int]) -> Tone:
    if not record.done:
        is_stopped = is_paused(record.state) or status_word(record.state) in _UNSENT
        return "warn" if is_stopped else "plain"
    if not failed_rows(counts):
        return "good"
    return "warn" if counts.get("ok") else "bad"
