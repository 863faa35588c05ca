"""All cases: of the protocol, and of accounts, state folders and services.

Each is a frozen `Case` with an id; this module does not know how to run one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product

from batchframe.local import Fault
from tests.crash.cases import (
    CONTENT,
    CREATE,
    INSIDE,
    KINDS,
    LIST,
    REFUSALS,
    STEPS,
    Case,
    Wrong,
    fault,
    protocol_cases,
    sides,
    when,
)

RETRIEVE = "GET /v1/batches/{id}"
CANCEL, FILES = "POST /v1/batches/{id}/cancel", "GET /v1/files"
FOREVER = float("inf")
LATE: dict[str, Wrong] = {
    "404": (404, {}),
    "503": (503, {}),
    "reset": ("reset", {}),
    "empty": (200, {"body": ""}),
}
DIVISION = (
    "after QUEUED",
    "torn QUEUED",
    "after search",
    "half a part",
    "before manifest",
    "torn DIVIDED",
    "after DIVIDED",
    "before part",
)
"""SIGKILL around the division of an input file."""
FULL = {
    "error": {
        "message": "Enqueued token limit reached for m in organization o.",
        "code": "token_limit_exceeded",
    }
}
EMPTY = {"object": "list", "data": [], "has_more": False}
EVIDENCE = ("all", "file", "answers")
"""Evidence of a batch's content: everything, its input file, or its answers alone."""


def without_source(body: bytes) -> bytes:
    """Drop the input file and the metadata of a batch."""
    return json.dumps({**json.loads(body), "input_file_id": "", "metadata": None}).encode()


def without_fingerprint(body: bytes) -> bytes:
    """Drop the metadata of a batch."""
    return json.dumps({**json.loads(body), "metadata": None}).encode()


def without_any_metadata(body: bytes) -> bytes:
    """Drop the metadata of the batches of a list."""
    page = json.loads(body)
    return json.dumps(
        {**page, "data": [{**one, "metadata": None} for one in page["data"]]}
    ).encode()


def _lost(step: str) -> tuple[Fault, ...]:
    # Only what is uncertain is reconciled, and only what was not created is fenced.
    return (fault(CREATE, "reset"),) if step in {"S9", "S10"} else ()


def _divided() -> Iterator[Case]:
    """Let the account's queue be smaller than the input file."""
    yield Case("divided", "alive", queued=True)
    for step, point in STEPS.items():
        yield Case("divided", f"{step} {point}", (point,), _lost(step), queued=True)
    for point in DIVISION:
        yield Case("divided", point, (point,), queued=True)
    for name, skip in product(KINDS, (0, 1, 2)):
        for after in sides(name):
            faults = (fault(CREATE, name, after=after, skip=skip),)
            words = f"{name} {when(after=after)} create {skip + 1}"
            yield Case("divided", words, (), faults, queued=True)
    for (step, point), then in product(STEPS.items(), DIVISION):
        if step in {"S6", "S7", "S8"}:
            yield Case("divided", f"{step} {then}", (point, then), queued=True)
            yield Case("divided", f"{then} {step}", (then, point), queued=True)
    for then, name in product(("torn DIVIDED", "after DIVIDED"), KINDS):
        for after in sides(name):
            faults = (fault(CREATE, name, after=after, skip=1),)
            words = f"{then} {name} {when(after=after)}"
            yield Case("divided", words, (then,), faults, queued=True)
    for skip in (0, 1):
        refusal = Fault(CREATE, 400, body=FULL, after=True, skip=skip)
        yield Case("divided", f"refused and created {skip + 1}", (), (refusal,), queued=True)


def _unlisted() -> Iterator[Case]:
    """Let a gateway list nothing, and say more or less about a batch."""
    for evidence in EVIDENCE:
        rewrite = {"file": without_fingerprint, "answers": without_source}.get(evidence)
        quiet = (
            ()
            if rewrite is None
            else tuple(Fault(route, rewrite=rewrite, times=FOREVER) for route in (CREATE, RETRIEVE))
        )
        world = (*quiet, Fault(LIST, 200, body=EMPTY, times=FOREVER))
        for point in ("", *STEPS.values(), *INSIDE):
            lost = _lost("S9") if "FENC" in point or point in {STEPS["S9"], STEPS["S10"]} else ()
            words = f"{evidence} {point or 'alive'}"
            yield Case("unlisted", words, (point,), (*lost, *world), unlisted=True)
        for name in KINDS:
            for after in sides(name):
                faults = (fault(CREATE, name, after=after), *world)
                words = f"{evidence} {name} {when(after=after)}"
                yield Case("unlisted", words, (), faults, unlisted=True)


def _accounts() -> Iterator[Case]:
    """Let the account have another name in every other run."""
    for other in ("localhost", "project", "organization"):
        for step, point in STEPS.items():
            accounts = ("", other)
            yield Case("accounts", f"{other} {step}", (point,), _lost(step), accounts=accounts)
        for name in ("reset", "500", "empty"):
            for after in (False, True):
                faults = (fault(CREATE, name, after=after),)
                words = f"{other} {name} {when(after=after)}"
                yield Case("accounts", words, (), faults, accounts=("", other))


