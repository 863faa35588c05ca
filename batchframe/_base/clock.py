"""Time, behind one seam."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Clock:
    """Where time comes from, in seconds.

    Attributes
    ----------
    now
        The date, for the record only: no decision compares it with a server's.
    elapsed
        Seconds that never run backwards.
    sleep
        Wait this many seconds.
    """

    now: Callable[[], float]
    elapsed: Callable[[], float]
    sleep: Callable[[float], None]


def today() -> dt.date:
    """Return the day it is, in UTC."""
    return dt.datetime.now(dt.UTC).date()


def day_of(seconds: float) -> dt.date:
    """Return the day of a moment, in UTC.

    Examples
    --------
    >>> day_of(0.0).isoformat()
    '1970-01-01'
    """
    return dt.datetime.fromtimestamp(seconds, dt.UTC).date()


SYSTEM: Final = Clock(time.time, time.monotonic, time.sleep)
