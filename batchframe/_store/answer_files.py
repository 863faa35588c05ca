"""Files extracted from answers, such as images, in the job's folder.

Each is named after its request and its content. A deleted file is written again from the result
file.
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
    """Answer files of one job.

    Parameters
    ----------
    folder
        Folder of the files; created with the first file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, custom_id: str, content: bytes) -> str:
        """Write a file, unless it exists, and return its name.

        Raises
        ------
        JobError
            If the file cannot be written.
        """
        digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
        name = f"{custom_id}-{digest}.{ending_of(content) or 'bin'}"
        path = self._folder / name
        with translate_os_errors(path):
            private_folder(self._folder)
            if not _has_size(path, len(content)):
                with replacing(path) as file:
                    file.write(content)
        return name

    def take(self, sources: Iterable[Path]) -> None:
        """Copy files of other jobs, which may be deleted later.

        Raises
        ------
        JobError
            If a file is missing, or cannot be written.
        """
        for source in sources:
            path = self._folder / source.name
            with translate_os_errors(source):
                private_folder(self._folder)
                with open_private(source) as reader:
                    if not _has_size(path, os.fstat(reader.fileno()).st_size):
                        with replacing(path) as writer:
                            shutil.copyfileobj(reader, writer)

    def missing_reason(self, custom_id: str) -> str:
        """Return why a file was not downloaded, as earlier versions recorded it."""
        path = self._folder / f"{custom_id}.gone"
        with translate_os_errors(path), open_private(path) as file:
            return file.read(_HEAD).decode(errors="replace")

    def names(self) -> frozenset[str]:
        """Return the names of regular files; links are excluded."""
        with translate_os_errors(self._folder):
            if not self._folder.is_dir() or self._folder.is_symlink():
                return frozenset()
            with os.scandir(self._folder) as entries:
                return frozenset(
                    entry.name
                    for entry in entries
                    if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
                )


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size == size