def _homes() -> Iterator[Case]:
    """Let the state folder be lost, or copied, after the first run."""
    for home, point in product(("lost", "copied"), (*STEPS.values(), *INSIDE)):
        lost = _lost("S9") if "FENC" in point or point in {STEPS["S9"], STEPS["S10"]} else ()
        yield Case(f"home-{home}", point, (point,), lost, home=home)
    for home, point in product(("lost", "copied"), DIVISION):
        yield Case(f"home-{home}", f"divided {point}", (point,), queued=True, home=home)
    for name, (step, point) in product(REFUSALS, list(STEPS.items())[:8]):
        faults = (fault(CREATE, name),)
        yield Case("home-copied", f"{step} {name} refused", ("", point), faults, home="copied")


def _refusals() -> Iterator[Case]:
    """Let a gateway reject a create although the batch exists."""
    for name, (step, point) in product(REFUSALS, [("alive", ""), *list(STEPS.items())[:8]]):
        faults = (fault(CREATE, name, after=True),)
        yield Case("refused", f"{step} {name} after", (point,), faults)


def _late_results() -> Iterator[Case]:
    """Let a completed batch's result files be missing for some polls."""
    points = (*STEPS.values(), "torn SHORT", "after SHORT", "torn FETCHED", "after FETCHED")
    for name, times in product(("404", "503", "reset", "empty"), (1, 4, 6)):
        kind, options = LATE[name]
        # The client retries what is not a rejection, twice.
        faults = (Fault(CONTENT, kind, times=times if name == "404" else 3 * times, **options),)
        yield Case("late", f"{name} {times}", (), faults, event="late")
        if name == "404" and times > 1:
            for point in points:
                yield Case("late", f"404 {times} {point}", (point,), faults, event="late")


def _lost_batches() -> Iterator[Case]:
    """Let the service not find a batch that it created."""
    points = (*list(STEPS.values())[5:8], "after STATUS", "torn ABANDONED", "after ABANDONED")
    for times, point in product((1, 2, FOREVER), ("", *points)):
        kills = ("", "", "", point) if "ABANDONED" in point else (point,)
        faults = (Fault(RETRIEVE, 404, times=times),)
        yield Case("lost", f"{times} {point or 'alive'}", kills, faults, event="lost")


def _late_cancels() -> Iterator[Case]:
    """Cancel a batch that has ended."""
    for name in ("400", "404", "409", "422-detail", "500", "reset", "empty"):
        kind, options = LATE.get(name) or KINDS.get(name) or (int(name), {})
        for point in ("", *STEPS.values(), "torn STATUS", "after STATUS", "torn FETCHED"):
            times = 4 if name in {"500", "reset"} else FOREVER
            faults = (*_lost(point_name(point)), Fault(CANCEL, kind, times=times, **options))
            words = f"{name} {point or 'alive'}"
            yield Case("canceled", words, (point,), faults, event="canceled")


def _outages() -> Iterator[Case]:
    """Let the service be out of reach for twenty polls."""
    for name in ("reset", "close", "500", "503-proxy", "408", "broken", "login"):
        kind, options = KINDS[name]
        faults = (Fault(RETRIEVE, kind, times=20, **options),)
        for point in ("", "during poll", "after CREATED", "ctrl-c during poll"):
            words = f"{name} {point or 'alive'}"
            yield Case("outage", words, (point,), faults, event="outage")


def _hidden_homes() -> Iterator[Case]:
    """Let the state folder be lost, and the list hide what was sent from it."""
    lists = {
        "no metadata": Fault(LIST, rewrite=without_any_metadata, times=FOREVER),
        "empty": Fault(LIST, 200, body=EMPTY, times=FOREVER),
        "404": Fault(LIST, 404, form="detail", times=FOREVER),
    }
    no_files = Fault(FILES, 404, form="detail", times=FOREVER)
    for (how, hidden), no_list in product(lists.items(), (False, True)):
        world = (hidden, no_files) if no_list else (hidden,)
        for point in ("", *STEPS.values(), *INSIDE, "after FETCHED"):
            words = f"{how}{', no files' if no_list else ''} {point or 'alive'}"
            faults = (*_lost(point_name(point)), *world)
            yield Case("home-hidden", words, (point,), faults, home="lost", unlisted=True)


def point_name(point: str) -> str:
    """Return "S9" for a point that only an uncertain create reaches."""
    return "S9" if "FENC" in point or point in {STEPS["S9"], STEPS["S10"]} else ""


def matrix() -> list[Case]:
    """Return every case of batchframe."""
    families = (
        *protocol_cases(), _divided(), _unlisted(), _accounts(), _homes(), _refusals(),
        _late_results(), _lost_batches(), _late_cancels(), _outages(), _hidden_homes(),
    )  # fmt: skip
    return [case for family in families for case in family]
