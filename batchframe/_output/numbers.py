"""Numbers that a schema allows, and the shortest and longest of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from batchframe._output.schema import Node

SMALLEST: Final = -(2**63)
LARGEST: Final = 2**63 - 1
# The longest string of a 64-bit float: 17 digits, sign, point and exponent.
LONGEST_NUMBER: Final = "-1.7976931348623157e+308"
_DIGITS: Final = 17
# The smallest normal float is 2.2e-308.
_MOST_DECIMALS: Final = 310


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`; open ends are excluded, None is unbounded."""

    low: Decimal | None
    high: Decimal | None
    low_open: bool = False
    high_open: bool = False

    def holds(self, number: Decimal) -> bool:
        """Return whether the interval contains a number."""
        if self.low is not None and (number < self.low or (self.low_open and number == self.low)):
            return False
        return self.high is None or not (
            number > self.high or (self.high_open and number == self.high)
        )


def interval(node: Node) -> Interval:
    """Return the interval of a node's bounds."""
    low, low_open = _tighter(node.get("minimum"), node.get("exclusiveMinimum"), max)
    high, high_open = _tighter(node.get("maximum"), node.get("exclusiveMaximum"), min)
    return Interval(low, high, low_open, high_open)


def _tighter(
    closed: float | None, excluded: float | None, pick: Callable[[Decimal, Decimal], Decimal]
) -> tuple[Decimal | None, bool]:
    if excluded is None:
        return (None if closed is None else Decimal(str(closed))), False
    end = Decimal(str(excluded))
    if closed is None:
        return end, True
    chosen = pick(end, Decimal(str(closed)))
    return chosen, chosen == end


def whole_step(node: Node) -> int | None:
    """Return the integer that all answers are multiples of, or None.

    A step such as 0.01 is ignored: as a binary float 0.07 is not a multiple of it, so parsers
    cannot check it, though the service enforces it.
    """
    step = node.get("multipleOf")
    return int(step) if step is not None and step == int(step) else None


def integer_range(node: Node) -> tuple[int, int]:
    """Return the smallest and the largest integer allowed, within 64 bits.

    Examples
    --------
    >>> integer_range({"exclusiveMinimum": 0, "maximum": 7.5, "multipleOf": 2})
    (2, 6)
    """
    bounds, step = interval(node), whole_step(node) or 1
    low, high = SMALLEST, LARGEST
    if bounds.low is not None:
        low = max(low, math.ceil(bounds.low) + (bounds.low_open and bounds.low % 1 == 0))
    if bounds.high is not None:
        high = min(high, math.floor(bounds.high) - (bounds.high_open and bounds.high % 1 == 0))
    return -(-low // step) * step, high // step * step


def longest_integer(node: Node) -> str:
    """Return the longest integer allowed; 20 characters if unbounded."""
    return max(map(str, integer_range(node)), key=len)


def shortest_number(node: Node) -> str:
    """Return the shortest number allowed: the one with the fewest decimals.

    Examples
    --------
    >>> shortest_number({"minimum": 0.24, "maximum": 0.31})
    '0.3'
    """
    bounds, step = interval(node), node.get("multipleOf")
    if step is not None:
        return _plain(_multiple(bounds, Decimal(str(step)), towards_zero=True))
    for decimals in range(_MOST_DECIMALS):
        number = _multiple(bounds, Decimal(1).scaleb(-decimals), towards_zero=True)
        if bounds.holds(number):
            return min(_plain(number), repr(float(number)), key=len)
    return _plain(bounds.low or bounds.high or Decimal(0))


def longest_number(node: Node) -> str:
    """Return a number of the maximum length; 24 characters if unbounded."""
    bounds, step = interval(node), node.get("multipleOf")
    if bounds.low is None or bounds.high is None:
        return LONGEST_NUMBER
    digits = max(bounds.low.adjusted(), bounds.high.adjusted(), 0) + 1
    unit = Decimal(str(step)) if step is not None else Decimal(1).scaleb(min(0, digits - _DIGITS))
    high, low = (_multiple(bounds, unit, towards_zero=False, up=up) for up in (True, False))
    candidates = [_plain(number) for number in (high, low, high - 7 * unit, low + 7 * unit)]
    # The float must be inside: close to an open end it may round to the end.
    within = [text for text in candidates if bounds.holds(Decimal(str(float(text))))]
    return max(within, key=len, default=shortest_number(node))


def _multiple(bounds: Interval, unit: Decimal, *, towards_zero: bool, up: bool = True) -> Decimal:
    """Return the multiple of `unit` in the interval nearest to zero or an end."""
    if towards_zero:
        if bounds.holds(Decimal(0)):
            return Decimal(0)
        up = bounds.low is None or bounds.low < 0
    end = bounds.high if up else bounds.low
    if end is None:
        return Decimal(0)
    rounding = ROUND_FLOOR if up else ROUND_CEILING
    number = (end / unit).to_integral_value(rounding) * unit
    if bounds.holds(number):
        return number
    return number - unit if up else number + unit


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
