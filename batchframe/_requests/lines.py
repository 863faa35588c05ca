"""Encode rendered prompts as request lines.

The body is encoded once and split at its slots; each row then costs one string escape per slot and
one join. The bytes after the ``custom_id`` in a line are the request; its digest identifies it.
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
# Some readers split lines on Unicode line separators, which JSON strings may contain.
_SEPARATORS = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)


def encode_envelope(endpoint: str, body: Mapping[str, Any]) -> Envelope:
    """Encode the parts of a request line that are the same for all rows.

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

    def replace_slot(leaf: Any) -> Any:
        if not isinstance(leaf, Slot):
            return leaf
        slots.append(leaf)
        return f"{mark}+" if isinstance(leaf, MoreItems) and not leaf.alone else mark

    request = {"method": "POST", "url": endpoint, "body": map_leaves(body, replace_slot)}
    encoded = _escape_separators(b'",' + msgspec.json.encode(request)[1:])
    # Additional items write their own leading comma, since there may be none.
    encoded = encoded.replace(f',"{mark}+"'.encode(), f'"{mark}"'.encode())
    return Envelope(tuple(encoded.split(f'"{mark}"'.encode())), tuple(slots))


def body_of(request: bytes) -> dict[str, Any]:
    """Decode the body of a request from the bytes after ``custom_id``."""
    body: dict[str, Any] = msgspec.json.decode(b'{"custom_id":"' + request)["body"]
    return body


def request_bytes(envelope: Envelope, batch: pa.RecordBatch) -> list[bytes]:
    """Encode the request of each row: the bytes after ``custom_id``."""
    constants, slots = _merge_constants(envelope)
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


def _merge_constants(envelope: Envelope) -> tuple[list[bytes], list[Slot]]:
    """Merge templates without placeholders into the adjacent constants."""
    constants, slots = [envelope.constants[0]], []
    for slot, after in zip(envelope.slots, envelope.constants[1:], strict=True):
        if isinstance(slot, Template) and slot.constant is not None:
            constants[-1] += _escape_separators(msgspec.json.encode(slot.constant)) + after
        else:
            slots.append(slot)
            constants.append(after)
    return constants, slots


def _json_values(slot: Slot, batch: pa.RecordBatch) -> list[bytes]:
    if isinstance(slot, JsonColumn):
        return _encode_strings(batch[slot.name], str.encode)
    if isinstance(slot, TextColumn):
        return _encode_strings(batch[slot.name], msgspec.json.Encoder().encode)
    if isinstance(slot, MoreItems):
        return _more_items(slot, batch)
    columns = {cell: batch[column_name(cell)] for cell in slot.cells}
    return _encode_strings(slot.render(columns, batch.num_rows), msgspec.json.Encoder().encode)


def _encode_strings(texts: pa.Array, encode: Callable[[str], bytes]) -> list[bytes]:
    # Searching the string is faster than searching its encoded bytes; numpy conversion takes two
    # thirds of the time of to_pylist().
    return [
        encode(text)
        if text.isascii() or not ("\u2028" in text or "\u2029" in text or "\x85" in text)
        else _escape_separators(encode(text))
        for text in texts.to_numpy(zero_copy_only=False).tolist()
    ]


def _more_items(slot: MoreItems, batch: pa.RecordBatch) -> list[bytes]:
    encode = msgspec.json.Encoder().encode
    before, after = b"," + slot.before.encode(), slot.after.encode()
    columns = [batch[name].to_pylist() for name in slot.columns]
    items = [
        b"".join(
            before + _escape_separators(encode(text)) + after for text in row if text is not None
        )
        for row in zip(*columns, strict=True)
    ]
    return [item[1:] for item in items] if slot.alone else items


def _escape_separators(encoded: bytes) -> bytes:
    for separator, escape in _SEPARATORS:
        if separator in encoded:
            encoded = encoded.replace(separator, escape)
    return encoded


def _url_field(endpoint: str) -> bytes:
    return b'","method":"POST","url":' + msgspec.json.encode(endpoint) + b',"'


def replace_endpoint(line: bytes, endpoint: str, url: str) -> bytes:
    """Replace the endpoint in a line by the service's URL.

    The digest of the request is that of the line before the replacement.

    Examples
    --------
    >>> written = b'{"custom_id":"1","method":"POST","url":"/v1/embeddings","body":{}}'
    >>> replace_endpoint(written, "/v1/embeddings", "/embeddings")
    b'{"custom_id":"1","method":"POST","url":"/embeddings","body":{}}'
    """
    return line if endpoint == url else line.replace(_url_field(endpoint), _url_field(url), 1)


def restore_endpoint(request: bytes) -> bytes:
    """Restore the endpoint that :func:`replace_endpoint` replaced.

    The digest of the request is computed from the result.

    Examples
    --------
    >>> restore_endpoint(b'","method":"POST","url":"/embeddings","body":{}}')
    b'","method":"POST","url":"/v1/embeddings","body":{}}'
    """
    return _BARE.sub(b"/v1/", request, count=1)
