"""Image decoding with Pillow, an optional dependency."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from batchframe._base.errors import ExtraError
from batchframe._frames.image_size import Size, image_size

if TYPE_CHECKING:
    from PIL import Image

_MOST_PIXELS: Final = 100_000_000
"""Maximum pixels: 400 MB when decoded; a small file may claim more (a decompression bomb)."""
_FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP")
_PNG_MODES: Final = frozenset({"1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"})


def is_pil(cell: object) -> TypeGuard[Image.Image]:
    """Return whether a cell is a PIL image, without importing PIL."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(cell, module.Image)


def fitted(size: Size, side: int | None) -> Size:
    """Scale a size down so that its longest side is within a limit.

    Examples
    --------
    >>> fitted((4000, 3000), 2048), fitted((640, 480), 2048)
    ((2048, 1536), (640, 480))
    """
    longest = max(size)
    if side is None or longest <= side:
        return size
    width, height = (max(1, round(length * side / longest)) for length in size)
    return width, height


def png_of(image: Image.Image, side: int | None = None) -> bytes:
    """Encode a PIL image as PNG, scaled down if it exceeds the limit."""
    return _encode(_scale(image, side), "PNG")


def scaled_down(data: bytes, side: int) -> bytes:
    """Scale an image down; return it unchanged if it fits.

    Raises
    ------
    ValueError
        If it cannot be decoded, or has too many pixels.
    ExtraError
        If Pillow is not installed.
    """
    size = image_size(data)
    if size is not None and max(size) <= side:
        return data
    if size is None or size[0] * size[1] > _MOST_PIXELS:
        raise ValueError(f"holds an image of more than {_MOST_PIXELS:,} pixels")
    image_module = _pillow()
    try:
        with image_module.open(io.BytesIO(data), formats=_FORMATS) as image:
            kind = image.format if image.format in {"JPEG", "WEBP"} else "PNG"
            return _encode(_scale(_upright(image), side), kind)
    except Exception as reason:  # noqa: BLE001 - a decoder may raise anything on a damaged file
        raise ValueError(f"holds an invalid image ({type(reason).__name__})") from None


def _pillow() -> Any:
    try:
        from PIL import Image  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        raise ExtraError(
            'image_max_size: requires Pillow. Fix: pip install "batchframe[images]", or omit it.'
        ) from None
    return Image


def _upright(image: Image.Image) -> Image.Image:
    """Rotate an image by its EXIF orientation, which is then dropped."""
    from PIL import ImageOps  # noqa: PLC0415 - optional

    return ImageOps.exif_transpose(image)


def _scale(image: Image.Image, side: int | None) -> Image.Image:
    size = fitted(image.size, side)
    if size == image.size:
        return image
    if image.mode in {"P", "1"}:
        image = image.convert("RGBA")
    return image.resize(size, _pillow().Resampling.LANCZOS)


def _encode(image: Image.Image, kind: str) -> bytes:
    if kind == "PNG" and image.mode not in _PNG_MODES:
        image = image.convert("RGB")
    if kind == "JPEG" and image.mode not in {"L", "RGB", "CMYK"}:
        image = image.convert("RGB")
    file = io.BytesIO()
    # A copy has no color profile, text or date, which do not help a model.
    copy = image.copy()
    copy.info = {key: copy.info[key] for key in ("transparency",) if key in copy.info}
    copy.save(file, format=kind, **({} if kind == "PNG" else {"quality": 90}))
    return file.getvalue()
