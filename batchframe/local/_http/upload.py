"""Multipart uploads, written to disk as they arrive.

Starlette's `form()` spools a file of any size to the system's temporary folder, which is in memory
on many machines, and the store would have to copy it. This parser writes at most the limit, and
directly to the store's folder. It always reads the whole body, so that the client receives the
error instead of a broken connection.
"""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from batchframe.local._problems import Problem

_FIELD_BYTES: Final = 64 * 1024
_NOT_MULTIPART: Final = "Could not parse multipart form. The upload must be multipart/form-data."


class Upload:
    """Upload in progress.

    Parameters
    ----------
    path
        Path to write the file to.
    limit
        Maximum number of bytes to write; `size` counts the bytes beyond it too.

    Attributes
    ----------
    is_utf8
        Whether the written bytes are valid UTF-8.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.size = 0
        self._limit = limit
        self.is_utf8 = True
        self._digest = hashlib.sha256()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._handle = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._header = bytearray()
        self._value = bytearray()
        self._name = ""
        self._in_file = False
        self._field = bytearray()

    def close(self) -> None:
        """Remove the file unless the store has moved it."""
        self._handle.close()
        self.path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 digest of the bytes on disk."""
        return self._digest.hexdigest()

    async def receive(self, content_type: str, chunks: AsyncIterator[bytes]) -> None:
        """Read the whole form.

        Raises
        ------
        Problem
            If the body is not a multipart form.
        """
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or boundary is None:
            raise Problem(400, _NOT_MULTIPART)
        callbacks: Any = {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
        }
        try:
            parser = MultipartParser(boundary, callbacks)
            async for chunk in chunks:
                parser.write(chunk)
            parser.finalize()
        except FormParserError:
            raise Problem(400, _NOT_MULTIPART) from None
        self._finish()

    async def receive_bytes(self, filename: str, chunks: AsyncIterator[bytes]) -> None:
        """Read the whole body as the content of the file."""
        self.filename, self._in_file = filename, True
        async for chunk in chunks:
            self._part_data(chunk, 0, len(chunk))
        self._finish()

    def _finish(self) -> None:
        self._decode(b"", final=True)
        self._handle.close()

    def _decode(self, data: bytes | memoryview, *, final: bool = False) -> None:
        if self.is_utf8:
            try:
                self._decoder.decode(data, final)
            except UnicodeDecodeError:
                self.is_utf8 = False

    def _part_begin(self) -> None:
        self._field.clear()
        self._name, self._in_file = "", False

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
            filename = options.get(b"filename")
            if self._name == "file" and filename is not None:
                self._in_file = True
                self.filename = filename.decode("utf-8", "replace")
        self._header.clear()
        self._value.clear()

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if not self._in_file:
            room = _FIELD_BYTES - len(self._field)
            self._field += data[start : min(end, start + room)]
            return
        self.size += end - start
        if self.size <= self._limit:
            part = memoryview(data)[start:end]
            self._handle.write(part)
            self._digest.update(part)
            self._decode(part)

    def _part_end(self) -> None:
        if not self._in_file:
            self.fields[self._name] = self._field.decode("utf-8", "replace")
