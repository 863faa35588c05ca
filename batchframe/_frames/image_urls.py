"""Image URLs of cells, checked by content; nothing is downloaded."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from batchframe._base.file_types import ending_of
from batchframe._frames.attached.cell_bytes import bytes_of, check_link, data_url, is_link
from batchframe._frames.attached.options import ImageInput
from batchframe._frames.image_size import Size, image_size
from batchframe._frames.pillow import fitted, is_pil, png_of, scaled_down

MOST_BYTES: Final = 20 * 2**20
"""Maximum bytes of one image (OpenAI guide "Images and vision": 20 MB per image)."""

_MOST_TO_SCALE: Final = 100 * 2**20
_HEAD: Final = 2**16
# Supported media types by file extension.
_MEDIA_TYPES: Final = {
    "png": "image/png", "jpg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
}  # fmt: skip


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
    if is_link(cell):
        return check_link(str.__str__(cell))
    if is_pil(cell):
        return _data_url(png_of(cell, options.max_size))
    if options.max_size is None:
        return _data_url(bytes_of(cell, options, MOST_BYTES + 1))
    data = bytes_of(cell, options, _MOST_TO_SCALE + 1)
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
    if is_link(cell):
        return check_link(str.__str__(cell))
    if is_pil(cell):
        return _sketch(fitted(cell.size, options.max_size))
    head_of = partial(bytes_of, cell, options)
    # A JPEG's size may follow a large embedded preview.
    size = image_size(head_of(_HEAD)) or image_size(head_of(_MOST_TO_SCALE))
    return "data:," if size is None else _sketch(fitted(size, options.max_size))


def _sketch(size: Size) -> str:
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"".join(side.to_bytes(4, "big") for side in size)
    return data_url("image/png", header)


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
    return data_url(media_type(data), data)


def media_type(data: bytes) -> str | None:
    """Detect an image's media type by its first bytes, not by its name.

    Examples
    --------
    >>> media_type(b"GIF89a"), media_type(b"<svg xmlns='http://www.w3.org/2000/svg'>")
    ('image/gif', None)
    """
    return _MEDIA_TYPES.get(ending_of(data) or "")
