"""Rows of a DataFrame or any Arrow source, in blocks that fit in memory.

A DataFrame is a single block, unchanged. Other sources are read one block at a time, into pandas
columns with Arrow dtypes: numpy dtypes would depend on whether a block has missing cells, and so
would the string of a row.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from batchframe._base.errors import SourceError, format_list
from batchframe._base.safe_text import RUN_AGAIN
from batchframe._frames.cells import as_plain, check_supported
from batchframe._frames.kinds import is_lazy, kind_of, unwrap
from batchframe._frames.record_batches import batches_of, copy_rows, dataset_of, files_of, rows_of

BLOCK_ROWS: Final = 10_000
"""Rows per block: large enough for Arrow, small enough for the CPU cache."""

_UNNAMED: Final = "source"
_EXHAUSTED: Final[weakref.WeakSet[Any]] = weakref.WeakSet()


@dataclass(frozen=True, eq=False)
class RowBlock:
    """A block of consecutive rows.

    Attributes
    ----------
    start
        The position of the first row.
    rows
        The rows in their stored form.
    """

    start: int
    rows: pd.DataFrame | pa.RecordBatch

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def arrow(self) -> pa.RecordBatch | None:
        """The rows as stored Arrow data; None for a DataFrame."""
        return None if isinstance(self.rows, pd.DataFrame) else self.rows

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows as a DataFrame with its own index.

        Raises
        ------
        SourceError
            For a column whose cells have no exact string.
        """
        return self.rows if isinstance(self.rows, pd.DataFrame) else _frame(self.rows, self.start)

    def alone(self) -> Tabular:
        """Return a block with these rows only."""
        if isinstance(self.rows, pd.DataFrame):
            return Tabular(self.frame.columns, self.frame.index, lambda _: iter([self]))
        batch = self.rows
        index = pd.RangeIndex(self.start, self.start + len(batch))

        def read(columns: Sequence[str]) -> Iterator[RowBlock]:
            yield RowBlock(self.start, batch.select(list(columns)))

        return Tabular(pd.Index(batch.schema.names), index, read, schema=batch.schema)


@dataclass(frozen=True, eq=False)
class Tabular:
    """Rows that can be read repeatedly.

    Attributes
    ----------
    columns
        The labels of the columns, in order.
    index
        The label of each row, used only in error messages.
    source_path
        The file or folder of the rows; None for rows in memory.
    files
        The local files that are read.
    schema
        The Arrow schema of the rows; None for a DataFrame.
    """

    columns: pd.Index
    index: pd.Index
    read: Callable[[Sequence[str]], Iterator[RowBlock]] = field(repr=False)
    source_path: Path | None = None
    files: Sequence[str] = ()
    schema: pa.Schema | None = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def streamed(self) -> bool:
        """Whether each pass reads the rows again, block by block."""
        return self.schema is not None

    def blocks(self) -> Iterator[RowBlock]:
        """Yield the rows in order, in at least one block.

        Raises
        ------
        SourceError
            If they cannot be read, or their number has changed.
        """
        count = 0
        names = [str(label) for label in self.columns]
        try:
            for block in self.read(names):
                count += len(block)
                yield block
        except (OSError, pa.ArrowException) as reason:
            raise _interrupted_error(str(self.source_path or _UNNAMED), str(reason)) from reason
        if count != len(self):
            changed = f"{len(self):,} rows before, {count:,} now"
            raise _interrupted_error(str(self.source_path or _UNNAMED), changed)
        if self.schema is not None and not count:
            fields = [self.schema.field(name) for name in names]
            schema = pa.schema(fields, self.schema.metadata)
            yield RowBlock(0, pa.RecordBatch.from_pylist([], schema=schema))

    def only(self, columns: Sequence[Hashable]) -> Tabular:
        """Return the same rows with the required columns only."""
        if not self.streamed:
            return self
        return replace(self, columns=self.columns[self.columns.isin(columns)])


def tabular(source: Any) -> Tabular:
    """Wrap a source so that its rows can be read repeatedly.

    Parameters
    ----------
    source
        A DataFrame; the path of a Parquet file or of a folder of them; an Arrow dataset, table or
        record batch. A record-batch reader, or anything else that streams Arrow
        (``__arrow_c_stream__``), can only be read once: it is first copied to a temporary file,
        which is deleted with its last reader.

    Raises
    ------
    SourceError
        If the source is not supported or cannot be read.
    """
    source, _ = unwrap(source)
    if isinstance(source, pd.DataFrame):
        return of_frame(source)
    if is_lazy(source):
        raise SourceError(
            "source: a lazy frame, without rows. Fix: batchframe.requests(frame.collect(), ...). "
            "If it is larger than memory: frame.sink_parquet(path), then pass path."
        )
    _register_pandas_types()
    kind = kind_of(source)
    if kind is not None and kind.in_memory:
        source = ds.dataset(kind.rows(source))
    if isinstance(source, ds.Dataset):
        return _of_dataset(source)
    if isinstance(source, str | os.PathLike):
        return _of_path(os.fspath(source), source)
    if hasattr(source, "__arrow_c_stream__"):
        return _of_stream(source)
    raise _not_rows_error(source)


def of_frame(frame: pd.DataFrame) -> Tabular:
    """Wrap a DataFrame as a single block."""
    return RowBlock(0, frame).alone()


