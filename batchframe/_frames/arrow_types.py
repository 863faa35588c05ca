"""Arrow columns in types that pandas has values for.

In: an Arrow column of any type. Out: the same cells in a type that pandas reads.
Must not know: frames, text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc


def as_plain(column: pa.Array) -> pa.Array:
    """Write a column in a type that pandas reads, every cell what it was.

    Raises
    ------
    ArrowException
        If a cell would lose something.

    Examples
    --------
    >>> str(as_plain(pa.array(["a", None], pa.string_view())).type)
    'large_string'
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        values = as_plain(column.dictionary)
        return pa.DictionaryArray.from_arrays(column.indices, values).dictionary_decode()
    if pa.types.is_run_end_encoded(kind):
        return as_plain(pc.run_end_decode(column))
    if pa.types.is_time64(kind):  # as precise as Python's own; it fails where cells are more so
        return column.cast(pa.time64("us"))
    plainer = next((plainer for is_one, plainer in _PLAINER if is_one(kind)), None)
    return column if plainer is None else column.cast(plainer(kind))


def has_values(kind: pa.DataType) -> bool:
    """Tell whether pandas has values for cells of a type.

    Examples
    --------
    >>> has_values(pa.int64()), has_values(pa.month_day_nano_interval())
    (True, False)
    """
    try:
        _ = pd.ArrowDtype(kind).type
    except NotImplementedError:
        return False
    return True


_PLAINER: Final[Sequence[tuple[Callable[[Any], bool], Callable[[Any], Any]]]] = (
    (pa.types.is_string_view, lambda _: pa.large_string()),
    (pa.types.is_binary_view, lambda _: pa.large_binary()),
    (pa.types.is_list_view, lambda kind: pa.large_list(kind.value_field)),
    (pa.types.is_large_list_view, lambda kind: pa.large_list(kind.value_field)),
)
