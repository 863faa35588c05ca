"""One run of the user's cell, in a process that may be killed at a step of the protocol.

Comes in: a case, where the server is, and where to die. Goes out: how the run ended, as JSON on a
pipe. The product knows nothing of it: its seams are wrapped here, in the child.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import tempfile
import threading
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
# An estimate looks for earlier answers, and the user's own have no place here.
os.environ["BATCHFRAME_HOME"] = str(Path(tempfile.gettempdir()) / "batchframe-crash-nobody")
REQUESTS.estimate()
PATCH = pytest.MonkeyPatch()  # nothing is put back: the child ends
TRANSPORT = openai.DefaultHttpxClient(trust_env=False)


@dataclass(frozen=True)
class Run:
    """One run: of which case, against which server, until where."""

    case: Case
    url: str
    home: Path
    kill: str
    verb: Literal["cell", "recreate"] = "cell"
    sabotage: str = ""

    @property
    def how(self) -> str:
        """What happens at the point, if it is not SIGKILL."""
        return next((how for how in ("ctrl-c ", "disk full ") if self.kill.startswith(how)), "")

    @property
    def point(self) -> str:
        """Where it happens."""
        return self.kill.removeprefix(self.how)


def answer(body: dict[str, Any]) -> dict[str, str]:
    """Answer as the local server shall, so that every answer can be checked."""
    return {"label": TEXTS[body["messages"][-1]["content"]]}


def run_in_child(run: Run) -> tuple[int, int]:
    """Fork; return the child's process id and the pipe that will tell how it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    os.close(reading)
    try:
        told = json.dumps(_end_of(run)).encode()
        os.write(writing, told)
    finally:
        os._exit(0)


def _end_of(run: Run) -> dict[str, Any]:
    os.environ["BATCHFRAME_HOME"] = str(run.home)
    # Where the child's own words go is of no interest, unless someone looks for a fault here.
    if not os.environ.get("BATCHFRAME_CRASH_LOUD"):
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
    signal.signal(signal.SIGUSR1, signal.default_int_handler)
    _hurry(run.case)
    _sabotage(run.sabotage)
    client = openai.OpenAI(
        base_url=run.url, api_key="local", timeout=PATIENCE, http_client=TRANSPORT
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
    except BaseException as reason:  # noqa: BLE001 - the judge decides what it means
        # Who has no protocol runs the cell again, whatever it says.
        end = "crashed" if run.case.client == "batchframe" else "trouble"
        return {"end": end, "words": f"{type(reason).__name__}: {reason}"}


def _cell(run: Run, client: openai.OpenAI) -> dict[str, Any]:
    if run.verb == "recreate":
        bf.job("crash", client=client).resume(recreate=True)
    job = REQUESTS.submit(
        "crash", client=client, on_uncertain="recreate" if run.case.listed else "ask"
    )
    job.wait(timeout=20)
    results = job.results()
    return {
        "end": "done",
        "statuses": results["bf_status"].tolist(),
        "labels": results["label"].astype(object).tolist(),
        "batches": [batch.id for batch in job.batches],
    }


def _hurry(case: Case) -> None:
    """Let the loopback profile settle in a fraction of a second, and the SDK pause for less."""
    change_local(
        PATCH,
        settle=SETTLE,
        first_poll=0.02,
        last_poll=0.1,
        list_is_complete=case.listed,
        max_requests=-(-len(TEXTS) // case.parts),
    )
    base: Any = openai._base_client
    base.INITIAL_RETRY_DELAY, base.MAX_RETRY_DELAY = 0.01, 0.02


def _end_here(run: Run) -> None:
    """Do to this process what the case wants at its point."""
    if run.how == "ctrl-c ":
        # Another signal for the same: this one is ignored in a shell's background.
        os.kill(os.getpid(), signal.SIGUSR1)
    elif run.how == "disk full ":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def _reach(run: Run, point: str) -> None:
    if point == run.point:
        _end_here(run)


def _arm(run: Run) -> None:
    """Wrap the seams of the protocol so that the run dies at its point."""
    for step, before, after in (
        ("prepare", "start", "after manifest"),
        ("write_rows", "before rows", "-"),
        ("write_manifest", "before manifest", "-"),
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
    _wrap_look(run)
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


def _wrap_look(run: Run) -> None:
    def wrap(original: Any) -> Any:
        def wrapped(service: Any) -> Iterator[Any]:
            yield from original(service)
            _reach(run, "after look")

        return wrapped

    wrap_service(PATCH, "list_batches", wrap)


_HALF_WRITTEN = {"half an input file": "input-", "half a manifest": "manifest."}


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
    "look": "list_batches",
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
    """Break the product, to see that the matrix notices."""
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
