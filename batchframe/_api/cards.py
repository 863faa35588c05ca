"""Cards of requests and jobs."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from batchframe._base.safe_text import REFRESH, NextStep, job_step
from batchframe._display.card import Card, Table, Tone
from batchframe._display.format import count, format_range, money, plural, shortened, when
from batchframe._endpoints import endpoint_of
from batchframe._endpoints.endpoint import ASKED_AGAIN
from batchframe._estimate.estimate import Estimate
from batchframe._recipe.recipe import Recipe
from batchframe._services.advice import advice_on
from batchframe._store.journal import InputFileState, status_word
from batchframe._store.manifest import Record

_MAX_REASON: Final = 200
_MAX_TABLE_ROWS: Final = 6
_PENDING: Final = "pending"
_SKIPPED: Final = "skipped"
_UNSENT: Final = frozenset({"submitting", "uncertain"})
_STATUS_TEXTS: Final = {
    "preparing": "prepared, not sent",
    "submitting": "not completely sent",
    "uncertain": "unknown whether it was sent",
    "validating": "being validated",
    "in_progress": "in progress",
    "finalizing": "being finalized",
    "cancelling": "being cancelled",
    "queued": "waiting for the service's queue",
}


def requests_card(recipe: Recipe, estimate: Estimate, prompt: tuple[str, str] | None) -> Card:
    """Build the card of requests: their number and their estimated cost."""
    if not estimate.rows:
        return Card(title=f"Nothing to send to {recipe.model}")
    rows = [plural(estimate.rows, "row")]
    if estimate.duplicates:
        rows.append(f"{plural(estimate.duplicates, 'duplicate')} merged")
    if estimate.reused:
        rows.append(f"{estimate.reused:,} answered by earlier jobs")
    if estimate.skipped:
        rows.append(f"{estimate.skipped:,} skipped")
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
        quoted=prompt,
        notes=estimate.notes,
        next_step="job = requests.submit(name=..., max_cost=...)",
    )


def job_card(
    record: Record,
    counts: Mapping[str, int],
    cost: Decimal | None,
    failures: Mapping[str, int],
    undelivered: int = 0,
) -> Card:
    """Build the card of a job: its status and the next step."""
    manifest, states = record.manifest, record.state.inputs
    status = format_status(status_word(record.state))
    if not manifest.requests:
        status += ", nothing to send"
    done = manifest.reused + sum(map(_answered, states))
    queue_facts, queue_notes = _queue(record)
    return Card(
        title=f"Job {manifest.display_name}: {status}",
        progress=(manifest.requests if record.done else done, manifest.requests)
        if manifest.requests
        else None,
        facts=(
            ("rows", format_row_counts(counts)),
            ("spent", f"{money(cost)}; estimated {format_range(manifest.cost, money)}"),
            *_dates(record),
            *_batch_facts(states),
            *queue_facts,
            ("id", manifest.id),
        ),
        table=_batch_table(record),
        notes=(*queue_notes, *_failure_notes(failures), *_undelivered_notes(undelivered)),
        next_step=_next_step(record, counts, undelivered),
        tone=_tone(record, counts),
    )


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


def _undelivered_notes(rows: int) -> list[str]:
    if not rows:
        return []
    code = NextStep(
        'job.unanswered(also="undelivered")', "`batchframe unanswered JOB --also undelivered`"
    )
    text = f"The service counts answers to {plural(rows, 'row')} and has not delivered them. "
    return [text + REFRESH + " fetches them once it has them; " + code + " pays for them again."]


def with_poll_error(card: Card, reason: str) -> Card:
    """Add a note to a card that the last poll failed, and why."""
    return replace(card, notes=(*card.notes, f"The last poll failed: {reason}"), tone="warn")


def _queue(record: Record) -> tuple[list[tuple[str, str]], list[str]]:
    """Return facts and notes about input files that wait for the service's queue."""
    queued = [state for state in record.state.inputs if state.queued]
    if not queued:
        return [], []
    manifest, last = record.manifest, max(queued, key=lambda state: state.retry_at)
    limit = manifest.max_enqueued_tokens or manifest.provider.max_enqueued_tokens
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


