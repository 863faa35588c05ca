"""Image sizes, read from headers since decoding is slow and less safe."""

from __future__ import annotations

import base64
import binascii
from typing import Final
from urllib.parse import unquote_to_bytes

from batchframe._base.file_types import ending_of

# Baseline, progressive and other start-of-frame markers; the gaps are other segments.
_FRAME_MARKERS: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_WITHOUT_LENGTH: Final = frozenset({0x01, 0xFF, *range(0xD0, 0xD9)})
# Enough for every header, except a JPEG's behind a large embedded preview.
_HEADER_CHARACTERS: Final = 4 * 2**14

Size = tuple[int, int]


def image_size(data: bytes) -> Size | None:
    """Read the width and height of an image from its header.

    Parameters
    ----------
    data
        The file, or its first bytes.

    Returns
    -------
    tuple or None
        Width and height in pixels; None for another format or a truncated header.

    Examples
    --------
    >>> image_size(b"GIF89a" + (540).to_bytes(2, "little") + (360).to_bytes(2, "little"))
    (540, 360)
    """
    match ending_of(data):
        case "png":
            size = _big(data, 16, 4), _big(data, 20, 4)
        case "jpg":
            size = _jpeg_size(data)
        case "gif":
            size = _read_little_endian(data, 6, 2), _read_little_endian(data, 8, 2)
        case "webp":
            size = _webp_size(data)
        case _:
            return None
    return size if min(size) > 0 else None


def data_url_size(url: str) -> Size | None:
    """Read the width and height of the image in a ``data:`` URL.

    Returns
    -------
    tuple or None
        None for any other URL, and for an unknown format.

    Examples
    --------
    >>> data_url_size("data:image/gif;base64,R0lGODlhHAJoAQ==")
    (540, 360)
    >>> data_url_size("https://example.org/a.png") is None
    True
    """
    if url[:5].lower() != "data:":
        return None
    head, comma, payload = url.partition(",")
    if not comma:
        return None
    if not head.lower().endswith(";base64"):
        return image_size(unquote_to_bytes(payload))
    header = _decode_base64(payload[:_HEADER_CHARACTERS])
    return image_size(header) or image_size(_decode_base64(payload))


def _decode_base64(payload: str) -> bytes:
    """Decode base64, ignoring an incomplete last group."""
    compact = "".join(payload.replace("%2B", "+").replace("%2F", "/").split()).rstrip("=")
    groups = compact[: len(compact) - (len(compact) % 4 == 1)]
    try:
        return base64.b64decode(groups + "=" * (-len(groups) % 4))
    except (binascii.Error, ValueError):
        return b""


def _jpeg_size(data: bytes) -> Size:
    """Read the size from the frame header, walking the segments."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:  # noqa: PLR2004 - the prefix of every marker
        marker = data[at + 1]
        if marker in _FRAME_MARKERS:
            return _big(data, at + 7, 2), _big(data, at + 5, 2)
        # A marker may be padded with 0xFF.
        at += 1 if marker == 0xFF else 2 if marker in _WITHOUT_LENGTH else 2 + _big(data, at + 2, 2)  # noqa: PLR2004
    return 0, 0


def _webp_size(data: bytes) -> Size:
    kind = data[12:16]
    if kind == b"VP8X":
        return _read_little_endian(data, 24, 3) + 1, _read_little_endian(data, 27, 3) + 1
    if kind == b"VP8L" and len(data) >= 25:  # noqa: PLR2004 - past the four bytes read
        bits = _read_little_endian(data, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return _read_little_endian(data, 26, 2) & 0x3FFF, _read_little_endian(data, 28, 2) & 0x3FFF
    return 0, 0


def _big(data: bytes, start: int, length: int) -> int:
    return int.from_bytes(data[start : start + length], "big")


def _read_little_endian(data: bytes, start: int, length: int) -> int:
    return int.from_bytes(data[start : start + length], "little")
