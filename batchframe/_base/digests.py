"""Content digests of 16 bytes, as numpy arrays and Arrow columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

BYTES: Final = 16
ARROW: Final = pa.binary(BYTES)
NONE: Final = bytes(BYTES)
"""Marks a missing digest; no content has this value."""

Digests = npt.NDArray[np.void]

_VOID: Final = np.dtype(f"V{BYTES}")
# numpy compares strings but not voids; all 16 bytes are significant.
_SORTABLE: Final = np.dtype(f"S{BYTES}")


def digests_of(contents: Iterable[bytes]) -> Digests:
    """Digest each item to the first 16 bytes of its SHA-256.

    Examples
    --------
    >>> digests_of([b"a", b"a"])[0].tobytes().hex()
    'ca978112ca1bbdcafac231b39a23dc4d'
    """
    sha256 = hashlib.sha256
    joined = b"".join([sha256(content).digest()[:BYTES] for content in contents])
    return np.frombuffer(joined, dtype=_VOID)


def blank(rows: int) -> Digests:
    """Return an array filled with :data:`NONE`."""
    return np.zeros(rows, dtype=_VOID)


def to_arrow(digests: Digests, present: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """View digests as Arrow binary without a copy; missing ones are null."""
    buffer = pa.py_buffer(np.ascontiguousarray(digests))
    validity = None if present is None else pa.array(present).buffers()[1]
    return pa.FixedSizeBinaryArray.from_buffers(ARROW, len(digests), [validity, buffer])


def from_arrow(digests: pa.Array) -> Digests:
    """View Arrow binary without nulls as digests."""
    start = digests.offset * BYTES
    return np.frombuffer(digests.buffers()[1], np.uint8)[start:].view(_VOID)[: len(digests)]


def sortable(digests: Digests) -> npt.NDArray[np.bytes_]:
    """View digests as a dtype that numpy can compare."""
    return digests.view(_SORTABLE)


def sorted_bytes(digests: Digests) -> memoryview:
    """Return all digests, sorted and concatenated."""
    return np.sort(sortable(digests)).data


def group(digests: Digests) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Assign numbers to distinct digests in order of first appearance.

    Returns
    -------
    The number of each digest, and the first position of each number. Both are the same array if all
    digests are distinct.

    Examples
    --------
    >>> number, first = group(digests_of([b"x", b"a", b"x"]))
    >>> number.tolist(), first.tolist()
    ([0, 1, 0], [0, 1])
    """
    # Sorting takes a third of the memory of a hash table.
    keys = sortable(digests)
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    is_first = np.ones(len(keys), dtype=bool)
    is_first[1:] = ranked[1:] != ranked[:-1]
    del ranked
    if is_first.all():
        everywhere = np.arange(len(keys))
        return everywhere, everywhere
    # The position of the first equal digest, for each digest.
    leader = np.empty_like(order)
    leader[order] = order[is_first].repeat(np.diff(np.flatnonzero(is_first), append=len(order)))
    del order
    leads = leader == np.arange(len(keys))
    return (np.cumsum(leads) - 1)[leader], np.flatnonzero(leads)
