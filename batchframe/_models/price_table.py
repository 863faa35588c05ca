"""Dated prices missing from the price books, from ``prices.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from batchframe._models.names import base_model
from batchframe._models.price import LongContext, Price, Tier
from batchframe._services.provider import OPENAI, Provider


def table_price(
    model: str, tier: Tier, provider: Provider = OPENAI, _on: date | None = None
) -> Price | None:
    """Look up a price in batchframe's table, which covers some OpenAI models.

    Examples
    --------
    >>> table_price("omni-moderation-latest", "batch").input
    Decimal('0')
    >>> table_price("gpt-6.2-sol", "batch").output
    Decimal('5.0')
    """
    row = _row("price", "models", base_model(model))
    if provider.price_book != OPENAI.price_book or row is None:
        return None
    multiples = dict.fromkeys(row["tiers"], "1") | row.get("multiples", {})
    if tier not in multiples:
        return None
    long = row.get("long")
    standard = Price(
        model,
        tier,
        **_rates(row),
        long_context=long and LongContext(long["above"], **_rates(long)),
        source=row["source"],
        as_of=row["as_of"],
    )
    return standard.less(1 - Decimal(multiples[tier]))


def _rates(row: Mapping[str, Any]) -> dict[str, Any]:
    rates = ("cached_input", "output", "cache_write")
    stated = {name: Decimal(row[name]) if name in row else None for name in rates}
    return {"input": Decimal(row["input"]), **stated}


def checked_on() -> date:
    """Return the day on which the prices were last compared with others."""
    return date.fromisoformat(str(_table()["checked"]))


def is_offered(model: str, provider: Provider = OPENAI) -> bool:
    """Return whether OpenAI offers a model that a price book lists.

    Examples
    --------
    >>> is_offered("gpt-oss-120b"), is_offered("gpt-5.6-luna")
    (False, True)
    """
    return (
        provider.price_book != OPENAI.price_book or base_model(model) not in _models_not_offered()
    )


def tool_fee(kind: str) -> str | None:
    """Return the fee of a hosted tool's calls, as text; None if unknown.

    Examples
    --------
    >>> tool_fee("web_search")
    '$10 per 1,000 calls (genai-prices 0.2.3, web searches of gpt-5.4, gpt-5.6 and gpt-6)'
    """
    row = _row("tool_fee", "tools", kind)
    return None if row is None else f"{row['text']} ({row['source']})"


@cache
def _models_not_offered() -> frozenset[str]:
    return frozenset(name for row in _table()["not_sold"] for name in row["models"])


def _row(table: str, names: str, name: str) -> dict[str, Any] | None:
    return next((row for row in _table()[table] if name in row[names]), None)


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "prices.toml").read_text(encoding="utf-8"))
