"""Price lookup by model and tier, across several sources in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

from batchframe._base.errors import CostError
from batchframe._models.genai_prices import book_price
from batchframe._models.given_prices import given_prices
from batchframe._models.price import TIERS, LongContext, Price, Tier
from batchframe._models.price_table import table_price
from batchframe._services.provider import OPENAI, Provider

_Source = Callable[[str, Tier, Provider, date | None], Price | None]
_SOURCES: Final[tuple[_Source, ...]] = (book_price, table_price)
"""Searched in this order if the user passes no price. To add a source, add its function, which
returns None unless it has a price for exactly this model, tier and provider."""


def price(
    model: str,
    tier: Tier = "batch",
    *,
    provider: Provider = OPENAI,
    prices: Mapping[str, Any] | None = None,
    on: date | None = None,
    with_images: bool = False,
) -> Price | None:
    """Return the token price of a model in a tier.

    Parameters
    ----------
    model
        The model's name, as in the request.
    tier
        ``"batch"``, ``"standard"``, ``"flex"`` or ``"priority"``.
    provider
        The provider that charges.
    prices
        Your own prices, in USD per 1,000,000 tokens; they override every other source. A single
        dict of rates applies to the batch tier: ``{"input": "0.10", "output": "0.60"}``, with
        ``"cached_input"`` and ``"cache_write"`` if applicable. For several tiers, pass one such
        dict each: ``{"batch": {...}, "standard": {...}}``. Missing tiers are looked up. Rates may
        be strings, `Decimal`, int or float; a float is converted through its string.
    on
        The date of the prices; today if None.
    with_images
        Whether the input contains images: all input is then priced as image tokens, if those cost
        more.

    Returns
    -------
    Price or None
        None means unknown, which is not free.

    Raises
    ------
    CostError
        If the structure of `prices` is invalid.

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
    if tier not in TIERS:
        raise CostError.unknown_tier(tier, TIERS)
    user_prices = {} if prices is None else given_prices(prices)
    if tier in user_prices:
        return replace(user_prices[tier], model=model)
    candidates = (source(model, tier, provider, on) for source in _SOURCES)
    result = next(filter(None, candidates), None)
    if result is None and tier == "batch" and provider.discount is not None:
        standard = price(model, "standard", provider=provider, prices=prices, on=on)
        result = standard and _discounted(standard, provider.discount, provider.name)
    return result.of_images() if result is not None and with_images else result


def _discounted(standard: Price, discount: Decimal, name: str) -> Price:
    """Apply a service's batch discount to a standard price."""
    fraction, long = 1 - discount, standard.long_context
    # No cached price is published for batches, so cached input counts as other input.
    return replace(
        standard,
        tier="batch",
        input=standard.input * fraction,
        cached_input=None,
        output=_times(standard.output, fraction),
        long_context=long
        and LongContext(long.threshold, long.input * fraction, None, _times(long.output, fraction)),
        source=f"{standard.source}, less {name}'s batch discount of {discount:.0%}",
        cache_write=None,
    )


def _times(rate: Decimal | None, part: Decimal) -> Decimal | None:
    return None if rate is None else rate * part


def lifetime_of_cache_note(body: Mapping[str, Any]) -> list[str]:
    """Return a note that the price of a longer cache lifetime is unknown."""
    options = body.get("prompt_cache_options")
    if not isinstance(options, Mapping) or options.get("ttl") in {None, "30m"}:
        return []
    note = (
        f"Prompt cache writes with ttl {options['ttl']} cost more than with 30m, but their price "
        "is unknown: they are priced as for 30m."
    )
    return [note]
