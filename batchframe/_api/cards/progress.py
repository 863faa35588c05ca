"""Progress of a job: its bar by status, its headline, its labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import pandas as pd
import pyarrow.compute as pc

from batchframe._base.ranges import Range
from batchframe._display import Bar, Part, PartTone, Shares, duration, money, plural, shortened
from batchframe._endpoints import STATUSES
from batchframe._endpoints.endpoint import ASKED_ON_DEMAND, UNDELIVERED
from batchframe._results.job_answers import JobAnswers, answer_fields, row_counts
from batchframe._results.unanswered import undelivered_rows
from batchframe._store.journal import InputFileState
from batchframe._store.manifest import Record

_PENDING: Final = "pending"
_SKIPPED: Final = "skipped"
_ANSWERED: Final = "answered"
"""Word for requests that the service counts as answered, before their download."""
_MAX_LABELS: Final = 8
_LABELED: Final = frozenset({"category", "boolean"})
_STATUS_TEXTS: Final = {
    "preparing": "prepared, not sent",
    "submitting": "not completely sent",
    "uncertain": "unknown whether it was sent",
    "validating": "being validated",
    "in_progress": "in progress",
    "finalizing": "being finalized",
    "cancelling": "being cancelled",
    "queued": "waiting for the service's queue",
    "paused": "paused, the bill exceeds the estimate",
}


def format_status(status: str) -> str:
    """Format a status; an unknown status is returned unchanged."""
    return _STATUS_TEXTS.get(status, status)


def format_row_counts(counts: Mapping[str, int]) -> str:
    """Format the number of rows by status.

    Examples
    --------
    >>> format_row_counts({"ok": 412, "refused": 2, "expired": 1, "skipped": 6, "pending": 579})
    '412 ok, 2 refused, 1 expired, 6 skipped, 579 pending'
    """
    return ", ".join(f"{n:,} {status}" for status, n in counts.items() if n) or "none"


def failed_rows(counts: Mapping[str, int]) -> dict[str, int]:
    """Select the statuses of rows with a request but no valid answer."""
    return {
        status: number
        for status, number in counts.items()
        if number and status not in {"ok", _PENDING, _SKIPPED}
    }


def bar(record: Record, job: JobAnswers) -> Bar | None:
    """Build the bar: rows by status at the end, requests before."""
    if not record.manifest.requests:
        return None
    counts = _final_counts(record, job) if record.done else _running_counts(record, job)
    order = (*STATUSES, UNDELIVERED, _ANSWERED, "waiting")
    parts = [Part(_WORDS.get(name, name), counts[name], _TONES.get(name, "bad")) for name in order]
    parts.sort(key=lambda part: part.tone == "waiting")
    return Bar(tuple(part for part in parts if part.count), "row" if record.done else "request")


_TONES: Final[dict[str, PartTone]] = {
    "ok": "good",
    _ANSWERED: "good",
    **dict.fromkeys(ASKED_ON_DEMAND, "warn"),
    # These rows have no answer that arrived, so they do not fill the bar.
    **dict.fromkeys(("expired", "cancelled", "missing", UNDELIVERED, "waiting"), "waiting"),
}
_WORDS: Final = {UNDELIVERED: "counted by the service, not delivered"}


def _final_counts(record: Record, job: JobAnswers) -> Counter[str]:
    counts = Counter(row_counts(job))
    counts.pop(_SKIPPED, None)
    counts.subtract(undelivered := undelivered_rows(record, job))
    counts[UNDELIVERED] = sum(undelivered.values())
    return counts


def _running_counts(record: Record, job: JobAnswers) -> Counter[str]:
    """Count requests: those downloaded by status, the others by the service."""
    values = pc.value_counts(job.answers["status"]).to_pylist()
    counts: Counter[str] = Counter({entry["values"]: entry["counts"] for entry in values})
    waiting = counts.pop(_PENDING, 0)
    for file, state in zip(record.state.files, record.state.inputs, strict=True):
        if state.fetched or state.batch is None:
            continue
        size = file.stop - file.start
        answered = min(state.batch.completed, size)
        failed = min(state.batch.failed, size - answered)
        counts[_ANSWERED] += answered
        counts["failed"] += failed
        waiting -= answered + failed
    counts["waiting"] = max(waiting, 0)
    return counts


def answered(state: InputFileState) -> int:
    """Return how many requests the service counts as processed."""
    return 0 if state.batch is None else state.batch.completed + state.batch.failed


def figures(
    record: Record, job: JobAnswers, cost: Decimal | None, now: float
) -> tuple[tuple[str, str], ...]:
    """Build the headline: done, elapsed, time left, spent."""
    progress = bar(record, job)
    if progress is None:
        return ()
    parts = [("done", f"{progress.arrived:,} of {progress.total:,}")]
    if (elapsed := _elapsed(record, now)) is not None:
        parts.append(("elapsed", duration(elapsed)))
    if (left := _left(record, now)) is not None:
        parts.append(("time left", f"about {duration(left)}"))
    if record.done:
        return (*parts, ("spent", money(cost)))
    return (*parts, ("spent so far", _spent_so_far(record, cost)))


def _elapsed(record: Record, now: float) -> float | None:
    batches = record.state.batches
    starts = [batch.created_at for batch in batches if batch.created_at is not None]
    if not starts:
        return None
    if not record.done:
        return max(0.0, now - min(starts))
    ends = [batch.ended_at for batch in batches]
    known = [end for end in ends if end is not None]
    return max(known) - min(starts) if len(known) == len(ends) else None


def _left(record: Record, now: float) -> float | None:
    """Return the time left at the pace of the service's own counts."""
    if record.done:
        return None
    running = [state for state in record.state.inputs if state.batch and not state.batch.ended]
    starts = [
        start
        for state in running
        if state.batch and (start := state.batch.in_progress_at or state.batch.created_at)
    ]
    processed = sum(map(answered, running))
    total = record.manifest.requests - record.manifest.reused
    rest = total - sum(map(answered, record.state.inputs))
    if not processed or not starts or rest <= 0:
        return None
    return rest * max(0.0, now - min(starts)) / processed


