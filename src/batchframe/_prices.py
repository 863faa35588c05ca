"""What a token costs, by model and tier.

In: a model's name, a tier, and the user's own prices if there are any. Out: a `Price`, or None
where nobody here knows: never 0 for an unknown model, never half of another price by guess. This
module knows no requests and counts no tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Final, get_args

from batchframe._model_names import base_model
from batchframe._price_book import book_price
from batchframe._rates import Price, Tier
from batchframe.errors import CostError

__all__ = ["Price", "Tier", "price"]

_TIERS: Final[tuple[Tier, ...]] = get_args(Tier)
_RATES: Final = ("input", "cached_input", "output")

# The price book has no batch rate for embeddings and no rate at all for moderation.
_LITELLM: Final = (
    "litellm 1.109.1, half the standard price; OpenAI's own Batch table was not checked"
)
_FREE: Final = "OpenAI moderation guide: the endpoint is free"
_AS_OF: Final = date(2026, 11, 21)
_BATCH_INPUT: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "text-embedding-3-small": ("0.01", _LITELLM),
        "text-embedding-3-large": ("0.065", _LITELLM),
        "text-embedding-ada-002": ("0.05", _LITELLM),
        "text-embedding-ada-002-v2": ("0.05", _LITELLM),
        "omni-moderation-latest": ("0", _FREE),
        "omni-moderation-2024-09-26": ("0", _FREE),
    }
)


def price(
    model: str,
    tier: Tier = "batch",
    *,
    provider: str = "openai",
    prices: Mapping[str, Any] | None = None,
    on: date | None = None,
) -> Price | None:
    """Give what a model's tokens cost in a tier.

    Parameters
    ----------
    model
        The model's name, as it stands in the request.
    tier
        ``"batch"``, ``"standard"``, ``"flex"`` or ``"priority"``.
    provider
        Who is paid: ``"openai"``, ``"azure"``, ``"groq"``, … as genai-prices spells it.
    prices
        Your own prices, in USD per 1,000,000 tokens; they win over every other source. One dict
        of rates is for the batch tier: ``{"input": "0.10", "output": "0.60"}``, with
        ``"cached_input"`` if you have it. For more tiers, one such dict each:
        ``{"batch": {...}, "standard": {...}}``. A tier that is not in it is looked up. Texts,
        `Decimal`, int and float are taken, a float as it prints.
    on
        The day whose prices are wanted; today when None.

    Returns
    -------
    Price or None
        None means unknown, which is not free.

    Raises
    ------
    CostError
        If `prices` has another shape.

    Examples
    --------
    >>> luna = price("gpt-5.6-luna", "batch", on=date(2026, 11, 21))
    >>> luna.input, luna.cached_input, luna.output
    (Decimal('0.1'), Decimal('0.01'), Decimal('0.6'))
    >>> price("gpt-5.3-chat-latest", "batch") is None
    True
    >>> price("my-model", "batch", prices={"input": 0.1, "output": 0.6}).output
    Decimal('0.6')
    """
    if tier not in _TIERS:
        raise CostError.unknown_tier(tier, _TIERS)
    if prices is not None:
        given = _given_by_tier(prices).get(tier)
        if given is not None:
            return replace(given, model=model)
    found = book_price(model, tier, provider=provider, on=on)
    if found is None and provider == "openai":
        return _own_table(model, tier)
    return found


def _own_table(model: str, tier: Tier) -> Price | None:
    row = _BATCH_INPUT.get(base_model(model))
    if row is None or not (tier == "batch" or row[1] == _FREE):
        return None
    return Price(model, tier, Decimal(row[0]), source=row[1], as_of=_AS_OF)


def _given_by_tier(prices: object) -> dict[Tier, Price]:
    if not isinstance(prices, Mapping) or not prices:
        raise CostError.no_rates(prices)
    by_tier = prices if all(key in _TIERS for key in prices) else {"batch": prices}
    return {tier: _given(tier, by_tier[tier]) for tier in _TIERS if tier in by_tier}


def _given(tier: Tier, rates: object) -> Price:
    if not isinstance(rates, Mapping):
        raise CostError.no_rates(rates)
    for key in rates:
        if key not in _RATES:
            raise CostError.unknown_rate(key, _RATES)
    read = _rate("input", rates)
    if read is None:
        raise CostError.no_input_rate()
    cached, written = _rate("cached_input", rates), _rate("output", rates)
    return Price("", tier, read, cached, written, source="given as prices=")


def _rate(name: str, rates: Mapping[str, object]) -> Decimal | None:
    value = rates.get(name)
    if value is None:
        return None
    if isinstance(value, str | int | float | Decimal):
        try:
            # Through text, so that the float 0.1 is the 0.1 that was typed.
            rate = value if isinstance(value, Decimal) else Decimal(str(value))
        except InvalidOperation:
            rate = Decimal("NaN")
        if rate.is_finite() and rate >= 0:
            return rate
    raise CostError.not_a_rate(name, value)
