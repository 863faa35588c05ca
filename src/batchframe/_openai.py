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
from contextlib import AbstractContextManager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import openai
from openai.types import Batch as OpenAIBatch
from openai.types import FileDeleted, FileObject

from batchframe._clock import SYSTEM
from batchframe._folder import create_private
from batchframe._loose_json import loads
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
# How the package stumbles over a body that is not what it expects.
_UNREADABLE: Final = (AttributeError, TypeError, ValueError, RecursionError)
_KEY: Final = re.compile(r"sk-[A-Za-z0-9_*-]{4,}")
_PAGE: Final = 100
_TRIES: Final = 3
_LARGEST_ANSWER: Final = 1 << 26
_SHOWN: Final = 60

# An answer that stands still for so many seconds, or brings fewer bytes a second, is left.
_PATIENCE: Final = 60.0
_SLOWEST: Final = 1000
# Seconds that a look may take although the time to wait is over.
_LEAST_LOOK: Final = 5.0


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

    def __init__(self, client: openai.OpenAI, deadline: float | None = None) -> None:
        self._client = client
        self._deadline = deadline

    def within(self, seconds: float) -> OpenAIService:
        # The package's own pauses between two tries may be two minutes.
        client = self._client.with_options(max_retries=0)
        return OpenAIService(client, SYSTEM.elapsed() + max(seconds, _LEAST_LOOK))

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

    def count_input_tokens(self, body: Mapping[str, Any]) -> int:
        counted: object = _call(self._client.responses.input_tokens.count, **body)
        tokens = getattr(counted, "input_tokens", None)
        if not isinstance(tokens, int):
            raise ServiceError.unusable(got=type(counted).__name__, what="a number of tokens")
        return tokens

    def retrieve_batch(self, batch_id: str) -> Batch:
        what = f"batch {batch_id}"
        batch = _batch(
            self._read(what, self._client.batches.with_streaming_response.retrieve, batch_id)
        )
        if batch.id != batch_id:
            raise ServiceError.unusable(got=f"batch {batch.id}", what=what)
        return batch

    def list_batches(self) -> Iterator[Batch]:
        what = "the list of batches"
        after: dict[str, str] = {}
        seen: set[str] = set()
        while True:
            page = self._read(
                what, self._client.batches.with_streaming_response.list, limit=_PAGE, **after
            )
            listed = page.get("data") if isinstance(page, dict) else None
            if not isinstance(listed, list):
                raise ServiceError.unusable(got=type(page).__name__, what=what)
            batches = [_batch(one) for one in listed]
            if listed and seen.issuperset(batch.id for batch in batches):
                raise ServiceError.unusable(
                    got="the same page again", what="the next page of batches"
                )
            seen.update(batch.id for batch in batches)
            yield from batches
            if not batches or page.get("has_more") is False:
                return
            after = {"after": batches[-1].id}

    def cancel_batch(self, batch_id: str) -> Batch:
        return _batch(
            self._read(
                f"batch {batch_id}", self._client.batches.with_streaming_response.cancel, batch_id
            )
        )

    def retrieve_file(self, file_id: str) -> RemoteFile:
        told = self._read(
            f"file {file_id}", self._client.files.with_streaming_response.retrieve, file_id
        )
        if not isinstance(told, dict):
            raise ServiceError.unusable(got=type(told).__name__, what="a file")
        return RemoteFile(file_id, _size(told.get("bytes")), None)

    def download(self, file_id: str, path: Path, most: int) -> int:
        # A download that is under way when the time to wait is over may still come to its end.
        patience = max(self._patience(f"file {file_id}"), _LEAST_LOOK)
        return _call(self._stream, file_id, path, most, patience)

    def _stream(self, file_id: str, path: Path, most: int, patience: float) -> int:
        what = f"file {file_id}"
        try:
            with (
                self._client.files.with_streaming_response.content(
                    file_id, timeout=patience
                ) as response,
                create_private(path) as file,
            ):
                return sum(map(file.write, _chunks(response, what, most, patience)))
        except openai.APITimeoutError:
            pass
        raise ServiceError.too_slow(what, 0, patience)

    def _read(
        self, what: str, request: Callable[..., AbstractContextManager[Any]], *args: Any, **how: Any
    ) -> Any:
        """Read the JSON of an answer, of bounded size and in bounded time."""
        for _ in range(_TRIES - 1):
            try:
                return self._read_once(what, request, *args, **how)
            except ServiceError as reason:
                if not reason.broke_off:
                    raise
        return self._read_once(what, request, *args, **how)

    def _read_once(
        self, what: str, request: Callable[..., AbstractContextManager[Any]], *args: Any, **how: Any
    ) -> Any:
        patience = self._patience(what)

        def read() -> bytes:
            with request(*args, timeout=patience, **how) as response:
                return b"".join(_chunks(response, what, _LARGEST_ANSWER, patience))

        body = _call(read)
        try:
            return loads(body)
        except ValueError:
            begins = body[:_SHOWN].decode(errors="replace")
        raise ServiceError.unusable(got=f"{begins!r}", what=what)

    def _patience(self, what: str) -> float:
        """Return how many seconds the service may be silent."""
        # The client's own time-out is a number, None, or one for each phase of a request.
        own: Any = getattr(self._client.timeout, "read", self._client.timeout)
        patience = _PATIENCE if own is None else min(own, _PATIENCE)
        if self._deadline is None:
            return patience
        left = self._deadline - SYSTEM.elapsed()
        if left <= 0:
            raise ServiceError.no_time_left(what)
        return min(patience, left)

    def delete_file(self, file_id: str) -> bool:
        try:
            answer: object = _call(self._client.files.delete, file_id)
        except ServiceError as reason:
            if reason.status != 404:  # noqa: PLR2004 - HTTP's own number
                raise
            return False
        # Azure answers with nothing. Whatever else is no deletion must not pass for one: a batch
        # may be asked for again once the input file is gone.
        if answer != "" and not (isinstance(answer, FileDeleted) and answer.deleted is True):
            raise ServiceError.unusable(got=type(answer).__name__, what="the deletion of a file")
        return True


