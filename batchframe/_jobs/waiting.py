"""Looking again until a job is done, with growing pauses.

In: what one look does, and when it is enough. Out: nothing; the journal has it all.
Must not know: batches, files, cards' contents.
"""

from __future__ import annotations

import asyncio
import random
import threading
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

from batchframe._base.clock import SYSTEM, Clock
from batchframe._base.errors import ServiceError
from batchframe._display import Card, Screen, notify
from batchframe._services.provider_table import Provider

_GROWTH: Final = 1.4
_FAILURES: Final = 30
"""Looks in a row that may fail before waiting is given up: half an hour at OpenAI's pace."""


@dataclass(frozen=True)
class Pace:
    """Seconds between two looks: how many at first, at most, and how many have been given."""

    first: float
    last: float

    @classmethod
    def of(cls, profile: Provider) -> Pace:
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
    course = _Course(pace, timeout, clock)
    while True:
        left = course.left()
        trouble = _attempt(look, left)
        course.note(trouble)
        if done():
            return Waited(done=True)
        if (pause := course.pause()) is None:
            return Waited(done=False, trouble=trouble)
        clock.sleep(pause)


async def until_async(
    done: Callable[[], bool], look: Callable[[float | None], None], pace: Pace
) -> None:
    """Look until `done`, in another thread, while the event loop is free for other work.

    Raises
    ------
    ServiceError
        As for :func:`until`.
    """
    course = _Course(pace, None, SYSTEM)
    while True:
        course.note(await asyncio.to_thread(_attempt, look, None))
        if done():
            return
        await asyncio.sleep(course.pause() or 0.0)


def _attempt(look: Callable[[float | None], None], left: float | None) -> ServiceError | None:
    try:
        look(left)
    except ServiceError as trouble:
        return trouble
    return None


class _Course:
    """How long to wait for the next look, and whether there is one."""

    def __init__(self, pace: Pace, timeout: float | None, clock: Clock) -> None:
        self._pauses = iter(pace.pauses())
        self._pause = pace.first
        self._clock = clock
        self._end = None if timeout is None else clock.elapsed() + timeout
        self._failures = 0

    def left(self) -> float | None:
        """Return the seconds that are left; None if nobody counts them."""
        return None if self._end is None else self._end - self._clock.elapsed()

    def note(self, trouble: ServiceError | None) -> None:
        """Count a look that failed; raise what will not pass, or has not for long."""
        self._failures = self._failures + 1 if trouble else 0
        if trouble and (not trouble.passing or self._failures > _FAILURES):
            raise trouble

    def pause(self) -> float | None:
        """Return the seconds until the next look; None if the time is over before."""
        left = self.left()
        if left is not None and left <= 0:
            return None
        self._pause = next(self._pauses, self._pause)
        # Jitter, so that many kernels do not ask at the same moment.
        return min(left or float("inf"), self._pause * random.uniform(0.85, 1.15))  # noqa: S311 - not a secret


_O = TypeVar("_O")


THREAD_NAME: Final = "batchframe-watch"


@dataclass(eq=False)
class _Watch(Generic[_O]):
    """One thread's work. It holds its owner weakly: nobody watches for an object that is gone."""

    owner: weakref.ref[_O]
    done: Callable[[_O], bool]
    look: Callable[[_O], None]
    screen: Screen
    pace: Pace
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        try:
            until(
                self._is_over, self._look_once, self.pace, clock=replace(SYSTEM, sleep=self._sleep)
            )
        except Exception as reason:  # noqa: BLE001 - nobody else would see it
            self._tell(f"Watching ended: {reason}", bad=True)
        if self.stopped.is_set():
            self._tell("Watched in another cell since.")
        elif not self.screen.in_notebook and self.screen.last is not None:
            notify("; ".join([self.screen.last.title, *self.screen.last.notes]))

    def _sleep(self, seconds: float) -> None:
        self.stopped.wait(seconds)

    def _look_once(self, _left: float | None) -> None:
        owner = self.owner()
        if owner is not None and not self.stopped.is_set():
            self.look(owner)

    def _is_over(self) -> bool:
        owner = self.owner()
        return owner is None or self.stopped.is_set() or self.done(owner)

    def _tell(self, note: str, *, bad: bool = False) -> None:
        card = self.screen.last or Card("Watching")
        told = replace(card, notes=(*card.notes, note), tone="bad" if bad else card.tone)
        self.screen.show(told, note)


_watches: dict[Hashable, _Watch[Any]] = {}


_changing = threading.Lock()


def watch(
    key: Hashable,
    owner: _O,
    *,
    done: Callable[[_O], bool],
    look: Callable[[_O], None],
    screen: Screen,
    pace: Pace,
) -> None:
    """Look in a daemon thread until `owner` is done or gone, or `key` is watched again.

    What `look` raises ends the watch and stands on the card.
    """
    new = _Watch(weakref.ref(owner), done, look, screen, pace)
    with _changing:
        before = _watches.pop(key, None)
        _watches[key] = new
    if before is not None:
        before.stopped.set()
    threading.Thread(target=new.run, name=THREAD_NAME, daemon=True).start()
