"""Cards of requests and jobs."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from batchframe._base.safe_text import NextStep, job_step
from batchframe._display import (
    Card,
    Table,
    Tone,
    count,
    format_range,
    money,
    plural,
    shortened,
    when,
)
from batchframe._endpoints import endpoint_of
from batchframe._endpoints.endpoint import ASKED_AGAIN
from batchframe._estimate.estimate import Estimate
from batchframe._recipe.recipe import Recipe
from batchframe._services.advice import advice_on
from batchframe._services.batch import Batch
from batchframe._store.journal import InputFileState, JobState, status_word
from batchframe._store.manifest import Record

_MAX_PROMPT: Final = 600
_MAX_REASON: Final = 200


def requests_card(recipe: Recipe, estimate: Estimate, first_prompt: str | None = None) -> Card:
    """Build the card of requests: their number and their estimated cost."""
    rows = [plural(estimate.rows, "row")]
    if estimate.duplicates:
        rows.append(f"{plural(estimate.duplicates, 'duplicate')} merged")
    if estimate.reused:
        rows.append(f"{estimate.reused:,} answered by an earlier job and not sent again")
    if estimate.skipped:
        rows.append(f"{estimate.skipped:,} skipped")
    quoted = None
    if first_prompt is not None:
        excerpt = first_prompt[:_MAX_PROMPT]
        quoted = ("first prompt", excerpt if excerpt == first_prompt else f"{excerpt}…")
    if not estimate.rows:
        return Card(title=f"No row is to be asked of {recipe.model}")
    return Card(
        title=f"{plural(estimate.requests, 'request')} to {recipe.model}",
        facts=(
            ("rows", ", ".join(rows)),
            ("endpoint", recipe.endpoint),
            ("files", count(estimate.files)),
            ("input tokens", format_range(estimate.input_tokens, count)),
            ("cost (batch)", format_range(estimate.cost, money)),
            ("cost (standard)", format_range(estimate.standard_cost, money)),
        ),
        quoted=quoted,
        notes=estimate.notes,
        next_step="job = requests.submit(name=..., max_cost=...)",
    )


@dataclass(frozen=True)
class JobFacts:
    """Data of a job's card: its record, row counts, cost and failures."""

    record: Record
    counts: Mapping[str, int]
    cost: Decimal | None
    failures: Mapping[str, int]

    @property
    def status(self) -> str:
        """Status of the job, in one word."""
        return status_word(self.record.state)


def job_card(facts: JobFacts) -> Card:
    """Build the card of a job: its status and the next step."""
    manifest, state = facts.record.manifest, facts.record.state
    batches = state.batches
    done = sum(batch.completed + batch.failed for batch in batches) + manifest.reused
    return Card(
        title=f"Job {manifest.display_name}: {_status_phrase(facts)}",
        progress=(manifest.requests if facts.record.done else done, manifest.requests)
        if manifest.requests
        else None,
        facts=(
            ("rows", row_words(facts.counts)),
            ("spent", f"{money(facts.cost)}; estimated {format_range(manifest.cost, money)}"),
            *_dates(facts.record, batches),
            *_batch_facts(state),
            *_queue_facts(facts.record),
            ("id", manifest.id),
        ),
        table=_parts(facts.record),
        notes=(*_queue_notes(state), *_failure_notes(facts.failures)),
        next_step=_next_step(facts),
        tone=_tone(facts),
    )


def _status_phrase(facts: JobFacts) -> str:
    words = in_status_words(facts.status)
    return words if facts.record.manifest.requests else f"{words}, nothing was asked"


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


def with_poll_error(card: Card, why: str) -> Card:
    """Add a note to a card that the last poll failed, and why."""
    return replace(card, notes=(*card.notes, f"The last look failed: {why}"), tone="warn")


STATUS_WORDS: Final = {
    "preparing": "prepared, not sent",
    "submitting": "not all of it sent",
    "uncertain": "it is not known whether it was sent",
    "validating": "being validated",
    "in_progress": "in progress",
    "finalizing": "being finished",
    "cancelling": "being cancelled",
    "queued": "waiting for room in the service's queue",
}


def _queue_facts(record: Record) -> list[tuple[str, str]]:
    """Format how many input files are queued, and until when."""
    queued, manifest = _queued(record.state), record.manifest
    if not queued:
        return []
    retry_at = max(state.retry_at for state in queued)
    limit = manifest.max_enqueued_tokens or manifest.provider.max_enqueued_tokens
    if retry_at:
        until = f"the next look after {when(retry_at)} tries again"
    elif limit is not None:
        until = f"at most {limit:,} input tokens are to wait there at once"
    else:
        until = f"at most {manifest.provider.max_creates:,} batches are created in an hour"
    who = "1 part waits" if len(queued) == 1 else f"{len(queued):,} parts wait"
    return [("not sent", f"{who} for room in the service's queue: {until}")]


def _queue_notes(state: JobState) -> list[str]:
    """Format the service's full-queue message, and how the rest is sent."""
    queued = _queued(state)
    if not queued:
        return []
    full = max(queued, key=lambda state: state.retry_at)
    looks = NextStep(
        "job.wait(), job.watch() or job.refresh() in any kernel",
        "`batchframe wait JOB` or `batchframe show JOB`",
    )
    sent = (
        "What waits is sent as soon as there is room, by "
        + looks
        + ". While none of them is called it keeps waiting."
    )
    if not full.retry_at or full.reason is None:
        return [sent]
    return [f"The service had no room: {shortened(full.reason, _MAX_REASON)}", sent]


