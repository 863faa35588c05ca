"""Placeholder for a generated image: a small PNG that depends on a digest."""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Final

_SIDE: Final = 16
_MARK: Final = b"batchframe: simulated, no model"


def png(digest: str) -> bytes:
    """Return a single-color PNG; the digest determines the color.

    Examples
    --------
    >>> png("0a")[1:4], len(png("0a")) < 200
    (b'PNG', True)
    """
    color = hashlib.blake2b(digest.encode(), digest_size=3).digest()
    rows = (b"\0" + color * _SIDE) * _SIDE
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"tEXt", b"Comment\0" + _MARK),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
