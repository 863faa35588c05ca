"""Small images of every format, made without a package for images."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any


def png(width: int = 3, height: int = 2, shade: int = 0, padding: int = 0) -> bytes:
    """Return a gray PNG, followed by `padding` bytes."""
    rows = b"".join(b"\0" + bytes([shade]) * width for _ in range(height))
    parts = (_chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b""))
    return png_header(width, height) + b"".join(parts) + bytes(padding)


def png_header(width: int, height: int) -> bytes:
    """Return the header of a gray PNG."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header)


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


GIF = b"GIF89a" + struct.pack("<HH", 540, 360) + bytes(20)
JPEG = b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", 360, 540) + bytes(20)
WEBP = b"RIFF" + bytes(4) + b"WEBPVP8X" + bytes(8) + b"\x1b\x02\x00\x67\x01\x00" + bytes(20)


def data_url(data: bytes, kind: str = "png") -> str:
    """Return an image as a data URL."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def urls_of(body: dict[str, Any]) -> list[str]:
    """List the URLs of the images in a request body of either endpoint."""
    messages = body.get("messages") or body["input"]
    urls = []
    for message in messages:
        for part in message["content"] if isinstance(message["content"], list) else ():
            url = part.get("image_url")
            if url is not None:
                urls.append(url["url"] if isinstance(url, dict) else url)
    return urls
