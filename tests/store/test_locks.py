"""S19: who holds a job's lock, and what becomes of it when the holder dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import batchframe as bf
import batchframe.local


@pytest.fixture
def job(requests: bf.Requests, server: batchframe.local.Server) -> bf.Job:
    server.pause()
    return requests.submit("kept", client=server.client())


def holder(folder: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock until it dies."""
    code = """
        import sys, time
        import filelock

        with filelock.FileLock(sys.argv[1], timeout=0):
            print("held", flush=True)
            time.sleep(600)
    """
    started = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(folder / "lock")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert started.stdout.readline().strip() == "held"
    return started


def test_s19_a_lock_goes_with_its_holder(job: bf.Job) -> None:
    other = holder(job.folder)
    try:
        with pytest.raises(bf.errors.JobError, match="Another kernel"):
            job.cancel()
        with pytest.raises(bf.errors.JobError, match="Another kernel"):
            job.resume()
        assert job.refresh().status == "validating"  # a poll needs no lock
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert other.stdout is not None
        other.stdout.close()
    assert job.cancel().status in {"cancelling", "cancelled"}


def test_s19_what_stands_in_the_lock_file_holds_nothing(job: bf.Job) -> None:
    # Neither the number of a living process nor another machine's name, nor any date.
    lock = job.folder / "lock"
    for content in (str(os.getpid()), "1\nelsewhere\n", "", "x" * 9999):
        lock.write_text(content)
        os.utime(lock, (time.time() + 86_400, time.time() - 86_400 * 400))
        assert job.resume().status == "validating"


def test_s19_a_lock_is_let_go_of_when_the_work_fails(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    server.faults.add(batchframe.local.Fault("POST /v1/batches", 400))
    with pytest.raises(bf.errors.SubmissionError):
        requests.submit("again", client=server.client())
    assert bf.job("again", client=server.client()).resume().wait().counts == {"ok": 3}
