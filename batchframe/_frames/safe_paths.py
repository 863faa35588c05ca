"""Files below a folder, opened safely since paths are untrusted.

A hostile row may name ``~/.ssh/id_rsa``, ``../../etc/passwd`` or a device. So a path is split
before anything is opened, and then followed from the open root one name at a time, with ``openat``
and without following links: concurrent renames and links have no effect.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path, PurePath
from typing import Final

# Maximum bytes of a name and of a path on common systems.
_LONGEST: Final = 4096
_READ: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_FOLDER: Final = getattr(os, "O_DIRECTORY", 0)
# Opening a pipe must not block; it is then rejected.
_NO_WAIT: Final = getattr(os, "O_NONBLOCK", 0)
_STEPWISE: Final = os.open in os.supports_dir_fd and bool(_NO_LINK)
ROOT: Final = "image_root"
"""The argument that messages name as the root folder; callers may replace it."""
_LINK: Final = "names a symbolic link, which may point outside image_root"


def read_below(root: str, path: str, most: int) -> bytes:
    """Read one file below a folder.

    Parameters
    ----------
    root
        The folder; links are allowed on the way to it, but not below it.
    path
        Relative to the root, or absolute and inside it.
    most
        Maximum bytes to read; a longer file is truncated.

    Raises
    ------
    ValueError
        For a path that leaves the root, passes a link, is not a regular file, or cannot be opened;
        the message continues "the cell".

    Examples
    --------
    >>> read_below(".", "../secret.png", 10)
    Traceback (most recent call last):
        ...
    ValueError: holds a path with '..', which may leave image_root
    """
    names = names_below(root, path)
    try:
        with ExitStack() as stack:
            descriptor = (
                _open_stepwise(root, names, stack) if _STEPWISE else _open_resolved(root, names)
            )
            with open(descriptor, "rb") as file:  # noqa: PTH123 - Path cannot open a descriptor
                _reject_special(os.fstat(descriptor).st_mode)
                return file.read(most)
    except UnicodeEncodeError:
        raise ValueError("holds a path with invalid Unicode") from None
    except OSError as reason:
        raise ValueError(_describe(reason, root)) from None


def names_below(root: str, path: str) -> tuple[str, ...]:
    """Split a path into the names to follow from the root.

    Raises
    ------
    ValueError
        If it may leave the root, or is not a path.

    Examples
    --------
    >>> names_below("photos", "cats/1.png")
    ('cats', '1.png')
    """
    if "\0" in path:
        raise ValueError("holds a path with a NUL character")
    if len(path) > _LONGEST:
        raise ValueError(f"holds a path of more than {_LONGEST:,} characters")
    parsed = PurePath(path)
    if ".." in path.replace("\\", "/").split("/"):
        raise ValueError("holds a path with '..', which may leave image_root")
    if parsed.is_absolute() or parsed.drive or parsed.root:
        parsed = _relative(root, parsed)
    if not parsed.parts:
        raise ValueError("holds an empty path")
    return parsed.parts


def _relative(root: str, path: PurePath) -> PurePath:
    """Make an absolute path relative to the root."""
    for form in (Path(root).absolute(), os.path.realpath(root)):
        if path.is_relative_to(form):
            return path.relative_to(form)
    raise ValueError("holds a path outside image_root")


def _open_stepwise(root: str, names: Sequence[str], stack: ExitStack) -> int:
    folder = os.open(root, _READ | _FOLDER)
    stack.callback(os.close, folder)
    for name in names[:-1]:
        folder = os.open(name, _READ | _FOLDER | _NO_LINK, dir_fd=folder)
        stack.callback(os.close, folder)
    # Checked before opening, since opening some devices has side effects.
    _reject_special(os.stat(names[-1], dir_fd=folder, follow_symlinks=False).st_mode)
    return os.open(names[-1], _READ | _NO_LINK | _NO_WAIT, dir_fd=folder)


def _open_resolved(root: str, names: Sequence[str]) -> int:
    """Open a file where folders have no descriptors (Windows).

    Links are resolved, then the paths are compared.
    """
    real = os.path.realpath(root, strict=True)
    path = os.path.join(real, *names)  # noqa: PTH118 - a string, as realpath returns
    if os.path.normcase(os.path.realpath(path, strict=True)) != os.path.normcase(path):
        raise ValueError(_LINK)
    _reject_special(os.lstat(path).st_mode)
    return os.open(path, _READ)


def _reject_special(mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise ValueError(_LINK)
    if stat.S_ISDIR(mode):
        raise ValueError("names a folder")
    if not stat.S_ISREG(mode):
        raise ValueError("names something that is not a regular file")


def _describe(reason: OSError, root: str) -> str:
    if isinstance(reason, FileNotFoundError | NotADirectoryError):
        if not os.path.isdir(root):  # noqa: PTH112 - a string, as passed
            return f"names a file below image_root={root!r}, which is not a folder"
        # A link in place of a folder raises "not a directory" if links are not followed.
        return "names a missing file (paths start at image_root; links are not followed)"
    return f"names a file that cannot be opened ({reason.strerror or reason})"
