"""Pending and past faults of a local server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from batchframe._base.errors import LocalServerError
from batchframe.local._faults.fault import Fault
from batchframe.local._problems import short_repr


@dataclass(slots=True)
class _Planned:
    """Planned fault, with its remaining uses and a count per hidden object."""

    fault: Fault
    remaining: float
    skip: int
    added_at: float
    hidden: dict[str, int] = field(default_factory=dict)

    def due(self, method: str, path: str) -> bool:
        """Return whether the fault applies to this request, and count the request."""
        if self.fault.kind == "lag" or not self.remaining or not self.fault.matches(method, path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.remaining -= 1
        return True

    def hides(self, object_id: str, created: float) -> bool:
        """Return whether a lag hides an object; count the request."""
        if created < self.added_at:
            return False
        if self.fault.seconds is not None:
            return time.monotonic() - created < self.fault.seconds
        count = self.hidden.get(object_id, 0)
        self.hidden[object_id] = count + 1
        return count < (self.fault.looks or 0)


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

    def __init__(self) -> None:
        # The server's thread and the user's thread share this state.
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []
        self._struck: list[Fault] = []

    def __iter__(self) -> Iterator[Fault]:
        with self._lock:
            return iter([planned.fault for planned in self._planned if planned.remaining])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<Faults {[(fault.route, fault.kind) for fault in self]}>"

    @property
    def struck(self) -> list[Fault]:
        """Faults that occurred, one entry per request, oldest first; without lags.

        Use it in a test to assert that the pipeline encountered the fault.
        """
        with self._lock:
            return list(self._struck)

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
        now = time.monotonic()
        with self._lock:
            self._planned += [_Planned(fault, fault.times, fault.skip, now) for fault in faults]

    def clear(self) -> None:
        """Remove all pending faults.

        A request that hangs continues to hang until its client disconnects.
        """
        with self._lock:
            self._planned.clear()


class FaultPlan(Faults):
    """Faults of a server, and the requests and objects that they apply to.

    `closing` ends hanging requests, so that a stopping server does not wait for them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._created: dict[str, float] = {}
        self.closing = False

    def next_fault(self, method: str, path: str) -> Fault | None:
        """Return the fault that applies to a request, or None; count the request."""
        with self._lock:
            for planned in self._planned:
                if planned.due(method, path):
                    self._struck.append(planned.fault)
                    return planned.fault
        return None

    def record_creation(self, object_id: str) -> None:
        """Record the creation time of an object."""
        with self._lock:
            self._created[object_id] = time.monotonic()

    def is_visible(self, method: str, path: str, object_id: str) -> bool:
        """Return whether an object is visible on this route; count the request."""
        with self._lock:
            created = self._created.get(object_id)
            if created is None:
                return True
            # Every lag must count the request, so `any` may not short-circuit.
            hiding = [
                lag.fault.matches(method, path) and lag.hides(object_id, created)
                for lag in self._planned
                if lag.fault.kind == "lag"
            ]
            return not any(hiding)


def not_a_fault(value: object) -> LocalServerError:
    """Return the error for a value that is not a `Fault`."""
    return LocalServerError(
        f"faults: not a list of Fault ({short_repr(value)}). "
        'Fix: faults=[Fault("POST /v1/batches", "reset")].'
    )
