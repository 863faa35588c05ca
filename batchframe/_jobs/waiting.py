"""Polling of a job, in this thread, an event loop or the background."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

from batchframe._base.clock import SYSTEM, Clock, Retries
from batchframe._base.errors import RequestError, ServiceError
from batchframe._display import Card, Screen, notify
from batchframe._services.polling import SHORTEST, PollInterval
from batchframe._services.provider import Provider

Poll = float | tuple[float, float]
"""Seconds between two polls: fixed, or initial and maximum."""

_MAX_OUTAGE: Final = 1800.0
"""Seconds of failed polls before waiting without a timeout ends."""


def poll_interval(provider: Provider, poll: Poll | None = None) -> PollInterval:
    """Return the user's interval, or the default of the provider.

    Raises
    ------
    RequestError
        If `poll` is not one or two numbers of seconds.
    """
    if poll is None:
        return PollInterval(provider.first_poll, max(provider.first_poll, provider.last_poll))
    seconds: Sequence[Any] = poll if isinstance(poll, tuple | list) else (poll, poll)
    if len(seconds) != 2 or not all(map(_is_interval, seconds)) or seconds[0] > seconds[1]:  # noqa: PLR2004 - a pair
        wanted = "seconds or a (min, max) pair, such as 30 or (5, 60)"
        raise RequestError.invalid_argument("poll", poll, wanted)
    return PollInterval(*map(float, seconds))


def _is_interval(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and SHORTEST <= value <= threading.TIMEOUT_MAX


@dataclass(frozen=True)
class WaitResult:
    """Outcome of waiting: done or not, and the error of the last poll."""

    done: bool
    error: ServiceError | None = None


def until(
    done: Callable[[], bool],
    poll: Callable[[float | None], None],
    interval: PollInterval,
    *,
    timeout: float | None = None,
    clock: Clock = SYSTEM,
) -> WaitResult:
    """Poll until `done` returns True, or for `timeout` seconds.

    A poll that fails with a temporary error is retried.

    Parameters
    ----------
    poll
        Function of the remaining seconds; None without a timeout.

    Raises
    ------
    ServiceError
        If the service rejects a poll, or cannot be reached for a long time.
    """
    schedule = _PollSchedule(interval, timeout, clock)
    while True:
        error = _attempt(poll, schedule.left())
        schedule.check(error)
        if done():
            return WaitResult(done=True)
        if not schedule.pause():
            return WaitResult(done=False, error=error)


async def until_async(
    done: Callable[[], bool], poll: Callable[[float | None], None], interval: PollInterval
) -> None:
    """Poll until `done` returns True, without blocking the event loop.

    Raises
    ------
    ServiceError
        As in :func:`until`.
    """
    schedule = _PollSchedule(interval)
    while True:
        schedule.check(await asyncio.to_thread(_attempt, poll, None))
        if done():
            return
        await asyncio.sleep(schedule.next_pause() or 0.0)


def _attempt(poll: Callable[[float | None], None], remaining: float | None) -> ServiceError | None:
    try:
        poll(remaining)
    except ServiceError as error:
        return error
    return None


class _PollSchedule(Retries):
    """Schedule of polls, and limit of an outage."""

    def __init__(
        self, interval: PollInterval, timeout: float | None = None, clock: Clock = SYSTEM
    ) -> None:
        super().__init__(interval, clock, timeout=timeout)
        self._failing_since: float | None = None

    def check(self, error: ServiceError | None) -> None:
        """Raise an error that is permanent, or lasts too long without a timeout."""
        if error is None:
            self._failing_since = None
            return
        now = self._clock.elapsed()
        if self._failing_since is None:
            self._failing_since = now
        persists = self._end is None and now - self._failing_since >= _MAX_OUTAGE
        if persists or not error.passing:
            raise error


_O = TypeVar("_O")


@dataclass(eq=False)
class _Watch(Generic[_O]):
    """Work of one thread; a weak reference ends it with its owner."""

    owner: weakref.ref[_O]
    done: Callable[[_O], bool]
    poll: Callable[[_O], None]
    screen: Screen
    interval: PollInterval
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        try:
            clock = replace(SYSTEM, sleep=self._sleep)
            until(self._is_over, self._poll_once, self.interval, clock=clock)
        except Exception as reason:  # noqa: BLE001 - the card is the only place to report it
            self._show(f"Watching ended: {reason}")
        is_shown = self.screen.in_notebook or self.stopped.is_set()
        if not is_shown and self.screen.last is not None:
            notify("; ".join([self.screen.last.title, *self.screen.last.notes]))

    def _sleep(self, seconds: float) -> None:
        self.stopped.wait(seconds)

    def _poll_once(self, _remaining: float | None) -> None:
        owner = self.owner()
        if owner is not None and not self.stopped.is_set():
            self.poll(owner)

    def _is_over(self) -> bool:
        owner = self.owner()
        return owner is None or self.stopped.is_set() or self.done(owner)

    def _show(self, note: str) -> None:
        card = self.screen.last or Card("Watching")
        self.screen.show(replace(card, notes=(*card.notes, note), tone="bad"), note)


_watches: dict[Hashable, _Watch[Any]] = {}


_watches_lock = threading.Lock()


def _forget_watches() -> None:
    """Start again in a forked process, where no thread of the parent exists."""
    global _watches_lock  # noqa: PLW0603 - the parent may have held it
    _watches_lock = threading.Lock()
    _watches.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_watches)


def watch(
    key: Hashable,
    owner: _O,
    *,
    done: Callable[[_O], bool],
    poll: Callable[[_O], None],
    screen: Screen,
    interval: PollInterval,
) -> None:
    """Poll in a daemon thread until `owner` is done or deleted.

    Another watch of `key` replaces this one. An exception of `poll` ends it and is shown on the
    card.
    """
    new = _Watch(weakref.ref(owner), done, poll, screen, interval)
    with _watches_lock:
        previous = _watches.pop(key, None)
        _watches[key] = new
    if previous is not None:
        previous.stopped.set()
    threading.Thread(target=new.run, name="batchframe-watch", daemon=True).start()
