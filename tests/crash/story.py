"""Execution of a case: server, kernels, user and verdict.

The result is a frozen `Verdict`. The server runs in a separate process, so that the one that forks
kernels has no threads. Only its billing ledger decides what was paid.
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

from batchframe.local import Fault, Limits, Server, serve
from tests.crash.cases import LIST, Case
from tests.crash.kernel import QUEUE, TEXTS, Run, answer, run_in_child

# Killing a process loses no written data, so a RAM disk is sufficient.
MEMORY = Path("/dev/shm")  # noqa: S108 - uniquely named folders are made in it
if os.access(MEMORY, os.W_OK):
    tempfile.tempdir = str(MEMORY)

MOST_RUNS = 12
LONGEST_RUN = 30.0


@dataclass(frozen=True)
class Verdict:
    """Outcome of a case; `fault` describes a broken promise, if any."""

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
    """A process that runs a new server for each case."""

    def __init__(self) -> None:
        context = get_context("fork")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._ours), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, *question: Any) -> Any:
        """Send a command to the server's process and return the result."""
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
            verb, *arguments = questions.recv()
        except EOFError:
            break
        if verb == "start":
            if server is not None:
                # Closing takes a moment; the next case can begin at once.
                threading.Thread(target=server.close).start()
            faults, tokens = arguments
            server = serve(answer, faults=faults, limits=Limits(enqueued_tokens=tokens))
            questions.send(server.url)
        elif server is not None:
            questions.send(_truth(server))
    if server is not None:
        server.close()


def _truth(server: Server) -> dict[str, Any]:
    assert server._engine is not None
    batches = server._engine.store.batches()
    return {
        # A user would not wait for a failed batch.
        "batches": [batch.id for batch in batches if batch.status != "failed"],
        "running": sum(not batch.ended for batch in batches),
        "billed": len(server.ledger),
        "requests": sum(entry.requests for entry in server.ledger),
    }


def tell(case: Case, bench: Bench, sabotage: str = "") -> Verdict:
    """Run a case and return its verdict."""
    home = Path(tempfile.mkdtemp(prefix="batchframe-crash-"))
    began = time.monotonic()
    lag = (Fault(LIST, "lag", seconds=case.lag),) if case.lag else ()
    try:
        url = bench.ask("start", [*case.faults, *lag], QUEUE if case.queued else None)
        user = _User(Run(case, url, home, "", sabotage=sabotage), bench)
        user.persist()
        if case.home == "copied" and user.end.get("end") == "done":
            user.go_on_in_the_copy()
        truth = _settled(bench, user.first_ended + case.quiet_after)
        billed = truth["requests" if case.queued else "billed"]
        verdict = user.verdict(billed, _judgment(case, user, billed))
        return replace(verdict, seconds=time.monotonic() - began)
    finally:
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(_copy_of(home), ignore_errors=True)


def _copy_of(home: Path) -> Path:
    return home.with_name(home.name + "-copy")


def _settled(bench: Bench, quiet: float) -> dict[str, Any]:
    """Wait until the server is idle; return its batches and ledger."""
    time.sleep(max(0.0, quiet + 0.2 - time.monotonic()))
    while (truth := bench.ask("truth"))["running"]:
        time.sleep(0.02)
    return dict(truth)


def _judgment(case: Case, user: _User, billed: int) -> str:
    end, what = user.end, "requests" if case.queued else "batches"
    if end.get("end") != "done":
        return f"not done after {user.runs} runs: {end}"
    if billed > case.bills:
        return f"billed {billed} {what} for {case.bills} parts"
    if billed < case.bills:
        return f"lost: {billed} of {case.bills} parts are on the server"
    if user.abandoned and set(end["statuses"]) == {"missing"}:
        return ""
    if end["statuses"] != ["ok"] * len(TEXTS) or end["labels"] != list(TEXTS.values()):
        return f"wrong answers: {end}"
    if case.event == "outage" and not any(case.kills) and user.runs > 1:
        return f"an outage ended the wait: {user.runs} runs"
    return ""


class _User:
    """A user who reruns the cell and recreates only missing batches."""

    def __init__(self, run: Run, bench: Bench) -> None:
        self._run = run
        self._bench = bench
        self.end: dict[str, Any] = {}
        self.runs = self.killed = self.asked = self.recreated = self.troubled = 0
        self.abandoned = False
        self.first_ended = 0.0  # by then, the delayed request was sent

    def persist(self) -> None:
        """Run the cell until it is done or the limit of runs is reached."""
        kills = self._run.case.kills
        accounts = self._run.case.accounts
        for number in range(MOST_RUNS):
            kill = kills[number] if number < len(kills) else ""
            # An error tells the user to take the client that submitted the job.
            is_told = self.end.get("end") in {"uncertain", "trouble"}
            account = accounts[0 if is_told else number % len(accounts)]
            run = replace(self._run, kill=kill, account=account, batch=self._named_batch())
            self._once(replace(run, verb=self._verb()))
            if self.end.get("end") in {"done", "crashed"}:
                return
            if number == 0:
                self._change_home()

    def go_on_in_the_copy(self) -> None:
        """Run the cell of the copied folder until it is done."""
        self._run = replace(self._run, home=_copy_of(self._run.home))
        self.end = {}
        for _ in range(MOST_RUNS):
            self._once(replace(self._run, verb=self._verb()))
            if self.end.get("end") in {"done", "crashed"}:
                return

    def _change_home(self) -> None:
        home, what = self._run.home, self._run.case.home
        if what == "copied":
            shutil.copytree(home, _copy_of(home))
        elif what == "lost":
            shutil.rmtree(home)
            home.mkdir(mode=0o700)
            self.end = {}

    def _named_batch(self) -> str:
        """Return the id of a batch that only the service's web page shows."""
        if not self._run.case.unlisted or self.end.get("end") != "uncertain":
            return ""
        return next(iter(self._bench.ask("truth")["batches"]), "")

    def _verb(self) -> Any:
        if self.end.get("end") == "trouble" and "bf.recover()" in self.end["words"]:
            return "recover"
        if self.end.get("end") == "trouble" and self._run.case.event == "lost":
            self.troubled += 1
            self.abandoned = self.troubled > 2
            return "abandon" if self.abandoned else "cell"
        if self.end.get("end") != "uncertain":
            return "cell"
        self.asked += 1
        # The service's web page would show it, listed or not.
        parts = 2 if self._run.case.queued else self._run.case.parts
        if len(self._bench.ask("truth")["batches"]) >= parts:
            time.sleep(self._run.case.lag)
            return "cell"
        if parts > 1 and self.asked == 1:
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
        report = _read(reading, LONGEST_RUN)
        if report is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return {"end": "crashed", "words": f"still running after {LONGEST_RUN} seconds"}
        _, status = os.waitpid(child, 0)
        if report:
            return dict(json.loads(report))
        self.killed += os.WIFSIGNALED(status)
        return {"end": "killed", "words": f"status {status}"}

    def verdict(self, billed: int, fault: str) -> Verdict:
        """Return the outcome."""
        case = self._run.case
        return Verdict(
            case.id, case.family, billed, case.bills,
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
