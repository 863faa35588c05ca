"""Wrong clocks, and clocks that do not sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from batchframe._base.clock import SYSTEM, Clock
from batchframe._jobs import waiting
from tests.support.seams import wrap_step

DAY = 86_400.0


def jumping(start: float, step: float) -> Callable[[], float]:
    """Return a wrong clock that changes with every reading."""
    dates = iter(start + step * number for number in range(10**6))
    return lambda: time.time() + next(dates)


DATES = {
    "a day ahead": jumping(DAY, 0),
    "a day behind": jumping(-DAY, 0),
    "an hour later at every reading": jumping(0, 3600),
    "an hour earlier at every reading": jumping(0, -3600),
    "the year 1970": lambda: 0.0,
    "before 1970": lambda: -1e6,
}


class FakeTime:
    """Records sleeps instead of sleeping; may be wrong by `off` seconds."""

    def __init__(self, off: float = 0.0) -> None:
        self.slept: list[float] = []
        self.passed = off
        self.clock = Clock(lambda: 1.8e9 + self.passed, lambda: self.passed, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed += seconds


def dated(now: Callable[[], float]) -> Clock:
    """Return a clock with another date."""
    return Clock(now, SYSTEM.elapsed, SYSTEM.sleep)


def hurried(step: float) -> Clock:
    """Return a clock that advances by some seconds with every reading."""
    readings = count(step=step)
    return replace(SYSTEM, elapsed=lambda: float(next(readings)))


def ahead(seconds: float) -> Clock:
    """Return a clock that is ahead by some seconds."""
    return dated(lambda: time.time() + seconds)


def submit_by(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Use this clock for submissions."""
    wrap_step(monkeypatch, "submit", lambda submit: lambda run: submit(replace(run, clock=clock)))


def wait_by(
    clock: Clock,
    poll: Callable[[float | None], None],
    timeout: float | None = None,
    longest: float = 60.0,
) -> bool:
    """Wait with this clock for a job that never ends."""
    pauses = waiting.PollInterval(longest / 12, longest)
    return waiting.until(lambda: False, poll, pauses, timeout=timeout, clock=clock).done
