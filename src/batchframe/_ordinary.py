"""The ordinary lines of a result file → a table of good answers, all of a block at once.

In: lines, and what an ordinary response looks like. Out: whose answers they are, and a table of
them; the other lines, for the careful reader.
Must not know: what else a line may be, files.

A line is ordinary if it fits one type exactly: one `custom_id`, status code 200, and a body in
which nothing is out of the usual. Of such a line the careful reader would say the same; it is the
judge, and takes whatever does not fit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import pyarrow as pa

from batchframe._endpoints import OrdinaryBody

NOT_READ: Final = (msgspec.DecodeError, ValueError, RecursionError)
"""What a line that cannot be read raises."""

_ID: Final = b'"custom_id"'


@dataclass(frozen=True)
class Sorted:
    """Lines, sorted by whether they are ordinary.

    Attributes
    ----------
    names
        The `custom_id` of each ordinary line.
    answers
        Their answers, one row each.
    odd
        The other lines.
    """

    names: list[str]
    answers: pa.Table
    odd: list[bytes]


def sort_lines(lines: Sequence[bytes], body: OrdinaryBody | None, schema: pa.Schema) -> Sorted:
    """Read the ordinary lines; all are odd where no body is ordinary.

    Parameters
    ----------
    schema
        Of the table of answers; a column that `body` does not fill is null.
    """
    if body is None:
        return Sorted([], schema.empty_table(), list(lines))
    decode = _decoder(body.kind)
    read: list[Any] = []
    odd: list[bytes] = []
    for line in lines:
        # Of a key that stands twice the decoder would take the last.
        if line.count(_ID) == 1:
            try:
                read.append(decode(line))
            except NOT_READ:
                odd.append(line)
        else:
            odd.append(line)
    columns = body.columns([one.response.body for one in read])
    arrays = [_array(columns.get(field.name), field, len(read)) for field in schema]
    return Sorted([one.custom_id for one in read], pa.table(arrays, schema=schema), odd)


@functools.cache
def _decoder(body: type[msgspec.Struct]) -> Callable[[bytes], Any]:
    # Lines are trees, so the garbage collector need not look for cycles in them.
    response = msgspec.defstruct("_Ok", [("status_code", Literal[200]), ("body", body)], gc=False)
    line = msgspec.defstruct("_Line", [("custom_id", str), ("response", response)], gc=False)
    return msgspec.json.Decoder(line).decode


def _array(values: Sequence[Any] | None, field: pa.Field, rows: int) -> pa.Array:
    if field.name == "status":
        return pa.repeat(pa.scalar("ok", field.type), rows)
    return pa.nulls(rows, field.type) if values is None else pa.array(values, field.type)
