"""What the user hands over → frames of a few rows at a time.

In: a DataFrame, or anything that Arrow can read more of than memory holds. Out: a frozen
:class:`Tabular`.
Must not know: prompts, models, requests.

A DataFrame is one part, as it is. Of all else no more than a part is held at a time, in pandas
columns of Arrow's own dtypes: those of a part without a missing cell would not be those of a part
with one, and then a row's text would depend on its neighbours.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from batchframe.errors import SourceError

PART_ROWS: Final = 10_000
"""Rows of a part: large enough for Arrow, small enough for the processor's cache."""

_BUFFER: Final = 1 << 20  # bytes of each column that are read ahead
_UNNAMED: Final = "The source"


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows that stand together.

    Attributes
    ----------
    start
        The position of the first.
    frame
        The rows, under labels of their own.
    arrow
        The rows as they are stored; None for those of a DataFrame.
    """

    start: int
    frame: pd.DataFrame
    arrow: pa.RecordBatch | None = None


@dataclass(frozen=True, eq=False)
class Tabular:
    """Rows that can be read more than once.

    Attributes
    ----------
    columns
        The labels of the columns, in order.
    index
        For each row its label: to name it in an error, and for nothing else.
    home
        The file or folder that the rows are read from; None for rows in memory.
    schema
        How the rows are stored; None for those of a DataFrame.
    """

    columns: pd.Index
    index: pd.Index
    read: Callable[[Sequence[Hashable] | None], Iterator[Part]] = field(repr=False)
    home: Path | None = None
    schema: pa.Schema | None = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def streamed(self) -> bool:
        """Whether the rows are read anew each time, a part at a time."""
        return self.schema is not None

    def parts(self) -> Iterator[Part]:
        """Yield the rows in order.

        Raises
        ------
        SourceError
            If they cannot be read, or are not as many as before.
        """
        seen = 0
        try:
            for part in self.read(list(self.columns) if self.streamed else None):
                seen += len(part.frame)
                yield part
        except (OSError, pa.ArrowException) as reason:
            raise SourceError.interrupted(str(self.home or _UNNAMED), str(reason)) from reason
        if seen != len(self):
            raise SourceError.of_other_length(str(self.home or _UNNAMED), seen, len(self))

    def only(self, columns: Sequence[Hashable]) -> Tabular:
        """Return the same rows with no more columns than need be read."""
        if not self.streamed:
            return self
        return replace(self, columns=self.columns[self.columns.isin(columns)])


def tabular(source: Any) -> Tabular:
    """Take what can be read row by row, and more than once.

    Parameters
    ----------
    source
        A DataFrame; the path of a Parquet file or of a folder of them; an Arrow dataset, table or
        record batch. A record-batch reader, or anything else that streams Arrow
        (``__arrow_c_stream__``), can be read once only: it is first copied to a temporary file,
        which goes when the last that reads it goes.

    Raises
    ------
    SourceError
        If it is none of these, or cannot be read.
    """
    if isinstance(source, pd.DataFrame):
        return of_frame(source)
    if isinstance(source, pa.RecordBatch):
        source = pa.table(source)
    if isinstance(source, pa.Table):
        return _of_dataset(ds.dataset(source))
    if isinstance(source, ds.Dataset):
        return _of_dataset(source)
    if isinstance(source, str | Path):
        return _of_path(Path(source).expanduser())
    if hasattr(source, "__arrow_c_stream__"):
        with suppress(pa.ArrowInvalid):  # a Series streams a column, not rows
            return _of_reader(pa.RecordBatchReader.from_stream(source))
    raise SourceError.not_rows(source)


def of_frame(frame: pd.DataFrame) -> Tabular:
    """Take a DataFrame, as one part."""
    return Tabular(frame.columns, frame.index, lambda _: iter([Part(0, frame)]))


def spooled(reader: pa.RecordBatchReader) -> ds.Dataset:
    """Copy what can be read once to a temporary file that only the user can read."""
    folder = tempfile.mkdtemp(prefix="batchframe-")
    path = Path(folder) / "rows.arrow"
    with pa.ipc.new_file(path, reader.schema) as file:
        for batch in reader:
            for start in range(0, batch.num_rows, PART_ROWS):
                file.write_batch(batch.slice(start, PART_ROWS))
    found = ds.dataset(path, format="ipc")
    weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
    return found


def of_batches(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Tabular:
    """Keep what can be read once in a temporary file."""
    return _of_dataset(spooled(pa.RecordBatchReader.from_batches(schema, batches)))


def _of_path(path: Path) -> Tabular:
    if not path.exists():
        raise SourceError.no_such_path(str(path))
    try:
        found = ds.dataset(path, format="parquet", partitioning="hive", exclude_invalid_files=False)
        return replace(_of_dataset(found), home=path.resolve())
    except (OSError, pa.ArrowException) as reason:
        raise SourceError.unreadable(str(path), str(reason)) from None


def _of_reader(reader: pa.RecordBatchReader) -> Tabular:
    try:
        return _of_dataset(spooled(reader))
    except (OSError, pa.ArrowException) as reason:
        raise SourceError.unreadable(_UNNAMED, str(reason)) from reason


def _of_dataset(dataset: ds.Dataset) -> Tabular:
    names = dataset.schema.names
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise SourceError.repeated_columns(repeated)
    batches = _of_parquet if _is_whole_parquet(dataset) else _of_any

    def read(columns: Sequence[Hashable] | None) -> Iterator[Part]:
        start = 0
        for batch in batches(dataset, names if columns is None else list(map(str, columns))):
            for first in range(0, batch.num_rows, PART_ROWS):
                part = batch.slice(first, PART_ROWS)
                yield Part(start, _frame(part, start), part)
                start += part.num_rows

    return Tabular(
        pd.Index(names), pd.RangeIndex(dataset.count_rows()), read, schema=dataset.schema
    )


def _is_whole_parquet(dataset: ds.Dataset) -> bool:
    """Tell Parquet files all of whose rows are meant from those that a filter chooses from."""
    if not isinstance(dataset, ds.FileSystemDataset):
        return False
    with suppress(ValueError):  # what was filtered does not name its files
        next(dataset.get_fragments(), None)
        return isinstance(dataset.format, ds.ParquetFileFormat)
    return False


def _of_any(dataset: ds.Dataset, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    yield from dataset.to_batches(
        columns=list(columns), batch_size=PART_ROWS, batch_readahead=1, fragment_readahead=1
    )


def _of_parquet(dataset: ds.FileSystemDataset, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Read file by file: a dataset's own scan holds row groups of several, which are gigabytes."""
    schema = pa.schema([dataset.schema.field(name) for name in columns])
    for fragment in dataset.get_fragments():
        folders = ds.get_partition_keys(fragment.partition_expression)
        with dataset.filesystem.open_input_file(fragment.path) as file:
            stored = pq.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
            there = [name for name in columns if name in stored.schema_arrow.names]
            at_least_one = there or stored.schema_arrow.names[:1]
            for batch in stored.iter_batches(batch_size=PART_ROWS, columns=at_least_one):
                arrays = [_column(batch, field, folders) for field in schema]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _column(batch: pa.RecordBatch, field: pa.Field, folders: Mapping[str, Any]) -> pa.Array:
    if field.name in folders:
        return pa.repeat(pa.scalar(folders[field.name]).cast(field.type), batch.num_rows)
    if field.name not in batch.schema.names:
        return pa.nulls(batch.num_rows, field.type)
    column = batch.column(field.name)
    return column if column.type == field.type else column.cast(field.type)


def _frame(rows: pa.RecordBatch, start: int) -> pd.DataFrame:
    index = pd.RangeIndex(start, start + rows.num_rows)
    columns = {name: _series(rows.column(name), index) for name in rows.schema.names}
    return pd.DataFrame(columns, index=index, columns=list(rows.schema.names))


def _series(column: pa.Array, index: pd.RangeIndex) -> pd.Series:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    return pd.Series(pd.arrays.ArrowExtensionArray(column), index=index)
