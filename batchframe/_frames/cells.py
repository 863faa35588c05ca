"""Exact strings of cells, by which batchframe recognizes answered rows.

The string of a cell is ``str(value)`` for every scalar (so ``1.0`` is "1.0", ``True`` is "True", a
Timestamp is "2026-11-21 09:30:00") and compact JSON for a list, dict, tuple, array or set (a set is
sorted, because it is unordered). A cell without an exact string (bytes, an arbitrary object, a lone
surrogate) raises an error that names its row.

The string depends on the cell alone, never on other rows or on how the column is stored: `join`
relies on this.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.errors import CellError, format_row, plain_scalar

TEXT = pa.large_string()

_EXACT_SCALARS: Final = (
    int, float, complex, decimal.Decimal, fractions.Fraction, dt.date, dt.time, dt.timedelta,
    uuid.UUID, pd.Period, pd.Interval, np.number, np.bool_, np.datetime64, np.timedelta64,
)  # fmt: skip
_json = msgspec.json.Encoder(decimal_format="number")
_PLAINER: Final[Sequence[tuple[Callable[[Any], bool], Callable[[Any], Any]]]] = (
    (pa.types.is_string_view, lambda _: pa.large_string()),
    (pa.types.is_binary_view, lambda _: pa.large_binary()),
    (pa.types.is_list_view, lambda kind: pa.large_list(kind.value_field)),
    (pa.types.is_large_list_view, lambda kind: pa.large_list(kind.value_field)),
)


def text_column(cells: pd.Series, *, as_json: bool = False, first: int = 0) -> pa.ChunkedArray:
    """Convert cells to strings, or with `as_json` to JSON values.

    Parameters
    ----------
    first
        The position of the first cell, if the cells are part of a longer column.

    Raises
    ------
    CellError
        For the first cell that has no exact string, naming its column, position and index label;
        for a column of an Arrow type that pandas does not support.
    """
    if isinstance(cells.dtype, pd.SparseDtype):
        cells = cells.sparse.to_dense()
    if isinstance(cells.dtype, pd.ArrowDtype):
        cells = _cast_to_supported(cells)
    if isinstance(cells.dtype, pd.CategoricalDtype):
        return _by_category(cells, as_json=as_json, first=first)
    if _holds_only_str(cells):
        return _each(cells, json_text, first) if as_json else _strings(cells, first)
    if pd.api.types.is_bool_dtype(cells.dtype):
        yes, no = ("true", "false") if as_json else ("True", "False")
        return pa.chunked_array([pc.if_else(_arrow(cells), yes, no)]).cast(TEXT)
    if pd.api.types.is_integer_dtype(cells.dtype):
        return pa.chunked_array([_arrow(cells).cast(TEXT)])
    return _each(cells, json_text if as_json else scalar_text, first)


def _cast_to_supported(cells: pd.Series) -> pd.Series:
    """Cast cells to an equivalent Arrow type that pandas supports."""
    kind = cells.dtype.pyarrow_dtype
    try:
        chunks = [as_plain(chunk) for chunk in cells.array.__arrow_array__().chunks]
        if chunks:
            check_supported(chunks[0].type)
    except (NotImplementedError, pa.ArrowException) as reason:
        raise _unsupported_type_error(cells.name, str(kind), str(reason)) from None
    if pa.types.is_binary_view(kind):
        raise _unsupported_type_error(cells.name, str(kind), "bytes must be decoded first")
    if not chunks:
        return pd.Series([], index=cells.index, name=cells.name, dtype=object)
    if chunks[0].type == kind:
        return cells
    array = pd.arrays.ArrowExtensionArray(pa.chunked_array(chunks))
    return pd.Series(array, index=cells.index, name=cells.name)


def scalar_text(value: Any) -> str:
    """Return the exact string of a non-missing value, or raise ``TypeError``.

    Examples
    --------
    >>> from decimal import Decimal
    >>> scalar_text(1.0), scalar_text(Decimal("3.10")), scalar_text({"a": [1, None]})
    ('1.0', '3.10', '{"a":[1,null]}')
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, enum.Enum):
        return scalar_text(value.value)
    if isinstance(value, _EXACT_SCALARS):
        return str(value)
    return json_text(value)


