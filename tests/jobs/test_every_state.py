"""From every state, following the messages ends the job.

The table in docs/reliability.md is compared with the messages of each method.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

import batchframe as bf
from batchframe import local
from batchframe.errors import BatchframeError, SubmissionError
from batchframe.local import Fault
from tests.support.profiles import change_local

CREATE, LIST, RETRIEVE = "POST /v1/batches", "GET /v1/batches", "GET /v1/batches/{id}"
FILES = "GET /v1/files"
CONTENT = "GET /v1/files/{id}/content"
FOREVER: Final = float("inf")
FULL = {"error": {"code": "token_limit_exceeded", "message": "Enqueued token limit reached."}}
DOCUMENT: Final = Path(__file__).parents[2] / "docs/reliability.md"

STATES: Final[Mapping[str, tuple[Fault, ...]]] = {
    "refused": (Fault(CREATE, 403, times=FOREVER),),
    "refused, another format": (Fault(CREATE, 422, form="detail", times=FOREVER),),
    "uncertain": (Fault(CREATE, "reset"),),
    "uncertain, no list": (
        Fault(CREATE, "reset", after=True), Fault(LIST, 400, times=FOREVER, skip=1),
    ),
    "nothing listed": (Fault(LIST, 404, times=FOREVER), Fault(FILES, 404, times=FOREVER)),
    "queued": (Fault(CREATE, 400, times=FOREVER, body=FULL),),
    "paused": (),
    "never ends": (),
    "not seen": (
        Fault(RETRIEVE, 404, times=FOREVER),
        Fault("POST /v1/batches/{id}/cancel", 404, times=FOREVER),
    ),
    "cancelling": (),
    "no result file": (Fault(CONTENT, 503, times=FOREVER),),
    "late result file": (Fault(CONTENT, 404, times=FOREVER),),
    "completed": (),
    "abandoned": (),
}  # fmt: skip
RUNNING: Final = {"paused", "no result file", "late result file", "completed"}
VERBS: Final[Mapping[str, Callable[[bf.Job], object]]] = {
    "wait": lambda job: job.wait(timeout=0.3),
    "cancel": lambda job: job.cancel(),
    "resume": lambda job: job.resume(),
    "unanswered": lambda job: job.unanswered(),
    "forget": lambda job: job.forget(),
    "abandon": lambda job: job.abandon(),
}
FURTHER: Final[Mapping[str, Callable[[bf.Job], object]]] = {
    **VERBS,
    "refresh": lambda job: job.refresh(),
    "resume(recreate=True)": lambda job: job.resume(recreate=True),
}
NAMED: Final = re.compile(
    r"\.(resume\(recreate=True\)|(?:wait|refresh|cancel|resume|abandon)(?=\())"
)


@pytest.fixture(autouse=True)
def _polls_often(monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, first_poll=0.01, last_poll=0.02, settle=0.05)


def reach(state: str, name: str, server: local.Server, requests: bf.Requests) -> bf.Job:
    """Bring a job into a state."""
    client = server.client().with_options(max_retries=0)
    server.faults.clear()
    server.faults.add(*STATES[state])
    # Input files of one request, one after the other.
    tokens = requests.estimate().input_tokens.high or 0
    limit = tokens // len(requests) + 5 if state == "paused" else None
    with contextlib.suppress(BatchframeError):
        requests.submit(name, client=client, reuse=False, rerun=name, max_enqueued_tokens=limit)
    job = bf.job(name, client=client)
    if state == "paused":
        with pytest.raises(SubmissionError, match="is paused"):
            job.wait()
    if state == "cancelling":
        job.cancel()
    if state == "abandoned":
        job.abandon()
    if state in {"late result file", "completed"}:
        job.wait()
    return job


def run_verb(job: bf.Job, verb: str, capsys: pytest.CaptureFixture[str]) -> tuple[bool, list[str]]:
    """Call a method; return whether the job ended and the methods named."""
    capsys.readouterr()
    text = ""
    try:
        FURTHER[verb](job)
    except BatchframeError as error:
        text = str(error)
    if not job.folder.exists() or job.done:
        return True, []
    text = text or capsys.readouterr().err + repr(job)
    return False, list(dict.fromkeys(NAMED.findall(text)))


def ends(job: bf.Job, capsys: pytest.CaptureFixture[str]) -> bool:
    """Follow the messages, each method once, until the job ends."""
    names, tried = ["wait"], set()
    while names:
        verb = names.pop(0)
        if verb in tried:
            continue
        tried.add(verb)
        is_done, further = run_verb(job, verb, capsys)
        if is_done:
            return True
        names += further
    return False


@pytest.fixture
def served() -> Iterable[local.Server]:
    # Each bill is above the last, from which estimates learn.
    output_tokens = (500 * 2**number for number in itertools.count())

    def answer(_body: dict[str, Any]) -> dict[str, Any]:
        choice = {"message": {"content": '{"label":"+"}'}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 40, "completion_tokens": next(output_tokens)}
        return {"object": "chat.completion", "choices": [choice], "usage": usage}

    with local.serve(answer=answer) as server:
        yield server


@pytest.mark.parametrize("state", STATES)
def test_following_the_messages_ends_every_job(
    state: str,
    served: local.Server,
    requests: bf.Requests,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if state not in RUNNING:
        served.pause()
    assert ends(reach(state, "followed", served, requests), capsys)
    row = {}
    for verb in VERBS:
        is_done, named = run_verb(reach(state, verb, served, requests), verb, capsys)
        row[verb] = "ends" if is_done else ", ".join(named)
    line = " | ".join(("", state, *row.values(), "")).strip()
    table = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if "|" in line]
    assert line in table
