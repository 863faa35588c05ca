"""Image URLs of cells, checked by content; nothing is downloaded."""

from __future__ import annotations

import base64
import binascii
import os
import re
from contextlib import suppress
from functools import partial
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

from batchframe._base.file_types import ending_of
from batchframe._frames.image_options import ImageInput
from batchframe._frames.image_size import Size, image_size
from batchframe._frames.pillow import fitted, is_pil, png_of, scaled_down
from batchframe._frames.safe_paths import read_below

MOST_BYTES: Final = 20 * 2**20
"""Maximum bytes of one image (OpenAI guide "Images and vision": 20 MB per image)."""

_MOST_TO_SCALE: Final = 100 * 2**20
_HEAD: Final = 2**16
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LONGEST_URL: Final = 8192
# Supported media types by file extension.
_MEDIA_TYPES: Final = {
    "png": "image/png", "jpg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
}  # fmt: skip
_INVALID_DATA: Final = "holds a data: URL that cannot be decoded"


def image_url(cell: Any, options: ImageInput) -> str:
    """Return the image URL of a cell, as sent in a request.

    Raises
    ------
    ValueError
        If the cell is not a valid image; the message continues "the cell".
    ExtraError
        If the image must be scaled down and Pillow is not installed.

    Examples
    --------
    >>> image_url("https://example.org/cat.jpg", ImageInput(("photo",)))
    'https://example.org/cat.jpg'
    >>> image_url(b"GIF89a....", ImageInput(("photo",)))
    'data:image/gif;base64,R0lGODlhLi4uLg=='
    """
    if _is_link(cell):
        return _check_link(str.__str__(cell))
    if is_pil(cell):
        return _data_url(png_of(cell, options.max_size))
    if options.max_size is None:
        return _data_url(_bytes_of(cell, options, MOST_BYTES + 1))
    data = _bytes_of(cell, options, _MOST_TO_SCALE + 1)
    _check_image(data, _MOST_TO_SCALE)
    return _data_url(scaled_down(data, options.max_size))


def image_sketch(cell: Any, options: ImageInput) -> str:
    """Return a short URL of the same size in pixels, for counting tokens.

    Only the first bytes of a file are read.

    Examples
    --------
    >>> image_sketch(b"GIF89a" + bytes([28, 2, 104, 1]) + bytes(1000), ImageInput(("photo",)))
    'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAhwAAAFo'
    """
    if _is_link(cell):
        return _check_link(str.__str__(cell))
    if is_pil(cell):
        return _sketch(fitted(cell.size, options.max_size))
    head_of = partial(_bytes_of, cell, options)
    # A JPEG's size may follow a large embedded preview.
    size = image_size(head_of(_HEAD)) or image_size(head_of(_MOST_TO_SCALE))
    return "data:," if size is None else _sketch(fitted(size, options.max_size))


def _sketch(size: Size) -> str:
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"".join(side.to_bytes(4, "big") for side in size)
    return f"data:image/png;base64,{base64.b64encode(header).decode()}"


def _is_link(cell: Any) -> bool:
    scheme = _SCHEME.match(cell) if isinstance(cell, str) else None
    return scheme is not None and scheme[1].lower() != "data"


def _check_link(url: str) -> str:
    scheme = url.partition(":")[0].lower()
    if scheme != "https":
        raise ValueError(f"holds a URL with the scheme {scheme[:20]!r}, not https: or data:")
    is_valid = len(url) <= _LONGEST_URL and url.isprintable() and not {" ", "\\"} & set(url)
    with suppress(ValueError):
        if is_valid and urlsplit(url).hostname:
            return url
    raise ValueError("holds an invalid https: URL (without a host, with spaces, or too long)")


def _bytes_of(cell: Any, image_input: ImageInput, most: int) -> bytes:
    """Return the first bytes of an image."""
    if isinstance(cell, bytes | bytearray | memoryview):
        return bytes(cell[:most])
    if isinstance(cell, str) and cell[:5].lower() == "data:":
        return _decode_data_url(cell, most)
    path = os.fspath(cell) if isinstance(cell, str | os.PathLike) else None
    if not isinstance(path, str):
        raise ValueError(f"holds an unsupported type ({type(cell).__name__})")  # noqa: TRY004 - the caller catches ValueError
    if image_input.root is None:
        raise ValueError("holds a path, which requires image_root=")
    return read_below(image_input.root, str.__str__(path), most)


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


def _check_image(data: bytes, most: int = MOST_BYTES) -> None:
    if len(data) > most:
        raise ValueError(
            f"holds an image of more than {most // 2**20} MB (OpenAI accepts 20 MB per image; "
            "image_max_size=2048 scales larger ones down)"
        )
    if media_type(data) is None:
        raise ValueError("does not hold a PNG, JPEG, GIF or WebP image")


def _data_url(data: bytes) -> str:
    _check_image(data)
    return f"data:{media_type(data)};base64,{base64.b64encode(data).decode('ascii')}"


def media_type(data: bytes) -> str | None:
    """Detect an image's media type by its first bytes, not by its name.

    Examples
    --------
    >>> media_type(b"GIF89a"), media_type(b"<svg xmlns='http://www.w3.org/2000/svg'>")
    ('image/gif', None)
    """
    return _MEDIA_TYPES.get(ending_of(data) or "")
