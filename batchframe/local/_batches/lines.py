r"""Access to the lines of an input file without loading it.

Only ``b"\n"`` ends a line: a JSON string may contain other line separators such as U+2028.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path


class Lines:
    """Random access to the lines of a file; call `scan` first.

    Only the offsets are in memory, 8 bytes per line.
    """

    def __init__(self, path: Path) -> None:
        self._handle = path.open("rb")
        self._offsets = array("Q", [0])

    def close(self) -> None:
        """Close the file."""
        self._handle.close()

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> bytes:
        start = self._offsets[index]
        self._handle.seek(start)
        return self._handle.read(self._offsets[index + 1] - start)

    def scan(self) -> Iterator[bytes]:
        """Yield every line in order and store its offset."""
        self._offsets = array("Q", [0])
        self._handle.seek(0)
        position = 0
        for line in self._handle:
            position += len(line)
            self._offsets.append(position)
            yield line
