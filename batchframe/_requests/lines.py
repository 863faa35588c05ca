"""Write rendered prompts as request lines.

The body is encoded once and cut at its slots; a row then costs one string escape for each slot and
one join. What follows the ``custom_id`` in a line is the request itself: its digest is its name.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa

from batchframe._recipe.slots import Envelope, JsonColumn, MoreItems, Slot, TextColumn, column_name
from batchframe._recipe.template import Template, map_leaves

_BARE: Final = re.compile(rb'(?<=\A","method":"POST","url":")/(?!v1/)')
# Line separators of Unicode are legal in JSON strings, but some readers split lines on them.
_SEPARATORS = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)


def encode_envelope(endpoint: str, body: Mapping[str, Any]) -> Envelope:
    """Encode the part of a request line that no row changes.

    Examples
    --------
    >>> from batchframe._recipe.template import bind, parse
    >>> text = bind(parse("{{ text }}"), ["text"])
    >>> envelope = encode_envelope("/v1/embeddings", {"model": "m", "input": text})
    >>> envelope.constants
    (b'","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":', b'}}')
    """
    mark = secrets.token_hex(16)
    slots: list[Slot] = []

    def marked(leaf: Any) -> Any:
        if not isinstance(leaf, Slot):
            return leaf
        slots.append(leaf)
        return f"{mark}+" if isinstance(leaf, MoreItems) and not leaf.alone else mark

    request = {"method": "POST", "url": endpoint, "body": map_leaves(body, marked)}
    encoded = _one_line(b'",' + msgspec.json.encode(request)[1:])
    # The comma before more items is theirs, since there may be none.
    encoded = encoded.replace(f',"{mark}+"'.encode(), f'"{mark}"'.encode())
    return Envelope(tuple(encoded.split(f'"{mark}"'.encode())), tuple(slots))


def body_of(request: bytes) -> dict[str, Any]:
    """Return the body of a request, given as the bytes behind its ``custom_id``."""
    body: dict[str, Any] = msgspec.json.decode(b'{"custom_id":"' + request)["body"]
    return body


def request_bytes(envelope: Envelope, batch: pa.RecordBatch) -> list[bytes]:
    """Write what follows the ``custom_id`` in the line of each row of a record batch."""
    constants, slots = _without_constants(envelope)
    values = [_json_values(slot, batch) for slot in slots]
    if not values:
        return [constants[0]] * batch.num_rows
    first, *middle, last = constants
    if not middle:
        return [first + value + last for value in values[0]]
    pieces: list[Sequence[bytes]] = [values[0]]
    for constant, column in zip(middle, values[1:], strict=True):
        pieces += [[constant] * batch.num_rows, column]
    return [first + b"".join(row) + last for row in zip(*pieces, strict=True)]


def _without_constants(envelope: Envelope) -> tuple[list[bytes], list[Slot]]:
    """Write what says the same in every row into the constants around it."""
    constants, slots = [envelope.constants[0]], []
    for slot, after in zip(envelope.slots, envelope.constants[1:], strict=True):
        if isinstance(slot, Template) and slot.constant is not None:
            constants[-1] += _one_line(msgspec.json.encode(slot.constant)) + after
        else:
            slots.append(slot)
            constants.append(after)
    return constants, slots


def _json_values(slot: Slot, batch: pa.RecordBatch) -> list[bytes]:
    if isinstance(slot, JsonColumn):
        return _in_one_line(batch[slot.name], str.encode)
    if isinstance(slot, TextColumn):
        return _in_one_line(batch[slot.name], msgspec.json.Encoder().encode)
    if isinstance(slot, MoreItems):
        return _more_items(slot, batch)
    columns = {cell: batch[column_name(cell)] for cell in slot.cells}
    return _in_one_line(slot.render(columns, batch.num_rows), msgspec.json.Encoder().encode)


def _in_one_line(texts: pa.Array, encode: Callable[[str], bytes]) -> list[bytes]:
    # One character is found in a text much faster than its three bytes in the encoded one; and by
    # way of numpy texts take two thirds of the time of to_pylist().
    return [
        encode(text)
        if text.isascii() or not ("\u2028" in text or "\u2029" in text or "\x85" in text)
        else _one_line(encode(text))
        for text in texts.to_numpy(zero_copy_only=False).tolist()
    ]


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


def _spelt(endpoint: str) -> bytes:
    return b'","method":"POST","url":' + msgspec.json.encode(endpoint) + b',"'


def respelt(line: bytes, endpoint: str, url: str) -> bytes:
    """Write an endpoint in a line as a service spells it; the request keeps its name.

    Examples
    --------
    >>> written = b'{"custom_id":"1","method":"POST","url":"/v1/embeddings","body":{}}'
    >>> respelt(written, "/v1/embeddings", "/embeddings")
    b'{"custom_id":"1","method":"POST","url":"/embeddings","body":{}}'
    """
    return line if endpoint == url else line.replace(_spelt(endpoint), _spelt(url), 1)


def as_named(request: bytes) -> bytes:
    """Undo in what follows a ``custom_id`` what :func:`respelt` did: its name is of this.

    Examples
    --------
    >>> as_named(b'","method":"POST","url":"/embeddings","body":{}}')
    b'","method":"POST","url":"/v1/embeddings","body":{}}'
    """
    return _BARE.sub(b"/v1/", request, count=1)
