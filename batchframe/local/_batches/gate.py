"""Scheduling of the work on batches: pausing, signaling, yielding to HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from typing import Final

_SLICE_SECONDS: Final = 0.003
_PAUSE_SECONDS: Final = 0.0002


class Signal:
    """Signal that makes all waiting tasks check their condition again."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Wake all waiting tasks."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait_for(self, condition: Callable[[], bool], seconds: float | None = None) -> None:
        """Wait until `condition()` is true, at most `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    await self._event.wait()


class Gate:
    """Gate for requests: open, closed, or open for a number of requests."""

    def __init__(self) -> None:
        self.signal = Signal()
        self._remaining = math.inf

    @property
    def open(self) -> bool:
        """Whether the gate is open."""
        return self._remaining > 0

    def pause(self, after: float) -> None:
        """Close the gate after `after` more requests."""
        self._remaining = after
        self.signal.fire()

    def resume(self) -> None:
        """Open the gate."""
        self.pause(math.inf)

    def take(self) -> bool:
        """Pass one request; return whether the gate was open."""
        was_open = self.open
        self._remaining -= was_open
        return was_open


class Turns:
    """Time slices that share the event loop between batches and HTTP.

    A task checks `due` after each line and, if it is true, awaits `pass_on`. All batches share a
    time slice of a few milliseconds, after which the event loop handles HTTP. A short sleep before
    each slice releases the GIL for the other threads of the process, such as a notebook's.
    """

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._is_over = False

    @property
    def due(self) -> bool:
        """Whether the current time slice is over."""
        return time.perf_counter() - self._start > _SLICE_SECONDS

    async def pass_on(self) -> None:
        """Yield to other tasks until the next time slice."""
        if not self._is_over:
            self._is_over = True
            # Scheduled before the tasks that await `sleep(0)` below.
            asyncio.get_running_loop().call_soon(self._begin)
        await asyncio.sleep(0)

    def _begin(self) -> None:
        time.sleep(_PAUSE_SECONDS)
        self._start = time.perf_counter()
        self._is_over = False