def _queued(state: JobState) -> list[InputFileState]:
    return [state for state in state.inputs if state.queued]


def in_status_words(status: str) -> str:
    """Format a status; an unknown status is returned unchanged."""
    return STATUS_WORDS.get(status, status)


WAITING: Final = "pending"
NOT_ASKED: Final = "skipped"


def row_words(counts: Mapping[str, int]) -> str:
    """Format the number of rows that are answered, failed and waiting.

    Examples
    --------
    >>> row_words({"ok": 412, "refused": 2, "expired": 1, "skipped": 6, "pending": 579})
    '412 ok, 3 failed (2 refused, 1 expired), 579 waiting, 6 skipped'
    """
    phrases = [f"{counts['ok']:,} ok"] if counts.get("ok") else []
    if failed := failed_rows(counts):
        phrases.append(_failure_counts(failed))
    if counts.get(WAITING):
        phrases.append(f"{counts[WAITING]:,} waiting")
    if counts.get(NOT_ASKED):
        phrases.append(f"{counts[NOT_ASKED]:,} skipped")
    return ", ".join(phrases) or "none"


def failed_rows(counts: Mapping[str, int]) -> dict[str, int]:
    """Select the statuses of rows with a request but no valid answer."""
    return {
        status: number
        for status, number in counts.items()
        if number and status not in {"ok", WAITING, NOT_ASKED}
    }


def _failure_counts(failed: Mapping[str, int]) -> str:
    if set(failed) == {"failed"}:
        return f"{failed['failed']:,} failed"
    reasons = [f"{number:,} {status}" for status, number in failed.items()]
    kinds = ", ".join(reasons) if len(failed) > 1 else next(iter(failed))
    return f"{sum(failed.values()):,} failed ({kinds})"


def _dates(record: Record, batches: Sequence[Batch]) -> list[tuple[str, str]]:
    sent = [batch.created_at for batch in batches if batch.created_at is not None]
    ends = [b.expires_at for b in batches if b.expires_at is not None and not b.ended]
    dates = [("submitted", when(min(sent)))] if sent else []
    if not dates:
        dates.append(("prepared", when(record.manifest.created_at)))
    return [*dates, ("expires", when(min(ends)))] if ends and not record.done else dates


_MAX_TABLE_ROWS: Final = 6


def _batch_facts(state: JobState) -> list[tuple[str, str]]:
    """Format the batch, or a summary of many; the table lists a few."""
    states = state.inputs
    if len(states) == 1:
        batch = states[0].batch
        words = "none yet" if batch is None else f"{batch.id} {_batch_status(states[0])}"
        return [("batch", words)]
    if len(states) <= _MAX_TABLE_ROWS:
        return []
    counter = Counter(map(_batch_status, states))
    return [
        ("parts", f"{len(states):,}: {', '.join(f'{n:,} {words}' for words, n in counter.items())}")
    ]


def _batch_status(state: InputFileState) -> str:
    if state.step == "dropped":
        return "never sent"
    if state.batch is None:
        if state.queued:
            return "waiting for room"
        return "uncertain" if state.step == "creating" else "not sent"
    return in_status_words(state.batch.status)


def _parts(record: Record) -> Table | None:
    files, states = record.manifest.inputs, record.state.inputs
    if not 1 < len(files) <= _MAX_TABLE_ROWS:
        return None
    return Table(
        "parts",
        ("", "requests", "answered", "status", "batch"),
        tuple(
            (
                str(number),
                count(file.stop - file.start),
                count(0 if state.batch is None else state.batch.completed + state.batch.failed),
                _batch_status(state),
                "" if state.batch is None else state.batch.id,
            )
            for number, (file, state) in enumerate(zip(files, states, strict=True), start=1)
        ),
    )


def _tone(facts: JobFacts) -> Tone:
    if facts.status in {"submitting", "uncertain"}:
        return "warn"
    if not facts.record.done:
        return "plain"
    if not failed_rows(facts.counts):
        return "good"
    return "warn" if facts.counts.get("ok") else "bad"


def _next_step(facts: JobFacts) -> NextStep:
    name = facts.record.manifest.display_name
    if facts.status in {"preparing", "submitting", "uncertain"}:
        return job_step(name, "resume", alone=True)
    if not facts.record.done:
        return NextStep(
            f"job.wait()  # or, tomorrow: job = bf.job({name!r})",
            job_step(name, "wait", alone=True).shell,
        )
    quoted = shlex.quote(name)
    left = sum(facts.counts.get(status, 0) for status in ASKED_AGAIN)
    if not left or endpoint_of(facts.record.manifest.recipe.endpoint).retired:
        return NextStep(
            "labelled = df.bf.join(job)",
            f"batchframe fetch {quoted} --input INPUT --to OUTPUT.csv",
        )
    return NextStep(
        f"again = job.unanswered().submit(max_cost=...)  # the {plural(left, 'row')} without an "
        "answer\nlabelled = df.bf.join(job, again)",
        f"batchframe unanswered {quoted} --max-cost USD  # ask again what was not answered",
    )
