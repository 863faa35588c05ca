"""S28: the n-th write fails, once or always."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from tests.support.profiles import change_local

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Disk:
    """Counts the writes of one thread below a folder, and fails the n-th."""

    def __init__(self, home: Path, nth: int = 0, *, number: int, forever: bool = False) -> None:
        self.home, self.nth, self.number, self.forever = str(home), nth, number, forever
        self.steps = 0
        self.log: list[str] = []
        self.thread = threading.get_ident()
        self.ours: set[int] = set()
        names = ("open", "close", "write", "fsync", "replace", "mkdir", "fdopen")
        self.real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in names}

    def step(self, what: str) -> None:
        self.steps += 1
        self.log.append(what)
        if self.steps == self.nth or (self.forever and self.steps > self.nth > 0):
            raise OSError(self.number, os.strerror(self.number))

    def is_ours(self, thing: Any) -> bool:
        if threading.get_ident() != self.thread:
            return False
        if isinstance(thing, int):
            return thing in self.ours
        return os.fspath(thing).startswith(self.home)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Intercept the writes of the program."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("open", "close", "fdopen"):
                patch.setattr(os, name, getattr(self, name))
            for name in ("write", "fsync", "replace", "mkdir"):
                patch.setattr(os, name, self.counted(name))
            yield

    def counted(self, name: str) -> Callable[..., Any]:
        def act(thing: Any, *more: Any, **named: Any) -> Any:
            if self.is_ours(thing):
                self.step(name)
            return self.real[name](thing, *more, **named)

        return act

    def open(self, path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        ours = self.is_ours(path)
        if ours and flags & WRITING:
            self.step(f"open {Path(path).name}")
        descriptor: int = self.real["open"](path, flags, mode, **options)
        if ours:
            self.ours.add(descriptor)
        return descriptor

    def close(self, descriptor: int) -> None:
        self.ours.discard(descriptor)
        self.real["close"](descriptor)

    def fdopen(self, descriptor: int, mode: str = "r", *more: Any, **named: Any) -> Any:
        if self.is_ours(descriptor):
            # Such a file closes itself, and its descriptor is reused.
            self.ours.discard(descriptor)
            if mode == "wb":
                raw = Raw(descriptor, "wb")
                raw.disk = self
                return io.BufferedWriter(raw)
        return self.real["fdopen"](descriptor, mode, *more, **named)


class Raw(io.FileIO):
    """The raw end of a buffered file."""

    disk: Disk

    def write(self, content: Any) -> int:
        self.disk.step("write a block")
        return super().write(content)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, settle=0.3, first_poll=0.02, last_poll=0.05)


def journey(text: str, server: batchframe.local.Server) -> bf.Job:
    """Submit, wait and read: everything that a job writes."""
    frame = pd.DataFrame({"text": [text]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
    job = requests.submit("full", client=server.client()).wait()
    assert job.results()["bf_status"].tolist() == ["ok"]
    return job


def test_s28_the_fault_injection_sees_every_kind_of_write(
    home: Path, server: batchframe.local.Server
) -> None:
    disk = Disk(home, number=errno.ENOSPC)
    with disk.watched():
        journey("counted", server)
    kinds = {step.split()[0] for step in disk.log}
    assert kinds == {"open", "write", "fsync", "replace", "mkdir"}
    for name in ("journal.jsonl", "input-000.jsonl", "lock"):
        assert any(step.startswith(f"open {name}") for step in disk.log)
    assert disk.steps > 40


@pytest.mark.parametrize(
    ("trouble", "step"),
    [
        pytest.param((errno.ENOSPC, True), 12, id="full, at some writes"),
        pytest.param((errno.ENOSPC, True), 1, id="full", marks=pytest.mark.slow),
        pytest.param((errno.ENOSPC, False), 1, id="full for a moment", marks=pytest.mark.slow),
        pytest.param((errno.EIO, False), 1, id="broken for a moment", marks=pytest.mark.slow),
    ],
)
def test_s28_any_failed_write_loses_nothing_and_one_batch_is_billed(
    trouble: tuple[int, bool],
    step: int,
    tmp_path: Path,
    server: batchframe.local.Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (number, forever), refused = trouble, 0
    for nth in range(1, 500, step):
        home = tmp_path / f"home-{nth}"
        monkeypatch.setenv("BATCHFRAME_HOME", str(home))
        disk = Disk(home, nth, number=number, forever=forever)
        before = len(server.ledger)
        with disk.watched():
            try:
                journey(f"row {nth}", server)
            except bf.errors.JobError as reason:
                refused += 1
                assert os.strerror(number) in str(reason), disk.log[-1]  # noqa: PT017
                assert "run the cell again" in str(reason)  # noqa: PT017
        journals = [*home.glob("jobs/*/journal.jsonl")]
        billed = len(server.ledger) - before
        assert billed == 0 or any(b'"CREATING"' in path.read_bytes() for path in journals)
        journey(f"row {nth}", server)
        assert len(server.ledger) - before == 1, disk.log[nth - 1]
        if disk.steps < nth:
            break
    # A write of the parsed answers may fail: they can be parsed again.
    assert refused > 40 // step
    assert disk.steps < nth


@pytest.mark.slow
def test_s28_a_file_size_limit_is_reported_and_the_job_continues_later(
    server: batchframe.local.Server,
) -> None:
    code = """
        import resource, sys
        import openai, pandas as pd
        import batchframe as bf

        client = openai.OpenAI(base_url=sys.argv[1], api_key="local")
        reports = []
        for most in [0, 1, 30, 100, 300, 500, 700, 900, 1200, 1800, 2500, 4000, 10**9]:
            requests = pd.DataFrame({"text": [f"at most {most}"]}).bf.requests(
                "{{ text }}", model="gpt-4.1", output=["+", "-"]
            )
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
            try:
                requests.submit(f"at most {most}", client=client).wait()
            except bf.errors.JobError as reason:
                reports.append("File too large" in str(reason))
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            job = requests.submit(f"at most {most}", client=client).wait()
            assert job.counts == {"ok": 1}, most
        assert len(reports) > 5 and all(reports), reports
    """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), server.url],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert len(server.ledger) == 13


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("name", ["journal.jsonl", "input-000.jsonl", "manifest.json"])
def test_s28_a_full_device_raises_a_clear_error(
    name: str,
    server: batchframe.local.Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = os.open

    def opened(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        if name in str(path) and flags & WRITING:
            return real("/dev/full", os.O_RDWR)
        return real(path, flags, mode, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", opened)
        with pytest.raises(bf.errors.JobError, match="No space left on device"):
            journey("no room", server)
    assert server.client().batches.list().data == []
    assert journey("no room", server).counts == {"ok": 1}
