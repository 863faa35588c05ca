"""Cases of the crash matrix: kills, network faults and lagging lists.

Each is a frozen `Case` with an id; this module does not know how to run one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from batchframe.local import Fault

UPLOAD = "POST /v1/files"
CREATE = "POST /v1/batches"
LIST = "GET /v1/batches"
CONTENT = "GET /v1/files/{id}/content"
EVENTS = ("INTENT", "UPLOADED", "CREATING", "CREATED", "STATUS", "FETCHED")
DELETE = "DELETE /v1/files/{id}"
SHORT = {UPLOAD: "upload", CREATE: "create", LIST: "list", DELETE: "delete"}

STEPS = {
    "S1": "start",
    "S2": "after INTENT",
    "S3": "before upload",
    "S4": "after upload",
    "S5": "after UPLOADED",
    "S6": "after CREATING",
    "S7": "after create",
    "S8": "after CREATED",
    "S9": "after reconcile",
    "S10": "after fence",
}
"""SIGKILL at each step of the protocol: the name of the step, and what was done before."""

INSIDE = (
    "half an input file",
    "before rows",
    "before manifest",
    "half a manifest",
    "after manifest",
    "torn INTENT",
    "torn UPLOADED",
    "after search",
    "torn CREATING",
    "torn CREATED",
    "torn FENCING",
    "after FENCING",
    "torn FENCED",
    "after FENCED",
)
"""SIGKILL between the steps, and in the middle of what is written."""

Wrong = tuple[str | int, dict[str, Any]]
KINDS: dict[str, Wrong] = {
    "reset": ("reset", {}),
    "close": ("close", {}),
    "hang": ("hang", {"seconds": 2.0}),
    "500": (500, {}),
    "503-proxy": (503, {"form": "html"}),
    "408": (408, {}),
    "409": (409, {}),
    "404-proxy": (404, {"form": "html"}),
    "422-detail": (422, {"form": "detail"}),
    "429-text": (429, {"form": "text"}),
    "broken": ("broken json", {}),
    "empty": ("empty object", {}),
    "login": ("login page", {}),
    "array": (200, {"body": "[]"}),
    "307": (307, {}),
    "cut": ("cut short", {}),
    "chunked": ("cut chunked", {}),
    "silent": ("cut silently", {}),
}
CUTS = ("cut", "chunked", "silent")
REFUSALS: dict[str, Wrong] = {
    "400": (400, {}),
    "401": (401, {}),
    "429": (429, {"headers": {"Retry-After": "0"}}),
}
SETTLE = 0.25
PATIENCE = 0.5


@dataclass(frozen=True)
class Case:
    """A sequence of failures, until the rerun cell has the answers.

    Attributes
    ----------
    kills
        Where each run of the cell is killed; an empty word lets it run. "ctrl-c ..." interrupts it
        instead, and "disk full ..." lets a write fail.
    lag
        Seconds after which a batch shows in the list.
    kernels
        How many run the cell at the same moment, the first time.
    listed
        Whether the service's list is known to be complete, so that "recreate" is allowed.
    client
        "batchframe", or a client without a protocol: "naive", "naive-0".
    queued
        Whether the service's queue holds two of the three rows, so that the input file is divided.
    accounts
        Names of the account in each run, repeated: "", "localhost", "project", "organization".
    home
        What becomes of the state folder after the first run: "", "lost" or "copied".
    unlisted
        Whether the service lists no batch; the user then names the one on its web page.
    event
        What happens after the batch was created: "", "late" (result files are not found yet; the
        user asks again for what is unanswered), "lost" (the batch is not found; the user abandons
        the job), "canceled" (the user cancels a batch that has ended) or "outage".
    """

    family: str
    name: str
    kills: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    lag: float = 0.0
    kernels: int = 1
    parts: int = 1
    listed: bool = False
    client: str = "batchframe"
    queued: bool = False
    accounts: tuple[str, ...] = ("",)
    home: str = ""
    unlisted: bool = False
    event: str = ""

    @property
    def id(self) -> str:
        """The name of the case, as one shell word."""
        return f"{self.family}/{self.name}".replace(" ", "-")

    @property
    def bills(self) -> int:
        """Number of batches to bill, or of requests if the file is divided."""
        return 3 if self.queued else self.parts

    @property
    def quiet_after(self) -> float:
        """Seconds until the server has processed a delayed request."""
        return sum(fault.seconds or 0.0 for fault in self.faults if fault.kind == "delay")


def fault(route: str, name: str, *, after: bool = False, times: int = 1, skip: int = 0) -> Fault:
    """Make a fault by its name in `KINDS` or `REFUSALS`."""
    kind, options = (KINDS | REFUSALS)[name]
    return Fault(route, kind, after=after, times=times, skip=skip, **options)


def when(*, after: bool) -> str:
    return "after" if after else "before"


def sides(name: str) -> tuple[bool, ...]:
    # A partial response requires that the server processed the request.
    return (True,) if name in CUTS else (False, True)


def _crashes() -> Iterator[Case]:
    reset = (fault(CREATE, "reset"),)
    for step, point in STEPS.items():
        # Only uncertain creates are reconciled, and only missing batches are fenced.
        faults = reset if step in {"S9", "S10"} else ()
        yield Case("crash", f"{step} {point}", (point,), faults)
    for point in INSIDE:
        faults = reset if "FENC" in point else ()
        yield Case("crash", point, (point,), faults)
    for what, side in product(("upload", "create", "search"), (False, True)):
        route = {"upload": UPLOAD, "create": CREATE, "search": LIST}[what]
        faults = (fault(route, "hang", after=side),)
        yield Case("crash", f"during {what} {when(after=side)}", (f"during {what}",), faults)


def _creates() -> Iterator[Case]:
    for (step, point), name in product(STEPS.items(), KINDS):
        for after in sides(name):
            title = f"{step} {name} {when(after=after)}"
            yield Case("create", title, (point,), (fault(CREATE, name, after=after),))
    for name in KINDS:
        for after in sides(name):
            title = f"alive {name} {when(after=after)}"
            yield Case("create", title, (), (fault(CREATE, name, after=after),))
    for (step, point), name in product(list(STEPS.items())[:8], REFUSALS):
        yield Case("create", f"{step} {name} refused", (point,), (fault(CREATE, name),))


def _uploads() -> Iterator[Case]:
    for name, step in product(KINDS, ("alive", "S4", "S7")):
        for after in sides(name):
            kills = () if step == "alive" else (STEPS[step],)
            # Three times, because the client retries an upload twice.
            faults = (fault(UPLOAD, name, after=after, times=3),)
            yield Case("upload", f"{step} {name} {when(after=after)}", kills, faults)


def _lists() -> Iterator[Case]:
    for name, (step, is_lost) in product(KINDS, (("alive", True), ("S6", False), ("S7", False))):
        for skip in (0, 1):
            kills = () if step == "alive" else (STEPS[step],)
            faults = [fault(LIST, name, after=name in CUTS, times=3, skip=skip)]
            if is_lost:
                faults.append(fault(CREATE, "reset", after=True))
            yield Case("list", f"{step} {name} search {skip + 1}", kills, tuple(faults))
    for name in KINDS:
        if name not in CUTS:
            faults = (fault(CREATE, "reset"), fault(DELETE, name, times=3))
            yield Case("list", f"fence {name}", (), faults)


def _lags() -> Iterator[Case]:
    for title, lag in (("short", 0.6 * SETTLE), ("long", 4 * SETTLE)):
        for step in ("S6", "S7", "S9"):
            faults = (fault(CREATE, "close", after=True),) if step == "S9" else ()
            yield Case("lag", f"{title} {step}", (STEPS[step],), faults, lag=lag)
        for name in KINDS:
            for after in sides(name):
                faults = (fault(CREATE, name, after=after),)
                yield Case("lag", f"{title} {name} {when(after=after)}", (), faults, lag=lag)
    for polls, name in product((1, 2, 3), ("reset", "empty")):
        seen_late = (fault(CREATE, name, after=True), Fault(LIST, "lag", looks=polls))
        yield Case("lag", f"{polls} polls {name}", (), seen_late)
    for seconds in (0.05, 0.5):
        unseen = (Fault(CREATE, "lag", seconds=seconds),)
        yield Case("lag", f"file {seconds}", (), unseen)


def _two_crashes() -> Iterator[Case]:
    first, second = list(STEPS.items())[:8], list(STEPS.items())
    for (one, point), (two, then) in product(first, second):
        yield Case("two-crashes", f"{one} {two}", (point, then))
    for (one, point), (two, then) in product(second, second[5:]):
        faults = (fault(CREATE, "reset"),)
        yield Case("two-crashes", f"{one} {two} reset before", (point, then), faults)


def _interrupts() -> Iterator[Case]:
    for what, side in product(("upload", "create", "search"), (False, True)):
        route = {"upload": UPLOAD, "create": CREATE, "search": LIST}[what]
        faults = (fault(route, "hang", after=side),)
        title = f"S27 during {what} {when(after=side)}"
        yield Case("ctrl-c", title, (f"ctrl-c during {what}",), faults)
    for what, route in (("poll", "GET /v1/batches/{id}"), ("download", CONTENT)):
        faults = (Fault(route, "hang", seconds=2.0),)
        yield Case("ctrl-c", f"S27 during {what}", (f"ctrl-c during {what}",), faults)
    for event in EVENTS:
        yield Case("ctrl-c", f"S27 writing {event}", (f"ctrl-c torn {event}",))
        yield Case("ctrl-c", f"S27 after {event}", (f"ctrl-c after {event}",))


def _full_disks() -> Iterator[Case]:
    for event in EVENTS:
        yield Case("disk-full", f"S28 {event}", (f"disk full torn {event}",) * 2)
    for what in ("half an input file", "half a manifest"):
        yield Case("disk-full", f"S28 {what}", (f"disk full {what}",) * 2)
    for name in ("reset", "500"):
        faults = (fault(CREATE, name, after=True),)
        kills = ("disk full torn AMBIGUOUS", "disk full torn CREATED")
        yield Case("disk-full", f"S28 {name} AMBIGUOUS CREATED", kills, faults)


def _two_kernels() -> Iterator[Case]:
    yield Case("two-kernels", "S18 sixteen", kernels=16)
    yield Case("two-kernels", "S18 sixteen, one dies", ("after create",), kernels=16)
    for step, point in STEPS.items():
        yield Case("two-kernels", f"{step}", (point,), kernels=2)
    for name in KINDS:
        for after in sides(name):
            faults = (fault(CREATE, name, after=after),)
            yield Case("two-kernels", f"{name} {when(after=after)}", (), faults, kernels=2)


def _late_commits() -> Iterator[Case]:
    """Process a create long after the client has disconnected."""
    for seconds, end in product((0.8, 1.5, 4.0, 12.0), ("alive", "during create")):
        late = (Fault(CREATE, "delay", seconds=seconds),)
        kills = () if end == "alive" else (end,)
        yield Case("late-commit", f"{seconds} {end}", kills, late)
        yield Case("late-commit", f"{seconds} {end} S10", (*(kills or ("",)), STEPS["S10"]), late)


def _parts() -> Iterator[Case]:
    for step, point in STEPS.items():
        for name in ("reset", "500"):
            faults = (fault(CREATE, name, after=name == "500", skip=1),)
            yield Case("parts", f"{step} {name} on the second", (point,), faults, parts=3)


def _recreates() -> Iterator[Case]:
    """Let the list be complete and on_uncertain be "recreate"."""
    for name in KINDS:
        for after in sides(name):
            faults = (fault(CREATE, name, after=after),)
            title = f"{name} {when(after=after)}"
            yield Case("recreate", title, (), faults, lag=0.4 * SETTLE, listed=True)


def without_metadata(body: bytes) -> bytes:
    """Remove the metadata from the batches of a list."""
    return body.replace(b'"bf_fp"', b'"x"')


def _witnesses() -> Iterator[Case]:
    dropped = Fault(LIST, rewrite=without_metadata, times=float("inf"))
    for name in ("reset", "close", "500", "empty", "broken", "login"):
        faults = (fault(CREATE, name, after=True), dropped)
        yield Case("metadata-dropped", f"S26 {name}", (), faults)


def protocol_cases() -> Iterator[Iterator[Case]]:
    """Yield the families of cases with one server and one state folder."""
    yield from (
        _crashes(), _creates(), _uploads(), _lists(), _lags(), _two_crashes(), _two_kernels(),
        _interrupts(), _full_disks(), _late_commits(), _parts(), _recreates(), _witnesses(),
    )  # fmt: skip


NAIVE_POINTS = ("start", "before upload", "after upload", "after file noted", "after create", "end")


def baseline() -> list[Case]:
    """Return the cases of naive clients, with and without retries."""
    cases = [Case("naive", point, (point,)) for point in NAIVE_POINTS]
    for point in ("", "after create"):
        for name in KINDS:
            for after in sides(name):
                title = f"{point or 'alive'} {name} {when(after=after)}"
                faults = (fault(CREATE, name, after=after),)
                cases.append(Case("naive", title, (point,), faults))
    return [
        replace(case, family=client, client=client)
        for client in ("naive", "naive-0")
        for case in cases
    ]
