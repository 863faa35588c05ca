"""Output and error files → one answer for each request.

In: a job's result files, its batches and the digests of its requests. Out: an Arrow table with one
row for each request, in order: status, error, text, finish_reason, tokens.
Must not know: frames, prices, the network.

A line is matched by its ``custom_id`` alone. A line that cannot be read, or that names no request
of this job, is left out; it never moves another answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa

from batchframe._endpoints import Answer, Endpoint, Status
from batchframe._service import Batch

SCHEMA: Final = pa.schema(
    {
        "status": pa.string(),
        "error": pa.string(),
        "text": pa.large_string(),
        "finish_reason": pa.string(),
        "input_tokens": pa.int64(),
        "output_tokens": pa.int64(),
        "cached_tokens": pa.int64(),
    }
)
_OK: Final = {"200", "200.0"}  # some servers write the number as a text
_CUSTOM_ID: Final = re.compile(rb'"custom_id"\s*:\s*"([^"\\]*)"')
_LONGEST_ERROR: Final = 500
_MOST_TOKENS: Final = 2**40


class _Response(msgspec.Struct):
    status_code: int | float | str | None = None
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: Any = None


_decode_line = msgspec.json.Decoder(_Line).decode


def read_shard(
    files: Iterable[Path], endpoint: Endpoint, custom_ids: Sequence[str], batch: Batch
) -> pa.Table:
    """Read the result files of one batch that has ended.

    Parameters
    ----------
    custom_ids
        Of the shard's requests, in order.
    """
    position = {custom_id: i for i, custom_id in enumerate(custom_ids)}
    answers: list[Answer | None] = [None] * len(custom_ids)
    unreadable = 0
    for path in files:
        for raw in _lines(path):
            custom_id, answer = _read_line(raw, endpoint)
            if custom_id is None:
                unreadable += 1
            elif (at := position.get(custom_id)) is not None:
                before = answers[at]
                answers[at] = answer if before is None else _reconciled(before, answer)
    return _table(
        [answer or _unanswered(batch, at, unreadable) for at, answer in enumerate(answers)]
    )


def pending(requests: int) -> pa.Table:
    """Return the answers of requests whose batch has not come home."""
    return _table([Answer("pending", "not answered yet", None)] * requests)


def never_sent(requests: int) -> pa.Table:
    """Return the answers of requests that were not sent when their job was cancelled."""
    return _table(
        [Answer("cancelled", "the job was cancelled before this was sent", None)] * requests
    )


def _table(answers: Sequence[Answer]) -> pa.Table:
    columns = zip(*answers, strict=True) if answers else [()] * len(SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.table(arrays, schema=SCHEMA)


def _lines(path: Path) -> Iterator[bytes]:
    # Bytes split on b"\n" only: str.splitlines() would also split on U+2028 inside an answer.
    with path.open("rb") as file:
        for raw in file:
            if stripped := raw.strip():
                yield stripped.removeprefix(b"\xef\xbb\xbf")


def _read_line(raw: bytes, endpoint: Endpoint) -> tuple[str | None, Answer]:
    """Return whose line it is, as far as that can be read, and what it says."""
    try:
        raw.decode()  # the decoder leaves the response's own bytes unread
        line = _decode_line(raw)
        return line.custom_id, _read_response(line.response, line.error, endpoint)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
        name = _CUSTOM_ID.search(raw)
        why = _shorten(f"the service's line for this request cannot be read: {reason}")
        return name and name[1].decode(errors="replace"), Answer("invalid", why, None)


def _read_response(response: _Response | None, error: Any, endpoint: Endpoint) -> Answer:
    """Say what one line answers. Success is status code 200, whatever ``error`` says."""
    if response is not None and str(response.status_code) in _OK:
        answer = endpoint.answer(_body(response))
        stated = answer.input_tokens is not None or answer.output_tokens is not None
        return answer if stated else _with_usage(answer, _plain(_body(response)))
    if response is None:
        code, message = _error_words(error)
        status: Status = "failed"
        if code == "batch_expired":
            status = "expired"
        elif code == "batch_cancelled":
            status = "cancelled"
        return Answer(status, _shorten(": ".join(filter(None, (code, message)))), None)
    body = _plain(_body(response))
    code, message = _error_words(body.get("error", body) if isinstance(body, dict) else body)
    if not message and error is not None:
        code, message = _error_words(error)
    words = f"HTTP {response.status_code}{f', {code}' if code else ''}"
    failed = Answer("failed", _shorten(f"{words}: {message or 'the service gave no reason'}"), None)
    return _with_usage(failed, body)


def _with_usage(answer: Answer, body: Any) -> Answer:
    """Count what a response without an answer says it used: it is billed all the same."""
    usage = _usage(body)
    if usage is None:
        return answer
    return answer._replace(
        input_tokens=_tokens(usage, "prompt_tokens", "input_tokens"),
        output_tokens=_tokens(usage, "completion_tokens", "output_tokens"),
        cached_tokens=_tokens(
            usage.get("prompt_tokens_details") or usage.get("input_tokens_details"),
            "cached_tokens",
        ),
    )


def _usage(body: Any) -> dict[str, Any] | None:
    usage = body.get("usage") if isinstance(body, dict) else None
    return usage if isinstance(usage, dict) else None


def _tokens(usage: Any, *names: str) -> int | None:
    found = (usage.get(name) for name in names) if isinstance(usage, dict) else ()
    numbers = (one for one in found if isinstance(one, int) and not isinstance(one, bool))
    return next((one for one in numbers if 0 <= one <= _MOST_TOKENS), None)


def _body(response: _Response) -> bytes:
    raw = bytes(response.body)
    # Some servers write the body as a JSON text inside the JSON line.
    return msgspec.json.decode(raw, type=str).encode() if raw[:1] == b'"' else raw


def _plain(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return raw.decode(errors="replace")


def _error_words(error: Any) -> tuple[str | None, str]:
    if not isinstance(error, dict):
        return None, "" if error is None else str(error)
    code, message = error.get("code"), error.get("message") or error.get("detail")
    return None if code is None else str(code), "" if message is None else str(message)


def _shorten(words: str) -> str:
    words = words or "the service gave no reason"
    return words if len(words) <= _LONGEST_ERROR else f"{words[:_LONGEST_ERROR]}…"


def _reconciled(first: Answer, second: Answer) -> Answer:
    if first.status == "ok" and second.status == "ok" and first.text != second.text:
        conflict = "the service returned two different answers to this request"
        return first._replace(status="invalid", error=conflict)
    return second if second.status == "ok" and first.status != "ok" else first


def _unanswered(batch: Batch, position: int, unreadable: int) -> Answer:
    if batch.status == "failed":
        return Answer("failed", _why_failed(batch, position + 1), None)
    if batch.status == "expired":
        return Answer("expired", "the batch expired before this request was answered", None)
    if batch.status == "cancelled":
        return Answer("cancelled", "the batch was cancelled before this request was answered", None)
    lost = f"; {unreadable} of its lines could not be read" if unreadable else ""
    return Answer("missing", f"the service returned no line for this request{lost}", None)


def _why_failed(batch: Batch, line: int) -> str:
    for error in batch.errors:
        if error.line in {None, line}:
            return _shorten(f"the batch was refused: {error.message or error.code}")
    for error in batch.errors:
        about = error.message or error.code
        return _shorten(f"the batch was refused because of line {error.line}: {about}")
    return "the batch was refused; the service gave no reason"
