"""Values and errors of the openai package, without the API key.

An exception of the openai package carries the request and thus the API key, so none leaves this
module, not even as the context of another exception.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeGuard

import openai
from openai.types import Batch as OpenAIBatch
from openai.types import FileObject

from batchframe._base.errors import ServiceError
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
_REFUSALS: Final = {400, 401, 403, 404, 413, 422, 429}
_LONGEST_ID: Final = 512
_STATUS_HINTS = {
    404: "It may belong to another project, or be deleted (files expire after 30 days).",
}


def failure(reason: Exception) -> ServiceError:
    """Translate an exception into a batchframe error."""
    if isinstance(reason, openai.APIStatusError):
        return _refused_error(reason)
    if isinstance(reason, openai.APIConnectionError):
        return ServiceError.unreachable(words(reason.__cause__ or reason))
    return ServiceError.unusable(got=words(reason), what="usable")


def outcome_of(reason: BaseException) -> CreateOutcome:
    """Classify the failure of a create: unsent, rejected, or ambiguous.

    Only an error in OpenAI's format counts as a refusal: a proxy may return 404 for a request that
    the service received.
    """
    if isinstance(reason, openai.APIStatusError):
        message = _message(reason)
        if reason.status_code in _REFUSALS and _is_openai_error(reason):
            return Rejected(reason.status_code, reason.code, message, _retry_after(reason))
        return Ambiguous(f"HTTP {reason.status_code}: {message}")
    return (Unsent if _is_unsent(reason) else Ambiguous)(words(reason))


def _is_unsent(reason: BaseException) -> bool:
    cause = type(reason.__cause__).__name__
    return isinstance(reason, openai.APIConnectionError) and cause in _UNSENT


def realtime_failure(reason: Exception) -> RealtimeResponse:
    """Describe the failure of a realtime request."""
    if isinstance(reason, openai.APIStatusError):
        error = {"message": _message(reason), "code": reason.code}
        return RealtimeResponse(
            reason.status_code, {"error": error}, retry_after=_retry_after(reason)
        )
    return RealtimeResponse(None, reason=words(reason), unsent=_is_unsent(reason))


def _is_openai_error(reason: openai.APIStatusError) -> bool:
    try:
        body = json.loads(reason.response.text)
    except (ValueError, RecursionError):
        return False
    return isinstance(as_mapping(as_mapping(body).get("error")).get("message"), str)


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
    body = as_mapping(reason.body)
    message = body.get("message") or body.get("detail")
    return _redacted(str(message or reason.response.text or reason.message), reason)


def words(reason: BaseException) -> str:
    """Format an exception without the API key."""
    return _redacted(f"{type(reason).__name__}: {reason}", reason)


def _redacted(text: str, reason: BaseException, most: int = 500) -> str:
    """Redact the API key in any format: some services repeat it in errors."""
    headers = getattr(getattr(reason, "request", None), "headers", {})
    # OpenAI's header, and Azure's.
    keys = headers.get("authorization", "").removeprefix("Bearer "), headers.get("api-key", "")
    text = redacted(text, keys).encode(errors="replace").decode()
    return text if len(text) <= most else f"{text[:most]}…"


def is_transports(reason: Exception) -> bool:
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
    batch = batch_of(data)
    if batch.input_file_id != input_file_id or not _same_endpoint(batch.endpoint, endpoint):
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
    errors = (replace(one, message=one.message and redacted(one.message)) for one in batch.errors)
    return replace(batch, errors=tuple(errors))


def remote_file_of(answer: object) -> RemoteFile:
    """Parse a file object; raise ``ServiceError`` if it is invalid."""
    if not isinstance(answer, FileObject) or not is_id(answer.id):
        raise ServiceError.unusable(got=type(answer).__name__, what="a file")
    created: Any = answer.created_at
    return RemoteFile(
        answer.id, size_of(answer.bytes), created if isinstance(created, int | float) else None
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
    labels = ", ".join(str(fact) for fact in facts if fact)
    refusal = f"service rejected the request (HTTP {labels}): {message}"
    hint = advice(code, message, status) or _STATUS_HINTS.get(status, "")
    error = ServiceError(
        f"The {refusal}{hint and chr(10)}{hint}\n"
        "Batches already submitted keep running, and local files are kept.",
        next_step="Once the problem is fixed, " + RUN_AGAIN + ".",
    )
    error.status, error.cause = status, f"the {refusal}"
    return error
