"""Which cases there are: where the kernel dies, what the network does, and what the list hides.

Comes in: nothing. Goes out: frozen `Case` values with an id each. Must not know how one is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
"""SIGKILL at each step of the protocol: the name of the step, and what has just been done."""

INSIDE = (
    "half an input file",
    "before rows",
    "before manifest",
    "half a manifest",
    "after manifest",
    "torn INTENT",
    "torn UPLOADED",
    "after look",
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
    """One story: what goes wrong until the user, who runs the cell again, has the answers.

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

    @property
    def id(self) -> str:
        """What the case is called, in a word for the shell."""
        return f"{self.family}/{self.name}".replace(" ", "-")

    @property
    def quiet_after(self) -> float:
        """Seconds until a request that the server acts on late has been acted on."""
        return sum(fault.seconds or 0.0 for fault in self.faults if fault.kind == "delay")


def fault(route: str, name: str, *, after: bool = False, times: int = 1, skip: int = 0) -> Fault:
    """Make a fault of a name in `KINDS` or `REFUSALS`."""
    kind, options = (KINDS | REFUSALS)[name]
    return Fault(route, kind, after=after, times=times, skip=skip, **options)


def _when(*, after: bool) -> str:
    return "after" if after else "before"


def _sides(name: str) -> tuple[bool, ...]:
    # Half an answer there is only to what was acted on.
    return (True,) if name in CUTS else (False, True)


def _crashes() -> Iterator[Case]:
    lost = (fault(CREATE, "reset"),)
    for step, point in STEPS.items():
        # Only what is uncertain is reconciled, and only what was not created is fenced.
        faults = lost if step in {"S9", "S10"} else ()
        yield Case("crash", f"{step} {point}", (point,), faults)
    for point in INSIDE:
        faults = lost if "FENC" in point else ()
        yield Case("crash", point, (point,), faults)
    for what, side in product(("upload", "create", "look"), (False, True)):
        route = {"upload": UPLOAD, "create": CREATE, "look": LIST}[what]
        faults = (fault(route, "hang", after=side),)
        yield Case("crash", f"during {what} {_when(after=side)}", (f"during {what}",), faults)


def _creates() -> Iterator[Case]:
    for (step, point), name in product(STEPS.items(), KINDS):
        for after in _sides(name):
            words = f"{step} {name} {_when(after=after)}"
            yield Case("create", words, (point,), (fault(CREATE, name, after=after),))
    for name in KINDS:
        for after in _sides(name):
            words = f"alive {name} {_when(after=after)}"
            yield Case("create", words, (), (fault(CREATE, name, after=after),))
    for (step, point), name in product(list(STEPS.items())[:8], REFUSALS):
        yield Case("create", f"{step} {name} refused", (point,), (fault(CREATE, name),))


def _uploads() -> Iterator[Case]:
    for name, step in product(KINDS, ("alive", "S4", "S7")):
        for after in _sides(name):
            kills = () if step == "alive" else (STEPS[step],)
            # Three times: the client itself repeats an upload twice, which it may.
            faults = (fault(UPLOAD, name, after=after, times=3),)
            yield Case("upload", f"{step} {name} {_when(after=after)}", kills, faults)


def _lists() -> Iterator[Case]:
    for name, (step, lost) in product(KINDS, (("alive", True), ("S6", False), ("S7", False))):
        for skip in (0, 1):
            kills = () if step == "alive" else (STEPS[step],)
            faults = [fault(LIST, name, after=name in CUTS, times=3, skip=skip)]
            if lost:
                faults.append(fault(CREATE, "reset", after=True))
            yield Case("list", f"{step} {name} look {skip + 1}", kills, tuple(faults))
    for name in KINDS:
        if name not in CUTS:
            faults = (fault(CREATE, "reset"), fault(DELETE, name, times=3))
            yield Case("list", f"fence {name}", (), faults)


def _lags() -> Iterator[Case]:
    for words, lag in (("short", 0.6 * SETTLE), ("long", 4 * SETTLE)):
        for step in ("S6", "S7", "S9"):
            faults = (fault(CREATE, "close", after=True),) if step == "S9" else ()
            yield Case("lag", f"{words} {step}", (STEPS[step],), faults, lag=lag)
        for name in KINDS:
            for after in _sides(name):
                faults = (fault(CREATE, name, after=after),)
                yield Case("lag", f"{words} {name} {_when(after=after)}", (), faults, lag=lag)
    for looks, name in product((1, 2, 3), ("reset", "empty")):
        seen_late = (fault(CREATE, name, after=True), Fault(LIST, "lag", looks=looks))
        yield Case("lag", f"{looks} looks {name}", (), seen_late)
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
    for what, side in product(("upload", "create", "look"), (False, True)):
        route = {"upload": UPLOAD, "create": CREATE, "look": LIST}[what]
        faults = (fault(route, "hang", after=side),)
        words = f"S27 during {what} {_when(after=side)}"
        yield Case("ctrl-c", words, (f"ctrl-c during {what}",), faults)
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
        for after in _sides(name):
            faults = (fault(CREATE, name, after=after),)
            yield Case("two-kernels", f"{name} {_when(after=after)}", (), faults, kernels=2)


def _late_commits() -> Iterator[Case]:
    """Let the server act on a create long after the client has gone."""
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
    """Let the list be known to be complete, and the user allow to create again unasked."""
    for name in KINDS:
        for after in _sides(name):
            faults = (fault(CREATE, name, after=after),)
            words = f"{name} {_when(after=after)}"
            yield Case("recreate", words, (), faults, lag=0.4 * SETTLE, listed=True)


def without_metadata(body: bytes) -> bytes:
    """Drop what we wrote into the batches of a list."""
    return body.replace(b'"bf_fp"', b'"x"')


def _witnesses() -> Iterator[Case]:
    dropped = Fault(LIST, rewrite=without_metadata, times=float("inf"))
    for name in ("reset", "close", "500", "empty", "broken", "login"):
        faults = (fault(CREATE, name, after=True), dropped)
        yield Case("metadata-dropped", f"S26 {name}", (), faults)


def matrix() -> list[Case]:
    """Return every case of batchframe."""
    families: Iterable[Iterator[Case]] = (
        _crashes(), _creates(), _uploads(), _lists(), _lags(), _two_crashes(), _two_kernels(),
        _interrupts(), _full_disks(), _late_commits(), _parts(), _recreates(), _witnesses(),
    )  # fmt: skip
    return [case for family in families for case in family]


NAIVE_POINTS = ("start", "before upload", "after upload", "after file noted", "after create", "end")


def baseline() -> list[Case]:
    """Return the cases of clients without a protocol: the package's defaults, and no retries."""
    cases = [Case("naive", point, (point,)) for point in NAIVE_POINTS]
    for point in ("", "after create"):
        for name in KINDS:
            for after in _sides(name):
                words = f"{point or 'alive'} {name} {_when(after=after)}"
                faults = (fault(CREATE, name, after=after),)
                cases.append(Case("naive", words, (point,), faults))
    return [
        replace(case, family=client, client=client)
        for client in ("naive", "naive-0")
        for case in cases
    ]
