"""Rendered prompts → request lines, and the digest that names each.

In: a request body with templates for leaves, and record batches of text. Out: bytes.
Must not know: pandas, files, the network.

The body is encoded once and cut at its slots; a row then costs one string escape for each slot and
one join. What follows the ``custom_id`` in a line is the request itself: its digest is its name.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import pyarrow as pa

from batchframe._source import column_name
from batchframe._template import Template

ID_VERSION = "bf1"

# Line separators of Unicode are legal in JSON strings, but some readers split lines on them.
_SEPARATORS = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)


@dataclass(frozen=True)
class JsonColumn:
    """A part of the line whose JSON stands ready in the source column of this name."""

    name: str


@dataclass(frozen=True)
class TextColumn:
    """A part of the line whose text, not yet JSON, is in the source column of this name."""

    name: str


@dataclass(frozen=True)
class MoreItems:
    """What follows the earlier items of a list: one more for each text that the row has.

    Attributes
    ----------
    columns
        The source columns with the texts; where one is null there is no item.
    before, after
        The JSON of an item around its text.
    alone
        Whether there are no earlier items.
    """

    columns: tuple[str, ...]
    before: str
    after: str
    alone: bool = False


Slot = Template | JsonColumn | TextColumn | MoreItems


@dataclass(frozen=True)
class Envelope:
    """A request line from behind its ``custom_id``, cut at the values that change with the row."""

    constants: tuple[bytes, ...]
    slots: tuple[Slot, ...]


REQUEST: Final = "request"
KEPT: Final = Envelope((b"", b""), (JsonColumn(REQUEST),))
"""For requests that stand ready in a column, exactly as they were sent."""


def envelope(endpoint: str, body: Mapping[str, Any]) -> Envelope:
    """Encode the part of a request line that no row changes.

    Examples
    --------
    >>> from batchframe._template import bind, parse
    >>> text = bind(parse("{{ text }}"), ["text"])
    >>> cut = envelope("/v1/embeddings", {"model": "m", "input": text})
    >>> cut.constants
    (b'","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":', b'}}')
    """
    mark = secrets.token_hex(16)
    slots: list[Slot] = []
    request = {"method": "POST", "url": endpoint, "body": _marked(body, mark, slots)}
    encoded = _one_line(b'",' + msgspec.json.encode(request)[1:])
    # The comma before more items is theirs, since there may be none.
    encoded = encoded.replace(f',"{mark}+"'.encode(), f'"{mark}"'.encode())
    return Envelope(tuple(encoded.split(f'"{mark}"'.encode())), tuple(slots))


def _marked(value: Any, mark: str, slots: list[Slot]) -> Any:
    """Put a mark in the place of every leaf that the row decides, and collect the leaves."""
    if isinstance(value, Slot):
        slots.append(value)
        return f"{mark}+" if isinstance(value, MoreItems) and not value.alone else mark
    if isinstance(value, Mapping):
        return {key: _marked(item, mark, slots) for key, item in value.items()}
    return [_marked(item, mark, slots) for item in value] if isinstance(value, list) else value


def request_bytes(cut: Envelope, batch: pa.RecordBatch) -> list[bytes]:
    """Write what follows the ``custom_id`` in the line of each row of a record batch."""
    values = [_json_values(slot, batch) for slot in cut.slots]
    if not values:
        return [cut.constants[0]] * batch.num_rows
    first, *middle, last = cut.constants
    if not middle:
        return [first + value + last for value in values[0]]
    pieces: list[Sequence[bytes]] = [values[0]]
    for constant, column in zip(middle, values[1:], strict=True):
        pieces += [[constant] * batch.num_rows, column]
    return [first + b"".join(row) + last for row in zip(*pieces, strict=True)]


def _json_values(slot: Slot, batch: pa.RecordBatch) -> list[bytes]:
    if isinstance(slot, JsonColumn):
        return [_one_line(text.encode()) for text in batch[slot.name].to_pylist()]
    encode = msgspec.json.Encoder().encode
    if isinstance(slot, TextColumn):
        return [_one_line(encode(text)) for text in batch[slot.name].to_pylist()]
    if isinstance(slot, MoreItems):
        return _more_items(slot, batch)
    if slot.constant is not None:
        return [_one_line(encode(slot.constant))] * batch.num_rows
    columns = {cell: batch[column_name(cell)] for cell in slot.cells}
    return [_one_line(encode(text)) for text in slot.render(columns, batch.num_rows).to_pylist()]


def _more_items(slot: MoreItems, batch: pa.RecordBatch) -> list[bytes]:
    encode = msgspec.json.Encoder().encode
    before, after = b"," + slot.before.encode(), slot.after.encode()
    columns = [batch[name].to_pylist() for name in slot.columns]
    items = [
        b"".join(before + _one_line(encode(text)) + after for text in row if text is not None)
        for row in zip(*columns, strict=True)
    ]
    return [item[1:] for item in items] if slot.alone else items


def _one_line(encoded: bytes) -> bytes:
    for separator, escape in _SEPARATORS:
        if separator in encoded:
            encoded = encoded.replace(separator, escape)
    return encoded


def custom_id(fingerprint: str, number: int, digest: bytes) -> str:
    """Name a request within its job: content of the job, position, content of the request.

    Examples
    --------
    >>> custom_id("0123456789abcdef", 7, bytes(16))
    'bf1-01234567-0000007-0000000000'
    """
    return f"{ID_VERSION}-{fingerprint[:8]}-{number:07d}-{digest.hex()[:10]}"


def line(identifier: str, request: bytes) -> bytes:
    """Write one line of an input file, with its line end."""
    return b'{"custom_id":"' + identifier.encode() + request + b"\n"
