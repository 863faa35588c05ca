"""Read single lines of a result file: ``custom_id`` and answer.

This is the reference reader, which also handles malformed lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from batchframe._base.lenient_json import as_mapping, loads, repair_json
from batchframe._base.safe_text import redacted
from batchframe._endpoints import Answer, Endpoint, Status, tokens_of

_OK: Final = {200, "200", "200.0"}  # some servers write the status code as a string
_CUSTOM_ID: Final = re.compile(rb'"custom_id"\s*:\s*"([^"\\]*)"')
_LONGEST_ERROR: Final = 500
_ENDED_EARLY: Final[dict[str, Status]] = {
    "batch_expired": "expired",
    "batch_cancelled": "cancelled",
}
_USAGE: Final = (
    "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cache_write_tokens",
)  # fmt: skip
_BLOCK: Final = 1 << 20
_LONGEST_LINE: Final = 1 << 28
_HEAD: Final = 1 << 16
NO_REASON: Final = "the service gave no reason"
_UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)
"""Exceptions raised for an unreadable line."""


class _Response(msgspec.Struct):
    status_code: int | float | str | None = None
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: Any = None


_decode_line = msgspec.json.Decoder(_Line).decode


def read_line(raw: bytes, endpoint: Endpoint) -> tuple[str | None, Answer]:
    """Return the ``custom_id`` (None if unreadable) and answer of a line."""
    try:
        line = _decode_line(raw)
        answer = _read_response(line.response, line.error, endpoint)
    except _UNREADABLE:
        return _read_odd_line(raw, endpoint)
    if answer.status == "invalid" or _repeats_id(raw):
        return _read_odd_line(raw, endpoint)
    return line.custom_id, answer


def _read_odd_line(raw: bytes, endpoint: Endpoint) -> tuple[str | None, Answer]:
    """Read a line that is not strict JSON or repeats ``custom_id``."""
    try:
        if _names_several(raw):
            return None, Answer("invalid", "the line has several custom_ids", None)
        line = _decode_line(repair_json(raw))
        return line.custom_id, _read_response(line.response, line.error, endpoint)
    except _UNREADABLE as reason:
        name = _CUSTOM_ID.search(raw)
        problem = shorten(f"unreadable result line: {reason}")
        return name and name[1].decode(errors="replace"), Answer("invalid", problem, None)


def _names_several(raw: bytes) -> bool:
    # JSON parsers silently keep the last of several equal keys.
    pairs = json.loads(raw, object_pairs_hook=list, parse_int=str) if _repeats_id(raw) else []
    names = [value for key, value in pairs if key == "custom_id"]
    return any(name != names[0] for name in names)


def _repeats_id(raw: bytes) -> bool:
    return raw.count(b'"custom_id"') > 1


def _read_response(response: _Response | None, error: Any, endpoint: Endpoint) -> Answer:
    """Convert a response to an answer; status code 200 means success.

    With status code 200, ``error`` is ignored.
    """
    if response is not None and response.status_code in _OK:
        answer = endpoint.answer(_body(response))
        has_usage = answer.input_tokens is not None or answer.output_tokens is not None
        if has_usage or answer.status == "ok":
            return answer
        return _with_usage(answer, _decode_or_text(_body(response)))
    if response is None:
        code, message = _code_and_message(error)
        status = _ENDED_EARLY.get(code or "", "failed")
        return Answer(status, shorten(": ".join(filter(None, (code, message)))), None)
    body = _decode_or_text(_body(response))
    code, message = _code_and_message(body.get("error", body) if isinstance(body, dict) else body)
    if not message and error is not None:
        code, message = _code_and_message(error)
    status_code = response.status_code
    status_text = "no HTTP status" if status_code is None else f"HTTP {status_code}"
    status_text = f"{status_text}, {code}" if code else status_text
    failed = Answer("failed", shorten(f"{status_text}: {message or NO_REASON}"), None)
    return _with_usage(failed, body)


def _with_usage(answer: Answer, body: Any) -> Answer:
    """Add the reported usage, which is billed even without an answer."""
    usage = body.get("usage") if isinstance(body, dict) else None
    tokens: dict[str, Any] = dict(zip(_USAGE, tokens_of(usage), strict=True))
    return answer._replace(**tokens)


def _body(response: _Response) -> bytes:
    raw = bytes(response.body)
    # Some servers encode the body as a JSON string within the line.
    return msgspec.json.decode(raw, type=str).encode() if raw[:1] == b'"' else raw


def _decode_or_text(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return raw.decode(errors="replace")


def _code_and_message(error: Any) -> tuple[str | None, str]:
    if not isinstance(error, dict):
        return None, "" if error is None else str(error)
    code, message = error.get("code"), error.get("message") or error.get("detail")
    return None if code is None else str(code), "" if message is None else str(message)


def shorten(message: str) -> str:
    """Truncate and redact an error message; empty ones get a default."""
    message = redacted(message) or NO_REASON
    return message if len(message) <= _LONGEST_ERROR else f"{message[:_LONGEST_ERROR]}…"


@dataclass(frozen=True)
class LineCount:
    """The number of readable and unreadable lines of a result file."""

    whole: int
    broken: int


def count_lines(path: Path) -> LineCount:
    """Count the lines of a result file without parsing their answers."""
    readable = broken = 0
    for raw in lines_of(path):
        try:
            raw.decode()  # the decoder does not validate the bytes of the response
            _decode_line(raw)
        except _UNREADABLE:
            try:
                _decode_line(repair_json(raw))
            except _UNREADABLE:
                broken += 1
                continue
        readable += 1
    return LineCount(readable, broken)


def blocks(path: Path, size: int = _BLOCK) -> Iterator[bytes]:
    """Yield blocks of about `size` bytes that end at a line end.

    A line longer than any valid answer is truncated to its start, which may have a ``custom_id``.
    """
    with path.open("rb") as file:
        while block := file.read(size):
            if not block.endswith(b"\n"):
                block = _complete_line(block, file)  # rebinding frees the partial block
            yield block


def _complete_line(block: bytes, file: IO[bytes]) -> bytes:
    """Extend a block to the end of its last line."""
    rest = file.readline(_LONGEST_LINE)
    if len(rest) < _LONGEST_LINE or rest.endswith(b"\n"):
        return block + rest
    while (chunk := file.readline(_HEAD)) and not chunk.endswith(b"\n"):
        pass
    line = block.rfind(b"\n") + 1
    return block[: line + _HEAD] + rest[: max(0, line + _HEAD - len(block))]


def split(block: bytes) -> list[bytes]:
    """Split a block into lines without line ends."""
    # bytes.splitlines() would also split on a carriage return.
    lines = block.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def stripped(line: bytes) -> bytes:
    """Strip whitespace and a byte order mark from a line."""
    return line.strip().removeprefix(b"\xef\xbb\xbf")


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield the nonblank lines of a file, stripped."""
    return filter(None, map(stripped, chain.from_iterable(map(split, blocks(path)))))


def ids_in(path: Path) -> Iterator[str]:
    """Yield the ``custom_id`` of each line that can be read."""
    for raw in lines_of(path):
        with suppress(ValueError):
            name = as_mapping(loads(raw)).get("custom_id")
            if isinstance(name, str):
                yield name
