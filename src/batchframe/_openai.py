"""The one module that imports openai: a client → a :class:`~batchframe._service.Service`.

In: an ``openai.OpenAI`` that the user made, or the environment. Out: values of ``_service``.
Must not know: job folders, requests.

An exception of the openai package carries the request and with it the API key, so none leaves this
module, not even as the context of another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import openai
from openai.types import Batch as OpenAIBatch
from openai.types import FileObject

from batchframe._folder import create_private
from batchframe._providers import is_loopback
from batchframe._service import (
    Ambiguous,
    Asked,
    Batch,
    Created,
    CreateOutcome,
    Identity,
    Rejected,
    RemoteFile,
    Unsent,
)
from batchframe.errors import ClientError, ServiceError

_P = ParamSpec("_P")
_T = TypeVar("_T")

# What the transports of openai 2.x and 3.x call the failures before a connection exists.
_UNSENT: Final = {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"}
_REFUSALS: Final = {400, 401, 403, 404, 413, 422, 429}
_KEY: Final = re.compile(r"sk-[A-Za-z0-9_*-]{4,}")
_PAGE: Final = 100


def connect(client: object = None) -> OpenAIService:
    """Return the service behind a client; without one, behind the environment's key.

    Raises
    ------
    ClientError
        If there is no key, the client is not a synchronous ``openai.OpenAI``, or it would send the
        key over plain HTTP to another machine.
    """
    if client is None:
        client = _client_from_environment()
    if not isinstance(client, openai.OpenAI):
        raise ClientError.wrong_kind(client)
    url = urlsplit(str(client.base_url))
    if url.scheme != "https" and not is_loopback(url.hostname or ""):
        raise ClientError.insecure(str(client.base_url))
    return OpenAIService(client)


def _client_from_environment() -> openai.OpenAI:
    try:
        return openai.OpenAI()
    except openai.OpenAIError:
        pass
    raise ClientError.no_key()


class OpenAIService:
    """The genuine Files and Batches API, through a client's public interface."""

    def __init__(self, client: openai.OpenAI) -> None:
        self._client = client

    @property
    def identity(self) -> Identity:
        client = self._client
        return Identity.of(str(client.base_url), client.organization, client.project)

    def upload(self, path: Path, filename: str) -> RemoteFile:
        with path.open("rb") as file:
            stored = _call(self._client.files.create, file=(filename, file), purpose="batch")
        return _remote_file(stored)

    def create_batch(
        self, input_file_id: str, endpoint: str, metadata: Mapping[str, str], key: str
    ) -> CreateOutcome:
        try:
            answer: object = self._client.post(
                "/batches",
                cast_to=OpenAIBatch,
                body={
                    "input_file_id": input_file_id,
                    "endpoint": endpoint,
                    "completion_window": "24h",
                    "metadata": dict(metadata),
                },
                # The defaults would ask again after a lost answer, and pay for two batches.
                options={
                    "max_retries": 0,
                    "follow_redirects": False,
                    "headers": {"Idempotency-Key": key},
                },
            )
        except Exception as reason:  # noqa: BLE001 - whatever it is, the batch may exist
            return outcome_of(reason)
        return _created(answer, input_file_id, endpoint)

    def ask(self, endpoint: str, body: Mapping[str, Any]) -> Asked:
        try:
            answer: object = self._client.post(
                endpoint.removeprefix("/v1"),
                cast_to=object,
                body=dict(body),
                # As for a batch: asking again after a lost answer would pay twice.
                options={"max_retries": 0, "follow_redirects": False},
            )
        except Exception as reason:  # noqa: BLE001 - whatever it is, it may have been answered
            return _not_answered(reason)
        return Asked(200, answer)

    def retrieve_batch(self, batch_id: str) -> Batch:
        batch = _batch(_call(self._client.batches.retrieve, batch_id))
        if batch.id != batch_id:
            raise ServiceError.unusable(got=f"batch {batch.id}", what=f"batch {batch_id}")
        return batch

    def list_batches(self) -> Iterator[Batch]:
        page = _call(self._client.batches.list, limit=_PAGE)
        seen: set[str] = set()
        while True:
            listed = getattr(page, "data", None)
            if not isinstance(listed, list):
                raise ServiceError.unusable(got=type(page).__name__, what="the list of batches")
            batches = [_batch(one) for one in listed]
            if listed and seen.issuperset(batch.id for batch in batches):
                raise ServiceError.unusable(
                    got="the same page again", what="the next page of batches"
                )
            seen.update(batch.id for batch in batches)
            yield from batches
            if not _call(page.has_next_page):
                return
            page = _call(page.get_next_page)

    def cancel_batch(self, batch_id: str) -> Batch:
        return _batch(_call(self._client.batches.cancel, batch_id))

    def retrieve_file(self, file_id: str) -> RemoteFile:
        return _remote_file(_call(self._client.files.retrieve, file_id))

    def download(self, file_id: str, path: Path) -> int:
        return _call(self._stream, file_id, path)

    def _stream(self, file_id: str, path: Path) -> int:
        size = 0
        with (
            self._client.files.with_streaming_response.content(file_id) as response,
            create_private(path) as file,
        ):
            for chunk in response.iter_bytes(1 << 20):
                size += file.write(chunk)
        return size

    def delete_file(self, file_id: str) -> bool:
        try:
            _call(self._client.files.delete, file_id)
        except ServiceError as reason:
            if reason.status != 404:  # noqa: PLR2004 - HTTP's own number
                raise
            return False
        return True


