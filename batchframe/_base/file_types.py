"""File types, detected from the first bytes and never from the name."""

from __future__ import annotations

import re
from typing import Final

_BEGINNINGS: Final = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)
# Possessive quantifiers prevent backtracking on hostile bytes.
_SVG: Final = re.compile(
    rb"\s*+(?:<\?xml[^>]*+>\s*+)?+(?:<!--(?:(?!-->).)*+-->\s*+)*+(?:<!DOCTYPE[^>]*+>\s*+)?+<svg[\s>]",
    re.DOTALL,
)
_HEAD: Final = 4096


def ending_of(content: bytes) -> str | None:
    """Return the extension of an image file; None if it is not an image.

    Examples
    --------
    >>> ending_of(b"GIF89a...."), ending_of(b"<svg xmlns='...'/>"), ending_of(b"<html>")
    ('gif', 'svg', None)
    """
    for beginning, ending in _BEGINNINGS:
        if content.startswith(beginning):
            return ending
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    head = content[:_HEAD].removeprefix(b"\xef\xbb\xbf")
    return "svg" if _SVG.match(head) else None
