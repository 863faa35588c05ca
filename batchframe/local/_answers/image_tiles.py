"""Tokens of images, by tiles or patches, and of PDF files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from batchframe._frames.attached.pdf_files import pages_of
from batchframe._frames.image_size import data_url_size

_SIDE: Final = (1_024, 1_024)
"""The assumed size of an image that is not sent with the request."""


_PAGE: Final = 219
"""Tokens of a page, as recorded for gpt-4o on chat completions (2026-11-30)."""


def file_tokens(part: Mapping[str, Any]) -> int:
    """Return the tokens of a content part; 0 if it is not a file.

    Examples
    --------
    >>> file_tokens({"type": "input_file", "file_url": "https://example.org/1.pdf"})
    219
    """
    if part.get("type") not in {"file", "input_file"}:
        return 0
    given = part.get("file")
    source = given if isinstance(given, Mapping) else part
    return _PAGE * pages_of(str(source.get("file_data", "")))


def image_tokens(part: Mapping[str, Any], rates: str) -> int:
    """Return the tokens of a content part; 0 if it is not an image.

    Examples
    --------
    >>> image_tokens({"type": "image_url", "image_url": {"url": "https://a/b.png"}}, "85 + 170")
    765
    >>> image_tokens({"type": "text", "text": "Hello"}, "85 + 170")
    0
    """
    if part.get("type") not in {"image_url", "input_image"}:
        return 0
    given = part.get("image_url")
    source = given if isinstance(given, Mapping) else part
    url = source.get("url") if isinstance(given, Mapping) else given
    size = (data_url_size(url) if isinstance(url, str) else None) or _SIDE
    detail = source.get("detail") or part.get("detail")
    first, sign, second = rates.split()
    if sign == "+":
        return _tiles(size, int(first), int(second), low=detail == "low")
    return _patches(size, int(first), float(second))


def _tiles(size: tuple[int, int], base: int, tile: int, *, low: bool) -> int:
    """Count tiles of 512 pixels, with the shorter side scaled to 768."""
    if low:
        return base
    fit = min(1, 2_048 / max(size))
    width, height = (side * fit for side in size)
    shrink = min(1, 768 / min(width, height))
    across, down = (math.ceil(round(side * shrink) / 512) for side in (width, height))
    return base + tile * across * down


def _patches(size: tuple[int, int], most: int, factor: float) -> int:
    """Count patches of 32 pixels, at most `most`, times a factor."""
    width, height = size
    patches = math.ceil(width / 32) * math.ceil(height / 32)
    if patches > most:
        shrink = math.sqrt(32**2 * most / (width * height))
        across, down = width * shrink / 32, height * shrink / 32
        shrink *= min(math.floor(across) / across, math.floor(down) / down)
        patches = math.ceil(width * shrink / 32) * math.ceil(height * shrink / 32)
    return math.ceil(min(patches, most) * factor)
