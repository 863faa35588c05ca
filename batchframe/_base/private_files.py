"""Files that only the user can read or change, and writes that survive a crash.

What the disk refuses is said in words, as a ``JobError``. Inside the home no symbolic link is
followed: whoever made it would choose what is read or written.
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

# Not every system has these.
_NO_LINK: Final[int] = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_NO_WAIT: Final[int] = getattr(os, "O_NONBLOCK", 0)
_FOR_OTHERS: Final = 0o077
_WRITABLE_BY_OTHERS: Final = 0o022
_NO_ROOM = "Make room there, or have the quota raised."
_NO_RIGHT = "To keep jobs where you may write, set BATCHFRAME_HOME, for example to ~/batchframe."
_NO_FOLDER = "A file stands where a folder must be: move it away, or set BATCHFRAME_HOME."
_DISK_REMEDIES = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: _NO_ROOM,
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.EROFS: _NO_RIGHT,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EEXIST: _NO_FOLDER,
    errno.ENOENT: "Put it back from a copy of the job's folder.",
    errno.ENAMETOOLONG: "Set BATCHFRAME_HOME to a folder with a shorter name.",
}


def insecurity_is_allowed() -> bool:
    """Tell whether the user said to go on where batchframe would refuse for safety's sake."""
    return os.environ.get("BATCHFRAME_ALLOW_INSECURE", "") not in {"", "0"}


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Say in words what the disk refuses; `path` is what is meant if the refusal names nothing.

    Raises
    ------
    JobError
        For every ``OSError`` that is none of batchframe's own.
    """
    try:
        yield
    except OSError as reason:
        if isinstance(reason, BatchframeError):
            raise
        where = reason.filename if isinstance(reason.filename, str) else str(path)
        words = os.strerror(reason.errno) if reason.errno else str(reason) or type(reason).__name__
        raise _disk_error(where, reason.errno, words) from None


def private_home(path: Path) -> None:
    """Make the folder of all state, or refuse one in which others could put their own.

    Its permissions are the user's own to change. It may be a symbolic link.

    Raises
    ------
    JobError
        If it is another user's, others may write into it, or it cannot be made.
    """
    with translate_os_errors(path):
        absent = [folder for folder in (path, *path.parents) if not folder.exists()]
        for folder in reversed(absent):
            _make(folder)
        info = path.stat()
        _refuse_stranger(path, info)
        if info.st_mode & _WRITABLE_BY_OTHERS and not insecurity_is_allowed():
            raise _open_home_error(str(path), stat.S_IMODE(info.st_mode))


def private_folder(path: Path) -> None:
    """Make a folder of ours inside the home, or close one that became open to others.

    Raises
    ------
    JobError
        If it is a symbolic link, another user's, or cannot be made or closed.
    """
    with translate_os_errors(path):
        _make(path)
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
                    f"{path!s} was open to other users of this machine (mode {mode:04o}); it is "
                    "yours alone now (0700). They may have read or changed what is in it: if you "
                    "do not trust them, do not trust that job."
                )
            )
        elif not insecurity_is_allowed():
            # A file system without permissions, such as a mounted share.
            raise _open_home_error(str(path), mode)


def _make(path: Path) -> None:
    try:
        path.mkdir(mode=stat.S_IRWXU)
    except FileExistsError:
        if not path.is_dir() and not path.is_symlink():
            raise
    else:
        # The umask may have taken away what is ours.
        path.chmod(stat.S_IRWXU)


def _refuse_stranger(path: Path, info: os.stat_result) -> None:
    """Refuse a folder whose owner could read and change all that is put into it."""
    us = os.geteuid() if hasattr(os, "geteuid") else info.st_uid
    # The administrator can do so anywhere, and may work in the folders of others.
    if us and info.st_uid not in {us, 0}:
        raise JobError(
            f"{path!s} belongs to another user (number {info.st_uid}), who could read and "
            "change all that is put into it. Set BATCHFRAME_HOME to a folder of your own, such as "
            "~/batchframe."
        )


def create_private(path: Path) -> IO[bytes]:
    """Open a new or emptied file that only the user can read."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NO_LINK | _NO_WAIT
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def open_private(path: Path) -> BufferedReader:
    """Open a file to read, if it is one and no symbolic link."""
    # Opening a pipe would wait for a writer for ever.
    descriptor = os.open(path, os.O_RDONLY | _NO_LINK | _NO_WAIT)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise JobError.damaged(str(path), "it is no regular file")


def read_private(path: Path, most: int) -> bytes | None:
    """Read a file of at most `most` bytes; None if it is absent.

    Raises
    ------
    JobError
        If it is larger, no regular file, or cannot be read.
    """
    with translate_os_errors(path):
        try:
            opened = open_private(path)
        except FileNotFoundError:
            return None
        with opened as file:
            size = os.fstat(file.fileno()).st_size
            if size > most:
                raise JobError.damaged(str(path), f"it has {size:,} bytes, more than {most:,}")
            return file.read(most)


def append_line(path: Path, line: bytes) -> None:
    """Add a line to a file, without a torn one before it; when this returns it is on the disk.

    If it cannot be made durable it is taken back, as far as the disk allows.
    """
    with translate_os_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o600)
        try:
            whole = _drop_torn_line(descriptor)
            try:
                _write_all(descriptor, line)
                os.fsync(descriptor)
                sync_folder(path.parent)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, whole)
                raise
        finally:
            os.close(descriptor)


def _drop_torn_line(descriptor: int) -> int:
    """Cut off a last line without an end, go there, and return where that is."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    whole = size
    if size and _read_at(descriptor, size - 1) != b"\n":
        whole = _read_at(descriptor, 0).rfind(b"\n") + 1
        os.ftruncate(descriptor, whole)
    return os.lseek(descriptor, whole, os.SEEK_SET)


def _read_at(descriptor: int, start: int) -> bytes:
    os.lseek(descriptor, start, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read()


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


@contextmanager
def replacing(path: Path, *, private: bool = True) -> Iterator[IO[bytes]]:
    """Write a file beside `path`; rename it once all of it is on the disk.

    Parameters
    ----------
    private
        Whether it is state of ours. A file of the user's has the usual permissions, and is hidden
        until it is complete: whoever reads the folder meanwhile does not take it for data.
    """
    # Of a name of its own, since two kernels may write the same file.
    name = f"{path.name}.{os.getpid()}-{threading.get_ident()}.part"
    partial = path.with_name(name if private else f".{name}")
    try:
        with create_private(partial) if private else partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    if private:
        sync_folder(path.parent)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, read a block at a time."""
    with translate_os_errors(path), open_private(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    if os.name == "nt":
        return  # there a folder cannot be opened
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disk_error(path: str, number: int | None, reason: str) -> JobError:
    if number == errno.ELOOP:
        return JobError.is_a_link(path)
    remedy = _DISK_REMEDIES.get(number or 0, "See to that disk.")
    return JobError(
        f"{path} could not be read or written: {reason}. {remedy} Nothing is sent that is not "
        "noted on the disk before, and what was sent goes on at the service.",
        next_step="Then " + RUN_AGAIN + ": it goes on from where it stopped.",
    )


def _open_home_error(path: str, mode: int) -> JobError:
    return JobError(
        f"Other users of this machine may write into {path} (mode {mode:04o}), so they could "
        f"put jobs of their own into it. Close it to them, chmod 700 {path}, or set "
        f"BATCHFRAME_HOME to a folder that is yours alone, such as {path}/batchframe. Where "
        "permissions cannot be set, as on some shares, and you trust everyone who reaches it, "
        "set BATCHFRAME_ALLOW_INSECURE=1."
    )