def _call(request: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    try:
        return request(*args, **kwargs)
    except (openai.OpenAIError, *_UNREADABLE) as reason:
        # The package reads an answer's JSON with no thought for what is none.
        failure = _failure(reason)
    except Exception as reason:
        if not _is_transports(reason):
            raise
        failure = ServiceError.unreachable(_words(reason))
    raise failure


def _is_transports(reason: Exception) -> bool:
    # A body cut short while streaming raises the transport's own error.
    return type(reason).__module__.startswith(("httpx", "httpcore"))


def _chunks(response: Any, what: str, most: int, patience: float) -> Iterator[bytes]:
    """Yield a body as it arrives, as long as it comes at a sensible pace and to an end."""
    body = iter(response.iter_bytes())
    got = before = 0
    since = SYSTEM.elapsed()
    while True:
        try:
            chunk = next(body, None)
        except Exception as reason:
            if not _is_transports(reason):
                raise
            failure = ServiceError.broken_off(what, _words(reason))
            break
        if chunk is None:
            return
        got += len(chunk)
        if got > most:
            raise ServiceError.too_large(what, most)
        passed = SYSTEM.elapsed() - since
        if passed > patience:
            if got - before < _SLOWEST * passed:
                raise ServiceError.too_slow(what, got - before, passed)
            before, since = got, SYSTEM.elapsed()
        yield chunk
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
    """Read how many seconds to wait; None if the service does not say, or nothing sensible."""
    headers = reason.response.headers
    told = headers.get("retry-after", "")
    for text, unit in ((headers.get("retry-after-ms", ""), 1000), (told, 1)):
        try:
            seconds = float(text) / unit
        except ValueError:
            continue
        return seconds if seconds >= 0 else None
    try:
        # Both dates are the server's: this machine's clock may be wrong by a day.
        wait = parsedate_to_datetime(told) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, wait.total_seconds())


def _created(answer: object, input_file_id: str, endpoint: str) -> CreateOutcome:
    if not isinstance(answer, OpenAIBatch) or not _is_id(answer.id):
        return Ambiguous("the answer was no batch")
    batch = _batch(answer.to_dict(mode="python", exclude_unset=False, warnings=False))
    if batch.input_file_id != input_file_id or not _same_endpoint(batch.endpoint, endpoint):
        return Ambiguous(f"the answer was another batch, {batch.id}")
    return Created(batch)


def _same_endpoint(theirs: str | None, ours: str) -> bool:
    # Azure leaves it out, or leaves out the version.
    return theirs is None or theirs.removeprefix("/v1") == ours.removeprefix("/v1")


def _batch(described: object) -> Batch:
    if not isinstance(described, Mapping) or not _is_id(described.get("id")):
        raise ServiceError.unusable(got=type(described).__name__, what="a batch")
    return Batch.from_json(described)


def _remote_file(answer: object) -> RemoteFile:
    if not isinstance(answer, FileObject) or not _is_id(answer.id):
        raise ServiceError.unusable(got=type(answer).__name__, what="a file")
    created: Any = answer.created_at
    return RemoteFile(
        answer.id, _size(answer.bytes), created if isinstance(created, int | float) else None
    )


def _size(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None


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
    text = (text.replace(key, "…") if key else text).encode(errors="replace").decode()
    return _KEY.sub("sk-…", text if len(text) <= most else f"{text[:most]}…")
