"""Dated prices and known disagreements, from ``prices.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, Final

from batchframe._models.names import base_model
from batchframe._models.price import Price, Tier
from batchframe._services.provider import OPENAI, Provider

_LABELS: Final = {"input": "input", "output": "output", "cached_input": "cached input"}


@dataclass(frozen=True)
class Disagreement:
    """A price in another price book that differs from batchframe's.

    Attributes
    ----------
    states
        Its rates in USD per 1,000,000 tokens by name; empty if it has no price.
    why
        The reason, as far as known.
    book, as_of
        The other book, and the date it was read.
    """

    model: str
    tier: Tier
    states: Mapping[str, Decimal]
    why: str
    book: str
    as_of: date

    @property
    def rates(self) -> str:
        """Its rates as text."""
        rates = ", ".join(f"{_LABELS[name]} ${rate:f}" for name, rate in self.states.items())
        return f"{rates} per million tokens" if rates else "no price"


def describe_disagreements(disagreements: Sequence[Disagreement]) -> list[str]:
    """Return notes on price disagreements, stating each reason once.

    Examples
    --------
    >>> tuned = "ft:gpt-4.1-mini-2025-04-14"
    >>> both = [disagreement(tuned, "batch"), disagreement(tuned, "standard")]
    >>> notes = describe_disagreements(both)
    >>> len(notes), notes[0].count("has no entry for it")
    (1, 1)
    """
    by_reason: dict[str, list[Disagreement]] = {}
    for entry in disagreements:
        by_reason.setdefault(entry.why, []).append(entry)
    return [_for_one_reason(*group) for group in by_reason.values()]


def _for_one_reason(first: Disagreement, *others: Disagreement) -> str:
    suffix = "".join(f", and {other.rates} in the {other.tier} tier" for other in others)
    return (
        f"{first.book} ({first.as_of}) lists {first.rates} for {first.model} in the {first.tier} "
        f"tier{suffix}: {first.why}."
    )


def table_price(
    model: str, tier: Tier, provider: Provider = OPENAI, _on: date | None = None
) -> Price | None:
    """Look up a price in batchframe's table, which covers some OpenAI models.

    Examples
    --------
    >>> table_price("text-embedding-3-small", "batch").input
    Decimal('0.01')
    """
    if provider.price_book != OPENAI.price_book:
        return None
    row = _row("price", "models", base_model(model))
    if row is None or tier not in row["tiers"]:
        return None
    return Price(model, tier, Decimal(row["input"]), source=row["source"], as_of=row["as_of"])


def long_doubt(model: str) -> tuple[int, str] | None:
    """Return the input tokens above which prices disagree, and the reason.

    Examples
    --------
    >>> long_doubt("gpt-5.5-pro")[0], long_doubt("gpt-5.5")
    (272000, None)
    """
    row = _row("long_doubt", "models", base_model(model))
    return None if row is None else (row["threshold"], f"{row['text']} ({row['as_of']})")


def tool_fee(kind: str) -> str | None:
    """Return the fee of a hosted tool's calls, in words; None if unknown.

    Examples
    --------
    >>> tool_fee("web_search")
    '$10 per 1,000 calls (genai-prices 0.2.3, web searches of gpt-5.4, gpt-5.6 and gpt-6)'
    """
    row = _row("tool_fee", "tools", kind)
    return None if row is None else f"{row['text']} ({row['source']})"


def disagreement(model: str, tier: Tier) -> Disagreement | None:
    """Find a disagreement with another price book.

    A fine-tuned model is looked up by its base model.

    Examples
    --------
    >>> found = disagreement("ft:gpt-4o-2024-08-06:acme::1", "batch")
    >>> found.states["output"], found.as_of.isoformat()
    (Decimal('12.5'), '2026-11-21')
    >>> disagreement("gpt-5.6-luna", "batch") is None
    True
    """
    name = model.strip().lower()
    if name.startswith("ft:"):
        name = ":".join(name.split(":")[:2])
    return _disagreements().get((name, tier))


@cache
def _disagreements() -> dict[tuple[str, Tier], Disagreement]:
    book = _table()["other_book"]
    return {
        (row["model"], row["tier"]): Disagreement(
            model=row["model"],
            tier=row["tier"],
            states={name: Decimal(rate) for name, rate in row["states"].items()},
            why=row["why"],
            book=book["name"],
            as_of=book["as_of"],
        )
        for row in _table()["disagreement"]
    }


def _row(table: str, names: str, name: str) -> dict[str, Any] | None:
    return next((row for row in _table()[table] if name in row[names]), None)


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "prices.toml").read_text(encoding="utf-8"))
