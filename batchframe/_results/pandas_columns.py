"""Convert answer columns from Arrow to pandas, dtype by dtype."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._output import Field

_NULLABLE_DTYPES: Final[Mapping[pa.DataType, Any]] = {
    pa.int64(): pd.Int64Dtype(),
    pa.float64(): pd.Float64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def categories(column: pa.ChunkedArray, levels: Sequence[Any]) -> pd.Series:
    return pd.Series(
        pd.Categorical.from_codes(category_codes(column, levels), categories=list(levels))
    )


def category_codes(column: pa.ChunkedArray, levels: Sequence[Any]) -> npt.NDArray[np.int64]:
    """Return the position of each value in the levels; −1 if missing."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    codes = pc.index_in(column, pa.array(levels, column.type))
    return np.asarray(pc.fill_null(codes, -1).to_numpy(), dtype=np.int64)


def strings(column: pa.ChunkedArray) -> pd.Series:
    # The string dtype of pandas 3 is "str"; in pandas 2, "str" would turn None into "None".
    name = "str" if int(pd.__version__.partition(".")[0]) >= 3 else "string"  # noqa: PLR2004
    dtype = pd.Series([], dtype=name).dtype
    if not isinstance(dtype, pd.StringDtype):  # pandas is configured to store strings as objects
        return pd.Series(column.to_pylist(), dtype=dtype)
    # Converts Arrow to the pandas storage, mostly Arrow too, without creating Python strings.
    return pd.Series(dtype.__from_arrow__(column))


def numbers(column: pa.ChunkedArray) -> pd.Series:
    """Convert numbers or booleans to a nullable dtype."""
    return pd.Series(column.to_pandas(types_mapper=_NULLABLE_DTYPES.get))


def to_pandas(column: pa.ChunkedArray, take: pa.Array, field: Field) -> pd.Series:
    """Take rows of an answer column and convert them to its pandas dtype."""
    if field.kind == "vector":
        return _vectors(column, take)
    column = column.take(take)
    if field.kind == "category":
        return categories(column, field.levels or ())
    if field.kind in {"string", "json", "file"}:
        return strings(column)
    if field.kind == "list":
        return pd.Series(column.to_pylist(), dtype=object)
    return numbers(column)


def _vectors(column: pa.ChunkedArray, take: pa.Array) -> pd.Series:
    """Convert vectors to one NumPy array per row, of dtype object.

    pandas can read such a column back from Parquet, unlike one with an Arrow list dtype (2.3 and
    3.1, "data type not understood").
    """
    number = take.fill_null(-1).to_numpy()
    rows = np.full(len(number), None, dtype=object)
    start = 0
    for chunk in column.chunks:
        matrix = chunk.values.to_numpy()  # noqa: PD011 - an Arrow list
        matrix = matrix.reshape(-1, column.type.list_size)
        matrix, is_valid = matrix[chunk.offset :], chunk.is_valid().to_numpy(zero_copy_only=False)
        chunk_rows = np.flatnonzero((number >= start) & (number < start + len(chunk)))
        for row, at in zip(chunk_rows, number[chunk_rows] - start, strict=True):
            # A view would keep all vectors in memory.
            rows[row] = matrix[at].copy() if is_valid[at] else None
        start += len(chunk)
    return pd.Series(rows, dtype=object)


def same_levels(first: pd.Series, second: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Unify the categories of two columns, since jobs may differ in labels."""
    if not isinstance(first.dtype, pd.CategoricalDtype):
        return first, second
    levels = list(dict.fromkeys([*first.cat.categories, *second.cat.categories]))
    return first.cat.set_categories(levels), second.cat.set_categories(levels)
