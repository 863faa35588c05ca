"""The job folder: file names, manifest, journal, lock.

<home>/jobs/<job id>/        0700, its files 0600
manifest.json              the recipe and what was written; replaced as a whole
journal.jsonl              append-only, fsynced; a torn last line is dropped
rows.parquet               row → digest, request number
input-000.jsonl            exactly what was sent
output-000.jsonl           exactly what came back
errors-000.jsonl
reused.parquet             the answers that earlier jobs had already
answers.parquet            the parsed answers, rebuilt from the result files
summary.json               counts and cost, rebuilt from the answers
lock
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

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

STATE_VERSION: Final = 1
_JOB_ID: Final = re.compile(r"[0-9a-f]{20}")
# Far more than a job needs, and less than would fill a machine's memory.
_LARGEST_MANIFEST: Final = 64_000_000
_LARGEST_JOURNAL: Final = 256_000_000
# More than any recipe needs, and less than would exhaust Python's stack.
_DEEPEST: Final = 200
_THREADS: Final[dict[Path, threading.RLock]] = {}


def home() -> Path:
    """Return the folder of all state: ``BATCHFRAME_HOME``, else the user's own state folder.

    Raises
    ------
    JobError
        If ``BATCHFRAME_HOME`` leads nowhere.
    """
    chosen = os.environ.get("BATCHFRAME_HOME")
    if not chosen:
        return platformdirs.user_state_path("batchframe")
    try:
        return Path(chosen).expanduser().absolute()
    except (RuntimeError, OSError):
        # No user of that name, or no current folder.
        raise JobError(
            f"BATCHFRAME_HOME is {chosen!r}, which leads to no folder. Set it to a path, such as "
            "~/batchframe, or unset it."
        ) from None


class JobFolder:
    """The files of one job; the only place that knows their names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, job_id: str) -> JobFolder:
        """Return the folder of a job id below :func:`home`, whether it exists or not.

        Raises
        ------
        JobError
            If it is no id, or the home cannot be searched.
        """
        if not _JOB_ID.fullmatch(job_id):
            raise JobError(
                f"{quote(job_id)} cannot be a job's id.",
                next_step=JOBS + " lists the jobs that are here.",
            )
        folder = cls(home() / "jobs" / job_id)
        with translate_os_errors(folder.path):
            folder.path.exists()
        return folder

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

    @property
    def files(self) -> Path:
        return self.path / "files"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    def input(self, shard: int) -> Path:
        return self.path / f"input-{shard:03d}.jsonl"

    def output(self, shard: int) -> Path:
        return self.path / f"output-{shard:03d}.jsonl"

    def errors(self, shard: int) -> Path:
        return self.path / f"errors-{shard:03d}.jsonl"

    def create(self) -> None:
        """Make the folder, private to the user.

        Raises
        ------
        JobError
            If it cannot be made, or others could use it.
        """
        private_home(self.path.parent.parent)
        for path in (self.path.parent, self.path):
            private_folder(path)

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Hold the job's lock if no other process does; yield whether it is held.

        The operating system lets go of it when a process dies, so no lock is ever stale. Another
        thread of this process, such as one that watches the job, is waited for.

        Raises
        ------
        JobError
            If the disk refuses anything that is done to the folder while the lock is held.
        """
        with _THREADS.setdefault(self.path, threading.RLock()), self._lock() as held:
            yield held

    @contextmanager
    def _lock(self) -> Iterator[bool]:
        lock = filelock.FileLock(self.path / "lock", mode=0o600)
        with translate_os_errors(self.path):
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
        content = read_private(self.manifest, _LARGEST_MANIFEST)
        if content is None and self.journal.is_file():
            raise JobError.damaged(str(self.manifest), "it is gone")
        if content is None:
            raise JobError.not_found(str(self.path))
        try:
            manifest = msgspec.json.decode(content, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as reason:
            raise JobError.damaged(str(self.manifest), str(reason)) from None
        if _is_deeper(manifest, _DEEPEST):
            raise JobError.damaged(str(self.manifest), f"it has more than {_DEEPEST} levels")
        if manifest.get("state_version") != STATE_VERSION:
            version = manifest.get("state_version")
            raise JobError(
                f"The job in {self.path!s} was written in format {version!r}, which this "
                "version of batchframe does not read. Upgrade: pip install --upgrade batchframe."
            )
        return manifest

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest as a whole."""
        content = msgspec.json.format(
            msgspec.json.encode({"state_version": STATE_VERSION, **manifest})
        )
        with replacing(self.manifest) as file:
            file.write(content)

    def read_journal(self) -> list[bytes]:
        """Read the line of each event, without a torn last one."""
        *lines, _torn = (read_private(self.journal, _LARGEST_JOURNAL) or b"").split(b"\n")
        return lines

    def append(self, event: Mapping[str, Any]) -> None:
        """Add one event to the journal; when this returns it is on the disk."""
        append_line(self.journal, msgspec.json.encode(event) + b"\n")

    def write_journal(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Begin a journal with these events, all or none."""
        with replacing(self.journal) as file:
            file.writelines(msgspec.json.encode(event) + b"\n" for event in events)

    def files_changed_at(self) -> int:
        """Return when a file of an answer last came or went, in nanoseconds; 0 without any."""
        with translate_os_errors(self.files):
            try:
                return self.files.lstat().st_mtime_ns
            except FileNotFoundError:
                return 0

    def rows_written_at(self) -> int:
        """Return when ``rows.parquet`` was last written, in nanoseconds."""
        with translate_os_errors(self.rows):
            return self.rows.lstat().st_mtime_ns


def _is_deeper(value: object, most: int) -> bool:
    """Tell whether a JSON value has more levels than `most`."""
    level = [value]
    for _ in range(most):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def is_job_id(word: str) -> bool:
    """Tell whether a word could be a job's id."""
    return _JOB_ID.fullmatch(word) is not None


def job_folders() -> list[JobFolder]:
    """List the folders of all jobs, newest first.

    Raises
    ------
    JobError
        If the home cannot be read, or others could put jobs into it.
    """
    jobs = home() / "jobs"
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