def _spent_so_far(record: Record, cost: Decimal | None) -> str:
    """Add the expected cost of what is answered and not downloaded yet."""
    if cost is None:
        return money(None)
    unread = sum(
        min(state.batch.completed, file.stop - file.start)
        for file, state in zip(record.state.files, record.state.inputs, strict=True)
        if state.batch is not None and not state.fetched
    )
    if not unread:
        return money(cost)
    requests = record.manifest.requests - record.manifest.reused
    expected = _middle(record.manifest.cost)
    if expected is None:
        return f"{money(cost)} and what is not downloaded"
    return f"about {money(cost + expected * unread / requests)}"


def _middle(cost: Range[Decimal] | None) -> Decimal | None:
    if cost is None:
        return None
    return cost.low if cost.expected is None else cost.expected


def shares(record: Record, job: JobAnswers) -> Shares | None:
    """Count the rows per label of a completed job's first label column."""
    if not record.done:
        return None
    field = next((field for field in answer_fields(job) if field.kind in _LABELED), None)
    if field is None:
        return None
    number = job.rows.number
    column = pd.Series(job.columns[field.name].to_pylist(), dtype=object)
    counts = column.iloc[number[number >= 0]].value_counts()
    if counts.empty:
        return None
    rows = tuple((shortened(str(label)), int(n)) for label, n in counts.items())
    return Shares(field.name, rows[:_MAX_LABELS], len(rows[_MAX_LABELS:]))


def rows_text(record: Record, counts: Mapping[str, int]) -> str | None:
    """Format the number of rows, where it differs from that of the requests."""
    manifest, skipped = record.manifest, counts.get(_SKIPPED, 0)
    parts = []
    if duplicates := manifest.rows - skipped - manifest.requests:
        parts.append(f"{plural(duplicates, 'duplicate')} merged")
    if skipped:
        parts.append(f"{skipped:,} skipped")
    if manifest.reused:
        parts.append(f"{plural(manifest.reused, 'request')} answered by earlier jobs")
    return f"{manifest.rows:,}: {', '.join(parts)}" if parts else None