def of_batches(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Tabular:
    """Copy a one-pass stream to a temporary file.

    Raises
    ------
    SourceError
        If the disk has no space for it.
    """
    copy = copy_rows(schema, batches, BLOCK_ROWS)
    return _of_batches(schema, copy.rows, copy.batches)


@cache
def _register_pandas_types() -> None:
    """Register pandas' period and interval types with Arrow.

    pandas registers them when it first creates one.
    """
    pa.array(pd.array([], dtype="period[D]"))


def _of_path(path: str | bytes, source: Any) -> Tabular:
    if isinstance(path, bytes):
        raise _not_rows_error(source)
    if "://" in path:
        raise SourceError(
            f"{path}: a URL, not a local path. Fix: batchframe.requests(pyarrow.dataset.dataset("
            f'{path!r}, format="parquet", partitioning="hive"), ...).'
        )
    location = Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises for an unknown user
    return replace(_of_dataset(dataset_of(location), str(location)), source_path=location.resolve())


def _of_stream(source: Any) -> Tabular:
    try:
        reader = pa.RecordBatchReader.from_stream(source)
    except pa.ArrowInvalid as reason:
        if "non-struct" in str(reason):  # a Series streams a column, not rows
            raise _not_rows_error(source) from None
        raise SourceError.unreadable(_UNNAMED, str(reason)) from None
    if isinstance(source, pa.RecordBatchReader):
        # An exhausted reader looks like one without rows.
        if source in _EXHAUSTED:
            raise SourceError(
                "source: the record-batch reader is exhausted. Fix: create it in the same cell, or "
                "write the rows to a Parquet file and pass its path."
            )
        _EXHAUSTED.add(source)
    _refuse_repeated(reader.schema.names)
    try:
        return of_batches(reader.schema, reader)
    except pa.ArrowException as reason:
        raise SourceError.unreadable(_UNNAMED, str(reason).partition(". Detail:")[0]) from reason


def _of_dataset(dataset: ds.Dataset, name: str = _UNNAMED) -> Tabular:
    _refuse_repeated(dataset.schema.names)
    try:
        rows = rows_of(dataset)
    except (OSError, pa.ArrowException) as reason:
        raise SourceError.unreadable(name, str(reason)) from None

    def batches(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return batches_of(dataset, columns, BLOCK_ROWS)

    return replace(_of_batches(dataset.schema, rows, batches), files=files_of(dataset))


def _of_batches(
    schema: pa.Schema, rows: int, batches: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
) -> Tabular:
    def read(columns: Sequence[str]) -> Iterator[RowBlock]:
        start = 0
        for batch in batches(columns):
            for first in range(0, batch.num_rows, BLOCK_ROWS):
                rows_read = batch.slice(first, BLOCK_ROWS)
                yield RowBlock(start, rows_read.replace_schema_metadata(schema.metadata))
                start += rows_read.num_rows

    return Tabular(pd.Index(schema.names), pd.RangeIndex(rows), read, schema=schema)


def _refuse_repeated(names: Sequence[str]) -> None:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise SourceError(
            f"source: duplicate column names ({format_list(repeated)}). Fix: "
            "table.rename_columns([...])."
        )


def _frame(rows: pa.RecordBatch, start: int) -> pd.DataFrame:
    index = pd.RangeIndex(start, start + rows.num_rows)
    columns = {name: _series(rows.column(name), name, index) for name in rows.schema.names}
    return pd.DataFrame(columns, index=index, columns=list(rows.schema.names))


def _series(column: pa.Array, name: str, index: pd.RangeIndex) -> pd.Series:
    try:
        column = as_plain(column)
        if _is_of_pandas(column.type):
            column = column.type.to_pandas_dtype().__from_arrow__(column)
            return pd.Series(column, index=index)
        check_supported(column.type)
    except (NotImplementedError, pa.ArrowException) as reason:
        raise SourceError(
            f"Column {name!r}: cells of type {column.type!s} cannot be converted to strings "
            f"({str(reason).rstrip('.')}). Fix: convert them where the rows come from."
        ) from None
    return pd.Series(pd.arrays.ArrowExtensionArray(column), index=index)


def _is_of_pandas(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.BaseExtensionType) and kind.extension_name.startswith("pandas.")


def taken_names(columns: pd.Index, names: Sequence[str]) -> list[str]:
    """Return the answer columns whose names the frame already has."""
    labels = set(columns)
    return [name for name in names if column_label(columns, name) in labels]


def column_label(columns: pd.Index, name: str) -> Hashable:
    """Return the label of an answer column, at the depth of these labels."""
    levels = columns.nlevels
    return name if levels == 1 else (name, *[""] * (levels - 1))


def _not_rows_error(source: object) -> SourceError:
    return SourceError(
        f"source: unsupported type ({type(source).__name__}). Fix: pass a DataFrame, the path of a "
        "Parquet file or folder, or an Arrow dataset, table, record batch or reader. For one "
        'column: df[["text"]]. For a list of strings: pd.DataFrame({"text": texts}).'
    )


def _interrupted_error(path: str, reason: str) -> SourceError:
    return SourceError(
        f"{path}: changed or unreadable while it was read ({reason.rstrip('.')}).",
        next_step="Fix: leave the file unchanged, and " + RUN_AGAIN + ".",
    )
