"""The second price book: a snapshot of litellm's prices, litellm.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from batchframe._models.names import listed_name
from batchframe._models.price import LongContext, Price, Tier
from batchframe._services.provider import OPENAI, Provider


def litellm_price(
    model: str, tier: Tier, provider: Provider = OPENAI, _on: date | None = None
) -> Price | None:
    """Look up a price in the snapshot; None if the name or tier is missing.

    A fine-tuned model is listed by its base model.

    Examples
    --------
    >>> tuned = litellm_price("ft:gpt-4.1-mini-2025-04-14:acme::1", "batch")
    >>> tuned.input, tuned.cached_input, tuned.output
    (Decimal('0.4'), Decimal('0.1'), Decimal('1.6'))
    >>> litellm_price("gpt-5.6-luna-2026-07-01", "batch") is None
    True
    """
    if provider.price_book != OPENAI.price_book:
        return None
    rates, long = _rates(model, tier), _rates(model, f"{tier}_long")
    if rates is None:
        return None
    above = None
    if long is not None:
        above = LongContext(
            _snapshot()["long_above"],
            long["input"],
            long.get("cached_input"),
            long.get("output"),
            long.get("cache_write"),
        )
    return Price(
        model=model,
        tier=tier,
        input=rates["input"],
        cached_input=rates.get("cached_input"),
        output=rates.get("output"),
        long_context=above,
        source=_snapshot()["book"],
        as_of=_snapshot()["as_of"],
        cache_write=rates.get("cache_write"),
        image_input=rates.get("image_input"),
    )


def half_day_writes(model: str, tier: Tier) -> tuple[Decimal, Decimal | None] | None:
    """Return the rates of 12-hour cache writes, for normal and long requests.

    Examples
    --------
    >>> half_day_writes("gpt-6-luna", "batch"), half_day_writes("gpt-4.1", "batch")
    ((Decimal('0.125'), Decimal('0.25')), None)
    """
    rates, long = _rates(model, tier) or {}, _rates(model, f"{tier}_long") or {}
    usual = rates.get("cache_write_12h")
    return None if usual is None else (usual, long.get("cache_write_12h"))


def is_in_snapshot(model: str) -> bool:
    """Return whether the snapshot lists a model by exactly this name."""
    return listed_name(model) in _snapshot()["models"]


def snapshot_version() -> str:
    """Return the name and date of the snapshot.

    Examples
    --------
    >>> snapshot_version()
    'litellm ... (20...)'
    """
    return f"{_snapshot()['book']} ({_snapshot()['as_of']})"


def _rates(model: str, row: str) -> Mapping[str, Decimal] | None:
    rates = _snapshot()["models"].get(listed_name(model), {}).get(row)
    return rates and {name: Decimal(rate) for name, rate in rates.items()}


@cache
def _snapshot() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "litellm.toml").read_text(encoding="utf-8"))
