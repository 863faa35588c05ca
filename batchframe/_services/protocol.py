"""The service protocol, which decouples batchframe from the openai client."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from batchframe._base.errors import ServiceError
from batchframe._services.batch import Batch
from batchframe._services.provider import Provider

REALTIME: Final = "realtime"
"""Used in place of a batch id for realtime requests."""
_LOOKBACK: Final = 100
NO_LIST: Final = {404, 405, 501}
"""HTTP statuses of a service that does not list batches or files."""


@dataclass(frozen=True)
class Identity:
    """The account that owns batches. The API key is not part of it."""

    base_url: str
    organization: str | None
    project: str | None

    @classmethod
    def of(cls, base_url: str, organization: str | None, project: str | None) -> Identity:
        """Identify an account by its URL without user, password and query."""
        parts = urlsplit(base_url)
        host = parts.netloc.rpartition("@")[2]
        return cls(f"{parts.scheme}://{host}{parts.path}".rstrip("/"), organization, project)


NO_ACCOUNT: Final = Identity("", None, None)
"""The account of a job that sends no requests."""


@dataclass(frozen=True)
class RemoteFile:
    """A file on the server; `created_at` is in seconds on the server's clock."""

    id: str
    bytes: int | None
    created_at: float | None
    name: str | None = None


@dataclass(frozen=True)
class Created:
    """The server created the batch."""

    batch: Batch


@dataclass(frozen=True)
class Unsent:
    """The request was provably not sent: no connection was made."""

    reason: str


@dataclass(frozen=True)
class Rejected:
    """The service rejected the request.

    Attributes
    ----------
    foreign
        Whether the error has another format than OpenAI's, such as FastAPI's. It may then come
        from a gateway, although the service created the batch.
    """

    status: int
    code: str | None
    message: str
    retry_after: float | None
    foreign: bool = False


@dataclass(frozen=True)
class Ambiguous:
    """The response does not show whether a batch was created."""

    reason: str


CreateOutcome = Created | Unsent | Rejected | Ambiguous


@dataclass(frozen=True)
class RealtimeResponse:
    """The result of one realtime request.

    Attributes
    ----------
    status
        The HTTP status; None without a response.
    body
        The response as plain JSON, or the service's error message.
    unsent
        Whether the request was provably not sent.
    retry_after
        Seconds to wait before the next request, as the service asks.
    """

    status: int | None
    body: Any = None
    reason: str | None = None
    unsent: bool = False
    retry_after: float | None = None


class Transfers(Protocol):
    """Calls that can be prefetched, since repeating them costs nothing."""

    def upload(
        self,
        path: Path,
        filename: str,
        purpose: str = "batch",
        lifetime: int | None = None,
        *,
        by_redirect: bool = False,
    ) -> RemoteFile:
        """Upload an input file that expires after `lifetime` seconds.

        With `by_redirect` the service names another address for the bytes. A repeated upload costs
        nothing.
        """

    def retrieve_batch(self, batch_id: str) -> Batch:
        """Retrieve one batch."""

    def retrieve_file(self, file_id: str) -> RemoteFile:
        """Retrieve the metadata of one file."""

    def download(self, file_id: str, path: Path, most: int) -> int:
        """Stream a file of bounded size to `path` and return its size in bytes."""


class Service(Transfers, Protocol):
    """The calls of the Batch API that batchframe uses.

    Except for :meth:`create_batch` and :meth:`ask`, every method raises ``ServiceError`` if the
    service cannot be reached, rejects the request, or returns an invalid response.
    """

    def within(self, seconds: float) -> Service:
        """Return the same service with a timeout of `seconds` from now."""

    @property
    def identity(self) -> Identity:
        """The account that owns the batches."""

    @property
    def profile(self) -> Provider:
        """The provider profile, inferred from the client and its base URL."""

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
        """Create a batch; `output_lifetime` is that of its result files, in s.

        It never raises ``ServiceError``. The request is sent once, and redirects are not followed.
        """

    def ask(self, endpoint: str, body: Mapping[str, Any]) -> RealtimeResponse:
        """Send one realtime request, once; never raise ``ServiceError``."""

    def count_input_tokens(self, body: Mapping[str, Any]) -> int:
        """Count input tokens of a body with ``/v1/responses/input_tokens``."""

    def list_batches(self) -> Iterator[Batch]:
        """Yield all batches, newest first, fetched page by page."""

    def list_models(self) -> Mapping[str, date | None]:
        """Return the models of the account with their shutdown dates."""

    def list_files(self) -> Iterator[RemoteFile]:
        """Yield all uploaded files, fetched page by page."""

    def server_time(self) -> float | None:
        """Return the service's time in whole seconds; None if unknown."""

    def cancel_batch(self, batch_id: str) -> Batch:
        """Request the cancellation of a batch."""

    def moderate(self, body: Mapping[str, Any]) -> Any:
        """Return a moderation as plain JSON; it is free and can be repeated."""

    def delete_file(self, file_id: str) -> bool:
        """Delete a file, and return whether it existed."""


def newest_batches(
    service: Service, job: str, recorded: Collection[str] = (), oldest: float | None = None
) -> list[Batch]:
    """List the newest batches; empty if the service cannot list batches.

    Parameters
    ----------
    job
        Job id: the list ends a hundred batches after the last unrecorded one of this job.
    recorded
        Ids of batches that the job's folder records.
    oldest
        Date on the server's clock; the list contains all later batches.

    Raises
    ------
    ServiceError
        If the service cannot be reached.
    """
    batches: list[Batch] = []
    enough = _LOOKBACK
    try:
        for batch in service.list_batches():
            batches.append(batch)
            if batch.metadata.get("bf_job") == job and batch.id not in recorded:
                enough = len(batches) + _LOOKBACK
            is_late = oldest is not None and (batch.created_at or 0.0) >= oldest
            # Stop before the next batch is requested, which may be on another page.
            if len(batches) >= enough and not is_late:
                break
    except ServiceError as reason:
        if reason.status in NO_LIST:
            return []
        raise
    return batches


def since(oldest: float | None, batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield batches, newest first, created at or after a timestamp."""
    for batch in batches:
        if oldest is not None and batch.created_at is not None and batch.created_at < oldest:
            return
        yield batch
