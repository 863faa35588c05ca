"""Read rows of frames outside pandas, and append columns to them.

A frame is recognized by the name of its class, so that no library is imported before its frames
exist.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
import pyarrow as pa

_NULLABLE_DTYPES: Final[Mapping[pa.DataType, Any]] = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.float32(): pd.Float32Dtype(),
    pa.float64(): pd.Float64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}

_PANDAS: Final = b"pandas"
_NO_METADATA: Final[Mapping[str, Any]] = {"columns": [], "index_columns": [], "column_indexes": []}


@dataclass(frozen=True)
class Kind:
    """How to use the frames of one library.

    Attributes
    ----------
    rows
        Returns the rows of a frame as an Arrow table.
    append
        Takes a frame, its rows, the names of columns to drop, and a table of columns to append.
        Returns a frame of the same library.
    in_memory
        Whether the rows are in memory; False if they may be larger.
    """

    rows: Callable[[Any], pa.Table]
    append: Callable[[Any, pa.Table, Sequence[str], pa.Table], Any]
    in_memory: bool = True


def kind_of(frame: object) -> Kind | None:
    """Return how to use a frame; None if it is of pandas or unknown."""
    return next((_KINDS[name] for name in _class_names(frame) if name in _KINDS), None)


def is_lazy(frame: object) -> bool:
    """Return whether a frame is a query that has no rows yet."""
    return any(name in _LAZY for name in _class_names(frame))


def unwrap(frame: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return the frame inside a narwhals wrapper, and how to wrap another one."""
    if "narwhals.DataFrame" not in _class_names(frame):
        return frame, lambda native: native
    from narwhals import from_native  # noqa: PLC0415

    return frame.to_native(), from_native


def as_pandas(frame: Any) -> Any:
    """Return a frame of a known library as pandas, anything else unchanged.

    Numbers and booleans get nullable dtypes, because a missing value must not turn 5 into 5.0.
    """
    frame, _ = unwrap(frame)
    kind = kind_of(frame)
    return kind.rows(frame).to_pandas(types_mapper=_NULLABLE_DTYPES.get) if kind else frame


def _class_names(frame: object) -> list[str]:
    """Return the library and name of a frame's class and base classes."""
    classes = type(frame).__mro__
    return [f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in classes]


def append_to_table(table: pa.Table, dropped: Sequence[str], columns: pa.Table) -> pa.Table:
    """Append columns of another table; merge the pandas metadata."""
    metadata = _pandas_metadata(table.schema, columns.schema)
    table = table.drop_columns(list(dropped))
    for name in columns.column_names:
        table = table.append_column(name, columns[name])
    return table.replace_schema_metadata(metadata)


def _pandas_metadata(rows: pa.Schema, answers: pa.Schema) -> dict[bytes, bytes]:
    metadata = dict(rows.metadata or {})
    theirs = json.loads(metadata[_PANDAS]) if _PANDAS in metadata else _NO_METADATA
    ours = json.loads(answers.metadata[_PANDAS])["columns"]
    names = {column["name"] for column in ours}
    others = [column for column in theirs["columns"] if column.get("name") not in names]
    index = [name for name in theirs["index_columns"] if name not in list(names)]
    merged = {**theirs, "index_columns": index, "columns": [*others, *ours]}
    metadata[_PANDAS] = json.dumps(merged).encode()
    return metadata


def _append_to_polars(frame: Any, _: pa.Table, dropped: Sequence[str], columns: pa.Table) -> Any:
    from polars import DataFrame  # noqa: PLC0415

    return frame.drop(dropped).hstack(DataFrame(columns))


def _append_to_relation(_: Any, rows: pa.Table, dropped: Sequence[str], columns: pa.Table) -> Any:
    from duckdb import from_arrow  # noqa: PLC0415

    return from_arrow(append_to_table(rows, dropped, columns))


def _append_to_dataset(
    dataset: Any, rows: pa.Table, dropped: Sequence[str], columns: pa.Table
) -> Any:
    from datasets import Dataset, concatenate_datasets  # noqa: PLC0415

    if not len(dataset):  # concatenate_datasets drops datasets without rows
        return Dataset(append_to_table(rows.schema.empty_table(), dropped, columns))
    # Keeps the features of the dataset, such as images.
    return concatenate_datasets([dataset.remove_columns(dropped), Dataset(columns)], axis=1)


def _append_to_arrow(_: Any, rows: pa.Table, dropped: Sequence[str], columns: pa.Table) -> pa.Table:
    return append_to_table(rows, dropped, columns)


_KINDS: Final[Mapping[str, Kind]] = {
    "polars.DataFrame": Kind(lambda frame: frame.to_arrow(), _append_to_polars),
    "pyarrow.Table": Kind(lambda table: table, _append_to_arrow),
    "pyarrow.RecordBatch": Kind(lambda batch: pa.Table.from_batches([batch]), _append_to_arrow),
    "duckdb.DuckDBPyRelation": Kind(
        lambda relation: relation.to_arrow_table(), _append_to_relation, in_memory=False
    ),
    # The Arrow format applies the selection and order of rows; `data` does not.
    "datasets.Dataset": Kind(lambda rows: rows.with_format("arrow")[:], _append_to_dataset),
}
_LAZY: Final = ("polars.LazyFrame", "narwhals.LazyFrame")
