"""Our own dated prices, and where two price books differ: ``_data/prices.toml``, read.

In: a model and a tier. Out: a `Price` or None; what another book states, in words.
Must not know: the price book that is installed, requests.
"""

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


@dataclass(frozen=True)
class Disagreement:
    """What another price book states for a model in a tier, where ours states something else.

    Attributes
    ----------
    states
        Its rates in USD per 1,000,000 tokens by name; empty where it has no price.
    why
        What is known of the reason.
    book, as_of
        Which book it is, and the day it was read.
    """

    model: str
    tier: Tier
    states: Mapping[str, Decimal]
    why: str
    book: str
    as_of: date

    @property
    def rates(self) -> str:
        """Its rates in words."""
        rates = ", ".join(f"{_WORDS[name]} ${rate:f}" for name, rate in self.states.items())
        return f"{rates} per million tokens" if rates else "no price"


def in_words(found: Sequence[Disagreement]) -> list[str]:
    """Tell a reader what the other book says of a model's tiers: each reason once.

    Examples
    --------
    >>> tuned = "ft:gpt-4.1-mini-2025-04-14"
    >>> told = in_words([disagreement(tuned, "batch"), disagreement(tuned, "standard")])
    >>> len(told), told[0].count("has no entry for it")
    (1, 1)
    """
    by_reason: dict[str, list[Disagreement]] = {}
    for one in found:
        by_reason.setdefault(one.why, []).append(one)
    return [_for_one_reason(*same) for same in by_reason.values()]


def _for_one_reason(first: Disagreement, *others: Disagreement) -> str:
    told = (
        f"{first.book} ({first.as_of}) states {first.rates} for {first.model} in the {first.tier}"
    )
    also = "".join(f", and {other.rates} in the {other.tier} tier" for other in others)
    return f"{told} tier{also}: {first.why}."


_WORDS: Final = {"input": "input", "output": "output", "cached_input": "cached input"}


def table_price(model: str, tier: Tier) -> Price | None:
    """Look a price up in our own table.

    Examples
    --------
    >>> table_price("text-embedding-3-small", "batch").input
    Decimal('0.01')
    """
    wanted = base_model(model)
    for row in _table()["price"]:
        if wanted in row["models"] and tier in row["tiers"]:
            rate = Decimal(row["input"])
            return Price(model, tier, rate, source=row["source"], as_of=row["as_of"])
    return None


def long_doubt(model: str) -> tuple[int, str] | None:
    """Say beyond how many input tokens it is not agreed what a request costs, and why.

    Examples
    --------
    >>> long_doubt("gpt-5.5-pro")[0], long_doubt("gpt-5.5")
    (272000, None)
    """
    wanted = base_model(model)
    for row in _table()["long_doubt"]:
        if wanted in row["models"]:
            return row["threshold"], f"{row['told']} ({row['as_of']})"
    return None


def tool_fee(kind: str) -> str | None:
    """Say what a call of a tool that the service runs costs beside its tokens, if that is known.

    Examples
    --------
    >>> tool_fee("web_search")
    '$10 per 1,000 calls (genai-prices 0.2.3, web searches of gpt-5.4, gpt-5.6 and gpt-6)'
    """
    for row in _table()["tool_fee"]:
        if kind in row["tools"]:
            return f"{row['told']} ({row['source']})"
    return None


def disagreement(model: str, tier: Tier) -> Disagreement | None:
    """Find what another price book states otherwise; a tuned model goes by what it was tuned from.

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


@cache
def _table() -> dict[str, Any]:
    text = (files("batchframe") / "_data" / "prices.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
