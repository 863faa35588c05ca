"""Requests and jobs → the facts their cards show. Pure.

Must not know: text, HTML, the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from batchframe._display import Card, count, money, plural, span, when
from batchframe._estimate import Estimate, Range
from batchframe._journal import JobState
from batchframe._recipe import Recipe

_LONGEST_PROMPT: Final = 600


def _cost(known: Range[Decimal] | None) -> str:
    return "unknown" if known is None else span(known.low, known.expected, known.high, money)


def requests_card(recipe: Recipe, estimate: Estimate, first_prompt: str | None) -> Card:
    """Show what would be sent, and what it would cost."""
    rows = [plural(estimate.rows, "row")]
    if estimate.duplicates:
        rows.append(f"{estimate.duplicates:,} equal to another and sent once")
    if estimate.skipped:
        rows.append(f"{estimate.skipped:,} skipped")
    shown = None
    if first_prompt is not None:
        cut = first_prompt[:_LONGEST_PROMPT]
        shown = ("first prompt", cut if cut == first_prompt else f"{cut}…")
    return Card(
        title=f"{plural(estimate.requests, 'request')} to {recipe.model}",
        facts=(
            ("rows", ", ".join(rows)),
            ("endpoint", recipe.endpoint),
            ("files", count(estimate.files)),
            ("input tokens", _tokens(estimate.input_tokens)),
            ("cost (batch)", _cost(estimate.cost)),
            ("cost (standard)", _cost(estimate.standard_cost)),
        ),
        quoted=shown,
        next_step="job = requests.submit(name=..., max_cost=...)",
    )


def _tokens(known: Range[int]) -> str:
    return span(known.low, known.expected, known.high, count)


@dataclass(frozen=True)
class JobFacts:
    """What a job's card needs to know."""

    manifest: Mapping[str, Any]
    state: JobState
    status: str
    counts: Mapping[str, int]
    cost: Decimal | None
    done: bool


def job_card(facts: JobFacts) -> Card:
    """Show where a job stands, and what to do next."""
    told = facts.manifest
    batches = [shard.batch for shard in facts.state.shards if shard.batch is not None]
    expires = [batch.expires_at for batch in batches if batch.expires_at is not None]
    done = sum(batch.completed + batch.failed for batch in batches)
    return Card(
        title=f"Job {told['name'] or told['id']}: {STATUS_WORDS.get(facts.status, facts.status)}",
        progress=(told["requests"] if facts.done else done, told["requests"]),
        facts=(
            ("rows", _row_words(facts.counts)),
            ("spent", f"{money(facts.cost)} of {_estimated(told)} estimated"),
            ("submitted", when(told["created_at"])),
            *((("expires", when(min(expires))),) if expires and not facts.done else ()),
            ("batches", "\n".join(f"{batch.id} {batch.status}" for batch in batches) or "none yet"),
            ("id", told["id"]),
        ),
        next_step=_next_step(facts),
    )


STATUS_WORDS: Final = {
    "preparing": "prepared, not sent",
    "submitting": "not all of it sent",
    "uncertain": "it is not known whether it was sent",
    "validating": "being validated",
    "in_progress": "in progress",
}


def _row_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {status}" for status, number in counts.items()) or "none"


def _estimated(manifest: Mapping[str, Any]) -> str:
    known = manifest["estimate"]["cost"]
    if known is None:
        return "unknown"
    low, expected, high = (
        None if known[end] is None else Decimal(known[end]) for end in ("low", "expected", "high")
    )
    return span(low, expected, high, money)


def _next_step(facts: JobFacts) -> str:
    name = facts.manifest["name"] or facts.manifest["id"]
    if facts.status in {"preparing", "submitting", "uncertain"}:
        return f"bf.job({name!r}).resume()"
    if not facts.done:
        return f"job.wait()  # or, tomorrow: job = bf.job({name!r})"
    return "labelled = df.bf.join(job)"
