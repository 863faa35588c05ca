"""The adapter to the openai client, which isolates its interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import openai
from openai.types import Batch as OpenAIBatch
from openai.types import FileDeleted

from batchframe._base.clock import NO_PAUSE, SYSTEM, Retries
from batchframe._base.errors import ClientError, ServiceError
from batchframe._base.lenient_json import loads
from batchframe._base.private_files import create_private, insecurity_is_allowed, open_private
from batchframe._base.progress import BYTES, progress, watched
from batchframe._base.safe_text import NextStep
from batchframe._services.batch import Batch
from batchframe._services.openai_transport import call, chunks, stated_length
from batchframe._services.openai_values import (
    batch_of,
    created_of,
    not_answered,
    outcome_of,
    remote_file_of,
    size_of,
)
from batchframe._services.protocol import CreateOutcome, Identity, RealtimeResponse, RemoteFile
from batchframe._services.provider_table import Provider, is_loopback, profile_of

_PAGE: Final = 100
_ATTEMPTS: Final = 3
_LARGEST_ANSWER: Final = 1 << 26
_SHOWN: Final = 60

# Limits on stalled and slow responses, in seconds and bytes per second.
_PATIENCE: Final = 60.0
# Seconds that a poll may take after the timeout has expired.
_LEAST_LOOK: Final = 5.0


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
        kind = type(client).__name__
        asynchronous = " with the same arguments" if kind.startswith("Async") else ""
        raise ClientError(
            f"The client is of type {kind}. Pass a synchronous openai.OpenAI or "
            f"openai.AzureOpenAI{asynchronous}: submit(client=openai.OpenAI(...))."
        )
    url = urlsplit(str(client.base_url))
    safe = url.scheme == "https" or is_loopback(url.hostname or "")
    if not safe and not insecurity_is_allowed():
        insecure_url = Identity.of(str(client.base_url), None, None).base_url
        raise ClientError(
            f"The client's base URL is {insecure_url}: plain HTTP to another machine would show "
            f"your key to the network. Use https://{insecure_url.partition('://')[2]}. Where the "
            "network is yours alone, set BATCHFRAME_ALLOW_INSECURE=1 to go on regardless."
        )
    return OpenAIService(client)


def _client_from_environment() -> openai.OpenAI:
    try:
        return openai.OpenAI()
    except openai.OpenAIError:
        pass
    raise ClientError(
        "There is no API key.",
        next_step="Set OPENAI_API_KEY in the environment"
        + NextStep(
            ", or pass a client: submit(client=openai.OpenAI(...)). To rehearse without a key and "
            "without cost:\n"
            "    import batchframe.local\n"
            "    server = batchframe.local.serve()\n"
            "    requests.submit(client=server.client())",
            ". To rehearse without a key and without cost, run `batchframe serve`, and set "
            "OPENAI_BASE_URL to its address and OPENAI_API_KEY to any word.",
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
        return OpenAIService(client, SYSTEM.elapsed() + max(seconds, _LEAST_LOOK))

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
        self, path: Path, filename: str, purpose: str = "batch", lifetime: int | None = None
    ) -> RemoteFile:
        # The package's types cover OpenAI's purposes only.
        options: dict[str, Any] = {"purpose": purpose}
        if lifetime is not None:
            options["expires_after"] = {"anchor": "created_at", "seconds": lifetime}
        with open_private(path) as opened, watched("uploading", opened) as file:
            stored = call(self._client.files.create, file=(filename, file), **options)
        return remote_file_of(stored)

    def create_batch(
        self,
        input_file_id: str,
        endpoint: str,
        metadata: Mapping[str, str],
        key: str,
        window: str = "24h",
    ) -> CreateOutcome:
        try:
            answer: object = self._client.post(
                "/batches",
                cast_to=OpenAIBatch,
                body={
                    "input_file_id": input_file_id,
                    "endpoint": endpoint,
                    "completion_window": window,
                    "metadata": dict(metadata),
                },
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
            return not_answered(reason)
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
        what = "the list of batches"
        after: dict[str, str] = {}
        ids: set[str] = set()
        while True:
            page = self._read(what, self._batches.list, limit=_PAGE, **after)
            if isinstance(page, list):
                page = {"data": page, "has_more": False}  # Together returns all batches at once
            items = page.get("data") if isinstance(page, dict) else None
            if not isinstance(items, list):
                raise ServiceError.unusable(got=type(page).__name__, what=what)
            batches = [batch_of(item) for item in items]
            if items and ids.issuperset(batch.id for batch in batches):
                what = "the next page of batches"
                raise ServiceError.unusable(got="the same page again", what=what)
            ids.update(batch.id for batch in batches)
            yield from batches
            if not batches or page.get("has_more") is False:
                return
            after = {"after": batches[-1].id}

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
        patience = max(self._read_timeout(what), _LEAST_LOOK)
        request = self._client.files.with_streaming_response.content

        def stream() -> int | None:
            try:
                with (
                    request(file_id, timeout=patience) as response,
                    create_private(path) as file,
                    progress("downloading", stated_length(response), BYTES) as advance,
                ):
                    for chunk in chunks(response, what, most, patience):
                        advance(file.write(chunk))
                    return file.tell()
            except openai.APITimeoutError:
                return None

        size = call(stream)
        if size is None:
            raise ServiceError.too_slow(what, 0, patience)
        return size

    def moderate(self, body: Mapping[str, Any]) -> Any:
        # A retry after a lost response costs nothing, so the package's own retries stay enabled.
        return call(self._client.post, "/moderations", cast_to=object, body=dict(body))

    def _read(
        self, what: str, request: Callable[..., AbstractContextManager[Any]], *args: Any, **how: Any
    ) -> Any:
        """Read a JSON response, bounded in size and time."""
        retries = Retries(NO_PAUSE, attempts=_ATTEMPTS)
        while True:
            try:
                return self._read_once(what, request, *args, **how)
            except ServiceError as reason:
                if not reason.broke_off or not retries.pause():
                    raise

    def _read_once(
        self, what: str, request: Callable[..., AbstractContextManager[Any]], *args: Any, **how: Any
    ) -> Any:
        patience = self._read_timeout(what)

        def read() -> bytes:
            with request(*args, timeout=patience, **how) as response:
                return b"".join(chunks(response, what, _LARGEST_ANSWER, patience))

        body = call(read)
        try:
            return loads(body)
        except ValueError:
            begins = body[:_SHOWN].decode(errors="replace")
        raise ServiceError.unusable(got=f"{begins!r}", what=what)

    def _read_timeout(self, what: str) -> float:
        """Return the read timeout in seconds."""
        # The client's timeout is a number, None, or one value per phase of a request.
        client_timeout: Any = getattr(self._client.timeout, "read", self._client.timeout)
        timeout = _PATIENCE if client_timeout is None else min(client_timeout, _PATIENCE)
        if self._deadline is None:
            return timeout
        remaining = self._deadline - SYSTEM.elapsed()
        if remaining <= 0:
            error = ServiceError(f"The time to wait was over before {what} was asked for.")
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
