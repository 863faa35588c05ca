"""What is still to go wrong on a local server, and what did.

Comes in: `Fault` values, and exchanges as they take place. Goes out: the fault that strikes an
exchange, and which objects a lag still hides. Must not know: HTTP, or how a fault is carried out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from batchframe._base.errors import LocalServerError
from batchframe.local._faults.fault import Fault
from batchframe.local._problems import short_repr


@dataclass(slots=True)
class _Planned:
    """A fault and what is left of it; how often a lag has hidden each object."""

    fault: Fault
    left: float
    skip: int
    since: float
    hidden: dict[str, int] = field(default_factory=dict)

    def due(self, method: str, path: str) -> bool:
        """Tell whether it strikes this exchange, which is counted if it is on the route."""
        if self.fault.kind == "lag" or not self.left or not self.fault.strikes(method, path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.left -= 1
        return True

    def hides(self, object_id: str, born: float) -> bool:
        """Tell whether a lag leaves out an object that was made then; counts the look."""
        if born < self.since:
            return False
        if self.fault.seconds is not None:
            return time.monotonic() - born < self.fault.seconds
        looks = self.hidden.get(object_id, 0)
        self.hidden[object_id] = looks + 1
        return looks < (self.fault.looks or 0)


class FaultPlan:
    """The faults of a server, in order, as its exchanges use them up.

    `closing` ends what hangs, so that a server need not wait for it.
    """

    def __init__(self) -> None:
        # The server's thread reads what the notebook's thread changes.
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []
        self._struck: list[Fault] = []
        self._born: dict[str, float] = {}
        self.closing = False

    def add(self, faults: Iterable[Fault]) -> None:
        """Append faults."""
        now = time.monotonic()
        with self._lock:
            self._planned += [_Planned(each, each.times, each.skip, now) for each in faults]

    def clear(self) -> None:
        """Forget what was to come."""
        with self._lock:
            self._planned.clear()

    @property
    def left(self) -> list[Fault]:
        """The faults that are not used up."""
        with self._lock:
            return [planned.fault for planned in self._planned if planned.left]

    @property
    def struck(self) -> list[Fault]:
        """The faults that struck, once for each exchange."""
        with self._lock:
            return list(self._struck)

    def strike(self, method: str, path: str) -> Fault | None:
        """Return the fault that strikes an exchange, which is thereby counted."""
        with self._lock:
            for planned in self._planned:
                if planned.due(method, path):
                    self._struck.append(planned.fault)
                    return planned.fault
        return None

    def made(self, object_id: str) -> None:
        """Note that an object was made now."""
        with self._lock:
            self._born[object_id] = time.monotonic()

    def shows(self, method: str, path: str, object_id: str) -> bool:
        """Tell whether no lag hides an object on this route; counts the look."""
        with self._lock:
            born = self._born.get(object_id)
            lags = [each for each in self._planned if each.fault.kind == "lag"]
            if born is None or not lags:
                return True
            # Every lag counts the look, also behind one that hides already.
            hiding = [
                lag.fault.strikes(method, path) and lag.hides(object_id, born) for lag in lags
            ]
            return not any(hiding)


class Faults:
    """What goes wrong on a server from now on: `Server.faults`.

    Its length is how many faults are not used up, and iterating yields them. An exchange is struck
    by the first that is due, so by one at most; lags are at work beside it.

    Examples
    --------
    >>> from batchframe.local import Fault, serve
    >>> with serve() as server:
    ...     server.faults.add(Fault("GET /v1/models", "delay", seconds=0.01))
    ...     answer = server.client().models.list()
    ...     len(server.faults), server.faults.struck[0].kind
    (0, 'delay')
    """

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._plan.left)

    def __len__(self) -> int:
        return len(self._plan.left)

    def __repr__(self) -> str:
        return f"<Faults {[(fault.route, fault.kind) for fault in self]}>"

    @property
    def struck(self) -> list[Fault]:
        """The faults that struck, once for each exchange, oldest first; lags are not among them.

        A test of a pipeline may assert on it that the pipeline did meet the fault.
        """
        return self._plan.struck

    def add(self, *faults: Fault) -> None:
        """Let more go wrong, after what is planned already.

        Raises
        ------
        LocalServerError
            It is no `Fault`.
        """
        for fault in faults:
            given: object = fault
            if not isinstance(given, Fault):
                raise not_a_fault(given)
        self._plan.add(faults)

    def clear(self) -> None:
        """Let nothing more go wrong. What hangs goes on to hang until its client gives up."""
        self._plan.clear()


def not_a_fault(given: object) -> LocalServerError:
    """Return the error for something that is not a `Fault`."""
    return LocalServerError(
        f"{short_repr(given)} is no fault. Give a list of them, such as "
        '`faults=[batchframe.local.Fault("POST /v1/batches", "reset", after=True)]`.'
    )
