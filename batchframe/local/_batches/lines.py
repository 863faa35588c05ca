r"""The lines of an input file, in order once and then by number, without holding them.

Comes in: a path. Goes out: bytes. Must not know what a line means. Lines end at ``b"\n"`` alone:
U+2028 and its like inside a JSON string end nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path


class Lines:
    """Random access to the lines of a file; `scan` it once first.

    Only the offsets are in memory: 8 bytes a line.
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
        """Yield every line in order, and learn where each one is."""
        self._offsets = array("Q", [0])
        self._handle.seek(0)
        position = 0
        for line in self._handle:
            position += len(line)
            self._offsets.append(position)
            yield line
