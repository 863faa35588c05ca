"""Files that only the user can access, and writes that survive a crash.

File system errors are raised as ``JobError``. Inside the state directory symbolic links are not
followed: their creator would choose which file is read or written.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, Final

from batchframe._base.errors import BatchframeError, JobError, OpenFolderWarning, warn_user
from batchframe._base.safe_text import RUN_AGAIN

# Some systems lack these flags.
_NO_LINK: Final[int] = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_NO_WAIT: Final[int] = getattr(os, "O_NONBLOCK", 0)
_FOR_OTHERS: Final = 0o077
_WRITABLE_BY_OTHERS: Final = 0o022
_NO_ROOM = "free some space or raise the quota"
_NO_PERMISSION = "set BATCHFRAME_HOME to a writable folder, such as ~/batchframe"
_NO_FOLDER = "move the file that is in place of a folder, or set BATCHFRAME_HOME"
_DISK_REMEDIES = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: _NO_ROOM,
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EROFS: _NO_PERMISSION,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EEXIST: _NO_FOLDER,
    errno.ENOENT: "restore it from a copy of the job's folder",
    errno.ENAMETOOLONG: "set BATCHFRAME_HOME to a folder with a shorter name",
}


def insecurity_is_allowed() -> bool:
    """Return whether the user has disabled the security checks."""
    return os.environ.get("BATCHFRAME_ALLOW_INSECURE", "") not in {"", "0"}


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Raise a ``JobError`` in place of an ``OSError``.

    `path` is named if the error itself has no file name.

    Raises
    ------
    JobError
        For every ``OSError`` that batchframe did not raise itself.
    """
    try:
        yield
    except OSError as reason:
        if isinstance(reason, BatchframeError):
            raise
        where = reason.filename if isinstance(reason.filename, str) else str(path)
        why = os.strerror(reason.errno) if reason.errno else str(reason) or type(reason).__name__
        raise _disk_error(where, reason.errno, why) from None


def private_home(path: Path) -> None:
    """Create the state directory; reject one that other users can write to.

    Its permissions are not changed. It may be a symbolic link.

    Raises
    ------
    JobError
        If it belongs to another user, others can write to it, or it cannot be created.
    """
    with translate_os_errors(path):
        absent = [folder for folder in (path, *path.parents) if not folder.exists()]
        for folder in reversed(absent):
            _make_directory(folder)
        info = path.stat()
        _refuse_stranger(path, info)
        if info.st_mode & _WRITABLE_BY_OTHERS and not insecurity_is_allowed():
            raise _open_home_error(str(path), stat.S_IMODE(info.st_mode))


def private_folder(path: Path) -> None:
    """Create a folder in the state directory, or restrict an existing one.

    Raises
    ------
    JobError
        If it is a symbolic link, belongs to another user, or cannot be created or restricted.
    """
    with translate_os_errors(path):
        _make_directory(path)
        info = path.lstat()
        if stat.S_ISLNK(info.st_mode):
            raise JobError.is_a_link(str(path))
        _refuse_stranger(path, info)
        if not info.st_mode & _FOR_OTHERS or os.name == "nt":
            return
        path.chmod(stat.S_IRWXU)
        mode = stat.S_IMODE(info.st_mode)
        if not path.stat().st_mode & _FOR_OTHERS:
            warn_user(
                OpenFolderWarning(
                    f"{path} was accessible to other users (mode {mode:04o}); batchframe set it to "
                    "0700. They may have read or changed the job."
                )
            )
        elif not insecurity_is_allowed():
            # Some file systems have no permissions, such as a mounted share.
            raise _open_home_error(str(path), mode)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=stat.S_IRWXU)
    except FileExistsError:
        if not path.is_dir() and not path.is_symlink():
            raise
    else:
        # The umask may have removed the owner's permissions.
        path.chmod(stat.S_IRWXU)


