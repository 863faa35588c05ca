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
from typing import Any, Final, get_args

from batchframe._base.errors import CostError, format_list
from batchframe._models.genai_prices import book_price
from batchframe._models.price import LongContext, Price, Tier
from batchframe._models.price_table import table_price
from batchframe._services.provider_table import OPENAI, Provider

__all__ = [
    "GIVEN",
    "RATES",
    "TIERS",
    "Price",
    "Tier",
    "lifetime_of_cache_note",
    "price",
]

TIERS: Final[tuple[Tier, ...]] = get_args(Tier)
GIVEN: Final = "given as prices="
"""The source of prices that the user gave."""
RATES: Final = ("input", "cached_input", "cache_write", "output")


def price(
    model: str,
    tier: Tier = "batch",
    *,
    provider: Provider = OPENAI,
    prices: Mapping[str, Any] | None = None,
    on: date | None = None,
    with_images: bool = False,
) -> Price | None:
    """Give what a model's tokens cost in a tier.

    Parameters
    ----------
    model
        The model's name, as it stands in the request.
    tier
        ``"batch"``, ``"standard"``, ``"flex"`` or ``"priority"``.
    provider
        Who is paid.
    prices
        Your own prices, in USD per 1,000,000 tokens; they win over every other source. One dict
        of rates is for the batch tier: ``{"input": "0.10", "output": "0.60"}``, with
        ``"cached_input"`` and ``"cache_write"`` if you have them. For more tiers, one such dict
        each: ``{"batch": {...}, "standard": {...}}``. A tier that is not in it is looked up. Texts,
        `Decimal`, int and float are taken, a float as it prints.
    on
        The day whose prices are wanted; today when None.
    with_images
        Whether images go in: all input is then priced as theirs, where that is dearer.

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
    if tier not in TIERS:
        raise CostError.unknown_tier(tier, TIERS)
    if prices is not None:
        given = given_by_tier(prices).get(tier)
        if given is not None:
            return replace(given, model=model)
    found = None
    if provider.price_book is not None:
        found = book_price(model, tier, provider=provider.price_book, on=on)
    if found is None and provider.price_book == OPENAI.price_book:
        found = table_price(model, tier)
    if found is None and tier == "batch" and provider.discount is not None:
        standard = price(model, "standard", provider=provider, prices=prices, on=on)
        found = standard and _less(standard, provider.discount, provider.name)
    return found.of_images() if found is not None and with_images else found


def _less(standard: Price, discount: Decimal, name: str) -> Price:
    """Take from a standard price what a service states that all its batches save."""
    left, long = 1 - discount, standard.long_context
    # Whether cached input is cheaper still in a batch is not stated: it counts as other input.
    return replace(
        standard,
        tier="batch",
        input=standard.input * left,
        cached_input=None,
        output=_times(standard.output, left),
        long_context=None
        if long is None
        else LongContext(long.threshold, long.input * left, None, _times(long.output, left)),
        source=f"{standard.source}, less {discount:.0%} as {name} states for batches",
        cache_write=None,
    )


def _times(rate: Decimal | None, part: Decimal) -> Decimal | None:
    return None if rate is None else rate * part


def lifetime_of_cache_note(body: Mapping[str, Any]) -> list[str]:
    """Say that a longer life in the prompt cache has a price that is not known here."""
    options = body.get("prompt_cache_options")
    if not isinstance(options, Mapping) or options.get("ttl") in {None, "30m"}:
        return []
    told = (
        f"Input kept in the prompt cache for {options['ttl']} is dearer to write than for 30m, by "
        "how much is not known here: what is written is priced as for 30m."
    )
    return [told]


def given_by_tier(prices: object) -> dict[Tier, Price]:
    if not isinstance(prices, Mapping) or not prices:
        raise _no_rates_error(prices)
    by_tier = prices if all(key in TIERS for key in prices) else {"batch": prices}
    return {tier: _given(tier, by_tier[tier]) for tier in TIERS if tier in by_tier}


def _given(tier: Tier, rates: object) -> Price:
    if not isinstance(rates, Mapping):
        raise _no_rates_error(rates)
    for key in rates:
        if key not in RATES:
            raise CostError(
                f"prices= has a rate {key!r}, which is not one of {format_list(RATES)}. "
                f"{_PRICES_SHAPE}"
            )
    read = _rate("input", rates)
    if read is None:
        raise CostError(f'prices= has no rate "input". {_PRICES_SHAPE}')
    cached, written = _rate("cached_input", rates), _rate("output", rates)
    to_cache = _rate("cache_write", rates)
    return Price("", tier, read, cached, written, source=GIVEN, cache_write=to_cache)


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
        if rate.is_finite() and 0 <= rate <= _HIGHEST and _places(rate) <= _MOST_PLACES:
            return rate
    raise CostError(
        f"prices= has {value!r} for {name!r}, which is not an amount of money. {_PRICES_SHAPE}"
    )


# What tokens cost at these rates can be added up exactly.
_HIGHEST: Final = Decimal(10**12)
_MOST_PLACES: Final = 24


def _places(rate: Decimal) -> int:
    return -int(rate.as_tuple().exponent)


_PRICES_SHAPE = (
    "Give USD per 1,000,000 tokens: "
    'prices={"input": "0.10", "cached_input": "0.01", "output": "0.60"} for the batch tier, or '
    'prices={"batch": {...}, "standard": {...}}.'
)


def _no_rates_error(given: object) -> CostError:
    return CostError(f"prices= has {given!r} where a dict of rates must stand. {_PRICES_SHAPE}")
