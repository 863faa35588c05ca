"""The first bytes of a file → the ending of its name: what it is, and never what somebody calls it.

Must not know: where files stand, who made them.
"""

from __future__ import annotations

import re
from typing import Final

_BEGINNINGS: Final = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"\x1a\x45\xdf\xa3", "webm"),
)
# Possessive throughout: nothing is tried twice, whatever the bytes are.
_SVG: Final = re.compile(
    rb"\s*+(?:<\?xml[^>]*+>\s*+)?+(?:<!--(?:(?!-->).)*+-->\s*+)*+(?:<!DOCTYPE[^>]*+>\s*+)?+<svg[\s>]",
    re.DOTALL,
)
_HEAD: Final = 4096

IMAGES: Final = frozenset({"png", "jpg", "gif", "webp", "svg"})
VIDEOS: Final = frozenset({"mp4", "mov", "webm"})


def ending_of(content: bytes) -> str | None:
    """Return the ending that tells what a file is; None where its first bytes do not.

    Examples
    --------
    >>> ending_of(b"GIF89a...."), ending_of(b"<svg xmlns='...'/>"), ending_of(b"<html>")
    ('gif', 'svg', None)
    >>> ending_of(bytes(4) + b"ftypisom....")
    'mp4'
    """
    for beginning, ending in _BEGINNINGS:
        if content.startswith(beginning):
            return ending
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    if content[4:8] == b"ftyp":
        return "mov" if content[8:12] == b"qt  " else "mp4"
    head = content[:_HEAD].removeprefix(b"\xef\xbb\xbf")
    return "svg" if _SVG.match(head) else None
