"""Encode a request's fingerprint, number and digest as ``custom_id``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batchframe._base.digests import BYTES, Digests

ID_VERSION = "bf1"
_NUMBER_DIGITS: Final = 7
_DIGEST_DIGITS: Final = 10
_HEAD: Final = b'{"custom_id":"'


def custom_id(fingerprint: str, number: int, digest: bytes) -> str:
    """Build a ``custom_id`` from job fingerprint, number and digest.

    Examples
    --------
    >>> custom_id("0123456789abcdef", 7, bytes(16))
    'bf1-01234567-0000007-0000000000'
    """
    return _prefix(fingerprint) + f"{number:0{_NUMBER_DIGITS}d}-{digest.hex()[:_DIGEST_DIGITS]}"


def custom_ids(fingerprint: str, start: int, digests: Digests) -> pa.Array:
    """Build the ``custom_id`` of consecutive requests, vectorized.

    Examples
    --------
    >>> custom_ids("0123456789abcdef", 9_999_999, np.zeros(2, "V16"))[1].as_py()
    'bf1-01234567-10000000-0000000000'
    """
    blocks = _characters(_prefix(fingerprint).encode(), start, digests)
    return pa.concat_arrays([_to_arrow_strings(characters) for characters in blocks])


def line_heads(fingerprint: str, start: int, digests: Digests) -> list[bytes]:
    """Return the bytes before the request in each of consecutive lines."""
    heads: list[bytes] = []
    for characters in _characters(_HEAD + _prefix(fingerprint).encode(), start, digests):
        heads += characters.view(f"S{characters.shape[1]}").ravel().tolist()
    return heads


def request_in(line: bytes) -> bytes:
    r"""Return the request in a line: the bytes after its ``custom_id``.

    Examples
    --------
    >>> request_in(b'{"custom_id":"bf1-01234567-0000007-0000000000","method":"POST"}\n')
    b'","method":"POST"}'
    """
    return line[line.index(b'"', len(_HEAD)) :].rstrip(b"\n")


def _prefix(fingerprint: str) -> str:
    return f"{ID_VERSION}-{fingerprint[:8]}-"


def _characters(prefix: bytes, start: int, digests: Digests) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield matrices of characters, one ID per row, grouped by length."""
    width = max(_NUMBER_DIGITS, len(str(start)))
    rows = min(len(digests), 10**width - start)  # later numbers have one more digit
    characters = np.empty((rows, len(prefix) + width + 1 + _DIGEST_DIGITS), np.uint8)
    characters[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    number = np.arange(start, start + rows)
    for place in range(len(prefix) + width - 1, len(prefix) - 1, -1):
        number, characters[:, place] = np.divmod(number, 10)
    characters[:, len(prefix) : len(prefix) + width] += ord("0")
    characters[:, len(prefix) + width] = ord("-")
    hexadecimal = np.frombuffer(digests[:rows].tobytes().hex().encode(), np.uint8)
    characters[:, -_DIGEST_DIGITS:] = hexadecimal.reshape(-1, 2 * BYTES)[:, :_DIGEST_DIGITS]
    yield characters
    if rows < len(digests):
        yield from _characters(prefix, start + rows, digests[rows:])


def _to_arrow_strings(characters: npt.NDArray[np.uint8]) -> pa.Array:
    """View a matrix of characters as Arrow strings, one per row."""
    rows, width = characters.shape
    ends = pa.py_buffer(np.arange(0, (rows + 1) * width, width, dtype=np.int32))
    return pa.StringArray.from_buffers(rows, ends, pa.py_buffer(characters))
