"""A run of the user's cell, in a process that may be killed at any step.

The child process wraps the steps of the protocol, to interrupt the run at one of them, and reports
how the run ended as JSON on a pipe.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import openai
import pandas as pd
import pytest

import batchframe as bf
from batchframe._base import private_files
from tests.crash import naive
from tests.crash.cases import PATIENCE, SETTLE, Case
from tests.support.profiles import change_local
from tests.support.seams import take_lost_for_unsent, wrap_journal, wrap_service, wrap_step

TEXTS = {"good kettle": "+", "bad lamp": "-", "good lamp": "+"}
IN_FLIGHT = 0.15

# Made before the fork, since both are slow: a request table, and a transport with its certificates.
REQUESTS = pd.DataFrame({"text": list(TEXTS)}).bf.requests(
    "{{ text }}", model="gpt-4.1", output=["+", "-"]
)
# Estimates search earlier jobs; the user's own must not be found here.
os.environ["BATCHFRAME_HOME"] = str(Path(tempfile.gettempdir()) / "batchframe-crash-nobody")
QUEUE = (REQUESTS.estimate().input_tokens.expected or 0) - 1  # all rows but one fit
PATCH = pytest.MonkeyPatch()  # nothing is restored: the child ends
TRANSPORT = openai.DefaultHttpxClient(trust_env=False)


@dataclass(frozen=True)
class Run:
    """One run of a case."""

    case: Case
    url: str
    home: Path
    kill: str
    verb: Literal["cell", "recreate", "recover", "abandon"] = "cell"
    batch: str = ""
    account: str = ""
    sabotage: str = ""

    @property
    def how(self) -> str:
        """How the run is interrupted, if not by SIGKILL."""
        return next((how for how in ("ctrl-c ", "disk full ") if self.kill.startswith(how)), "")

    @property
    def point(self) -> str:
        """The step at which the run is interrupted."""
        return self.kill.removeprefix(self.how)


def answer(body: dict[str, Any]) -> dict[str, str]:
    """Answer so that every answer can be checked."""
    return {"label": TEXTS[body["messages"][-1]["content"]]}


def run_in_child(run: Run) -> tuple[int, int]:
    """Fork; return the child's process id and the pipe for its result."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    os.close(reading)
    try:
        report = json.dumps(_end_of(run)).encode()
        os.write(writing, report)
    finally:
        os._exit(0)


def _end_of(run: Run) -> dict[str, Any]:
    os.environ["BATCHFRAME_HOME"] = str(run.home)
    # The child's output is only useful for debugging.
    if not os.environ.get("BATCHFRAME_CRASH_LOUD"):
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
    signal.signal(signal.SIGUSR1, signal.default_int_handler)
    _hurry(run.case)
    _sabotage(run.sabotage)
    client = openai.OpenAI(
        base_url=run.url.replace("127.0.0.1", "localhost")
        if run.account == "localhost"
        else run.url,
        api_key="local",
        timeout=PATIENCE,
        http_client=TRANSPORT,
        project="proj_2" if run.account == "project" else None,
        organization="org-2" if run.account == "organization" else None,
    )
    try:
        if run.case.client.startswith("naive"):
            return naive.run(client, run.case.client, run.home, lambda point: _reach(run, point))
        _arm(run)
        return _cell(run, client)
    except bf.errors.SubmissionUncertain as reason:
        return {"end": "uncertain", "words": str(reason)}
    except bf.errors.BatchframeError as reason:
        return {"end": "trouble", "words": f"{type(reason).__name__}: {reason}"}
    except (KeyboardInterrupt, OSError) as reason:
        return {"end": "trouble", "words": f"{type(reason).__name__}: {reason}"}
    except BaseException as reason:  # noqa: BLE001 - the verdict decides what it means
        # A naive user reruns the cell, whatever the error says.
        end = "crashed" if run.case.client == "batchframe" else "trouble"
        return {"end": end, "words": f"{type(reason).__name__}: {reason}"}


def _cell(run: Run, client: openai.OpenAI) -> dict[str, Any]:
    if run.verb == "recreate":
        bf.job("crash", client=client).resume(recreate=True)
    if run.verb == "recover":
        bf.recover(client)
        for name in bf.jobs()["id"]:
            bf.job(name, client=client).wait(timeout=20)
    if run.batch:
        bf.job("crash", client=client).resume(batch=run.batch)
    job = REQUESTS.submit(
        "crash", client=client, on_uncertain="recreate" if run.case.listed else "ask"
    )
    if run.case.event == "canceled":
        patient = client.with_options(timeout=10.0)
        while patient.batches.retrieve(job.batches[0].id).status != "completed":
            time.sleep(0.02)
        job.cancel()
    if run.verb == "abandon":
        job.abandon()
    job.wait(timeout=20)
    if run.case.event == "late" and (missing := job.refresh().unanswered()):
        missing.submit("again", client=client).wait(timeout=20)
    results = job.results()
    is_late = run.case.event == "late" and "missing" in set(results["bf_status"])
    return {
        "end": "trouble" if is_late else "done",
        "words": "",
        "statuses": results["bf_status"].tolist(),
        "labels": results["label"].astype(object).tolist(),
        "batches": [batch.id for batch in job.batches],
    }


