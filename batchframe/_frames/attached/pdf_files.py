"""PDF files of cells: how they are sent, and how many pages they have.

The limits are in ``pdf_files.toml``.
"""

from __future__ import annotations

import base64
import binascii
import io
import logging
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import Any, Final, Literal

import msgspec

from batchframe._frames.attached.cell_bytes import bytes_of, check_link, data_url, is_link
from batchframe._frames.attached.options import FileInput

INSTALL_FILES: Final = 'pip install "batchframe[files]"'

_MEDIA_TYPE: Final = "application/pdf"
# Readers accept other bytes before the header, within the first 1,024.
_HEADER: Final = (b"%PDF-", 1024)
_PAGES: Final = f"data:{_MEDIA_TYPE};pages="
_FILE: Final = "pdf_files.toml"
_MB: Final = 10**6


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The most bytes of a file, and of all files of a request together."""

    bytes: int
    source: str
    evidence: Literal["reported", "documented"]
    as_of: date


@cache
def pdf_limit() -> Limit:
    """Return the limit of the size of PDF files."""
    table = tomllib.loads((files(__package__) / _FILE).read_text(encoding="utf-8"))
    return msgspec.convert(table["pdf"], Limit)


def pdf_strings(cell: Any, options: FileInput) -> tuple[str | None, str | None]:
    """Return the URL or the ``data:`` URL of a cell, as sent in a request.

    Raises
    ------
    ValueError
        If the cell is not a PDF that can be sent; the message continues "the cell".

    Examples
    --------
    >>> pdf_strings("https://example.org/1.pdf", FileInput(("pdf",)))
    ('https://example.org/1.pdf', None)
    >>> pdf_strings(b"%PDF-1.7", FileInput(("pdf",)))
    (None, 'data:application/pdf;base64,JVBERi0xLjc=')
    """
    if is_link(cell):
        return _link(str.__str__(cell), options), None
    return None, data_url(_MEDIA_TYPE, _pdf_of(cell, options))


def pdf_sketch(cell: Any, options: FileInput) -> tuple[str | None, str | None]:
    """Return a short ``data:`` URL with the pages, for counting tokens.

    Examples
    --------
    >>> pdf_sketch(b"%PDF-1.7", FileInput(("pdf",)))
    (None, 'data:application/pdf;pages=1,')
    """
    if is_link(cell):
        return _link(str.__str__(cell), options), None
    return None, f"{_PAGES}{page_count(_pdf_of(cell, options))},"


def check_total(texts: list[str]) -> None:
    """Raise ``ValueError`` if the files of a request are too large together.

    Parameters
    ----------
    texts
        Their ``data:`` URLs.
    """
    head = len(data_url(_MEDIA_TYPE, b""))
    total = sum((len(text) - head) * 3 // 4 for text in texts)
    if len(texts) > 1 and total > pdf_limit().bytes:
        raise ValueError(
            f"{len(texts)} PDFs of {total:,} bytes together (OpenAI accepts "
            f"{pdf_limit().bytes // _MB} MB per request)"
        )


def pages_of(url: str) -> int:
    """Return the number of pages of a ``data:`` URL: at least 1.

    Examples
    --------
    >>> pages_of("data:application/pdf;pages=12,"), pages_of("https://example.org/1.pdf")
    (12, 1)
    """
    if url.startswith(_PAGES):
        return int(url.removeprefix(_PAGES).partition(",")[0])
    try:
        return page_count(base64.b64decode(url.partition(";base64,")[2]))
    except (binascii.Error, ValueError):
        return 1


def page_count(data: bytes) -> int:
    """Count the pages of a PDF; 1 if they cannot be counted, or without pypdf.

    Examples
    --------
    >>> page_count(b"%PDF-1.7, damaged")
    1
    """
    if not can_count_pages():
        return 1
    import pypdf  # noqa: PLC0415 - optional, and slow to import

    try:
        with _quiet("pypdf"):
            return max(1, len(pypdf.PdfReader(io.BytesIO(data)).pages))
    except Exception:  # noqa: BLE001 - a parser may raise anything on a damaged file
        return 1


@contextmanager
def _quiet(library: str) -> Iterator[None]:
    """Keep a library from logging a warning for each damaged part."""
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def can_count_pages() -> bool:
    """Return whether pypdf is installed."""
    return find_spec("pypdf") is not None


def _link(url: str, options: FileInput) -> str:
    if not options.links:
        raise ValueError(
            'holds a URL, which /v1/chat/completions does not accept; endpoint="/v1/responses" does'
        )
    return check_link(url)


def _pdf_of(cell: Any, options: FileInput) -> bytes:
    most = pdf_limit().bytes
    data = bytes_of(cell, options, most + 1)
    if len(data) > most:
        raise ValueError(
            f"holds a PDF of more than {most // _MB} MB (OpenAI accepts {most // _MB} MB per file)"
        )
    beginning, within = _HEADER
    if beginning not in data[:within]:
        raise ValueError("does not hold a PDF")
    return data
