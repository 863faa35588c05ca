"""Clocks that are wrong, or that let no time pass, in place of the machine's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from batchframe._base.clock import SYSTEM, Clock
from batchframe._jobs import waiting
from tests.support.seams import wrap_step

DAY = 86_400.0


def jumping(start: float, step: float) -> Callable[[], float]:
    """Return a date that is wrong, and is set again whenever somebody looks."""
    dates = iter(start + step * number for number in range(10**6))
    return lambda: time.time() + next(dates)


DATES = {
    "a day ahead": jumping(DAY, 0),
    "a day behind": jumping(-DAY, 0),
    "set forth an hour at every look": jumping(0, 3600),
    "set back an hour at every look": jumping(0, -3600),
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
    """Make the machine's clock tell another date."""
    return Clock(now, SYSTEM.elapsed, SYSTEM.sleep)


def ahead(seconds: float) -> Clock:
    """Make the machine's clock wrong by so much."""
    return dated(lambda: time.time() + seconds)


def submit_by(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Let submissions read this clock."""
    wrap_step(monkeypatch, "submit", lambda submit: lambda run: submit(replace(run, clock=clock)))


def wait_by(
    clock: Clock,
    look: Callable[[float | None], None],
    timeout: float | None = None,
    longest: float = 60.0,
) -> bool:
    """Wait by this clock for what never comes, with pauses of at least a twelfth of `longest`."""
    pauses = waiting.PollInterval(longest / 12, longest)
    return waiting.until(lambda: False, look, pauses, timeout=timeout, clock=clock).done
