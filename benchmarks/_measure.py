"""Ways to do the same thing, timed in turn → medians and their ratios.

In: functions. Out: frozen values. Must not know: what is timed.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Way = Callable[[int], object]
"""One way, called with the number of the round; what it returns is what it took, if not None."""


@dataclass(frozen=True)
class Took:
    """Seconds of one run: on the clock, and of all processor cores together."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Ratio:
    """How two ways compare.

    Attributes
    ----------
    wall, cpu
        The median over the rounds of the seconds of the one divided by those of the other.
    at_most, at_least
        What is wanted of `wall`; None where that is only told.
    """

    name: str
    wall: float
    cpu: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether it is as wanted; None where nothing is."""
        if self.at_most is None and self.at_least is None:
            return None
        low, high = self.at_least or float("-inf"), self.at_most or float("inf")
        return low <= self.wall <= high


@dataclass(frozen=True)
class Section:
    """One subject: median seconds by way, ratios, and anything else in words."""

    title: str
    seconds: Mapping[str, Took]
    ratios: Sequence[Ratio] = ()
    notes: Sequence[str] = ()


class Runs:
    """The runs of several ways, interleaved in an order that is drawn anew each round."""

    def __init__(self, ways: Mapping[str, Way], rounds: int) -> None:
        self._took: dict[str, list[Took]] = {name: [] for name in ways}
        order = random.Random(20_261_121)  # noqa: S311 - an order, no secret
        for number in range(rounds):
            for name in order.sample(list(ways), len(ways)):
                self._took[name].append(timed(ways[name], number))

    @property
    def medians(self) -> dict[str, Took]:
        """The median of each way."""
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
        """Divide, round by round, what one way took by what another took in the same round.

        Parameters
        ----------
        scale
            What to multiply by where the two did not do the same number of rows.
        """
        pairs = list(zip(self._took[of], self._took[to], strict=True))
        wall = statistics.median(a.wall / b.wall for a, b in pairs) * scale
        cpu = statistics.median(a.cpu / max(b.cpu, 1e-9) for a, b in pairs) * scale
        return Ratio(name, wall, cpu, at_most, at_least)


def timed(way: Way, number: int) -> Took:
    """Run a way once."""
    wall, cpu = time.perf_counter(), time.process_time()
    told = way(number)
    took = Took(time.perf_counter() - wall, time.process_time() - cpu)
    return told if isinstance(told, Took) else took
