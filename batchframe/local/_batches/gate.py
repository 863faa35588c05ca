"""When work may go on: pausing, waking the waiting, and giving way to HTTP.

Comes in: `pause`, `resume`, and news. Goes out: permission, and turns of the event loop. Must not
know what the work is.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

_SLICE: Final = 0.003
_BREATH: Final = 0.0002


class Signal:
    """Wakes everyone who waits for something to become true."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Let all who wait look again."""
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, happened: Callable[[], bool], within: float | None = None) -> None:
        """Wait until `happened()`, at most `within` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not happened():
                    await self._event.wait()


class Gate:
    """Lets requests through: all of them, or a given number more."""

    def __init__(self) -> None:
        self.signal = Signal()
        self._left: int | None = None

    @property
    def open(self) -> bool:
        """Whether anything may go on."""
        return self._left is None or self._left > 0

    def pause(self, after: int) -> None:
        """Let `after` more requests through."""
        self._left = after
        self.signal.fire()

    def resume(self) -> None:
        """Let everything through."""
        self._left = None
        self.signal.fire()

    def take(self) -> bool:
        """Let one request through, if the gate is open."""
        if self._left is None:
            return True
        if self._left == 0:
            return False
        self._left -= 1
        return True


class Turns:
    """Shares one thread between the batches at work and HTTP.

    Work asks `due` after each line and, when it is, awaits `pass_on`. All batches together work for
    one slice, a few milliseconds, between two looks at the sockets; whoever comes after the slice
    is used up does a single line. A short true sleep before each slice lets the other threads of
    the process, a notebook's among them, take the interpreter's lock.
    """

    def __init__(self) -> None:
        self._since = time.perf_counter()
        self._ending = False

    @property
    def due(self) -> bool:
        """Whether the current slice is used up."""
        return time.perf_counter() - self._since > _SLICE

    async def pass_on(self) -> None:
        """Give way until the next slice."""
        if not self._ending:
            self._ending = True
            # Runs before all who wait here, as they queue behind it.
            asyncio.get_running_loop().call_soon(self._begin)
        await asyncio.sleep(0)

    def _begin(self) -> None:
        time.sleep(_BREATH)
        self._since = time.perf_counter()
        self._ending = False