def json_text(value: Any) -> str:
    r"""Return a non-missing value as compact JSON, or raise ``TypeError``.

    Examples
    --------
    >>> json_text('say "hi"'), json_text(float("2")), json_text((1, "a"))
    ('"say \\"hi\\""', '2.0', '[1,"a"]')
    """
    return _json.encode(_plain(value)).decode()


def _plain(value: Any) -> Any:
    """Convert a value exactly to JSON's types, or raise ``TypeError``."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    for kinds, plain in _PLAIN:
        if isinstance(value, kinds):
            return plain(value)
    if isinstance(value, bytes | bytearray | memoryview | np.bytes_):
        raise TypeError("bytes, which must be decoded first")
    raise TypeError(f"unsupported type {type(value).__name__}")


def _plain_number(number: float | np.floating[Any] | decimal.Decimal) -> Any:
    if isinstance(number, decimal.Decimal):
        infinite, nan = number.is_infinite(), number.is_nan()
    else:
        infinite, nan = math.isinf(number), math.isnan(number)
    if infinite:
        raise TypeError("infinity, which JSON does not support")
    if nan:
        return None
    # The shortest string that parses to the same number; float() alone would widen a float32.
    return number if isinstance(number, decimal.Decimal) else float(str(number))


def _plain_mapping(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    plain = {_key(key): _plain(item) for key, item in mapping.items()}
    if len(plain) < len(mapping):
        raise TypeError("a dict with two keys that are equal in JSON")
    return plain


def _plain_array(array: npt.NDArray[Any]) -> Any:
    # Item by item: tolist() would widen a float32 and convert nanoseconds to int.
    return [_plain(item) for item in array] if array.ndim else _plain(array[()])


_PLAIN: Final[tuple[tuple[Any, Callable[[Any], Any]], ...]] = (
    (str, str.__str__),
    (enum.Enum, lambda member: _plain(member.value)),
    ((bool, np.bool_), bool),
    # Checked before integers, since numpy's timedelta is a subclass of them.
    ((np.datetime64, np.timedelta64), lambda time: None if np.isnat(time) else str(time)),
    ((int, np.integer), int),
    ((float, np.floating, decimal.Decimal), _plain_number),
    (Mapping, _plain_mapping),
    ((list, tuple), lambda items: [_plain(item) for item in items]),
    ((set, frozenset), lambda items: sorted(map(_plain, items), key=_json.encode)),
    (np.ndarray, _plain_array),
    (_EXACT_SCALARS, str),
)


_PROBLEMS: Final = (
    (RecursionError, "nested too deeply, or contains itself"),
    (UnicodeDecodeError, "bytes that are not UTF-8"),
    (OverflowError, "a time outside the years 1 to 9999"),
    (ValueError, "an integer with too many digits"),
)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, bool | int | np.bool_ | np.integer):
        return str(key)
    kind = type(key).__name__
    raise TypeError(f"a dict with a key of type {kind}, which JSON does not support")


def _arrow(cells: pd.Series) -> pa.Array:
    array = pa.array(cells, from_pandas=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _holds_only_str(cells: pd.Series) -> bool:
    if isinstance(cells.dtype, pd.StringDtype):
        return True
    if isinstance(cells.dtype, pd.ArrowDtype):
        arrow = cells.dtype.pyarrow_dtype
        return bool(pa.types.is_string(arrow) or pa.types.is_large_string(arrow))
    # pa.array() alone would also accept bytes as strings.
    return bool(
        cells.dtype == object
        and pd.api.types.infer_dtype(cells, skipna=True) in {"string", "empty"}
    )


def _strings(cells: pd.Series, first: int) -> pa.ChunkedArray:
    try:
        array = pa.array(cells, type=TEXT, from_pandas=True)
        array.validate(full=True)
    except (UnicodeEncodeError, TypeError, pa.ArrowInvalid):
        # A lone surrogate, a missing value that only pandas recognizes, or bytes mislabeled as an
        # Arrow string.
        return _each(cells, scalar_text, first)
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _by_category(cells: pd.Series, *, as_json: bool, first: int) -> pa.ChunkedArray:
    cells = cells.cat.remove_unused_categories()
    try:
        levels = text_column(pd.Series(cells.cat.categories, name=cells.name), as_json=as_json)
    except CellError:
        # Also raises, but names the row instead of the level.
        return _each(cells.astype(object), json_text if as_json else scalar_text, first)
    codes = cells.cat.codes.to_numpy()
    texts = levels.combine_chunks().take(pa.array(codes, mask=codes < 0))
    return pa.chunked_array([texts], type=TEXT)


def _each(cells: pd.Series, text_of: Callable[[Any], str], first: int) -> pa.ChunkedArray:
    texts: list[str | None] = []
    missing = cells.isna().to_numpy()
    values = iter(_values(cells))
    for position, absent in enumerate(missing):
        try:
            value = next(values)  # Arrow's range exceeds Python's: the year 10,000
            # A nullable column may hold a NaN that pandas does not call missing: 0 / 0.
            if absent or (isinstance(value, float | np.floating) and math.isnan(value)):
                texts.append(None)
                continue
            text = text_of(value)
            text.encode()
        except (TypeError, ValueError, OverflowError, RecursionError) as reason:
            name = plain_scalar(cells.name)
            row = format_row(first + position, cells.index[position])
            problem, remedy = _describe(reason)
            raise CellError(
                f"Column {name!r}, {row}: {problem}. Fix: df[{name!r}].{remedy}."
            ) from None
        texts.append(text)
    return pa.chunked_array([pa.array(texts, type=TEXT)])


def _values(cells: pd.Series) -> Any:
    """Return the cells unchanged: iterating a Series would widen a float32."""
    dtype = cells.dtype
    if isinstance(dtype, pd.ArrowDtype) and pa.types.is_floating(dtype.pyarrow_dtype):
        return cells.to_numpy(dtype.numpy_dtype, na_value=np.nan)
    if isinstance(dtype, np.dtype) and dtype.kind not in "mM":
        return cells.to_numpy()
    return cells


def _describe(reason: Exception) -> tuple[str, str]:
    """Describe the problem of a cell and the method that corrects its column."""
    if isinstance(reason, UnicodeEncodeError):
        return "a lone surrogate", "str.encode('utf-8', 'replace').str.decode('utf-8')"
    problem = next((text for kind, text in _PROBLEMS if isinstance(reason, kind)), str(reason))
    # Arrow columns too, which have no str.decode().
    return problem, 'map(bytes.decode, na_action="ignore")' if "bytes" in problem else "map(str)"


def as_plain(column: pa.Array) -> pa.Array:
    """Cast a column losslessly to a type that pandas reads.

    Raises
    ------
    ArrowException
        If a cell would lose information.

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
    if pa.types.is_time64(kind):  # Python's precision; it fails if cells have more
        return column.cast(pa.time64("us"))
    plainer = next((plainer for is_one, plainer in _PLAINER if is_one(kind)), None)
    return column if plainer is None else column.cast(plainer(kind))


def check_supported(kind: pa.DataType) -> None:
    """Raise ``NotImplementedError`` if pandas does not support a type."""
    try:
        _ = pd.ArrowDtype(kind).type
    except NotImplementedError:
        raise NotImplementedError("pandas does not support it") from None


def _unsupported_type_error(column: object, kind: str, reason: str) -> CellError:
    column = plain_scalar(column)
    # pandas cannot map such a column, but can read it cell by cell.
    text = "cell.decode()" if "bytes" in reason else "str(cell)"
    return CellError(
        f"Column {column!r}: cells of type {kind} cannot be converted to strings "
        f"({reason.rstrip('.')}). Fix: df[{column!r}] = [None if cell is pd.NA else {text} for "
        f"cell in df[{column!r}]]."
    )
