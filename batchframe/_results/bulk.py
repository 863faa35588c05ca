"""Read the regular lines of a result file into columns, block by block.

A line is regular if it is one JSON object with one `custom_id`, status code 200, and a body that
the columnar reader supports. For such a line the result equals that of the strict reader
(`line.py`), which handles the rest. Arrow reads a block without creating a Python object per line
and releases the GIL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from batchframe._endpoints import ColumnarReader
from batchframe._results.line import split

_OK: Final = 200
_LINE_END, _OPENING, _CLOSING = b"\n{}"
_FEW: Final = 16
"""Blocks of up to this many lines are not split further if one line is irregular."""


@dataclass(frozen=True)
class Block:
    """Result lines, split into those the fast reader handles and the rest.

    Attributes
    ----------
    custom_ids
        The ``custom_id`` of each regular line.
    answers
        The answers of the regular lines, one row each.
    rest
        The other lines.
    """

    custom_ids: pa.Array
    answers: pa.Table
    rest: list[bytes]


def read_block(block: bytes, reader: ColumnarReader | None, schema: pa.Schema) -> Iterator[Block]:
    """Read the regular lines of a block; without a reader, none are read.

    Parameters
    ----------
    schema
        The schema of the answers; columns that `reader` does not fill are null.
    """
    if reader is not None and (lines := _parse_block(block, reader.type)) is not None:
        yield _split(block, lines, reader, schema)
        return
    rest = split(block)
    if reader is None or len(rest) <= _FEW:
        yield Block(pa.array([], pa.string()), schema.empty_table(), rest)
        return
    # Splitting limits the slow path to the lines near an irregular one.
    for half in (rest[: len(rest) // 2], rest[len(rest) // 2 :]):
        yield from read_block(b"\n".join(half), reader, schema)


def _parse_block(block: bytes, body: pa.StructType) -> pa.RecordBatch | None:
    """Parse a block if each line is one object of this type, else None."""
    lines = _count_objects(block)
    if lines is None:
        return None
    fields = {
        "custom_id": pa.string(),
        "response": pa.struct({"status_code": pa.int64(), "body": body}),
    }
    try:
        # Arrow's JSON parser accepts invalid UTF-8.
        ends = pa.py_buffer(np.array([0, len(block)], np.int64))
        pa.LargeStringArray.from_buffers(1, ends, pa.py_buffer(block)).validate(full=True)
        table = pj.read_json(
            pa.BufferReader(block),
            pj.ReadOptions(use_threads=False, block_size=len(block)),
            pj.ParseOptions(pa.schema(fields), unexpected_field_behavior="ignore"),
        )
    except pa.ArrowException:
        return None
    return table.combine_chunks().to_batches()[0] if table.num_rows == lines else None


def _count_objects(block: bytes) -> int | None:
    """Count lines if each starts and ends with a brace, else return None.

    Arrow's parser accepts objects that span lines. With a brace at both ends of every line, an
    object cannot span two lines, since JSON does not allow "{" directly after "}"; equal numbers
    of rows and lines therefore mean one object per line. (Arrow aborts the process on a file with
    only "null".)
    """
    if not block.startswith(b"{"):
        return None
    characters = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(characters == _LINE_END)
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    all_closed = (characters[ends - 1] == _CLOSING).all()
    all_opened = (characters[ends[:-1] + 1] == _OPENING).all()
    return len(ends) if all_closed and all_opened else None


def _split(block: bytes, lines: pa.RecordBatch, reader: ColumnarReader, schema: pa.Schema) -> Block:
    """Split a block into answers of regular lines and the other lines."""
    custom_ids, responses = lines.columns
    is_good = pc.equal(pc.struct_field(responses, "status_code"), _OK)
    rows, columns = reader.read(pc.struct_field(responses, "body"))
    fits = pc.fill_null(pc.and_(pc.is_valid(custom_ids), is_good), fill_value=False)
    is_kept = fits.take(pa.array(rows))
    if is_kept.false_count:
        rows = rows[is_kept.to_numpy(zero_copy_only=False)]
        columns = {name: column.filter(is_kept) for name, column in columns.items()}
    arrays = [_array(columns.get(field.name), field, len(rows)) for field in schema]
    answers = pa.table(arrays, schema=schema)
    if len(rows) == len(custom_ids):
        return Block(custom_ids, answers, [])
    raw = split(block)
    rest = np.setdiff1d(np.arange(len(raw)), rows).tolist()
    return Block(custom_ids.take(pa.array(rows)), answers, [raw[at] for at in rest])


def _array(column: pa.Array | None, field: pa.Field, rows: int) -> pa.Array:
    if field.name == "status":
        return pa.repeat(pa.scalar("ok", field.type), rows)
    return pa.nulls(rows, field.type) if column is None else column.cast(field.type)
