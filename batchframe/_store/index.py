"""Cache of job folders, valid while their files are unchanged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence, Sized
from pathlib import Path
from typing import Final, Generic, TypeVar

_V = TypeVar("_V")
_Stamp = tuple[tuple[int, int, int, int] | None, ...]
# A file that changed this recently could change again within one tick of the disk's clock.
_RECENT_NS: Final = 100_000_000
# Columns of larger jobs are not held in memory.
_LARGEST: Final = 4096


class Index(Generic[_V]):
    """Values by job folder; each is read again once a file of it has changed.

    Parameters
    ----------
    files
        Names of the files that a value is read from.
    """

    def __init__(self, *files: str) -> None:
        self._files = files
        self._values: dict[Path, tuple[_Stamp, _V]] = {}

    def get(self, folder: Path, read: Callable[[], _V]) -> _V:
        """Return the value of a folder."""
        stamp = self._stamp(folder)
        stored = self._values.get(folder)
        if stored is not None and stored[0] == stamp:
            return stored[1]
        value = read()
        changed = max((file[2] for file in stamp if file), default=0)
        if _is_small(value) and time.time_ns() - changed > _RECENT_NS:
            self._values[folder] = stamp, value
        else:
            self._values.pop(folder, None)
        return value

    def retain(self, folders: Sequence[Path]) -> None:
        """Drop folders that are gone."""
        for gone in self._values.keys() - set(folders):
            self._values.pop(gone, None)

    def _stamp(self, folder: Path) -> _Stamp:
        return tuple(_stamp(os.path.join(folder, file)) for file in self._files)  # noqa: PTH118 - fast


def _is_small(value: object) -> bool:
    return not isinstance(value, Sized) or len(value) <= _LARGEST


def _stamp(path: str) -> tuple[int, int, int, int] | None:
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino
