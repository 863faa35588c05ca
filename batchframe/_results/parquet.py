"""Write rows and their answers to one Parquet file, block by block.

Each row is read once, so row and answer match even if the source changes.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from decimal import Context, Decimal
from pathlib import Path
from typing import IO, Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from batchframe._base.errors import ColumnError, SourceError
from batchframe._base.private_files import replacing
from batchframe._base.progress import progress
from batchframe._frames.tabular import RowBlock, Tabular
from batchframe._results.job_answers import JobAnswers
from batchframe._results.join import RowMatch, answer_fields, columns_of, match_rows
from batchframe._store.rows import Finder

_TEXTS: Final = ("bf_error", "bf_custom_id", "bf_finish_reason", "bf_reasoning", "bf_raw")
_COST: Final = pa.decimal128(38, 18)
_TYPES: Final = {**dict.fromkeys(_TEXTS, pa.large_string()), "bf_cost": _COST}
_LAST_PLACE: Final = Decimal(1).scaleb(-18)
_PRECISE: Final = Context(prec=60)
_PANDAS: Final = b"pandas"
_NO_METADATA: Final[Mapping[str, Any]] = {"columns": [], "index_columns": [], "column_indexes": []}


def to_parquet(
    job: JobAnswers,
    rows: Tabular,
    path: Path,
    *,
    prefix: str = "",
    details: bool = False,
    overwrite: bool = False,
) -> None:
    """Write rows with the answer columns of `join` to a Parquet file.

    The file appears at `path` only once it is complete.

    Raises
    ------
    ColumnError
        If an answer column exists in the rows and `overwrite` is False.
    SourceError
        If the rows cannot be read or change during the write.
    OSError
        If the file cannot be written.
    """
    path = path.resolve()  # writes to the target of a symbolic link
    _refuse_place(rows, path)
    job = replace(job, costs=None if job.costs is None else job.costs.copy())
    finder = Finder(job.rows)
    with ExitStack() as stack:
        file = stack.enter_context(replacing(path, private=False))
        advance = stack.enter_context(progress("writing rows", len(rows), " rows"))
        writer: pq.ParquetWriter | None = None
        for block in rows.blocks():
            matches = match_rows(block.alone(), job, finder)
            answers = _answers(job, matches, prefix, details=details)
            table = _append_answers(block, answers, overwrite=overwrite)
            writer = writer or stack.enter_context(_writer(file, table.schema))
            writer.write_table(table)
            if job.costs is not None:
                # Duplicate rows in later parts must not repeat the cost.
                job.costs[matches.number[matches.number >= 0]] = Decimal(0)
            advance(len(block))


def _refuse_place(rows: Tabular, path: Path) -> None:
    if path.is_dir():
        example = f"{path}/labeled.parquet"
        raise SourceError(f"path: is a directory. Fix: job.to_parquet({example!r}).")
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    if rows.source_path is not None and rows.source_path in path.parents:
        raise SourceError(
            f"path: inside the source directory, which reads all its files ({path!s}). "
            f"Fix: choose a path outside {rows.source_path}."
        )
    if path.exists() and str(path) in map(os.path.realpath, rows.files):
        raise SourceError(f"path: is a source file ({path!s}). Fix: choose another name.")


def _writer(file: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    try:
        return pq.ParquetWriter(file, schema, compression="zstd")
    except pa.ArrowNotImplementedError as reason:
        raise _parquet_error(str(reason)) from None


def _answers(job: JobAnswers, matches: RowMatch, prefix: str, *, details: bool) -> pa.Table:
    """Return the answer columns with types independent of the values."""
    types = {field.name: job.columns[field.name].type for field in answer_fields(job)}
    columns = columns_of(job, matches, details=details)
    arrays = {
        prefix + name: _array(column, types.get(name, _TYPES.get(name)))
        for name, column in columns.items()
    }
    schema = pa.Schema.from_pandas(pd.DataFrame(columns).add_prefix(prefix), preserve_index=False)
    return pa.table(arrays).replace_schema_metadata(schema.metadata)


def _array(column: pd.Series, kind: pa.DataType | None) -> pa.Array:
    if isinstance(column.dtype, pd.CategoricalDtype):
        kind = None  # the array's type includes all categories, unlike the stored column
    if kind == _COST:
        # User-defined prices may have more decimal places than the column.
        column = column.map(
            lambda cost: cost.quantize(_LAST_PLACE, context=_PRECISE), na_action="ignore"
        )
    array = pa.array(column, type=kind, from_pandas=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _append_answers(block: RowBlock, answers: pa.Table, *, overwrite: bool) -> pa.Table:
    """Append the answer columns to the stored columns of a block."""
    rows = _stored(block)
    taken = [name for name in answers.column_names if name in rows.column_names]
    if taken and not overwrite:
        raise ColumnError.taken(
            taken,
            'Fix: job.to_parquet(path, prefix="second_") or job.to_parquet(path, overwrite=True).',
        )
    metadata = _pandas_metadata(rows.schema, answers.schema)
    rows = rows.drop_columns(taken)
    for name in answers.column_names:
        rows = rows.append_column(name, answers[name])
    return rows.replace_schema_metadata(metadata)


def _stored(block: RowBlock) -> pa.Table:
    if block.arrow is not None:
        return pa.Table.from_batches([block.arrow])
    try:
        return pa.Table.from_pandas(block.frame)
    except (pa.ArrowException, ValueError) as reason:  # two columns of one name
        raise _parquet_error(" ".join(map(str, reason.args))) from None


def _pandas_metadata(rows: pa.Schema, answers: pa.Schema) -> dict[bytes, bytes]:
    """Merge the pandas metadata of rows and answers."""
    metadata = dict(rows.metadata or {})
    theirs = json.loads(metadata[_PANDAS]) if _PANDAS in metadata else _NO_METADATA
    ours = json.loads(answers.metadata[_PANDAS])["columns"]
    names = {column["name"] for column in ours}
    others = [column for column in theirs["columns"] if column.get("name") not in names]
    index = [name for name in theirs["index_columns"] if name not in list(names)]
    merged = {**theirs, "index_columns": index, "columns": [*others, *ours]}
    metadata[_PANDAS] = json.dumps(merged).encode()
    return metadata


def _parquet_error(reason: str) -> SourceError:
    return SourceError(
        f"source: a column cannot be written to Parquet ({reason.rstrip('.')}). "
        "Fix: drop it, or give it one type and a unique name: job.to_parquet(path, rows)."
    )
