"""The job folder: file names, manifest, journal, lock, and writes that survive a crash.

In and out: bytes, JSON values and paths. Must not know: what a request, a batch or a row is.

    <home>/jobs/<job id>/        0700, its files 0600
      manifest.json              the recipe and what was written; replaced as a whole
      journal.jsonl              append-only, fsynced; a torn last line is dropped
      rows.parquet               row → digest, request number
      input-000.jsonl            exactly what was sent
      output-000.jsonl           exactly what came back
      errors-000.jsonl
      reused.parquet             the answers that earlier jobs had already
      answers.parquet            the parsed truth, rebuilt from the files when absent
      lock
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import filelock
import msgspec
import platformdirs

from batchframe.errors import JobError

STATE_VERSION: Final = 1
_JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


def home() -> Path:
    """Return the folder of all state: ``BATCHFRAME_HOME``, else the user's own state folder."""
    chosen = os.environ.get("BATCHFRAME_HOME")
    return (
        Path(chosen).expanduser().absolute()
        if chosen
        else platformdirs.user_state_path("batchframe")
    )


class JobFolder:
    """The files of one job; the only place that knows their names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, job_id: str) -> JobFolder:
        """Return the folder of a job id below :func:`home`, whether it exists or not."""
        if not _JOB_ID.fullmatch(job_id):
            raise JobError.not_an_id(job_id)
        return cls(home() / "jobs" / job_id)

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def rows(self) -> Path:
        return self.path / "rows.parquet"

    @property
    def reused(self) -> Path:
        return self.path / "reused.parquet"

    @property
    def answers(self) -> Path:
        return self.path / "answers.parquet"

    def input(self, shard: int) -> Path:
        return self.path / f"input-{shard:03d}.jsonl"

    def output(self, shard: int) -> Path:
        return self.path / f"output-{shard:03d}.jsonl"

    def errors(self, shard: int) -> Path:
        return self.path / f"errors-{shard:03d}.jsonl"

    def create(self) -> None:
        """Make the folder, private to the user."""
        for path in (self.path.parent.parent, self.path.parent, self.path):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Hold the job's lock if nobody else does; yield whether it is held.

        The operating system lets go of it when a process dies, so no lock is ever stale.
        """
        lock = filelock.FileLock(self.path / "lock", mode=0o600)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def read_manifest(self) -> dict[str, Any]:
        """Read the manifest.

        Raises
        ------
        JobError
            If it is absent, damaged, or written by a newer version.
        """
        try:
            manifest = msgspec.json.decode(self.manifest.read_bytes(), type=dict[str, Any])
        except FileNotFoundError:
            raise JobError.not_found(str(self.path)) from None
        except msgspec.DecodeError as reason:
            raise JobError.damaged(str(self.manifest), str(reason)) from None
        if manifest.get("state_version") != STATE_VERSION:
            raise JobError.other_version(str(self.path), manifest.get("state_version"))
        return manifest

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest as a whole."""
        content = msgspec.json.format(
            msgspec.json.encode({"state_version": STATE_VERSION, **manifest})
        )
        with replacing(self.manifest) as file:
            file.write(content)

    def read_journal(self) -> list[dict[str, Any]]:
        """Read all events, without a torn last line.

        Raises
        ------
        JobError
            If a line before the last is damaged.
        """
        try:
            content = self.journal.read_bytes()
        except FileNotFoundError:
            return []
        *whole, _torn = content.split(b"\n")
        try:
            return [msgspec.json.decode(line, type=dict[str, Any]) for line in whole]
        except msgspec.DecodeError as reason:
            raise JobError.damaged(str(self.journal), str(reason)) from None

    def append(self, event: Mapping[str, Any]) -> None:
        """Add one event to the journal; when this returns it is on the disk."""
        line = msgspec.json.encode(event) + b"\n"
        descriptor = os.open(self.journal, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            _drop_torn_line(descriptor)
            _write_all(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(self.path)


def job_folders() -> list[JobFolder]:
    """List the folders of all jobs, newest first."""
    jobs = home() / "jobs"
    if not jobs.is_dir():
        return []
    paths = [path for path in jobs.iterdir() if (path / "manifest.json").is_file()]
    paths.sort(key=lambda path: (path / "manifest.json").stat().st_ctime_ns, reverse=True)
    return [JobFolder(path) for path in paths]


def create_private(path: Path) -> IO[bytes]:
    """Open a new or emptied file that only the user can read."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "wb")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file beside `path` and put it in its place only when all of it is on the disk."""
    # Of a name of its own, since two kernels may write the same file.
    partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with create_private(partial) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, read a block at a time."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _drop_torn_line(descriptor: int) -> None:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    whole = os.pread(descriptor, size, 0).rfind(b"\n") + 1
    os.ftruncate(descriptor, whole)
    os.lseek(descriptor, whole, os.SEEK_SET)


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
