"""Answers × rows that memory need not hold → one Parquet file.

In: a job's answers, and rows. Out: a file with the columns of both.
Must not know: prices, the network.

The rows are read twice: once to find the answer of each, once to write them down beside it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from batchframe._display import progress
from batchframe._job_answers import JobAnswers
from batchframe._results import Found, answer_fields, columns_of, find_answers
from batchframe._tabular import Part, Tabular
from batchframe.errors import ColumnError, SourceError

_TYPES: Final[Mapping[str, pa.DataType]] = {
    "bf_error": pa.large_string(),
    "bf_custom_id": pa.large_string(),
    "bf_finish_reason": pa.large_string(),
    "bf_reasoning": pa.large_string(),
    "bf_raw": pa.large_string(),
    "bf_cost": pa.decimal128(38, 18),
}
_PANDAS: Final = b"pandas"
_UNTOLD: Final[Mapping[str, Any]] = {
    "columns": [],
    "index_columns": [],
    "column_indexes": [],
}


def to_parquet(
    job: JobAnswers,
    rows: Tabular,
    path: Path,
    *,
    prefix: str = "",
    details: bool = False,
    overwrite: bool = False,
) -> None:
    """Write the rows and their answers, as `join` would add them, a part at a time.

    The file stands at `path` when it is whole, and not before.

    Raises
    ------
    ColumnError
        If a column of an answer's name is there and `overwrite` is False.
    SourceError
        If the rows cannot be read, or change meanwhile.
    OSError
        If the file cannot be written.
    """
    if rows.home is not None and rows.home.is_dir() and rows.home in path.resolve().parents:
        raise SourceError.written_into(str(path), str(rows.home))
    job = replace(job, costs=None if job.costs is None else job.costs.copy())
    found = find_answers(rows, job)
    with _replacing(path) as unfinished, progress("writing rows", len(rows), " rows") as advance:
        writer: pq.ParquetWriter | None = None
        for part in rows.parts():
            here = found.slice(part.start, part.start + len(part.frame))
            answers = _answers(job, here, prefix, details=details)
            table = _beside(part, answers, overwrite=overwrite)
            writer = writer or pq.ParquetWriter(unfinished, table.schema, compression="zstd")
            writer.write_table(table)
            _are_paid(job, here)
            advance(len(part.frame))
        if writer is None:
            raise SourceError.no_rows()
        writer.close()


def _answers(job: JobAnswers, found: Found, prefix: str, *, details: bool) -> pa.Table:
    """Give some rows their answers, each column of one type whatever these rows hold."""
    types = {field.name: job.columns[field.name].type for field in answer_fields(job)}
    columns = columns_of(job, found, details=details)
    arrays = {
        prefix + name: _array(column, types.get(name, _TYPES.get(name)))
        for name, column in columns.items()
    }
    told = pa.Schema.from_pandas(pd.DataFrame(columns).add_prefix(prefix), preserve_index=False)
    return pa.table(arrays).replace_schema_metadata(told.metadata)


def _array(column: pd.Series, kind: pa.DataType | None) -> pa.Array:
    if isinstance(column.dtype, pd.CategoricalDtype):
        kind = None  # with all its levels, which the stored column does not have
    array = pa.array(column, type=kind, from_pandas=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _beside(part: Part, answers: pa.Table, *, overwrite: bool) -> pa.Table:
    """Put the answers behind the columns of a part, as they are stored."""
    if part.arrow is None:
        rows = pa.Table.from_pandas(part.frame)
    else:
        rows = pa.Table.from_batches([part.arrow])
    taken = [name for name in answers.column_names if name in rows.column_names]
    if taken and not overwrite:
        raise ColumnError.taken(
            taken, 'Write them under other names, job.to_parquet(path, prefix="second_"), or '
            "replace the columns, job.to_parquet(path, overwrite=True)."
        )  # fmt: skip
    told = _told_to_pandas(rows.schema, answers.schema)
    rows = rows.drop_columns(taken)
    for name in answers.column_names:
        rows = rows.append_column(name, answers[name])
    return rows.replace_schema_metadata(told)


def _told_to_pandas(rows: pa.Schema, answers: pa.Schema) -> dict[bytes, bytes]:
    """Tell pandas the dtypes of the answers; of the other columns, what was told already."""
    metadata = dict(rows.metadata or {})
    theirs = json.loads(metadata[_PANDAS]) if _PANDAS in metadata else _UNTOLD
    ours = json.loads(answers.metadata[_PANDAS])["columns"]
    names = {column["name"] for column in ours}
    kept = [column for column in theirs["columns"] if column.get("name") not in names]
    metadata[_PANDAS] = json.dumps({**theirs, "columns": [*kept, *ours]}).encode()
    return metadata


def _are_paid(job: JobAnswers, found: Found) -> None:
    """Let the first of equal rows carry the cost of their request, wherever the others stand."""
    if job.costs is not None:
        job.costs[found.number[found.number >= 0]] = Decimal(0)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a file to write, and put it in its place when it is whole."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
