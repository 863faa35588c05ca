"""S19: the lock of a job, and the death of its holder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import filelock
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


def test_s19_a_lock_ends_with_its_holder(job: bf.Job) -> None:
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


def test_s19_the_content_of_the_lock_file_does_not_matter(job: bf.Job) -> None:
    # A process id, another host name and dates do not matter.
    lock = job.folder / "lock"
    for content in (str(os.getpid()), "1\nelsewhere\n", "", "x" * 9999):
        lock.write_text(content)
        os.utime(lock, (time.time() + 86_400, time.time() - 86_400 * 400))
        assert job.resume().status == "validating"


def test_s19_a_lock_is_released_after_an_error(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    server.faults.add(batchframe.local.Fault("POST /v1/batches", 400))
    with pytest.raises(bf.errors.SubmissionError):
        requests.submit("again", client=server.client())
    assert bf.job("again", client=server.client()).resume().wait().counts == {"ok": 3}


@pytest.mark.parametrize("number", ["ENOLCK", "EOPNOTSUPP", "EINVAL", "EIO"])
def test_s19_a_disk_without_locks_gets_a_marker_file(
    number: str, job: bf.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    flock = fcntl.flock

    def refuse(file: int, operation: int) -> None:
        if operation != fcntl.LOCK_UN:  # locks of other threads are released
            raise OSError(getattr(errno, number), "no locks on this disk")
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert job.resume().status == "validating"
    marker = job.folder / "lock.marker"
    assert not marker.exists()  # it was released
    with filelock.SoftFileLock(marker), pytest.raises(bf.errors.JobError, match="Another"):
        job.cancel()
    assert job.cancel().status in {"cancelling", "cancelled"}


def test_s19_a_full_disk_is_not_taken_for_one_without_locks(
    job: bf.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(bf.errors.JobError, match="could not be read or written"):
        job.resume()


@pytest.mark.parametrize("address", ["s3://bucket/home", "file:///tmp/home", "gs://b"])
def test_a_state_folder_at_an_address_is_rejected(
    address: str,
    requests: bf.Requests,
    server: batchframe.local.Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCHFRAME_HOME", address)
    with pytest.raises(bf.errors.JobError, match="BATCHFRAME_HOME: an address"):
        requests.submit("there", client=server.client())
    assert not [path for path in tmp_path.iterdir() if ":" in path.name]
