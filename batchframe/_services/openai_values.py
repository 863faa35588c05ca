"""Values and errors of the openai package, without the API key.

An exception of the openai package carries the request and thus the API key, so none leaves this
module, not even as the context of another exception.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeGuard

import openai
from openai.types import Batch as OpenAIBatch
from openai.types import FileObject

from batchframe._base.errors import ServiceError, shorten
from batchframe._base.lenient_json import as_mapping
from batchframe._base.safe_text import RUN_AGAIN, redacted
from batchframe._services.advice import advice
from batchframe._services.batch import Batch
from batchframe._services.protocol import (
    Ambiguous,
    Created,
    CreateOutcome,
    RealtimeResponse,
    Rejected,
    RemoteFile,
    Unsent,
)

# Exception names in openai 2.x and 3.x for failures before a connection exists.
_UNSENT: Final = {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"}
# Statuses of requests that may still be processed, regardless of the body; proxies send them, too.
_NO_REFUSALS: Final = {408, 409, 425}
_BUSY: Final = 429
# Fields that state the reason, in the error formats of FastAPI, RFC 9457 and others.
_REASON_FIELDS: Final = ("message", "msg", "detail", "error", "errors", "title")
_REASON_DEPTH: Final = 4
_MOST_REASONS: Final = 5
_BATCH_OBJECTS: Final = (None, "", "batch")
_LONGEST_ID: Final = 512
_KEY_HEADERS: Final = ("authorization", "api-key", "x-api-key", "proxy-authorization")
_SECRET: Final = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z]).{8,}|.{20,}")
_STATUS_HINTS = {
    404: "It may belong to another project, or be deleted (files expire after 30 days).",
}


def failure(reason: Exception) -> ServiceError:
    """Translate an exception into a batchframe error."""
    if isinstance(reason, openai.APIStatusError):
        return _refused_error(reason)
    if isinstance(reason.__cause__, ServiceError):  # a limit, which openai 2.x wraps
        return reason.__cause__.with_traceback(None)
    if isinstance(reason, openai.APIConnectionError):
        return ServiceError.unreachable(words(reason.__cause__ or reason))
    return ServiceError.unusable(got=words(reason), what="usable")


def outcome_of(reason: BaseException) -> CreateOutcome:
    """Classify the failure of a create: unsent, rejected, or ambiguous.

    Only a stated reason counts as a refusal: a proxy may return 404 for a request that the service
    received.
    """
    if isinstance(reason, openai.APIStatusError):
        status, message, body = reason.status_code, _message(reason), _json(reason)
        foreign = not isinstance(as_mapping(as_mapping(body).get("error")).get("message"), str)
        stated = status != _BUSY and _stated_reason(body) is not None if foreign else True
        if 400 <= status < 500 and status not in _NO_REFUSALS and stated:  # noqa: PLR2004 - HTTP's own
            code = None if foreign else _code(reason)
            return Rejected(status, code, message, _retry_after(reason), foreign=foreign)
        return Ambiguous(f"HTTP {status}: {message}")
    return (Unsent if _is_unsent(reason) else Ambiguous)(words(reason))


def _is_unsent(reason: BaseException) -> bool:
    cause = type(reason.__cause__).__name__
    return isinstance(reason, openai.APIConnectionError) and cause in _UNSENT


def realtime_failure(reason: Exception) -> RealtimeResponse:
    """Describe the failure of a realtime request."""
    if isinstance(reason, openai.APIStatusError):
        error = {"message": _message(reason), "code": _code(reason)}
        return RealtimeResponse(
            reason.status_code, {"error": error}, retry_after=_retry_after(reason)
        )
    return RealtimeResponse(None, reason=words(reason), unsent=_is_unsent(reason))


def _json(reason: openai.APIStatusError) -> object:
    """Parse the body of an error response; None unless an object or array."""
    try:
        body = json.loads(reason.response.text)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict | list) else None


def _stated_reason(body: object, depth: int = _REASON_DEPTH) -> str | None:
    """Return the reason in an error response of any known format."""
    if isinstance(body, str):
        return body.strip() or None
    if depth == 0:
        return None
    if isinstance(body, list):
        reasons = [_stated_reason(item, depth - 1) for item in body[:_MOST_REASONS]]
        return "; ".join(filter(None, reasons)) or None
    error = as_mapping(body)
    reasons = [_stated_reason(error.get(field), depth - 1) for field in _REASON_FIELDS]
    reason = next(filter(None, reasons), None)
    location = error.get("loc")
    if reason is None or not isinstance(location, list):
        return reason
    return f"{'.'.join(map(str, location))}: {reason}"


def _retry_after(reason: openai.APIStatusError) -> float | None:
    """Read the seconds to wait; None if missing or invalid."""
    headers = reason.response.headers
    delay = headers.get("retry-after", "")
    for text, unit in ((headers.get("retry-after-ms", ""), 1000), (delay, 1)):
        try:
            seconds = float(text) / unit
        except ValueError:
            continue
        return seconds if seconds >= 0 else None
    try:
        # Both dates are the server's, since the local clock may be wrong by a day.
        wait = parsedate_to_datetime(delay) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, wait.total_seconds())


def _message(reason: openai.APIStatusError) -> str:
    message = _stated_reason(reason.body) or reason.response.text or reason.message
    return _redacted(message, reason)


def _code(reason: openai.APIStatusError) -> str | None:
    return None if reason.code is None else _redacted(str(reason.code), reason)


def words(reason: BaseException) -> str:
    """Format an exception without the API key."""
    limit = reason if isinstance(reason, ServiceError) else reason.__cause__
    if isinstance(limit, ServiceError):
        return limit.cause or str(limit)
    return _redacted(f"{type(reason).__name__}: {reason}", reason)


def _redacted(text: str, reason: BaseException, most: int = 500) -> str:
    """Redact the API key in any format: some services repeat it in errors."""
    keys = _keys(getattr(getattr(reason, "request", None), "headers", {}))
    text = redacted(text, keys).encode(errors="replace").decode()
    return text if len(text) <= most else f"{text[:most]}…"


def _keys(headers: Mapping[str, str]) -> list[str]:
    """Return the API keys in the headers that OpenAI, Azure or gateways use."""
    words = [headers.get(name, "").split() for name in _KEY_HEADERS]
    return [word[-1] for word in words if word]


def secrets_of(headers: Mapping[str, str]) -> list[str]:
    """Return the keys of a request that are secrets.

    Local servers accept any key, and an answer may contain the word "placeholder".
    """
    return [key for key in _keys(headers) if _SECRET.fullmatch(key)]


def is_transport_error(reason: Exception) -> bool:
    """Return whether the transport raised it, as for a truncated body."""
    return type(reason).__module__.startswith(("httpx", "httpcore"))


def created_of(answer: object, input_file_id: str, endpoint: str) -> CreateOutcome:
    """Classify the response to a create request."""
    data: object = None
    if isinstance(answer, OpenAIBatch):
        data = answer.to_dict(mode="python", exclude_unset=False, warnings=False)
    if isinstance(data, Mapping) and not is_id(data.get("id")):
        data = data.get("job")  # the location in Together's responses
    if not isinstance(data, Mapping) or not is_id(data.get("id")):
        return Ambiguous("the response is not a batch")
    if data.get("error") or data.get("object") not in _BATCH_OBJECTS:
        reason = _stated_reason(data.get("error")) or f"object {data.get('object')!r}"
        return Ambiguous(f"the response is not a batch ({redacted(shorten(reason))})")
    batch = batch_of(data)
    # Some gateways do not name the input file of a batch.
    is_other = batch.input_file_id not in {None, input_file_id}
    if is_other or not _same_endpoint(batch.endpoint, endpoint):
        return Ambiguous(f"the response is another batch, {batch.id}")
    return Created(batch)


def _same_endpoint(theirs: str | None, ours: str) -> bool:
    # Azure omits the endpoint or its version.
    return theirs is None or theirs.removeprefix("/v1") == ours.removeprefix("/v1")


def batch_of(data: object) -> Batch:
    """Parse a batch object; raise ``ServiceError`` if it is invalid."""
    if not isinstance(data, Mapping) or not is_id(data.get("id")):
        raise ServiceError.unusable(got=type(data).__name__, what="a batch")
    batch = Batch.from_json(data)
    errors = [
        replace(
            error,
            code=error.code and redacted(error.code),
            message=error.message and redacted(error.message),
        )
        for error in batch.errors
    ]
    return replace(batch, errors=tuple(errors))


def remote_file_of(answer: object) -> RemoteFile:
    """Parse a file object; raise ``ServiceError`` if it is invalid."""
    if not isinstance(answer, FileObject) or not is_id(answer.id):
        raise ServiceError.unusable(got=type(answer).__name__, what="a file")
    created: Any = answer.created_at
    return RemoteFile(
        answer.id, size_of(answer.bytes), created if isinstance(created, int | float) else None
    )


def listed_file_of(data: object) -> RemoteFile:
    """Parse a file object of a list; raise ``ServiceError`` if it is invalid."""
    file = as_mapping(data)
    file_id, name = file.get("id"), file.get("filename")
    if not is_id(file_id):
        raise ServiceError.unusable(got=type(data).__name__, what="a file")
    created = file.get("created_at")
    return RemoteFile(
        file_id,
        size_of(file.get("bytes")),
        created if isinstance(created, int | float) else None,
        name if isinstance(name, str) else None,
    )


def size_of(value: object) -> int | None:
    """Parse a number of bytes."""
    return value if type(value) is int and value >= 0 else None


def is_id(value: object) -> TypeGuard[str]:
    """Return whether a value is a valid id of a batch or a file."""
    # The SDK builds its values without checking them.
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= _LONGEST_ID


def _refused_error(reason: openai.APIStatusError) -> ServiceError:
    status, code, message = reason.status_code, reason.code, _message(reason)
    facts = [str(status), code, reason.request_id and f"request {reason.request_id}"]
    labels = _redacted(", ".join(str(fact) for fact in facts if fact), reason)
    refusal = f"service rejected the request (HTTP {labels}): {message}"
    hint = advice(code, message, status) or _STATUS_HINTS.get(status, "")
    error = ServiceError(
        f"The {refusal}{hint and chr(10)}{hint}\n"
        "Batches already submitted keep running, and local files are kept.",
        next_step="Once the problem is fixed, " + RUN_AGAIN + ".",
    )
    error.status, error.cause = status, f"the {refusal}"
    return error


def models_of(page: object) -> dict[str, date | None]:
    """Return the models of a list with their announced shutdown dates.

    Examples
    --------
    >>> listed = [{"id": "a"}, {"id": "b", "shutdown_date": "2027-01-14"}]
    >>> models_of({"data": listed})
    {'a': None, 'b': datetime.date(2027, 1, 14)}
    """
    items = as_mapping(page).get("data")
    models = map(as_mapping, items) if isinstance(items, list) else ()
    return {str(model["id"]): _day(model.get("shutdown_date")) for model in models if "id" in model}


def _day(text: object) -> date | None:
    with suppress(ValueError):
        return date.fromisoformat(text) if isinstance(text, str) else None
    return None


def page_of(body: object, what: str) -> dict[str, Any]:
    """Return a page of a list, with its items in ``data``.

    Raises
    ------
    ServiceError
        If it is not a list.
    """
    # Together returns all items at once.
    page = {"data": body, "has_more": False} if isinstance(body, list) else body
    if not isinstance(page, dict) or not isinstance(page.get("data"), list):
        raise ServiceError.unusable(got=type(body).__name__, what=what)
    return page
