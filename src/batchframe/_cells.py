"""One column of cells → one Arrow column of exact text.

In: a pandas Series of any dtype. Out: ``large_string`` with a null for each missing cell.
Must not know: templates, prompts, requests.

The text of a cell is ``str(value)`` for every scalar (so ``1.0`` is "1.0", ``True`` is "True", a
Timestamp is "2026-11-21 09:30:00") and compact JSON for a list, dict, tuple, array or set (a set is
sorted, because it has no order of its own). A cell without an exact text (bytes, an arbitrary
object, half of a surrogate pair) is an error that names its row.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import math
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batchframe.errors import CellError

TEXT = pa.large_string()

_EXACT_SCALARS = (
    str,
    bool,
    int,
    float,
    complex,
    decimal.Decimal,
    fractions.Fraction,
    dt.date,
    dt.time,
    dt.timedelta,
    uuid.UUID,
    pd.Period,
    pd.Interval,
    np.number,
    np.bool_,
    np.datetime64,
    np.timedelta64,
)
_json = msgspec.json.Encoder(decimal_format="number")


def text_column(cells: pd.Series, *, as_json: bool = False) -> pa.ChunkedArray:
    """Write every cell as text, or with `as_json` as a JSON value.

    Raises
    ------
    CellError
        For the first cell that has no exact text, naming its column, position and index label.
    """
    if as_json:
        return _each(cells, json_text)
    if isinstance(cells.dtype, pd.CategoricalDtype):
        return _by_category(cells)
    if pd.api.types.is_bool_dtype(cells.dtype) and cells.dtype != object:
        return pa.chunked_array([pc.if_else(_arrow(cells), "True", "False")]).cast(TEXT)
    if pd.api.types.is_integer_dtype(cells.dtype):
        return pa.chunked_array([_arrow(cells).cast(TEXT)])
    if _holds_only_str(cells):
        return _strings(cells)
    return _each(cells, scalar_text)


def scalar_text(value: Any) -> str:
    """Return the exact text of a value that is not missing, or raise ``TypeError`` saying why not.

    Examples
    --------
    >>> from decimal import Decimal
    >>> scalar_text(1.0), scalar_text(Decimal("3.10")), scalar_text({"a": [1, None]})
    ('1.0', '3.10', '{"a":[1,null]}')
    """
    if isinstance(value, enum.Enum):
        return scalar_text(value.value)
    if isinstance(value, _EXACT_SCALARS):
        return str(value)
    return json_text(value)


def json_text(value: Any) -> str:
    r"""Return one value that is not missing as compact JSON, or raise ``TypeError`` saying why not.

    Examples
    --------
    >>> json_text('say "hi"'), json_text(float("2")), json_text((1, "a"))
    ('"say \\"hi\\""', '2.0', '[1,"a"]')
    """
    return _json.encode(_plain(value)).decode()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | decimal.Decimal):
        return value
    if isinstance(value, float):
        return _finite_or_null(value)
    if isinstance(value, np.ndarray | np.generic) and not isinstance(value, np.bytes_ | np.void):
        return _plain_numpy(value)
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, Mapping):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=_json.encode)
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, _EXACT_SCALARS):
        return str(value)
    raise TypeError(_why_not(value))


def _plain_numpy(value: Any) -> Any:
    if isinstance(value, np.datetime64 | np.timedelta64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, np.floating):
        # The shortest text that reads back as this very number; .item() would widen a float32.
        return _finite_or_null(float(str(value)))
    return _plain(value.tolist())


def _finite_or_null(number: float) -> float | None:
    if math.isinf(number):
        msg = "is infinite, which JSON cannot say"
        raise TypeError(msg)
    return None if math.isnan(number) else number


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool | int):
        return str(key)
    msg = f"holds a dict with a key of type {type(key).__name__}, which JSON cannot say"
    raise TypeError(msg)


def _why_not(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview | np.bytes_):
        return "holds bytes, which have no text until they are decoded"
    return f"holds a {type(value).__name__}, which has no exact text"


def _arrow(cells: pd.Series) -> pa.Array:
    array = pa.array(cells, from_pandas=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _holds_only_str(cells: pd.Series) -> bool:
    if isinstance(cells.dtype, pd.StringDtype):
        return True
    if isinstance(cells.dtype, pd.ArrowDtype):
        arrow = cells.dtype.pyarrow_dtype
        return bool(pa.types.is_string(arrow) or pa.types.is_large_string(arrow))
    # pa.array() alone would also take bytes and call them text.
    return bool(
        cells.dtype == object
        and pd.api.types.infer_dtype(cells, skipna=True) in {"string", "empty"}
    )


def _strings(cells: pd.Series) -> pa.ChunkedArray:
    try:
        array = pa.array(cells, type=TEXT, from_pandas=True)
    except UnicodeEncodeError:
        return _each(cells, str)
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _by_category(cells: pd.Series) -> pa.ChunkedArray:
    levels = text_column(pd.Series(cells.cat.categories, name=cells.name)).combine_chunks()
    codes = cells.cat.codes.to_numpy()
    return pa.chunked_array([levels.take(pa.array(codes, mask=codes < 0))], type=TEXT)


def _each(cells: pd.Series, text_of: Callable[[Any], str]) -> pa.ChunkedArray:
    # Values come from numpy where there is one: iterating a Series would widen a float32.
    values: Iterable[Any] = cells.to_numpy() if isinstance(cells.dtype, np.dtype) else cells
    if isinstance(cells.dtype, np.dtype) and cells.dtype.kind in "mM":
        values = cells
    texts: list[str | None] = []
    for position, (value, missing) in enumerate(
        zip(values, cells.isna().to_numpy(), strict=True),
    ):
        if missing:
            texts.append(None)
            continue
        try:
            text = text_of(value)
            text.encode()
        except UnicodeEncodeError:
            raise CellError.lone_surrogate(cells.name, position, cells.index[position]) from None
        except (TypeError, RecursionError) as reason:
            raise CellError.no_exact_text(
                cells.name, position, cells.index[position], str(reason)
            ) from None
        texts.append(text)
    return pa.chunked_array([pa.array(texts, type=TEXT)])
