"""Pending and past faults of a local server."""

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
    """Planned fault, with its remaining uses and a count per hidden object."""

    fault: Fault
    left: float
    skip: int
    since: float
    hidden: dict[str, int] = field(default_factory=dict)

    def due(self, method: str, path: str) -> bool:
        """Return whether the fault applies to this request, and count the request."""
        if self.fault.kind == "lag" or not self.left or not self.fault.strikes(method, path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.left -= 1
        return True

    def hides(self, object_id: str, born: float) -> bool:
        """Return whether a lag hides an object; count the request."""
        if born < self.since:
            return False
        if self.fault.seconds is not None:
            return time.monotonic() - born < self.fault.seconds
        looks = self.hidden.get(object_id, 0)
        self.hidden[object_id] = looks + 1
        return looks < (self.fault.looks or 0)


class FaultPlan:
    """Faults of a server in order, with their remaining uses.

    `closing` ends hanging requests, so that a stopping server does not wait for them.
    """

    def __init__(self) -> None:
        # The server's thread and the user's thread share this state.
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []
        self._struck: list[Fault] = []
        self._born: dict[str, float] = {}
        self.closing = False

    def add(self, faults: Iterable[Fault]) -> None:
        """Append faults."""
        now = time.monotonic()
        with self._lock:
            self._planned += [_Planned(fault, fault.times, fault.skip, now) for fault in faults]

    def clear(self) -> None:
        """Remove all pending faults."""
        with self._lock:
            self._planned.clear()

    @property
    def left(self) -> list[Fault]:
        """Faults with remaining uses."""
        with self._lock:
            return [planned.fault for planned in self._planned if planned.left]

    @property
    def struck(self) -> list[Fault]:
        """Faults that occurred, one entry per request."""
        with self._lock:
            return list(self._struck)

    def strike(self, method: str, path: str) -> Fault | None:
        """Return the fault that applies to a request, or None; count the request."""
        with self._lock:
            for planned in self._planned:
                if planned.due(method, path):
                    self._struck.append(planned.fault)
                    return planned.fault
        return None

    def made(self, object_id: str) -> None:
        """Record the creation time of an object."""
        with self._lock:
            self._born[object_id] = time.monotonic()

    def shows(self, method: str, path: str, object_id: str) -> bool:
        """Return whether an object is visible on this route; count the request."""
        with self._lock:
            born = self._born.get(object_id)
            lags = [planned for planned in self._planned if planned.fault.kind == "lag"]
            if born is None or not lags:
                return True
            # Every lag must count the request, so `any` may not short-circuit.
            hiding = [
                lag.fault.strikes(method, path) and lag.hides(object_id, born) for lag in lags
            ]
            return not any(hiding)


class Faults:
    """Pending faults of a server, available as `Server.faults`.

    Its length is the number of faults with remaining uses, and iterating yields them. The first
    matching fault applies to a request; lags apply in addition.

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
        """Faults that occurred, one entry per request, oldest first; without lags.

        Use it in a test to assert that the pipeline encountered the fault.
        """
        return self._plan.struck

    def add(self, *faults: Fault) -> None:
        """Append faults to the pending ones.

        Raises
        ------
        LocalServerError
            If an argument is not a `Fault`.
        """
        for fault in faults:
            value: object = fault
            if not isinstance(value, Fault):
                raise not_a_fault(value)
        self._plan.add(faults)

    def clear(self) -> None:
        """Remove all pending faults.

        A request that hangs continues to hang until its client disconnects.
        """
        self._plan.clear()


def not_a_fault(value: object) -> LocalServerError:
    """Return the error for a value that is not a `Fault`."""
    return LocalServerError(
        f"{short_repr(value)} is no fault. Give a list of them, such as "
        '`faults=[batchframe.local.Fault("POST /v1/batches", "reset", after=True)]`.'
    )
