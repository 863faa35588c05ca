"""Formatting of numbers, amounts and dates."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from typing import Final, TypeVar

from batchframe._base.ranges import Range

UNKNOWN: Final = "unknown"
UNDEFINED: Final = "undefined"
_N = TypeVar("_N", int, Decimal)


def count(number: int | None) -> str:
    """Format an integer with thousands separators.

    Examples
    --------
    >>> count(12430), count(None)
    ('12,430', 'unknown')
    """
    return UNKNOWN if number is None else f"{number:,}"


def plural(number: int, noun: str) -> str:
    """Format a number with its noun in the singular or plural.

    Examples
    --------
    >>> plural(1, "row"), plural(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def money(usd: Decimal | None) -> str:
    """Format an amount in USD.

    Amounts below a dollar have at least two significant digits.

    Examples
    --------
    >>> money(Decimal("1234.567")), money(Decimal("0.0021234")), money(Decimal(0)), money(None)
    ('$1,234.57', '$0.0021', '$0.00', 'unknown')
    """
    if usd is None:
        return UNKNOWN
    if usd == 0 or usd >= 1:
        return f"${usd:,.2f}"
    digits = max(2, 1 - usd.adjusted())
    return f"${usd:.{digits}f}"


def round_up(usd: Decimal) -> Decimal:
    """Round an amount up to two significant digits, or to a cent.

    Examples
    --------
    >>> round_up(Decimal("0.0021234")), round_up(Decimal("12.341")), round_up(Decimal(0))
    (Decimal('0.0022'), Decimal('12.35'), Decimal('0.01'))
    """
    if not usd:
        return Decimal("0.01")
    digits = 2 if usd >= 1 else max(2, 1 - usd.adjusted())
    return usd.quantize(Decimal(1).scaleb(-digits), ROUND_CEILING)


def percent(share: float) -> str:
    """Format a fraction as a percentage.

    Examples
    --------
    >>> percent(0.87251), percent(float("nan"))
    ('87.3%', 'undefined')
    """
    return UNDEFINED if math.isnan(share) else f"{share:.1%}"


def decimals(number: float) -> str:
    """Format a measure between -1 and 1 with two decimals.

    Examples
    --------
    >>> decimals(0.8149), decimals(-0.001), decimals(float("nan"))
    ('0.81', '0.00', 'undefined')
    """
    return UNDEFINED if math.isnan(number) else f"{number:z.2f}"


def shortened(text: str, most: int = 40) -> str:
    """Truncate a string to `most` characters.

    Examples
    --------
    >>> shortened("a very long name of a label", 12)
    'a very long…'
    """
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def format_range(range_: Range[_N] | None, write: Callable[[_N | None], str]) -> str:
    """Format a range: its expected value, lower bound and upper bound.

    Examples
    --------
    >>> format_range(Range(1, 2, 3), count), format_range(Range.exactly(5), count)
    ('2 (1 to 3)', '5')
    >>> format_range(Range(1, None, None), count), format_range(None, count)
    ('at least 1, no upper bound', 'unknown')
    """
    if range_ is None:
        return UNKNOWN
    low, high = write(range_.low), write(range_.high)
    if low == high:
        return low  # ends that print alike are one number
    if range_.high is None:
        return f"at least {low}, no upper bound"
    expected = None if range_.expected is None else write(range_.expected)
    return f"{low} to {high}" if expected in {None, low, high} else f"{expected} ({low} to {high})"


def when(seconds: float | None) -> str:
    """Format a Unix timestamp in the local time zone.

    Examples
    --------
    >>> when(None)
    'unknown'
    """
    if seconds is None:
        return UNKNOWN
    try:
        moment = dt.datetime.fromtimestamp(seconds).astimezone()
    except (ValueError, OverflowError, OSError):
        return UNKNOWN  # a service may return any number
    return moment.strftime("%Y-%m-%d %H:%M %Z")


def clock_time(seconds: float) -> str:
    """Format a time in the local time zone; today it has no date."""
    text = when(seconds)
    day, _, rest = text.partition(" ")
    return rest if rest and day == when(time.time()).partition(" ")[0] else text


def duration(seconds: float) -> str:
    """Format a duration by its two largest units.

    Examples
    --------
    >>> duration(0.4), duration(75), duration(5400), duration(200_000)
    ('under 1 s', '1 min', '1 h 30 min', '2 d 7 h')
    """
    total = max(0, int(seconds))
    days, hours, minutes = total // 86_400, total // 3600 % 24, total // 60 % 60
    if days:
        return f"{days:,} d {hours} h" if hours else f"{days:,} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min" if minutes else f"{total} s" if total else "under 1 s"
