"""Image sizes, read from the first bytes."""

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe._frames.image_size import data_url_size, image_size


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\2\0\0\0"


def jpeg(width: int, height: int, before: bytes = b"") -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", len(before) + 2) + before
    frame = b"\xff\xc2\0\x11\x08" + struct.pack(">HH", height, width) + b"\3"
    return b"\xff\xd8" + exif + b"\xff\xff" + frame[1:] + b"\0" * 12


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height)


def webp(width: int, height: int, kind: bytes) -> bytes:
    head = b"RIFF\0\0\0\0WEBP" + kind + b"\0\0\0\0"
    if kind == b"VP8X":
        return (
            head
            + b"\0" * 4
            + (width - 1).to_bytes(3, "little")
            + (height - 1).to_bytes(3, "little")
        )
    if kind == b"VP8L":
        return head + b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little")
    return head + b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)


SIZES = st.tuples(st.integers(1, 16_383), st.integers(1, 16_383))
WRITERS = [
    png,
    jpeg,
    gif,
    *(lambda w, h, kind=kind: webp(w, h, kind) for kind in (b"VP8X", b"VP8L", b"VP8 ")),
]


@pytest.mark.parametrize("write", WRITERS)
@given(size=SIZES)
def test_the_size_of_an_image_is_read_from_its_header(write: Any, size: tuple[int, int]) -> None:
    assert image_size(write(*size)) == size


def test_a_jpeg_behind_a_large_preview_is_measured() -> None:
    data = jpeg(640, 480, before=b"\xff\xc0" * 30_000)
    url = "data:image/jpeg;base64," + base64.b64encode(data).decode()
    assert data_url_size(url) == (640, 480)


@given(
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF....WEBP"]),
    st.sampled_from([b"", b"VP8 ", b"VP8L", b"VP8X"]),
    st.binary(max_size=64),
)
def test_no_bytes_break_it(magic: bytes, kind: bytes, rest: bytes) -> None:
    size = image_size(magic + kind + rest)
    assert size is None or min(size) > 0


@given(st.text(max_size=60))
def test_no_url_breaks_it(text: str) -> None:
    for head in ("", "data:", "data:image/png;base64,", "data:image/png,"):
        assert data_url_size(head + text) is None


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64," + base64.b64encode(png(540, 360)).decode(),
        "DATA:image/png;BASE64," + base64.b64encode(png(540, 360)).decode().rstrip("="),
        "data:image/png;base64," + "\n".join(base64.b64encode(png(540, 360)).decode()),
        "data:image/png," + "".join(f"%{byte:02X}" for byte in png(540, 360)),
    ],
)
def test_a_data_url_tells_its_size(url: str) -> None:
    assert data_url_size(url) == (540, 360)