def _refuse_stranger(path: Path, info: os.stat_result) -> None:
    """Reject a folder owned by another user, who could change its content."""
    us = os.geteuid() if hasattr(os, "geteuid") else info.st_uid
    # The administrator can access any folder, and may work in those of other users.
    if us and info.st_uid not in {us, 0}:
        raise JobError(
            f"{path} belongs to another user (number {info.st_uid}), who could read and change its "
            "files. Fix: set BATCHFRAME_HOME to a folder of your own, such as ~/batchframe."
        )


def create_private(path: Path) -> IO[bytes]:
    """Open a new or truncated file that only the user can read."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NO_LINK | _NO_WAIT
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def open_private(path: Path) -> BufferedReader:
    """Open a regular file for reading; reject symbolic links."""
    # Opening a pipe would wait forever for a writer.
    descriptor = os.open(path, os.O_RDONLY | _NO_LINK | _NO_WAIT)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise JobError.damaged(str(path), "not a regular file")


def read_private(path: Path, most: int, start: int = 0) -> bytes | None:
    """Read at most `most` bytes of a file from `start`; None if missing.

    Raises
    ------
    JobError
        If it is larger, not a regular file, or cannot be read.
    """
    with translate_os_errors(path):
        try:
            opened = open_private(path)
        except FileNotFoundError:
            return None
        with opened as file:
            size = os.fstat(file.fileno()).st_size
            if size > most:
                raise JobError.damaged(str(path), f"{size:,} bytes, more than {most:,}")
            file.seek(start)
            return file.read(most)


def append_line(path: Path, line: bytes) -> None:
    """Append a line durably, removing an incomplete last line first.

    A line that cannot be made durable is removed again, as far as the disk allows.
    """
    with translate_os_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o600)
        try:
            end = _drop_torn_line(descriptor)
            try:
                _write_all(descriptor, line)
                os.fsync(descriptor)
                sync_folder(path.parent)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)


def _drop_torn_line(descriptor: int) -> int:
    """Truncate an incomplete last line, seek to the end and return its offset."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    end = size
    if size and _read_at(descriptor, size - 1) != b"\n":
        end = _read_at(descriptor, 0).rfind(b"\n") + 1
        os.ftruncate(descriptor, end)
    return os.lseek(descriptor, end, os.SEEK_SET)


def _read_at(descriptor: int, start: int) -> bytes:
    os.lseek(descriptor, start, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read()


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


@contextmanager
def replacing(path: Path, *, private: bool = True, durable: bool = True) -> Iterator[IO[bytes]]:
    """Write a temporary file beside `path`, and rename it once it is durable.

    Parameters
    ----------
    private
        Whether the file belongs to batchframe's state. A user's file gets the usual permissions,
        and is hidden until it is complete, so that programs reading the folder do not take it for
        data.
    durable
        Whether to sync the file to disk; not needed for a cache.
    """
    # The name is unique, since two kernels may write the same file.
    name = f"{path.name}.{os.getpid()}-{threading.get_ident()}.part"
    partial = path.with_name(name if private else f".{name}")
    try:
        with create_private(partial) if private else partial.open("wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    if private and durable:
        sync_folder(path.parent)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, read in blocks."""
    with translate_os_errors(path), open_private(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(path: Path) -> None:
    """Make the directory entries of a folder durable."""
    if os.name == "nt":
        return  # a folder cannot be opened there
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disk_error(path: str, number: int | None, reason: str) -> JobError:
    if number == errno.ELOOP:
        return JobError.is_a_link(path)
    remedy = _DISK_REMEDIES.get(number or 0, "check the disk")
    return JobError(
        f"{path} could not be read or written: {reason}.",
        next_step=f"Fix: {remedy}, then " + RUN_AGAIN + "; the job resumes where it stopped.",
    )


def _open_home_error(path: str, mode: int) -> JobError:
    return JobError(
        f"{path} is writable by other users (mode {mode:04o}), who could add jobs to it. Fix: "
        f"chmod 700 {path}, or set BATCHFRAME_HOME to a folder of your own, such as "
        f"{path}/batchframe. If permissions cannot be set, as on some shares, and you trust all "
        "its users: BATCHFRAME_ALLOW_INSECURE=1."
    )
