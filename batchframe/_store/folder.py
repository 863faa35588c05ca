"""The job folder: file names, manifest, journal, lock.

<home>/jobs/<job id>/        0700, its files 0600
manifest.json              the recipe and the input files; replaced atomically
journal.jsonl              append-only, fsynced; an incomplete last line is ignored
rows.parquet               the digest and request number of each row
input-000.jsonl            the input file, as sent
output-000.jsonl           the result file, as received
errors-000.jsonl
reused.parquet             answers of earlier jobs
answers.parquet            parsed answers, a cache of the result files
summary.json               counts and cost, a cache of the answers
lock
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import filelock
import msgspec
import platformdirs

from batchframe._base.errors import JobError, UnreadableJobWarning, quote, warn_user
from batchframe._base.private_files import (
    append_line,
    private_folder,
    private_home,
    read_private,
    replacing,
    translate_os_errors,
)
from batchframe._base.safe_text import JOBS

_T = TypeVar("_T")
STATE_VERSION: Final = 1
DIVIDED_VERSION: Final = 2
"""Format of a folder whose journal divides input files."""
_JOB_ID: Final = re.compile(r"[0-9a-f]{20}")
# Far more than a job needs, and small enough for memory.
_MAX_MANIFEST: Final = 64_000_000
_MAX_JOURNAL: Final = 256_000_000
# More than any recipe needs, and below Python's recursion limit.
_MAX_DEPTH: Final = 200
_NO_LOCKS: Final = frozenset(
    {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EIO, errno.ENOSYS}
)
"""What disks without locks answer, such as shares of a cluster or in a container."""
_THREAD_LOCKS: Final[dict[Path, threading.RLock]] = {}
if hasattr(os, "register_at_fork"):
    # The threads that hold them do not exist in a forked process.
    os.register_at_fork(after_in_child=_THREAD_LOCKS.clear)


def state_dir() -> Path:
    """Return ``BATCHFRAME_HOME``, or the default state folder of the user.

    Raises
    ------
    JobError
        If ``BATCHFRAME_HOME`` is not a valid path.
    """
    path = os.environ.get("BATCHFRAME_HOME")
    if not path:
        return platformdirs.user_state_path("batchframe")
    if "://" in path:
        raise JobError(
            f"BATCHFRAME_HOME: an address, not a folder ({path!r}); state needs a local disk. Fix: "
            "set it to a folder, such as ~/batchframe, or unset it."
        )
    try:
        return Path(path).expanduser().absolute()
    except (RuntimeError, OSError):
        # The user name is unknown, or the current folder is deleted.
        raise JobError(
            f"BATCHFRAME_HOME: not a valid path ({path!r}). Fix: set it to a folder, such as "
            "~/batchframe, or unset it."
        ) from None


class JobFolder:
    """Folder of one job, with the names of its files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = path / "manifest.json"
        self.journal = path / "journal.jsonl"
        self.rows = path / "rows.parquet"
        self.reused = path / "reused.parquet"
        self.answers = path / "answers.parquet"
        self.summary = path / "summary.json"
        self.files = path / "files"

    @classmethod
    def of(cls, job_id: str) -> JobFolder:
        """Return the folder of a job id, which may not exist yet.

        Raises
        ------
        JobError
            If the id is invalid, or :func:`state_dir` is not accessible.
        """
        if not _JOB_ID.fullmatch(job_id):
            raise JobError(
                f"job: not a job id ({quote(job_id)}).",
                next_step="Fix: " + JOBS + " lists the jobs on this machine.",
            )
        folder = cls(state_dir() / "jobs" / job_id)
        with translate_os_errors(folder.path):
            folder.path.exists()
        return folder

    def input(self, index: int) -> Path:
        return self.path / f"input-{index:03d}.jsonl"

    def output(self, index: int) -> Path:
        return self.path / f"output-{index:03d}.jsonl"

    def errors(self, index: int) -> Path:
        return self.path / f"errors-{index:03d}.jsonl"

    def remove_inputs_from(self, index: int) -> None:
        """Remove input files of an earlier division, from `index` on."""
        with translate_os_errors(self.path):
            for path in set(self.path.glob("input-*.jsonl")) - set(map(self.input, range(index))):
                path.unlink()

    def create(self) -> None:
        """Create the folder, private to the user.

        Raises
        ------
        JobError
            If the folder cannot be created, or other users can access it.
        """
        private_home(self.path.parent.parent)
        for path in (self.path.parent, self.path):
            private_folder(path)

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Acquire the job's lock; yield False if another process holds it.

        The operating system releases the lock when a process dies, so it is never stale. The call
        blocks while another thread of this process, such as a watch of the job, holds the lock.

        Raises
        ------
        JobError
            If a file operation in the folder fails while the lock is held.
        """
        thread_lock = _THREAD_LOCKS.setdefault(self.path, threading.RLock())
        with thread_lock, translate_os_errors(self.path):
            try:
                lock = self._acquire()
            except filelock.Timeout:
                yield False
                return
            try:
                yield True
            finally:
                lock.release()

    def _acquire(self) -> filelock.BaseFileLock:
        lock: filelock.BaseFileLock = filelock.FileLock(self.path / "lock", mode=0o600)
        try:
            lock.acquire(timeout=0)
        except OSError as reason:
            if isinstance(reason, filelock.Timeout) or reason.errno not in _NO_LOCKS:
                raise
            lock = filelock.SoftFileLock(self.path / "lock.marker", mode=0o600)
            lock.acquire(timeout=0)
        return lock

    def read_manifest(self) -> dict[str, Any]:
        """Read the manifest.

        Raises
        ------
        JobError
            If the manifest is missing, damaged, or written by a newer version.
        """
        content = read_private(self.manifest, _MAX_MANIFEST)
        if content is None:
            if self.journal.is_file():
                raise JobError.damaged(str(self.manifest), "the file is missing")
            raise JobError.not_found(str(self.path))
        try:
            manifest = msgspec.json.decode(content, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as reason:
            raise JobError.damaged(str(self.manifest), str(reason)) from None
        if _exceeds_depth(manifest, _MAX_DEPTH):
            raise JobError.damaged(str(self.manifest), f"nested more than {_MAX_DEPTH} levels deep")
        if (version := manifest.get("state_version")) not in (STATE_VERSION, DIVIDED_VERSION):
            raise JobError(
                f"{self.manifest!s} has format {version!r}, which needs a newer version of "
                "batchframe. Fix: pip install --upgrade batchframe."
            )
        return manifest

    def decode_manifest(self, fields: type[_T]) -> _T:
        """Read some fields of the manifest, and check only those."""
        return msgspec.json.decode(read_private(self.manifest, _MAX_MANIFEST) or b"", type=fields)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest atomically."""
        content = msgspec.json.encode({"state_version": STATE_VERSION, **manifest})
        with replacing(self.manifest) as file:
            file.write(msgspec.json.format(content))

    def read_journal(self, start: int = 0) -> list[bytes]:
        """Read the complete lines of the journal from a byte offset."""
        *lines, _torn = (read_private(self.journal, _MAX_JOURNAL, start) or b"").split(b"\n")
        return lines

    def journal_version(self) -> tuple[int, int]:
        """Return the inode and the size of the journal; zeros if it is missing."""
        with translate_os_errors(self.journal):
            if not os.path.lexists(self.journal):
                return 0, 0
            info = self.journal.lstat()
            return info.st_ino, info.st_size

    def append(self, event: Mapping[str, Any]) -> None:
        """Append one event to the journal, and sync it to disk."""
        append_line(self.journal, msgspec.json.encode(event) + b"\n")

    def write_journal(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Write a new journal atomically."""
        with replacing(self.journal) as file:
            file.writelines(msgspec.json.encode(event) + b"\n" for event in events)

    def changed_at(self) -> tuple[int, int]:
        """Return when the rows and the answer files last changed, in ns."""
        with translate_os_errors(self.path):
            files = self.files.lstat().st_mtime_ns if os.path.lexists(self.files) else 0
            return self.rows.lstat().st_mtime_ns, files


def _exceeds_depth(value: object, most: int) -> bool:
    """Check whether a JSON value has more than `most` levels."""
    if most == 0:
        return True
    children = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(children, list):
        return False
    return any(_exceeds_depth(child, most - 1) for child in children)


def is_job_id(word: str) -> bool:
    """Check whether a string has the form of a job id."""
    return _JOB_ID.fullmatch(word) is not None


def job_folders() -> list[JobFolder]:
    """List the folders of all jobs, newest first.

    Raises
    ------
    JobError
        If the folder cannot be read, or other users can write to it.
    """
    jobs = state_dir() / "jobs"
    with translate_os_errors(jobs):
        if not jobs.is_dir():
            return []
        private_home(jobs.parent)
        private_folder(jobs)
        paths = [path for path in jobs.iterdir() if (path / "manifest.json").is_file()]
        for path in filter(Path.is_symlink, paths):
            warn_user(UnreadableJobWarning.skipped(JobError.is_a_link(str(path))))
        paths = [path for path in paths if not path.is_symlink()]
        paths.sort(key=lambda path: (path / "manifest.json").stat().st_ctime_ns, reverse=True)
    return [JobFolder(path) for path in paths]