def _call(request: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    try:
        return request(*args, **kwargs)
    except (openai.OpenAIError, json.JSONDecodeError) as reason:
        failure = _failure(reason)
    except Exception as reason:
        # A body cut short while streaming raises the transport's own error.
        if not type(reason).__module__.startswith(("httpx", "httpcore")):
            raise
        failure = ServiceError.unreachable(_words(reason))
    raise failure


def _failure(reason: Exception) -> ServiceError:
    if isinstance(reason, openai.APIStatusError):
        return ServiceError.refused(
            reason.status_code, reason.code, _message(reason), reason.request_id
        )
    if isinstance(reason, openai.APIConnectionError):
        return ServiceError.unreachable(_words(reason.__cause__ or reason))
    return ServiceError.unusable(got=_words(reason), what="usable")


def outcome_of(reason: BaseException) -> CreateOutcome:
    """Classify the failure of a create: provably unsent, refused, or ambiguous.

    Only a refusal in OpenAI's own form counts as one: a proxy in between may answer 404 for a
    request that went through.
    """
    if isinstance(reason, openai.APIConnectionError):
        cause = type(reason.__cause__).__name__
        return Unsent(_words(reason)) if cause in _UNSENT else Ambiguous(_words(reason))
    if isinstance(reason, openai.APIStatusError):
        message = f"HTTP {reason.status_code}: {_message(reason)}"
        if reason.status_code in _REFUSALS and _is_openai_error(reason):
            return Rejected(reason.status_code, reason.code, _message(reason), _retry_after(reason))
        return Ambiguous(message)
    return Ambiguous(_words(reason))


def _not_answered(reason: Exception) -> Asked:
    if isinstance(reason, openai.APIStatusError):
        error = {"message": _message(reason), "code": reason.code}
        return Asked(reason.status_code, {"error": error}, retry_after=_retry_after(reason))
    cause = type(reason.__cause__).__name__
    unsent = isinstance(reason, openai.APIConnectionError) and cause in _UNSENT
    return Asked(None, reason=_words(reason), unsent=unsent)


def _is_openai_error(reason: openai.APIStatusError) -> bool:
    try:
        body = json.loads(reason.response.text)
    except (ValueError, RecursionError):
        return False
    error = body.get("error") if isinstance(body, dict) else None
    return isinstance(error, dict) and isinstance(error.get("message"), str)


def _retry_after(reason: openai.APIStatusError) -> float | None:
    try:
        return max(0.0, float(reason.response.headers.get("retry-after", "")))
    except ValueError:
        return None


def _created(answer: object, input_file_id: str, endpoint: str) -> CreateOutcome:
    if not isinstance(answer, OpenAIBatch) or not _is_id(answer.id):
        return Ambiguous("the answer was no batch")
    batch = _batch(answer)
    if batch.input_file_id != input_file_id or not _same_endpoint(batch.endpoint, endpoint):
        return Ambiguous(f"the answer was another batch, {batch.id}")
    return Created(batch)


def _same_endpoint(theirs: str | None, ours: str) -> bool:
    # Azure leaves it out, or leaves out the version.
    return theirs is None or theirs.removeprefix("/v1") == ours.removeprefix("/v1")


def _batch(answer: object) -> Batch:
    if not isinstance(answer, OpenAIBatch) or not _is_id(answer.id):
        raise ServiceError.unusable(got=type(answer).__name__, what="a batch")
    return Batch.from_json(answer.to_dict(mode="json", exclude_unset=False, warnings=False))


def _remote_file(answer: object) -> RemoteFile:
    if not isinstance(answer, FileObject) or not _is_id(answer.id):
        raise ServiceError.unusable(got=type(answer).__name__, what="a file")
    size: Any = answer.bytes
    created: Any = answer.created_at
    return RemoteFile(
        answer.id,
        size if isinstance(size, int) else None,
        created if isinstance(created, int | float) else None,
    )


def _is_id(value: object) -> bool:
    # The SDK builds its values without checking them.
    return isinstance(value, str) and bool(value)


def _message(reason: openai.APIStatusError) -> str:
    body = reason.body
    message = body.get("message") or body.get("detail") if isinstance(body, Mapping) else None
    return _redacted(str(message or reason.response.text or reason.message), reason)


def _words(reason: BaseException) -> str:
    return _redacted(f"{type(reason).__name__}: {reason}", reason)


def _redacted(text: str, reason: BaseException, most: int = 500) -> str:
    """Take out the key, whatever it looks like: some services say it in their refusal."""
    request = getattr(reason, "request", None)
    key = request.headers.get("authorization", "").removeprefix("Bearer ") if request else ""
    text = text.replace(key, "…") if key else text
    return _KEY.sub("sk-…", text if len(text) <= most else f"{text[:most]}…")
