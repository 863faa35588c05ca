"""Prices passed by the user, which override every other source."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from batchframe._base.errors import CostError, format_list
from batchframe._base.safe_text import PRICES, NextStep
from batchframe._models.price import TIERS, Price, Tier

GIVEN: Final = "given as prices="
"""The source of these prices."""
RATES: Final = ("input", "cached_input", "cache_write", "output")
_SHAPE: Final = (
    "Fix: "
    + NextStep('prices={"input": "0.10", "cached_input": "0.01", "output": "0.60"}', PRICES.shell)
    + " (USD per 1,000,000 tokens in the batch tier)"
    + NextStep(', or prices={"batch": {...}, "standard": {...}}', "")
    + "."
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
    is_by_tier = isinstance(prices, Mapping) and prices and all(key in TIERS for key in prices)
    by_tier: Any = prices if is_by_tier else {"batch": prices}
    return {tier: _price(tier, by_tier[tier]) for tier in TIERS if tier in by_tier}


def _price(tier: Tier, rates: object) -> Price:
    if not isinstance(rates, Mapping) or not rates:
        raise CostError(f"prices: not a dict of rates ({rates!r}).", next_step=_SHAPE)
    if unknown := [key for key in rates if key not in RATES]:
        raise CostError(
            f"prices: unknown rate ({unknown[0]!r}); the rates are {format_list(RATES)}.",
            next_step=_SHAPE,
        )
    input_, cached, cache_write, output = (_rate(name, rates) for name in RATES)
    if input_ is None:
        raise CostError('prices: missing rate "input".', next_step=_SHAPE)
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
    raise CostError(f"prices: not a valid amount for {name!r} ({value!r}).", next_step=_SHAPE)


def _decimal_places(rate: Decimal) -> int:
    return -int(rate.as_tuple().exponent)
