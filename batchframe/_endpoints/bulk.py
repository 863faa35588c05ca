"""Arrow columns of lists and objects → the parts that a response of the usual kind has.

In: columns of response bodies. Out: columns of their parts, and the places that these have.
Must not know: any one endpoint.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Places = npt.NDArray[np.int64]


def only_items(
    lists: pa.ListArray, ignored: Callable[[pa.Array], pa.Array] | None = None
) -> tuple[Places, pa.Array]:
    """Return the places of the lists that hold one item, and these items.

    Parameters
    ----------
    ignored
        Tells which items do not count.

    Examples
    --------
    >>> places, items = only_items(pa.array([["a"], [], None, ["b", "c"], ["d"]]))
    >>> places.tolist(), items.to_pylist()
    ([0, 4], ['a', 'd'])
    """
    items, of = pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy()
    if ignored is not None:
        counted = where(pc.invert(ignored(items)))
        items, of = at(items, counted), of[counted]
    only = np.flatnonzero(np.bincount(of, minlength=len(lists))[of] == 1)
    return of[only], at(items, only)


def at(column: pa.Array, places: Places) -> pa.Array:
    """Take what stands at some places, each of them once and in order."""
    return column if len(places) == len(column) else column.take(pa.array(places))


def part(objects: pa.StructArray, name: str) -> pa.Array:
    """Return the part of this name of each object; null where there is no object."""
    return pc.struct_field(objects, name)


def where(*conditions: pa.Array) -> Places:
    """Return the places where all conditions hold; a null does not."""
    told = pc.fill_null(functools.reduce(pc.and_, conditions), fill_value=False)
    return np.flatnonzero(told.to_numpy(zero_copy_only=False))


def absent(objects: pa.StructArray, names: Iterable[str]) -> list[pa.Array]:
    """Tell for each name where the objects have nothing of it."""
    return [pc.is_null(part(objects, name)) for name in names]
