"""A range of possible values for an unknown number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Generic, TypeVar

_N = TypeVar("_N", int, Decimal, Fraction)
_M = TypeVar("_M", int, Decimal, Fraction)


@dataclass(frozen=True)
class Range(Generic[_N]):
    """Bounds and expected value of a number; None where unknown.

    Examples
    --------
    >>> Range(1, None, 3) + Range.exactly(4)
    Range(low=5, expected=None, high=7)
    """

    low: _N
    expected: _N | None
    high: _N | None

    @classmethod
    def exactly(cls, number: _N) -> Range[_N]:
        """Return the range of a known number."""
        return cls(number, number, number)

    def __add__(self, other: Range[_N]) -> Range[_N]:
        def total(one: _N | None, another: _N | None) -> _N | None:
            return None if one is None or another is None else one + another

        expected = total(self.expected, other.expected)
        return Range(self.low + other.low, expected, total(self.high, other.high))

    def map(self, function: Callable[[_N], _M]) -> Range[_M]:
        """Apply an increasing function to the bounds and the expected value."""
        return Range(
            function(self.low),
            None if self.expected is None else function(self.expected),
            None if self.high is None else function(self.high),
        )