def _hurry(case: Case) -> None:
    """Shorten the waits of the loopback profile and of the SDK."""
    change_local(
        PATCH,
        settle=SETTLE,
        first_poll=0.02,
        last_poll=0.1,
        list_is_complete=case.listed,
        queue_pause=0.05,
        max_requests=-(-len(TEXTS) // case.parts),
    )
    base: Any = openai._base_client
    base.INITIAL_RETRY_DELAY, base.MAX_RETRY_DELAY = 0.01, 0.02


def _end_here(run: Run) -> None:
    """Interrupt this process as the case specifies."""
    if run.how == "ctrl-c ":
        # SIGINT is ignored in a background shell, so another signal is used.
        os.kill(os.getpid(), signal.SIGUSR1)
    elif run.how == "disk full ":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def _reach(run: Run, point: str) -> None:
    if point == run.point:
        _end_here(run)


def _arm(run: Run) -> None:
    """Wrap the steps of the protocol so that the run is interrupted at one."""
    for step, before, after in (
        ("prepare", "start", "after manifest"),
        ("write_rows", "before rows", "-"),
        ("write_manifest", "before manifest", "-"),
        ("_write", "before part", "-"),
        ("_search_until_settled", "-", "after reconcile"),
    ):
        wrap_step(PATCH, step, partial(_around, run, before, after))
    for call, before, after in (
        ("upload", "before upload", "after upload"),
        ("create_batch", "before create", "after create"),
        ("delete_file", "-", "after fence"),
    ):
        wrap_service(PATCH, call, partial(_around, run, before, after))
    _wrap_journal(run)
    _wrap_search(run)
    if run.point in _HALF_WRITTEN:
        private_files.create_private = partial(_half_written, run)
    if run.point.startswith("during "):
        _end_during(run, _CALLS[run.point.removeprefix("during ")])


def _around(run: Run, before: str, after: str, original: Any) -> Any:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        _reach(run, before)
        result = original(*args, **kwargs)
        _reach(run, after)
        return result

    return wrapped


def _wrap_journal(run: Run) -> None:
    write_all = private_files._write_all

    def torn(descriptor: int, content: bytes) -> None:
        write_all(descriptor, content[: len(content) // 2])
        os.fsync(descriptor)
        _end_here(run)

    def wrap(append: Any) -> Any:
        def wrapped(folder: Any, event: Any) -> None:
            if run.point == f"torn {event['event']}":
                private_files._write_all = torn
            try:
                append(folder, event)
            finally:
                private_files._write_all = write_all
            _reach(run, f"after {event['event']}")

        return wrapped

    wrap_journal(PATCH, wrap)


def _wrap_search(run: Run) -> None:
    def wrap(original: Any) -> Any:
        def wrapped(service: Any) -> Iterator[Any]:
            yield from original(service)
            _reach(run, "after search")

        return wrapped

    wrap_service(PATCH, "list_batches", wrap)


_HALF_WRITTEN = {
    "half an input file": "input-",
    "half a manifest": "manifest.",
    "half a part": "input-001",
}


def _half_written(run: Run, path: Path) -> Any:
    file = _unwrapped_create_private(path)
    if not path.name.startswith(_HALF_WRITTEN[run.point]):
        return file
    write: Callable[[bytes], int] = file.write

    class Half:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            file.close()

        def write(self, content: bytes) -> None:
            write(bytes(content)[: len(content) // 2])
            file.flush()
            os.fsync(file.fileno())
            _end_here(run)

    return Half()


_unwrapped_create_private = private_files.create_private


_CALLS = {
    "upload": "upload",
    "create": "create_batch",
    "search": "list_batches",
    "poll": "retrieve_batch",
    "download": "download",
}


def _end_during(run: Run, name: str) -> None:
    def wrap(original: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            threading.Timer(IN_FLIGHT, _end_here, (run,)).start()
            return original(*args, **kwargs)

        return wrapped

    wrap_service(PATCH, name, wrap)


def _sabotage(how: str) -> None:
    """Break a part of the protocol, to test the matrix."""
    if how:
        SABOTAGES[how]()


def _with_retries() -> None:
    post = openai.OpenAI.post

    def careless(self: Any, path: str, **kwargs: Any) -> Any:
        kwargs.get("options", {}).pop("max_retries", None)
        return post(self, path, **kwargs)

    openai.OpenAI.post = careless  # type: ignore[method-assign, assignment]


def _without_reconcile() -> None:
    def careless(run: Any, index: int, _: Any) -> None:
        run.record_event("FENCED", index)

    wrap_step(PATCH, "reconcile_create", lambda _: careless)
    wrap_step(PATCH, "created_elsewhere", lambda _: lambda *_: [])


def _without_fence() -> None:
    wrap_service(PATCH, "delete_file", lambda _: lambda *_: True)


def _without_creating() -> None:
    def wrap(append: Any) -> Any:
        def careless(folder: Any, event: Any) -> None:
            if event["event"] not in {"CREATING", "AMBIGUOUS"}:
                append(folder, event)

        return careless

    wrap_journal(PATCH, wrap)


def _trusting() -> None:
    take_lost_for_unsent(PATCH)


SABOTAGES: dict[str, Callable[[], None]] = {
    "retries": _with_retries,
    "no-reconcile": _without_reconcile,
    "no-fence": _without_fence,
    "no-creating": _without_creating,
    "lost-is-unsent": _trusting,
}
