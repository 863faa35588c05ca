"""The files that answers bring, such as images, in the job's folder.

Each is named after its request and its content, and is as durable as the result file it came from:
where it is gone, it is written again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from batchframe._base.file_types import ending_of
from batchframe._base.private_files import (
    open_private,
    private_folder,
    replacing,
    translate_os_errors,
)

_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,80}\.[a-z0-9]{2,4}")
_DIGITS: Final = 8
_HEAD: Final = 4096


class AnswerFiles:
    """The files of one job.

    Parameters
    ----------
    folder
        Where they stand; it is made with the first of them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = False

    def keep(self, custom_id: str, content: bytes) -> str:
        """Write a file, unless it stands there already, and return its name.

        Raises
        ------
        JobError
            If the disk does not take it.
        """
        digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
        name = f"{custom_id}-{digest}.{ending_of(content) or 'bin'}"
        path = self._folder / name
        with translate_os_errors(path):
            self._make()
            if not _is_file_of(path, len(content)):
                with replacing(path) as file:
                    file.write(content)
        return name

    def take(self, sources: Iterable[Path]) -> None:
        """Copy files of other jobs, under their own names: those jobs may be forgotten.

        Raises
        ------
        JobError
            If one is gone, or the disk does not take it.
        """
        for source in sources:
            path = self._folder / source.name
            with translate_os_errors(source):
                self._make()
                with open_private(source) as old:
                    if not _is_file_of(path, os.fstat(old.fileno()).st_size):
                        with replacing(path) as new:
                            shutil.copyfileobj(old, new)

    def why_gone(self, custom_id: str) -> str:
        """Return why a file could never be fetched, as an earlier version noted it."""
        path = self._folder / f"{custom_id}.gone"
        with translate_os_errors(path), open_private(path) as file:
            return file.read(_HEAD).decode(errors="replace")

    def names(self) -> frozenset[str]:
        """Name the files that are there; a link or whatever else is none."""
        with translate_os_errors(self._folder):
            if not self._folder.is_dir() or self._folder.is_symlink():
                return frozenset()
            with os.scandir(self._folder) as entries:
                return frozenset(
                    entry.name
                    for entry in entries
                    if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
                )

    def _make(self) -> None:
        if not self._made:
            private_folder(self._folder)
            self._made = True


def _is_file_of(path: Path, size: int) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size == size
