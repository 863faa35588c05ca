"""Names of content: 16 bytes each, as numpy columns to compute with and Arrow columns to keep."""

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
"""Stands where there is nothing to name; no content has this digest."""

Digests = npt.NDArray[np.void]

_VOID: Final = np.dtype(f"V{BYTES}")
# numpy compares texts but not voids; all 16 bytes count, whatever they are.
_SORTABLE: Final = np.dtype(f"S{BYTES}")


def digests_of(contents: Iterable[bytes]) -> Digests:
    """Name each content by the first 16 bytes of its SHA-256.

    Examples
    --------
    >>> digests_of([b"a", b"a"])[0].tobytes().hex()
    'ca978112ca1bbdcafac231b39a23dc4d'
    """
    sha256 = hashlib.sha256
    joined = b"".join([sha256(content).digest()[:BYTES] for content in contents])
    return np.frombuffer(joined, dtype=_VOID)


def blank(rows: int) -> Digests:
    """Return a column of :data:`NONE`, to be filled."""
    return np.zeros(rows, dtype=_VOID)


def to_arrow(digests: Digests, known: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """View digests as Arrow binary, without a copy; those that are not known are null."""
    buffer = pa.py_buffer(np.ascontiguousarray(digests))
    validity = None if known is None else pa.array(known).buffers()[1]
    return pa.FixedSizeBinaryArray.from_buffers(ARROW, len(digests), [validity, buffer])


def from_arrow(digests: pa.Array) -> Digests:
    """View Arrow binary as digests; it holds no null."""
    start = digests.offset * BYTES
    return np.frombuffer(digests.buffers()[1], np.uint8)[start:].view(_VOID)[: len(digests)]


def sortable(digests: Digests) -> npt.NDArray[np.bytes_]:
    """View digests as what numpy can compare."""
    return digests.view(_SORTABLE)


def sorted_bytes(digests: Digests) -> memoryview:
    """Return all digests in order, end to end."""
    return np.sort(sortable(digests)).data


def group(digests: Digests) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give distinct digests numbers, in the order they first stand.

    Returns
    -------
    For each digest its number, and for each number the first place where it stands; one array is
    both where all are distinct.

    Examples
    --------
    >>> number, first = group(digests_of([b"x", b"a", b"x"]))
    >>> number.tolist(), first.tolist()
    ([0, 1, 0], [0, 1])
    """
    # Sorted, which takes a third of the memory of a table of all digests.
    keys = sortable(digests)
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    is_first = np.ones(len(keys), dtype=bool)
    is_first[1:] = ranked[1:] != ranked[:-1]
    del ranked
    if is_first.all():
        everywhere = np.arange(len(keys))
        return everywhere, everywhere
    # For each digest the place where the first of its equals stands.
    leader = np.empty_like(order)
    leader[order] = order[is_first].repeat(np.diff(np.flatnonzero(is_first), append=len(order)))
    del order
    leads = leader == np.arange(len(keys))
    return (np.cumsum(leads) - 1)[leader], np.flatnonzero(leads)
