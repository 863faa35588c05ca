"""The adapter to the openai client, which isolates its interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import openai
from openai.types import Batch as OpenAIBatch
from openai.types import FileDeleted, FileObject

from batchframe._base.clock import NO_PAUSE, SYSTEM, Retries
from batchframe._base.errors import ClientError, ServiceError
from batchframe._base.lenient_json import loads
from batchframe._base.private_files import create_private, insecurity_is_allowed, open_private
from batchframe._base.progress import BYTES, progress, watched
from batchframe._base.safe_text import BASE_URL, NextStep
from batchframe._services.batch import Batch
from batchframe._services.openai_transport import (
    LONGEST,
    MAX_RESPONSE,
    bounded,
    call,
    chunks,
    put,
    stated_length,
)  # fmt: skip
from batchframe._services.openai_values import (
    batch_of,
    created_of,
    is_id,
    listed_file_of,
    models_of,
    outcome_of,
    page_of,
    realtime_failure,
    remote_file_of,
    size_of,
)  # fmt: skip
from batchframe._services.protocol import CreateOutcome, Identity, RealtimeResponse, RemoteFile
from batchframe._services.provider import Provider, is_loopback, profile_of

_Item = TypeVar("_Item", Batch, RemoteFile)
_PAGE: Final = 100
_FOUND: Final = 302
_ATTEMPTS: Final = 3
_MAX_LIST: Final = 1 << 27  # bytes of all pages
_EXCERPT: Final = 60

_MAX_TIMEOUT: Final = 60.0  # seconds without a byte
_MIN_TIMEOUT: Final = 5.0  # seconds that a poll may take after the timeout has expired


def connect(client: object = None) -> OpenAIService:
    """Return the service of a client, or of the environment's API key.

    Raises
    ------
    ClientError
        If there is no key, the client is not a synchronous ``openai.OpenAI``, or it would send the
        key over plain HTTP to another machine, which ``BATCHFRAME_ALLOW_INSECURE=1`` allows.
    """
    if client is None:
        client = _client_from_environment()
    if not isinstance(client, openai.OpenAI):
        raise ClientError(
            "client: not a synchronous openai.OpenAI or openai.AzureOpenAI "
            f"({type(client).__name__}). Fix: submit(client=openai.OpenAI(...))."
        )
    url = urlsplit(str(client.base_url))
    safe = url.scheme == "https" or is_loopback(url.hostname or "")
    if not safe and not insecurity_is_allowed():
        insecure_url = Identity.of(str(client.base_url), None, None).base_url
        raise ClientError(
            f"client: plain HTTP to another machine exposes your API key ({insecure_url}). Fix: "
            f"https://{insecure_url.partition('://')[2]}; on a network that you trust, set "
            "BATCHFRAME_ALLOW_INSECURE=1."
        )
    return OpenAIService(bounded(client))


def _client_from_environment() -> openai.OpenAI:
    try:
        return openai.OpenAI()
    except openai.OpenAIError:
        pass
    raise ClientError(
        "OPENAI_API_KEY: not set.",
        next_step=NextStep(
            "Fix: set it, or pass submit(client=openai.OpenAI(...)). To try batchframe without a "
            "key or cost:\n"
            "    import batchframe.local\n"
            "    server = batchframe.local.serve()\n"
            "    plan.submit(client=server.client())",
            "Fix: set it. To try batchframe without a key or cost, run `batchframe serve`, and set "
            "OPENAI_BASE_URL to its address and OPENAI_API_KEY to any string.",
        ),
    )


class OpenAIService:
    """The Files and Batches API, through a client's public interface."""

    def __init__(self, client: openai.OpenAI, deadline: float | None = None) -> None:
        self._client = client
        self._deadline = deadline

    def within(self, seconds: float) -> OpenAIService:
        # The openai package may pause for two minutes between its own retries.
        client = self._client.with_options(max_retries=0)
        return OpenAIService(client, SYSTEM.elapsed() + max(seconds, _MIN_TIMEOUT))

    @property
    def identity(self) -> Identity:
        client = self._client
        url = str(client.base_url)
        if self._azure:
            # A client for one deployment accesses the same files and batches.
            url = url.partition("/deployments/")[0]
        return Identity.of(url, client.organization, client.project)

    @property
    def profile(self) -> Provider:
        return profile_of(str(self._client.base_url), azure=self._azure)

    @property
    def _azure(self) -> bool:
        return isinstance(self._client, openai.AzureOpenAI)

    @property
    def _batches(self) -> Any:
        return self._client.batches.with_streaming_response

    def upload(
        self,
        path: Path,
        filename: str,
        purpose: str = "batch",
        lifetime: int | None = None,
        *,
        by_redirect: bool = False,
    ) -> RemoteFile:
        if by_redirect:
            return self._upload_by_redirect(path, filename, purpose)
        # The package's types cover OpenAI's purposes only.
        options: dict[str, Any] = {"purpose": purpose}
        if lifetime is not None:
            options["expires_after"] = {"anchor": "created_at", "seconds": lifetime}
        with open_private(path) as opened, watched("uploading", opened) as file:
            stored = call(self._client.files.create, file=(filename, file), **options)
        return remote_file_of(stored)

    def _upload_by_redirect(self, path: Path, filename: str, purpose: str) -> RemoteFile:
        """Upload like the together package: announce, send and check the file."""
        form = {"purpose": purpose, "file_name": filename, "file_type": "jsonl"}
        address, file_id = call(self._upload_address, form)
        with open_private(path) as opened, watched("uploading", opened) as file:
            call(put, address, file, path.stat().st_size)
        stored = call(self._client.post, f"/files/{file_id}/preprocess", cast_to=FileObject)
        return remote_file_of(stored)

    def _upload_address(self, form: Mapping[str, str]) -> tuple[str, str]:
        """Return the address that a new file is sent to, and its identifier."""
        headers = {"Content-Type": "multipart/form-data"}
        try:
            answer: object = self._client.post(
                "/files",
                cast_to=object,
                body=dict(form),
                options={"headers": headers, "follow_redirects": False},
            )
        except openai.APIStatusError as reason:
            address = reason.response.headers.get("Location", "")
            file_id = reason.response.headers.get("X-Together-File-Id", "")
            host, own = urlsplit(address), urlsplit(str(self._client.base_url))
            is_safe = host.scheme == "https" or (is_loopback(own.hostname or "") and host.scheme)
            if reason.status_code == _FOUND and is_id(file_id) and is_safe:
                return address, file_id
            if reason.status_code != _FOUND:
                raise
            answer = reason.response
        raise ServiceError.unusable(got=type(answer).__name__, what="an address for the upload")

    def create_batch(
        self,
        input_file_id: str,
        endpoint: str,
        metadata: Mapping[str, str],
        key: str,
        window: str = "24h",
        *,
        output_lifetime: int | None = None,
    ) -> CreateOutcome:
        body: dict[str, Any] = {
            "input_file_id": input_file_id,
            "endpoint": endpoint,
            "completion_window": window,
            "metadata": dict(metadata),
        }
        if output_lifetime is not None:
            body["output_expires_after"] = {"anchor": "created_at", "seconds": output_lifetime}
        try:
            answer: object = self._client.post(
                "/batches",
                cast_to=OpenAIBatch,
                body=body,
                # By default the package retries after a lost response, and creates two billed
                # batches.
                options={
                    "max_retries": 0,
                    "follow_redirects": False,
                    "headers": {"Idempotency-Key": key},
                },
            )
        except Exception as reason:  # noqa: BLE001 - after any error the batch may exist
            return outcome_of(reason)
        return created_of(answer, input_file_id, endpoint)

    def ask(self, endpoint: str, body: Mapping[str, Any]) -> RealtimeResponse:
        try:
            answer: object = self._client.post(
                endpoint.removeprefix("/v1"),
                cast_to=object,
                body=dict(body),
                # As for a batch: a retry after a lost response would be billed twice.
                options={"max_retries": 0, "follow_redirects": False},
            )
        except Exception as reason:  # noqa: BLE001 - the request may have been answered
            return realtime_failure(reason)
        return RealtimeResponse(200, answer)

    def count_input_tokens(self, body: Mapping[str, Any]) -> int:
        count: object = call(self._client.responses.input_tokens.count, **body)
        tokens = getattr(count, "input_tokens", None)
        if not isinstance(tokens, int):
            raise ServiceError.unusable(got=type(count).__name__, what="a number of tokens")
        return tokens

    def retrieve_batch(self, batch_id: str) -> Batch:
        what = f"batch {batch_id}"
        batch = batch_of(self._read(what, self._batches.retrieve, batch_id))
        if batch.id != batch_id:
            raise ServiceError.unusable(got=f"batch {batch.id}", what=what)
        return batch

    def list_batches(self) -> Iterator[Batch]:
        return self._listed("batches", self._batches.list, batch_of, limit=_PAGE)

    def list_files(self) -> Iterator[RemoteFile]:
        files = self._client.files.with_streaming_response
        return self._listed("files", files.list, listed_file_of)

    def _listed(
        self, kind: str, request: Any, parse: Callable[[object], _Item], **options: Any
    ) -> Iterator[_Item]:
        """Yield the items of a list, fetched page by page."""
        what = f"the list of {kind}"
        after: dict[str, str] = {}
        ids: set[str] = set()
        started, size = SYSTEM.elapsed(), 0
        while True:
            try:
                body = self._body(what, request, **options, **after)
            except ServiceError as reason:
                if after and not reason.passing:
                    reason.status = None  # the list exists, whatever its next page says
                raise
            page = page_of(_parsed(body, what), what)
            size += len(body)
            seconds = SYSTEM.elapsed() - started
            if size > _MAX_LIST or seconds > LONGEST:
                raise ServiceError(
                    f"{what[0].upper()}{what[1:]} did not end within {size:,} bytes and "
                    f"{seconds:,.0f} s, so reading stopped after {len(ids):,} {kind}. Fix: check "
                    + BASE_URL
                    + "."
                )
            items = [parse(item) for item in page["data"]]
            if items and ids.issuperset(item.id for item in items):
                if "has_more" not in page:
                    return  # a service without pages
                what = f"the next page of {kind}"
                raise ServiceError.unusable(got="the same page again", what=what)
            ids.update(item.id for item in items)
            yield from items
            if not items or page.get("has_more") is False:
                return
            after = {"after": items[-1].id}

    def list_models(self) -> Mapping[str, date | None]:
        return models_of(self._read("the models", self._client.models.with_streaming_response.list))

    def server_time(self) -> float | None:
        return call(self._date)

    def _date(self) -> float | None:
        with self._batches.list(limit=1, timeout=self._read_timeout("the time")) as response:
            # RFC 9110: every response has a Date header.
            date = response.headers.get("date", "")
        try:
            return parsedate_to_datetime(date).timestamp()
        except ValueError:
            return None

    def cancel_batch(self, batch_id: str) -> Batch:
        return batch_of(self._read(f"batch {batch_id}", self._batches.cancel, batch_id))

    def retrieve_file(self, file_id: str) -> RemoteFile:
        retrieve = self._client.files.with_streaming_response.retrieve
        described = self._read(f"file {file_id}", retrieve, file_id)
        if not isinstance(described, dict):
            raise ServiceError.unusable(got=type(described).__name__, what="a file")
        return RemoteFile(file_id, size_of(described.get("bytes")), None)

    def download(self, file_id: str, path: Path, most: int) -> int:
        what = f"file {file_id}"
        # A download in progress when the timeout expires may still complete.
        timeout = max(self._read_timeout(what), _MIN_TIMEOUT)
        request = self._client.files.with_streaming_response.content

        def stream() -> int | None:
            try:
                with (
                    request(file_id, timeout=timeout) as response,
                    create_private(path) as file,
                    progress("downloading", stated_length(response), BYTES) as advance,
                ):
                    for chunk in chunks(response, what, most, timeout):
                        advance(file.write(chunk))
                    return file.tell()
            except openai.APITimeoutError:
                return None

        size = call(stream)
        if size is None:
            raise ServiceError.too_slow(what, 0, timeout)
        return size

    def moderate(self, body: Mapping[str, Any]) -> Any:
        # A retry after a lost response costs nothing, so the package's own retries stay enabled.
        return call(self._client.post, "/moderations", cast_to=object, body=dict(body))

    def _read(self, what: str, request: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Read a JSON response, bounded in size and time."""
        return _parsed(self._body(what, request, *args, **options), what)

    def _body(self, what: str, request: Callable[..., Any], *args: Any, **options: Any) -> bytes:
        def read() -> bytes:
            timeout = self._read_timeout(what)
            with request(*args, timeout=timeout, **options) as response:
                return b"".join(chunks(response, what, MAX_RESPONSE, timeout, LONGEST))

        retries = Retries(NO_PAUSE, attempts=_ATTEMPTS)
        while True:
            try:
                return call(read)
            except ServiceError as reason:
                if not reason.broke_off or not retries.pause():
                    raise

    def _read_timeout(self, what: str) -> float:
        """Return the read timeout in seconds."""
        # The client's timeout is a number, None, or one value per phase of a request.
        client_timeout: Any = getattr(self._client.timeout, "read", self._client.timeout)
        timeout = _MAX_TIMEOUT if client_timeout is None else min(client_timeout, _MAX_TIMEOUT)
        if self._deadline is None:
            return timeout
        remaining = self._deadline - SYSTEM.elapsed()
        if remaining <= 0:
            error = ServiceError(f"Timed out before {what} was requested.")
            error.out_of_reach = True
            raise error
        return min(timeout, remaining)

    def delete_file(self, file_id: str) -> bool:
        try:
            answer: object = call(self._client.files.delete, file_id)
        except ServiceError as reason:
            if reason.status != 404:  # noqa: PLR2004 - an HTTP status code
                raise
            return False
        # Azure returns an empty body. Any other response must not count as a deletion: a batch may
        # be created again once the input file is deleted.
        if answer != "" and not (isinstance(answer, FileDeleted) and answer.deleted is True):
            raise ServiceError.unusable(got=type(answer).__name__, what="the deletion of a file")
        return True


def _parsed(body: bytes, what: str) -> Any:
    try:
        return loads(body)
    except ValueError:
        excerpt = body[:_EXCERPT].decode(errors="replace")
    raise ServiceError.unusable(got=repr(excerpt), what=what)
