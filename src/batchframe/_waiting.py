"""Looking again until a job is done, with growing pauses.

In: what one look does, and when it is enough. Out: nothing; the journal has it all.
Must not know: batches, files, cards' contents.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from batchframe._clock import SYSTEM, Clock
from batchframe._providers import Profile
from batchframe.errors import ServiceError

_GROWTH: Final = 1.4
_FAILURES: Final = 30
"""Looks in a row that may fail before waiting is given up: half an hour at OpenAI's pace."""


@dataclass(frozen=True)
class Pace:
    """Seconds between two looks: how many at first, at most, and how many have been given."""

    first: float
    last: float

    @classmethod
    def of(cls, profile: Profile) -> Pace:
        """Return the pace that suits a service."""
        return cls(profile.first_poll, profile.last_poll)

    def pauses(self) -> list[float]:
        """Return the pauses until the longest, which then repeats.

        Examples
        --------
        >>> Pace(5.0, 10.0).pauses()
        [5.0, 7.0, 9.799..., 10.0]
        """
        pauses = [self.first]
        while pauses[-1] < self.last:
            pauses.append(min(pauses[-1] * _GROWTH, self.last))
        return pauses


@dataclass(frozen=True)
class Waited:
    """How waiting ended: whether it is done, and if not, why the last look failed, if it did."""

    done: bool
    trouble: ServiceError | None = None


def until(
    done: Callable[[], bool],
    look: Callable[[float | None], None],
    pace: Pace,
    *,
    timeout: float | None = None,
    clock: Clock = SYSTEM,
) -> Waited:
    """Look until `done`, or until `timeout` seconds are over.

    A look that fails because the service cannot be reached, or is out of order, is tried again.

    Parameters
    ----------
    look
        Is told how many seconds are left, None if nobody counts them.

    Raises
    ------
    ServiceError
        If the service refuses, or cannot be reached for a long time.
    """
    end = None if timeout is None else clock.elapsed() + timeout
    pauses = iter(pace.pauses())
    pause = pace.first
    failures = 0
    while True:
        trouble = None
        try:
            look(None if end is None else end - clock.elapsed())
            failures = 0
        except ServiceError as reason:
            trouble = reason
            failures += 1
            if not reason.passing or failures > _FAILURES:
                raise
        if done():
            return Waited(done=True)
        left = float("inf") if end is None else end - clock.elapsed()
        if left <= 0:
            return Waited(done=False, trouble=trouble)
        pause = next(pauses, pause)
        # Jitter, so that many kernels do not ask at the same moment.
        clock.sleep(min(left, pause * random.uniform(0.85, 1.15)))  # noqa: S311 - not a secret
