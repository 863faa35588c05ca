"""A result file → its lines, some megabytes at a time.

In: a path. Out: bytes. Must not know: what a line says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Final

_BLOCK: Final = 1 << 20
_LONGEST_LINE: Final = 1 << 28
_HEAD: Final = 1 << 16


def blocks(path: Path) -> Iterator[list[bytes]]:
    """Yield the lines of a file, some megabytes at a time."""
    # Bytes split on b"\n" only: str.splitlines() would also split on U+2028 inside an answer.
    with path.open("rb") as file:
        if path.stat().st_size <= _LONGEST_LINE:
            while lines := file.readlines(_BLOCK):
                yield lines
        else:
            yield from _in_blocks(_bounded(file))


def _in_blocks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    block, size = list[bytes](), 0
    for line in lines:
        block.append(line)
        size += len(line)
        if size >= _BLOCK:
            yield block
            block, size = [], 0
    yield block


def stripped(line: bytes) -> bytes:
    """Take off what may stand around a line: white space, a byte order mark."""
    return line.strip().removeprefix(b"\xef\xbb\xbf")


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file that are not blank, stripped."""
    for line in chain.from_iterable(blocks(path)):
        if line := stripped(line):
            yield line


def _bounded(file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines; of one that is longer than any answer only the head, which may name it."""
    while raw := file.readline(_LONGEST_LINE):
        if len(raw) < _LONGEST_LINE or raw.endswith(b"\n"):
            yield raw
            continue
        yield raw[:_HEAD]
        while (rest := file.readline(_HEAD)) and not rest.endswith(b"\n"):
            pass
