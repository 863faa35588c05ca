"""Timing of alternative implementations: medians and their ratios."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Way = Callable[[int], object]
"""Implementation to time, called with the round number; it may return its own `Took`."""


@dataclass(frozen=True)
class Took:
    """Seconds of a run: wall time, and CPU time of all cores."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Ratio:
    """Ratio of the times of two implementations.

    Attributes
    ----------
    wall, cpu
        Median of the ratios of all rounds.
    at_most, at_least
        Bounds on `wall`; None without a bound.
    """

    name: str
    wall: float
    cpu: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the ratio is within its bounds; None without bounds."""
        if self.at_most is None and self.at_least is None:
            return None
        low, high = self.at_least or float("-inf"), self.at_most or float("inf")
        return low <= self.wall <= high


@dataclass(frozen=True)
class Section:
    """Results of a benchmark: median times, ratios and notes."""

    title: str
    seconds: Mapping[str, Took]
    ratios: Sequence[Ratio] = ()
    notes: Sequence[str] = ()


class Runs:
    """Runs of several implementations, in a new random order each round."""

    def __init__(self, ways: Mapping[str, Way], rounds: int) -> None:
        self._took: dict[str, list[Took]] = {name: [] for name in ways}
        order = random.Random(20_261_121)  # noqa: S311 - an order, not a secret
        for number in range(rounds):
            for name in order.sample(list(ways), len(ways)):
                self._took[name].append(timed(ways[name], number))

    @property
    def medians(self) -> dict[str, Took]:
        """Median times of each implementation."""
        return {
            name: Took(
                statistics.median(run.wall for run in runs),
                statistics.median(run.cpu for run in runs),
            )
            for name, runs in self._took.items()
        }

    def ratio(
        self,
        name: str,
        of: str,
        to: str,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        scale: float = 1.0,
    ) -> Ratio:
        """Return the median ratio of two implementations' times per round.

        Parameters
        ----------
        scale
            Factor to apply if the implementations process different numbers of rows.
        """
        pairs = list(zip(self._took[of], self._took[to], strict=True))
        wall = statistics.median(a.wall / b.wall for a, b in pairs) * scale
        cpu = statistics.median(a.cpu / max(b.cpu, 1e-9) for a, b in pairs) * scale
        return Ratio(name, wall, cpu, at_most, at_least)


def timed(way: Way, number: int) -> Took:
    """Run an implementation once and return its time."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = way(number)
    took = Took(time.perf_counter() - wall, time.process_time() - cpu)
    return result if isinstance(result, Took) else took
