"""Requests and jobs → the facts their cards show. Pure.

Must not know: text, HTML, the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from batchframe._display import Card, count, money, plural, shortened, when
from batchframe._estimate import Estimate, in_words
from batchframe._journal import status_word
from batchframe._manifest import Record
from batchframe._recipe import Recipe
from batchframe._refusals import advice_on
from batchframe._unanswered import ASKED_AGAIN

_LONGEST_PROMPT: Final = 600
_LONGEST_REASON: Final = 200


def requests_card(recipe: Recipe, estimate: Estimate, first_prompt: str | None = None) -> Card:
    """Show what would be sent, and what it would cost."""
    rows = [plural(estimate.rows, "row")]
    if estimate.duplicates:
        rows.append(f"{estimate.duplicates:,} equal to another and sent once")
    if estimate.reused:
        rows.append(f"{estimate.reused:,} answered by an earlier job and not sent again")
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
            ("input tokens", in_words(estimate.input_tokens, count)),
            ("cost (batch)", in_words(estimate.cost, money)),
            ("cost (standard)", in_words(estimate.standard_cost, money)),
        ),
        quoted=shown,
        notes=estimate.notes,
        next_step="job = requests.submit(name=..., max_cost=...)",
    )


@dataclass(frozen=True)
class JobFacts:
    """What a job's card needs to know beside its record."""

    record: Record
    counts: Mapping[str, int]
    cost: Decimal | None
    failures: Mapping[str, int]

    @property
    def status(self) -> str:
        """Where the job stands, in one word."""
        return status_word(self.record.state)


def job_card(facts: JobFacts) -> Card:
    """Show where a job stands, and what to do next."""
    manifest = facts.record.manifest
    batches = [shard.batch for shard in facts.record.state.shards if shard.batch is not None]
    expires = [batch.expires_at for batch in batches if batch.expires_at is not None]
    done = sum(batch.completed + batch.failed for batch in batches)
    return Card(
        title=f"Job {manifest.called}: {STATUS_WORDS.get(facts.status, facts.status)}",
        progress=(manifest.requests if facts.record.done else done, manifest.requests),
        facts=(
            ("rows", _row_words(facts.counts)),
            ("spent", f"{money(facts.cost)}; estimated {in_words(manifest.cost, money)}"),
            ("prepared", when(manifest.created_at)),
            *((("expires", when(min(expires))),) if expires and not facts.record.done else ()),
            ("batches", "\n".join(f"{batch.id} {batch.status}" for batch in batches) or "none yet"),
            *_queue_words(facts.record),
            ("id", manifest.id),
        ),
        notes=tuple(_why_failed(reason, number) for reason, number in facts.failures.items()),
        next_step=_next_step(facts),
    )


def _why_failed(reason: str, number: int) -> str:
    advice = advice_on(reason)
    told = f"{plural(number, 'request')} failed: {shortened(reason, _LONGEST_REASON)}"
    return f"{told.rstrip('.')}. {advice}" if advice else told


STATUS_WORDS: Final = {
    "preparing": "prepared, not sent",
    "submitting": "not all of it sent",
    "uncertain": "it is not known whether it was sent",
    "validating": "being validated",
    "in_progress": "in progress",
    "queued": "waiting for room in the service's queue",
}


def _queue_words(record: Record) -> list[tuple[str, str]]:
    queued = [shard for shard in record.state.shards if shard.queued]
    if not queued:
        return []
    told = f"{plural(len(queued), 'part')} for room in the service's queue"
    full = max(queued, key=lambda shard: shard.retry_at)
    if full.retry_at:
        told += f", tried again after {when(full.retry_at)}: {full.reason}"
    return [("waiting", told)]


def _row_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {status}" for status, number in counts.items()) or "none"


def _next_step(facts: JobFacts) -> str:
    name = facts.record.manifest.called
    if facts.status in {"preparing", "submitting", "uncertain"}:
        return f"bf.job({name!r}).resume()"
    if not facts.record.done:
        return f"job.wait()  # or, tomorrow: job = bf.job({name!r})"
    left = sum(facts.counts.get(status, 0) for status in ASKED_AGAIN)
    if not left:
        return "labelled = df.bf.join(job)"
    return (
        f"again = job.unanswered().submit(max_cost=...)  # the {plural(left, 'row')} without an "
        "answer\nlabelled = df.bf.join(job, again)"
    )
