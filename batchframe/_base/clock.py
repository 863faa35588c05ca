"""A single source of time, so that tests can replace it."""

from __future__ import annotations

import datetime as dt
import math
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

_WINDOW: Final = re.compile(r"([1-9][0-9]{0,3})([hd])")
_HOURS: Final = {"h": 1, "d": 24}


@dataclass(frozen=True)
class Clock:
    """A source of time, in seconds.

    Attributes
    ----------
    now
        The current date, for records only; it is never compared with a server's clock.
    elapsed
        Seconds that never run backwards.
    sleep
        Wait for this many seconds.
    """

    now: Callable[[], float]
    elapsed: Callable[[], float]
    sleep: Callable[[float], None]


def today() -> dt.date:
    """Return the current day in UTC."""
    return dt.datetime.now(dt.UTC).date()


def day_of(seconds: float) -> dt.date:
    """Return the UTC day of a timestamp.

    Examples
    --------
    >>> day_of(0.0).isoformat()
    '1970-01-01'
    """
    return dt.datetime.fromtimestamp(seconds, dt.UTC).date()


def hours_of(window: str) -> int | None:
    """Parse a completion window in hours; None if it is invalid.

    Examples
    --------
    >>> hours_of("24h"), hours_of("7d"), hours_of("soon")
    (24, 168, None)
    """
    match = _WINDOW.fullmatch(window)
    return None if match is None else int(match[1]) * _HOURS[match[2]]


SYSTEM: Final = Clock(time.time, time.monotonic, time.sleep)


@dataclass(frozen=True)
class Backoff:
    """Pauses that grow exponentially.

    Attributes
    ----------
    initial, maximum
        Length of the first and of the longest pause, in seconds.
    jitter
        Fraction of a pause that is randomly added or subtracted.
    """

    initial: float = 1.0
    maximum: float = math.inf
    factor: float = 2.0
    jitter: float = 0.0

    def pauses(self) -> Iterator[float]:
        """Yield the length of each pause, without end.

        Examples
        --------
        >>> from itertools import islice
        >>> list(islice(Backoff(5.0, 10.0, factor=1.4).pauses(), 4))
        [5.0, 7.0, 9.799..., 10.0]
        """
        pause = self.initial
        while True:
            yield pause * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 - no secret
            pause = min(pause * self.factor, self.maximum)


NO_PAUSE: Final = Backoff(0.0)


class Retries:
    """Remaining attempts and the pauses between them.

    Parameters
    ----------
    backoff
        The pauses.
    attempts
        Maximum number of attempts.
    timeout
        Seconds from now after which there are no more attempts; None for no limit.

    Examples
    --------
    >>> retries = Retries(NO_PAUSE, attempts=3)
    >>> [retries.pause() for _ in range(3)]
    [True, True, False]
    """

    def __init__(
        self,
        backoff: Backoff,
        clock: Clock = SYSTEM,
        *,
        attempts: float = math.inf,
        timeout: float | None = None,
    ) -> None:
        self._pauses = backoff.pauses()
        self._maximum = backoff.maximum
        self._clock = clock
        self._attempts = attempts
        self._end = None if timeout is None else clock.elapsed() + timeout

    def left(self) -> float | None:
        """Return the remaining seconds; None without a timeout."""
        return None if self._end is None else self._end - self._clock.elapsed()

    def next_pause(self, retry_after: float | None = None) -> float | None:
        """Count a failed attempt and return the pause before the next one.

        None if no attempts remain.

        Parameters
        ----------
        retry_after
            Seconds that the service asks for instead.
        """
        self._attempts -= 1
        pause, remaining = next(self._pauses), self.left()
        if self._attempts < 1 or (remaining is not None and remaining <= 0):
            return None
        if retry_after is not None:
            pause = min(retry_after, self._maximum)
        return pause if remaining is None else min(pause, remaining)

    def pause(self, retry_after: float | None = None) -> bool:
        """Sleep until the next attempt; return False if none remain."""
        seconds = self.next_pause(retry_after)
        if seconds is None:
            return False
        self._clock.sleep(seconds)
        return True
