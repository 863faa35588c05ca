"""Arrow datasets, Parquet files and streams, read in batches of rows."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq

from batchframe._base.errors import SourceError

_BUFFER: Final = 1 << 20  # bytes prefetched per column
_BATCH_BYTES: Final = 64 << 20  # bytes of a batch with large cells


def dataset_of(path: Path) -> ds.FileSystemDataset:
    """Open a Parquet file or folder, with the columns of all files.

    Raises
    ------
    SourceError
        If the files cannot be read together.
    """
    try:
        if not path.exists():
            raise SourceError(
                f"No such file or folder: {str(path)!r}. Fix: pass the path of a Parquet file or "
                "folder. For other formats: batchframe.requests(pd.read_csv(path), ...)."
            )
        dataset = ds.dataset(
            path, format="parquet", partitioning="hive", exclude_invalid_files=False
        )
        if not dataset.files:
            raise SourceError(
                f"{path!s}: no Parquet files. Names that begin with a dot or an underscore are "
                "ignored."
            )
        _check_links(dataset.files)
        files = list(dataset.get_fragments())
        schema = _schema_of_all(path, dataset.schema, files)
        return ds.FileSystemDataset(files, schema, dataset.format, dataset.filesystem)
    except (OSError, pa.ArrowException) as reason:
        raise SourceError.unreadable(str(path), str(reason)) from None


def _schema_of_all(path: Path, schema: pa.Schema, files: Sequence[ds.Fragment]) -> pa.Schema:
    """Return the columns of all files; a dataset infers only the first's."""
    first = schema
    for file in files:
        schemas = [schema, file.physical_schema]
        try:
            schema = pa.unify_schemas(schemas, promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as reason:
            raise SourceError(
                f"{file.path}: its columns do not match those of the earlier files "
                f"({str(reason).rstrip('.')}). Fix: batchframe.requests(pyarrow.dataset.dataset("
                f'{str(path)!r}, schema=..., partitioning="hive"), ...).'
            ) from None
    promoted = any(schema.field(field.name).type != field.type for field in first)
    # The first file's pandas metadata does not apply to unified types.
    return schema.with_metadata(None if promoted else first.metadata)


def _check_links(files: Sequence[str]) -> None:
    """Reject a file reached twice through symbolic links."""
    targets: dict[str, str] = {}
    for file in files:
        first = targets.setdefault(os.path.realpath(file), file)
        if first != file:
            raise SourceError(
                f"{first} and {file} are the same file (a symbolic link). Fix: remove the link, or "
                "batchframe.requests(pyarrow.dataset.dataset([FILE, ...]), ...)."
            )


def files_of(dataset: ds.Dataset) -> tuple[str, ...]:
    """List the local files that a dataset reads."""
    if isinstance(dataset, ds.UnionDataset):
        return tuple(file for child in dataset.children for file in files_of(child))
    is_local = isinstance(dataset, ds.FileSystemDataset) and isinstance(
        dataset.filesystem, pa.fs.LocalFileSystem
    )
    return tuple(dataset.files) if is_local else ()


def rows_of(dataset: ds.Dataset) -> int:
    """Count the rows, within the selected row groups if any."""
    if not _is_whole_parquet(dataset):
        return int(dataset.count_rows())
    files = dataset.get_fragments()
    return sum(group.num_rows for file in files for group in file.row_groups)


def batches_of(dataset: ds.Dataset, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a dataset in order, with selected columns only.

    Parameters
    ----------
    rows
        Maximum rows per batch; fewer for Parquet files with large cells.
    """
    if _is_whole_parquet(dataset):
        yield from _parquet_batches(dataset, columns, rows)
    else:
        yield from dataset.to_batches(
            columns=list(columns), batch_size=rows, batch_readahead=1, fragment_readahead=1
        )


def _is_whole_parquet(dataset: ds.Dataset) -> bool:
    """Return whether a dataset reads entire Parquet files, unfiltered."""
    if not isinstance(dataset, ds.FileSystemDataset):
        return False
    with suppress(ValueError):  # a filtered dataset has no file list
        next(dataset.get_fragments(), None)
        return isinstance(dataset.format, ds.ParquetFileFormat)
    return False


def _parquet_batches(
    dataset: ds.FileSystemDataset, columns: Sequence[str], rows: int
) -> Iterator[pa.RecordBatch]:
    """Read file by file: a dataset scan buffers gigabytes of row groups."""
    schema = pa.schema([dataset.schema.field(name) for name in columns])
    for fragment in dataset.get_fragments():
        folders = ds.get_partition_keys(fragment.partition_expression)
        with dataset.filesystem.open_input_file(fragment.path) as file:
            parquet = pq.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
            names = parquet.schema_arrow.names
            at_least_one = [name for name in columns if name in names] or names[:1]
            for batch in parquet.iter_batches(
                batch_size=_rows_per_batch(parquet.metadata, at_least_one, rows),
                row_groups=_selected_row_groups(fragment),
                columns=at_least_one,
            ):
                arrays = [_column(batch, field, folders, fragment.path) for field in schema]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _selected_row_groups(file: ds.ParquetFileFragment) -> list[int] | None:
    """Return the selected row groups; None for the entire file."""
    if file.num_row_groups == file.metadata.num_row_groups:
        return None
    return [group.id for group in file.row_groups]


def _rows_per_batch(metadata: pq.FileMetaData, columns: Sequence[str], most: int) -> int:
    """Return the number of rows that fit into one batch."""
    widest = 1
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        chunks = map(group.column, range(group.num_columns))
        size = sum(
            chunk.total_uncompressed_size
            for chunk in chunks
            if any(f"{chunk.path_in_schema}.".startswith(f"{name}.") for name in columns)
        )
        widest = max(widest, size // max(group.num_rows, 1))
    return max(1, min(most, _BATCH_BYTES // widest))


def _column(
    batch: pa.RecordBatch, field: pa.Field, folders: Mapping[str, Any], path: str
) -> pa.Array:
    if field.name in folders:
        return pa.repeat(pa.scalar(folders[field.name]).cast(field.type), batch.num_rows)
    if field.name not in batch.schema.names:
        return pa.nulls(batch.num_rows, field.type)
    column = batch.column(field.name)
    if column.type == field.type:
        return column
    try:
        return column.cast(field.type)
    except pa.ArrowException as reason:
        raise SourceError(
            f"{path}: column {field.name!r} is stored as {column.type!s}, not {field.type!s} "
            f"({str(reason).rstrip('.')}). Fix: pyarrow.dataset.dataset(paths, schema=...), with a "
            "schema that fits all files."
        ) from None


@dataclass(frozen=True, eq=False)
class Copy:
    """Rows in a private temporary file, deleted with this object."""

    path: Path
    schema: pa.Schema
    rows: int

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order, with selected columns only."""
        indices = [self.schema.get_field_index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=indices)
        with pa.OSFile(str(self.path)) as file, pa.ipc.open_stream(file, options=options) as stream:
            for batch in stream:
                yield batch.select(list(columns))


def copy_rows(schema: pa.Schema, batches: Iterable[pa.RecordBatch], rows: int) -> Copy:
    """Copy a stream to a temporary file, deleted if copying fails.

    Parameters
    ----------
    rows
        Maximum rows to write, and later to read, per batch; fewer if cells are large.

    Raises
    ------
    SourceError
        If the disk has no space for the copy.
    """
    folder = ""
    try:
        folder = tempfile.mkdtemp(prefix="batchframe-")
        path = Path(folder) / "rows.arrows"
        copy = Copy(path, schema, _write(path, schema, batches, rows))
    except BaseException as reason:  # including KeyboardInterrupt
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(reason, OSError):
            raise SourceError(
                f"source: could not be copied to {tempfile.gettempdir()} "
                f"({str(reason).rstrip('.')}). Fix: free some space, set TMPDIR to another folder "
                "before the kernel starts, or write the rows to a Parquet file and pass its path."
            ) from reason
        raise
    weakref.finalize(copy, shutil.rmtree, folder, ignore_errors=True)
    return copy


def _write(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], rows: int) -> int:
    count = 0
    # The stream format, since Arrow's file format allows only one dictionary per column.
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as copy:
        for batch in batches:
            widest = max(1, batch.nbytes // max(batch.num_rows, 1))
            step = max(1, min(rows, _BATCH_BYTES // widest))
            for start in range(0, batch.num_rows, step):
                copy.write_batch(batch.slice(start, step))
            count += batch.num_rows
    return count
