"""Bytes and links in cells: URLs, ``data:`` URLs, bytes and paths."""

from __future__ import annotations

import base64
import binascii
import os
import re
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

from batchframe._frames.attached.options import FileInput, ImageInput
from batchframe._frames.safe_paths import ROOT, read_below

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LONGEST_URL: Final = 8192
_INVALID_DATA: Final = "holds a data: URL that cannot be decoded"


def is_link(cell: Any) -> bool:
    """Return whether a cell is a URL with a host, not a ``data:`` URL."""
    scheme = _SCHEME.match(cell) if isinstance(cell, str) else None
    return scheme is not None and scheme[1].lower() != "data"


def check_link(url: str) -> str:
    """Return a valid ``https:`` URL.

    Raises
    ------
    ValueError
        For any other; the message continues "the cell".
    """
    scheme = url.partition(":")[0].lower()
    if scheme != "https":
        raise ValueError(f"holds a URL with the scheme {scheme[:20]!r}, not https: or data:")
    is_valid = len(url) <= _LONGEST_URL and url.isprintable() and not {" ", "\\"} & set(url)
    with suppress(ValueError):
        if is_valid and urlsplit(url).hostname:
            return url
    raise ValueError("holds an invalid https: URL (without a host, with spaces, or too long)")


def bytes_of(cell: Any, options: ImageInput | FileInput, most: int) -> bytes:
    """Return the first bytes of what a cell holds.

    Raises
    ------
    ValueError
        If the cell holds neither bytes, a ``data:`` URL nor a readable path; the message continues
        "the cell".
    """
    if isinstance(cell, bytes | bytearray | memoryview):
        return bytes(cell[:most])
    if isinstance(cell, str) and cell[:5].lower() == "data:":
        return _decode_data_url(cell, most)
    path = os.fspath(cell) if isinstance(cell, str | os.PathLike) else None
    if not isinstance(path, str):
        raise ValueError(f"holds an unsupported type ({type(cell).__name__})")  # noqa: TRY004 - the caller catches ValueError
    if options.root is None:
        raise ValueError(f"holds a path, which requires {options.root_option}=")
    try:
        return read_below(options.root, str.__str__(path), most)
    except ValueError as reason:
        raise ValueError(str(reason).replace(ROOT, options.root_option)) from None


def data_url(media_type: str | None, data: bytes) -> str:
    """Return bytes as a base64 ``data:`` URL."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def _decode_data_url(url: str, most: int) -> bytes:
    head, comma, payload = url.partition(",")
    if not comma:
        raise ValueError(_INVALID_DATA)
    if not head.lower().endswith(";base64"):
        return unquote_to_bytes(payload[: 3 * most])[:most]
    # Four characters encode three bytes; only the requested bytes are decoded.
    encoded = payload[: -(-most // 3) * 4]
    if "%" in encoded:
        encoded = unquote_to_bytes(payload).decode("ascii", "replace")
    try:
        return base64.b64decode(encoded, validate=True)[:most]
    except (binascii.Error, ValueError):
        raise ValueError(_INVALID_DATA) from None