def format_status(status: str) -> str:
    """Format a status; an unknown status is returned unchanged."""
    return _STATUS_TEXTS.get(status, status)


def format_row_counts(counts: Mapping[str, int]) -> str:
    """Format the number of rows that are answered, failed and waiting.

    Examples
    --------
    >>> format_row_counts({"ok": 412, "refused": 2, "expired": 1, "skipped": 6, "pending": 579})
    '412 ok, 3 failed (2 refused, 1 expired), 579 waiting, 6 skipped'
    """
    failed = failed_rows(counts)
    reasons = ", ".join(f"{number:,} {status}" for status, number in failed.items())
    if len(failed) == 1:
        [reasons] = failed
    phrases = {
        "ok": counts.get("ok"),
        "failed" if reasons in {"", "failed"} else f"failed ({reasons})": sum(failed.values()),
        "waiting": counts.get(_PENDING),
        "skipped": counts.get(_SKIPPED),
    }
    return ", ".join(f"{n:,} {phrase}" for phrase, n in phrases.items() if n) or "none"


def failed_rows(counts: Mapping[str, int]) -> dict[str, int]:
    """Select the statuses of rows with a request but no valid answer."""
    return {
        status: number
        for status, number in counts.items()
        if number and status not in {"ok", _PENDING, _SKIPPED}
    }


def _dates(record: Record) -> list[tuple[str, str]]:
    batches = record.state.batches
    starts = [batch.created_at for batch in batches if batch.created_at is not None]
    ends = [b.expires_at for b in batches if b.expires_at is not None and not b.ended]
    first = ("submitted", min(starts)) if starts else ("prepared", record.manifest.created_at)
    dates = [first, ("expires", min(ends))] if ends and not record.done else [first]
    return [(name, when(seconds)) for name, seconds in dates]


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
    return "uncertain" if state.step == "creating" else "not sent"


def _answered(state: InputFileState) -> int:
    return 0 if state.batch is None else state.batch.completed + state.batch.failed


def _batch_table(record: Record) -> Table | None:
    files, states = record.manifest.inputs, record.state.inputs
    if not 1 < len(files) <= _MAX_TABLE_ROWS:
        return None
    rows = (
        (
            str(number),
            count(file.stop - file.start),
            count(_answered(state)),
            _batch_status(state),
            "" if state.batch is None else state.batch.id,
        )
        for number, (file, state) in enumerate(zip(files, states, strict=True), start=1)
    )
    return Table("input files", ("", "requests", "answered", "status", "batch"), tuple(rows))


def _tone(record: Record, counts: Mapping[str, int]) -> Tone:
    if not record.done:
        return "warn" if status_word(record.state) in _UNSENT else "plain"
    if not failed_rows(counts):
        return "good"
    return "warn" if counts.get("ok") else "bad"


def _next_step(record: Record, counts: Mapping[str, int], undelivered: int) -> NextStep:
    name = record.manifest.display_name
    if status_word(record.state) in {"preparing", *_UNSENT}:
        return job_step(name, "resume", alone=True)
    if not record.done:
        return NextStep(
            f"job.wait()  # or, tomorrow: job = bf.job({name!r})",
            job_step(name, "wait", alone=True).shell,
        )
    quoted = shlex.quote(name)
    unanswered = sum(counts.get(status, 0) for status in ASKED_AGAIN) - undelivered
    if undelivered and not unanswered:
        return NextStep("job.refresh()", job_step(name, "refresh", alone=True).shell)
    if not unanswered or endpoint_of(record.manifest.recipe.endpoint).retired:
        return NextStep(
            "labeled = df.bf.join(job)",
            f"batchframe fetch {quoted} --input INPUT --to OUTPUT.csv",
        )
    return NextStep(
        f"again = job.unanswered().submit(max_cost=...)  # {plural(unanswered, 'row')} without an "
        "answer\nlabeled = df.bf.join(job, again)",
        f"batchframe unanswered {quoted} --max-cost USD  # submit the unanswered rows again",
    )
