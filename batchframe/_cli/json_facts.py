"""Conversion of jobs and estimates to JSON values and text cards.

Amounts are strings, so that no digit is lost; times are ISO 8601 in UTC.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any, Final

import pandas as pd

from batchframe._api.job import Job
from batchframe._api.requests import Requests
from batchframe._base.ranges import Range
from batchframe._base.safe_text import in_shell
from batchframe._display import Card, money, to_text
from batchframe._estimate.estimate import RANGES, Estimate
from batchframe._jobs.pilot import Pilot
from batchframe._services.batch import Batch

_ENDS: Final = ("low", "expected", "high")
_SUBMIT: Final = "batchframe submit ... --name NAME --max-cost USD  # with the same options"


def job_facts(job: Job) -> dict[str, Any]:
    """Convert a job to JSON values."""
    manifest = job._record.manifest  # noqa: SLF001 - next door
    return {
        "id": job.id,
        "name": job.name,
        "status": job.status,
        "done": job.done,
        "model": manifest.recipe.model,
        "endpoint": manifest.recipe.endpoint,
        "rows": manifest.rows,
        "requests": manifest.requests,
        "reused": manifest.reused,
        "counts": job.counts,
        "usage": asdict(job.usage),
        "cost": _money(job.cost),
        "estimated_cost": range_facts(manifest.cost),
        "batches": [_batch_facts(batch) for batch in job.batches],
        "created": _iso_time(manifest.created_at),
        "folder": str(job.folder),
    }


def job_text(job: Job) -> str:
    """Format a job's card for a shell."""
    return to_text(_for_shell(job._card()))  # noqa: SLF001 - next door


def _for_shell(card: Card) -> Card:
    """Replace Python code in a card's advice with shell commands."""
    next_step = card.next_step and in_shell(card.next_step)
    details = card.details
    if details is not None:
        details = replace(details, notes=tuple(map(in_shell, details.notes)))
    notes = tuple(map(in_shell, card.notes))
    return replace(card, notes=notes, next_step=next_step, details=details)


def jobs_facts(jobs: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert a list of jobs to JSON values."""
    rows: list[dict[str, Any]] = jobs.to_dict("records")
    return [
        {
            **row,
            "estimated": _money(row["estimated"]),
            "cost": _money(row["cost"]),
            "submitted": row["submitted"] and row["submitted"].isoformat(),
            "age": row["age"] and int(row["age"].total_seconds()),
        }
        for row in ({k: None if pd.isna(v) else v for k, v in job.items()} for job in rows)
    ]


def estimate_facts(estimate: Estimate) -> dict[str, Any]:
    """Convert an estimate to JSON values."""
    facts = {name: getattr(estimate, name) for name in estimate.__dataclass_fields__}
    ranges = {name: range_facts(facts[name]) for name in RANGES}
    return {**facts, **ranges, "notes": [in_shell(note) for note in estimate.notes]}


def estimate_text(estimate: Estimate, requests: Requests) -> str:
    """Format an estimate's card, with the first prompt and the next command."""
    card, prompt = estimate._card(), requests._quoted_prompt()  # noqa: SLF001 - same package
    return to_text(replace(_for_shell(card), quoted=prompt, next_step=_SUBMIT))


def pilot_facts(pilot: Pilot) -> dict[str, Any]:
    """Convert a pilot to JSON values."""
    counts = {name: int(n) for name, n in pilot.frame["bf_status"].value_counts().items() if n}
    rest = estimate_facts(pilot.estimate)
    return {"job": pilot.job, "counts": counts, "cost": _money(pilot.cost), "rest": rest}


def pilot_text(pilot: Pilot) -> str:
    """Format a pilot's card for a shell."""
    card = _for_shell(pilot._card())  # noqa: SLF001 - same package
    return to_text(replace(card, next_step=_SUBMIT))


def costs_facts(costs: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert a comparison of costs to JSON values."""
    rows: list[dict[str, Any]] = costs.reset_index().to_dict("records")
    return [{**row, **{name: _money(row[name]) for name in _ENDS}} for row in rows]


def costs_text(costs: pd.DataFrame) -> str:
    """Format a comparison of costs, each note once below the table."""
    table = costs[list(_ENDS)].map(money).reset_index().to_string(index=False)
    notes = {f"{model}: {in_shell(note)}" for (model, _), note in costs["note"].items() if note}
    return "\n".join([table, *sorted(notes)])


def range_facts(value: Range[Any] | None) -> dict[str, Any] | None:
    """Convert a range to JSON values.

    Examples
    --------
    >>> range_facts(Range(Decimal("0.0010"), None, Decimal("1E+1")))
    {'low': '0.0010', 'expected': None, 'high': '10'}
    """
    if value is None:
        return None
    return {
        name: _money(end) if isinstance(end, Decimal) else end
        for name, end in asdict(value).items()
    }


def _batch_facts(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "status": batch.status,
        "total": batch.total,
        "completed": batch.completed,
        "failed": batch.failed,
        "created": _iso_time(batch.created_at),
        "expires": _iso_time(batch.expires_at),
        "errors": [asdict(error) for error in batch.errors],
    }


def _money(usd: Decimal | None) -> str | None:
    return None if usd is None else f"{usd:f}"


def _iso_time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")
