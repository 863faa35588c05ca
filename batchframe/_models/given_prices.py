"""Prices passed by the user, which override every other source."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

from batchframe._base.errors import CostError, format_list
from batchframe._base.safe_text import PRICES, NextStep
from batchframe._models.price import TIERS, Price, Tier

GIVEN: Final = "given as prices="
"""The source of these prices."""
RATES: Final = ("input", "cached_input", "cache_write", "output")
_SHAPE: Final = (
    "Give USD per 1,000,000 tokens: "
    + NextStep('prices={"input": "0.10", "cached_input": "0.01", "output": "0.60"}', PRICES.shell)
    + ' for the batch tier, or prices={"batch": {...}, "standard": {...}}.'
)

# Costs at these rates can be summed exactly.
_HIGHEST: Final = Decimal(10**12)
_MOST_PLACES: Final = 24


def given_prices(prices: object) -> dict[Tier, Price]:
    """Parse ``prices=``: rates of the batch tier, or of tiers by name.

    Raises
    ------
    CostError
        If its structure is invalid.

    Examples
    --------
    >>> given_prices({"input": 0.1, "output": "0.6"})["batch"].output
    Decimal('0.6')
    """
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
                f"prices= has a rate {key!r}, which is not one of {format_list(RATES)}.",
                next_step=_SHAPE,
            )
    input_ = _rate("input", rates)
    if input_ is None:
        raise CostError('prices= has no rate "input".', next_step=_SHAPE)
    cached, output = _rate("cached_input", rates), _rate("output", rates)
    cache_write = _rate("cache_write", rates)
    return Price("", tier, input_, cached, output, source=GIVEN, cache_write=cache_write)


def _rate(name: str, rates: Mapping[str, object]) -> Decimal | None:
    value = rates.get(name)
    if value is None:
        return None
    if isinstance(value, str | int | float | Decimal):
        try:
            # Converted through a string, so that the float 0.1 becomes Decimal("0.1").
            rate = value if isinstance(value, Decimal) else Decimal(str(value))
        except InvalidOperation:
            rate = Decimal("NaN")
        if rate.is_finite() and 0 <= rate <= _HIGHEST and _decimal_places(rate) <= _MOST_PLACES:
            return rate
    raise CostError(
        f"prices= has {value!r} for {name!r}, which is not an amount of money.", next_step=_SHAPE
    )


def _decimal_places(rate: Decimal) -> int:
    return -int(rate.as_tuple().exponent)


def _no_rates_error(value: object) -> CostError:
    return CostError(f"prices= has {value!r} where a dict of rates must stand.", next_step=_SHAPE)
