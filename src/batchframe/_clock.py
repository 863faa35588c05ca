"""Time, behind one seam."""

from __future__ import annotations

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


SYSTEM: Final = Clock(time.time, time.monotonic, time.sleep)
