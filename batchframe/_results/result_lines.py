"""A result file → its lines, a megabyte of them at a time.

In: a path. Out: bytes. Must not know: what a line says.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Final

_BLOCK: Final = 1 << 20
_LONGEST_LINE: Final = 1 << 28
_HEAD: Final = 1 << 16


def blocks(path: Path, size: int = _BLOCK) -> Iterator[bytes]:
    """Yield whole lines, `size` bytes of them at a time and the rest of a line.

    Of a line that is longer than any answer there is only the head, which may name it.
    """
    with path.open("rb") as file:
        while block := file.read(size):
            if not block.endswith(b"\n"):
                block = _completed(block, file)  # what was read is not held beside it
            yield block


def _completed(block: bytes, file: IO[bytes]) -> bytes:
    """Read on to the end of the line."""
    rest = file.readline(_LONGEST_LINE)
    if len(rest) < _LONGEST_LINE or rest.endswith(b"\n"):
        return block + rest
    while (more := file.readline(_HEAD)) and not more.endswith(b"\n"):
        pass
    line = block.rfind(b"\n") + 1
    return block[: line + _HEAD] + rest[: max(0, line + _HEAD - len(block))]


def split(block: bytes) -> list[bytes]:
    """Return the lines of a block, without their ends."""
    # On b"\n" only: bytes.splitlines() would take a carriage return for the end of a line.
    lines = block.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def stripped(line: bytes) -> bytes:
    """Take off what may stand around a line: white space, a byte order mark."""
    return line.strip().removeprefix(b"\xef\xbb\xbf")


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file that are not blank, stripped."""
    for line in chain.from_iterable(map(split, blocks(path))):
        if line := stripped(line):
            yield line
