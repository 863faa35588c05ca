"""Write rows and their answers to one Parquet file, block by block.

Each row is read once, so row and answer match even if the source changes.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from batchframe._base.errors import ColumnError, SourceError
from batchframe._base.private_files import replacing
from batchframe._base.progress import progress
from batchframe._frames.kinds import append_to_table
from batchframe._frames.tabular import RowBlock, Tabular
from batchframe._results.arrow_columns import answer_blocks
from batchframe._results.job_answers import JobAnswers


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
    with ExitStack() as stack:
        file = stack.enter_context(replacing(path, private=False))
        advance = stack.enter_context(progress("writing rows", len(rows), " rows"))
        writer: pq.ParquetWriter | None = None
        for block, answers in answer_blocks([job], rows, prefix=prefix, details=details):
            table = _append_answers(block, answers, overwrite=overwrite)
            writer = writer or stack.enter_context(_writer(file, table.schema))
            writer.write_table(table)
            advance(len(block))


def _refuse_place(rows: Tabular, path: Path) -> None:
    if path.is_dir():
        example = f"{path}/labeled.parquet"
        raise SourceError(
            f"path: a folder, not a file ({path!s}). Fix: job.to_parquet({example!r})."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    if rows.source_path is not None and rows.source_path in path.parents:
        raise SourceError(
            f"path: in the source folder, all of whose files are read ({path!s}). "
            f"Fix: choose a path outside {rows.source_path}."
        )
    if path.exists() and str(path) in map(os.path.realpath, rows.files):
        raise SourceError(f"path: one of the source files ({path!s}). Fix: choose another name.")


def _writer(file: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    try:
        return pq.ParquetWriter(file, schema, compression="zstd")
    except pa.ArrowNotImplementedError as reason:
        raise _parquet_error(str(reason)) from None


def _append_answers(block: RowBlock, answers: pa.Table, *, overwrite: bool) -> pa.Table:
    """Append the answer columns to the stored columns of a block."""
    rows = _stored(block)
    taken = [name for name in answers.column_names if name in rows.column_names]
    if taken and not overwrite:
        raise ColumnError.taken(
            taken,
            'Fix: job.to_parquet(path, prefix="second_") or job.to_parquet(path, overwrite=True).',
        )
    return append_to_table(rows, taken, answers)


def _stored(block: RowBlock) -> pa.Table:
    if block.arrow is not None:
        return pa.Table.from_batches([block.arrow])
    try:
        return pa.Table.from_pandas(block.frame)
    except (pa.ArrowException, ValueError) as reason:  # two columns of one name
        raise _parquet_error(" ".join(map(str, reason.args))) from None


def _parquet_error(reason: str) -> SourceError:
    return SourceError(
        f"source: a column cannot be written to Parquet ({reason.rstrip('.')}). "
        "Fix: drop it, or give it one type and a unique name: job.to_parquet(path, rows)."
    )
