"""A case from the first run to the judgment: the server, the kernels, the user, the judge.

Comes in: a case. Goes out: a frozen `Verdict`. The server runs in a process of its own, so that the
one that forks kernels has no threads; its billing ledger is the only judge of what was paid.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from batchframe.local import Fault, Server, serve
from tests.crash.cases import LIST, Case
from tests.crash.kernel import TEXTS, Run, answer, run_in_child

# Killing a process loses nothing that it has written, so the disk may be one of memory.
MEMORY = Path("/dev/shm")  # noqa: S108 - folders of a name of their own are made in it
if os.access(MEMORY, os.W_OK):
    tempfile.tempdir = str(MEMORY)

MOST_RUNS = 12
LONGEST_RUN = 30.0


@dataclass(frozen=True)
class Verdict:
    """What became of a case; `fault` says in words what broke a promise, if anything did."""

    id: str
    family: str
    billed: int
    parts: int
    runs: int
    killed: int
    asked: int
    recreated: int
    seconds: float
    fault: str = ""

    @property
    def adopted(self) -> bool:
        """Whether a message advised another poll, and the batch was found."""
        return self.asked > 0 and not self.recreated


class Bench:
    """A process with a server, a new one for each case."""

    def __init__(self) -> None:
        context = get_context("fork")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._ours), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, *question: Any) -> Any:
        """Ask the server's process, and return its answer."""
        self._ours.send(question)
        return self._ours.recv()

    def close(self) -> None:
        """End the process."""
        self._ours.close()
        self._process.join()


def _serve(questions: Connection, other_end: Connection) -> None:
    other_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server: Server | None = None
    while True:
        try:
            verb, *given = questions.recv()
        except EOFError:
            break
        if verb == "start":
            if server is not None:
                # Closing takes a moment, in which the next case can begin.
                threading.Thread(target=server.close).start()
            server = serve(answer, faults=given[0])
            questions.send(server.url)
        elif server is not None:
            questions.send(_truth(server))
    if server is not None:
        server.close()


def _truth(server: Server) -> dict[str, Any]:
    assert server._engine is not None
    batches = server._engine.store.batches()
    return {
        # A failed batch is not one that a user would wait for.
        "batches": sum(batch.status != "failed" for batch in batches),
        "running": sum(not batch.ended for batch in batches),
        "billed": len(server.ledger),
    }


def tell(case: Case, bench: Bench, sabotage: str = "") -> Verdict:
    """Run a case to its end and judge it."""
    home = Path(tempfile.mkdtemp(prefix="batchframe-crash-"))
    began = time.monotonic()
    lag = (Fault(LIST, "lag", seconds=case.lag),) if case.lag else ()
    try:
        url = bench.ask("start", [*case.faults, *lag])
        user = _User(Run(case, url, home, "", sabotage=sabotage), bench)
        user.persist()
        truth = _settled(bench, user.first_ended + case.quiet_after)
        verdict = user.verdict(truth["billed"], _judgment(case, user, truth))
        return replace(verdict, seconds=time.monotonic() - began)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _settled(bench: Bench, quiet: float) -> dict[str, Any]:
    """Wait until the server has acted on everything, and return what it has and billed."""
    time.sleep(max(0.0, quiet + 0.2 - time.monotonic()))
    while (truth := bench.ask("truth"))["running"]:
        time.sleep(0.02)
    return dict(truth)


def _judgment(case: Case, user: _User, truth: dict[str, Any]) -> str:
    end = user.end
    if end.get("end") != "done":
        return f"not done after {user.runs} runs: {end}"
    if truth["billed"] > case.parts:
        return f"billed {truth['billed']} batches for {case.parts} parts"
    if truth["billed"] < case.parts:
        return f"lost: {truth['billed']} of {case.parts} parts are on the server"
    if end["statuses"] != ["ok"] * len(TEXTS) or end["labels"] != list(TEXTS.values()):
        return f"wrong answers: {end}"
    return ""


class _User:
    """Runs the cell again until it is done, and creates again only what is truly not there."""

    def __init__(self, run: Run, bench: Bench) -> None:
        self._run = run
        self._bench = bench
        self.end: dict[str, Any] = {}
        self.runs = self.killed = self.asked = self.recreated = 0
        self.first_ended = 0.0  # until then, the request that acts late was sent

    def persist(self) -> None:
        """Run the cell until it is done or hope is lost."""
        kills = self._run.case.kills
        for number in range(MOST_RUNS):
            kill = kills[number] if number < len(kills) else ""
            self._once(replace(self._run, kill=kill, verb=self._verb()))
            if self.end.get("end") in {"done", "crashed"}:
                return

    def _verb(self) -> Any:
        if self.end.get("end") != "uncertain":
            return "cell"
        self.asked += 1
        # The service's web page would show it, listed or not.
        if self._bench.ask("truth")["batches"] >= self._run.case.parts:
            time.sleep(self._run.case.lag)
            return "cell"
        if self._run.case.parts > 1 and self.asked == 1:
            return "cell"
        self.recreated += 1
        return "recreate"

    def _once(self, run: Run) -> None:
        others = run.case.kernels - 1 if self.runs == 0 else 0
        self.runs += 1
        children = [run_in_child(run)]
        children += [run_in_child(replace(run, kill="")) for _ in range(others)]
        ends = [self._ended(*child) for child in children]
        self.first_ended = self.first_ended or time.monotonic()
        self.end = next((end for end in ends if end["end"] == "done"), ends[0])

    def _ended(self, child: int, reading: int) -> dict[str, Any]:
        told = _read(reading, LONGEST_RUN)
        if told is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return {"end": "crashed", "words": f"still running after {LONGEST_RUN} seconds"}
        _, status = os.waitpid(child, 0)
        if told:
            return dict(json.loads(told))
        self.killed += os.WIFSIGNALED(status)
        return {"end": "killed", "words": f"status {status}"}

    def verdict(self, billed: int, fault: str) -> Verdict:
        """Put down what happened."""
        case = self._run.case
        return Verdict(
            case.id, case.family, billed, case.parts,
            self.runs, self.killed, self.asked, self.recreated, 0.0, fault,
        )  # fmt: skip


def _read(reading: int, most: float) -> bytes | None:
    """Read a pipe to its end; None if it does not end in time."""
    content, deadline = b"", time.monotonic() + most
    try:
        while select.select([reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
            if not (chunk := os.read(reading, 65536)):
                return content
            content += chunk
    finally:
        os.close(reading)
    return None
