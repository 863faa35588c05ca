"""What batchframe asks of a service, so that only the adapter knows a real one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from batchframe._base.errors import ServiceError
from batchframe._services.batch import Batch
from batchframe._services.provider_table import Provider

REALTIME: Final = "realtime"
"""Stands where a batch has its id, for what was asked in real time."""
_LOOKBACK: Final = 100


@dataclass(frozen=True)
class Identity:
    """Whose batches they are. The key is no part of it and is never kept."""

    base_url: str
    organization: str | None
    project: str | None

    @classmethod
    def of(cls, base_url: str, organization: str | None, project: str | None) -> Identity:
        """Name an account, without what may be secret in a URL: user, password and query."""
        parts = urlsplit(base_url)
        host = parts.netloc.rpartition("@")[2]
        return cls(f"{parts.scheme}://{host}{parts.path}".rstrip("/"), organization, project)


NOBODY: Final = Identity("", None, None)
"""Whose a job is that asks nothing."""


@dataclass(frozen=True)
class RemoteFile:
    """A file on the server. `created_at` is in seconds on the server's clock."""

    id: str
    bytes: int | None
    created_at: float | None


@dataclass(frozen=True)
class Created:
    """The server created the batch."""

    batch: Batch


@dataclass(frozen=True)
class Unsent:
    """The request provably never left: no connection was made."""

    reason: str


@dataclass(frozen=True)
class Rejected:
    """The server read the request and refused it, in the service's own form."""

    status: int
    code: str | None
    message: str
    retry_after: float | None


@dataclass(frozen=True)
class Ambiguous:
    """Nobody can tell from this answer whether a batch was created."""

    reason: str


CreateOutcome = Created | Unsent | Rejected | Ambiguous


@dataclass(frozen=True)
class Asked:
    """What came back for one realtime request.

    Attributes
    ----------
    status
        Of HTTP; None where no answer came.
    body
        The answer as plain JSON, or what the service said instead.
    unsent
        Whether it provably never left.
    retry_after
        Seconds that the service wants to be left alone.
    """

    status: int | None
    body: Any = None
    reason: str | None = None
    unsent: bool = False
    retry_after: float | None = None


class Transfers(Protocol):
    """The calls that may start before they are asked for, since repeating them costs nothing."""

    def upload(
        self, path: Path, filename: str, purpose: str = "batch", lifetime: int | None = None
    ) -> RemoteFile:
        """Upload an input file, to be kept for `lifetime` seconds. Doing it twice costs nothing."""

    def retrieve_batch(self, batch_id: str) -> Batch:
        """Look at one batch."""

    def retrieve_file(self, file_id: str) -> RemoteFile:
        """Look at one file."""

    def download(self, file_id: str, path: Path, most: int) -> int:
        """Stream a file's content, of at most so many bytes, to `path`, and return its bytes."""


class Service(Transfers, Protocol):
    """What batchframe asks of a service.

    Except for :meth:`create_batch` and :meth:`ask`, every method raises ``ServiceError`` if the
    service cannot be reached, refuses, or answers something unusable.
    """

    def within(self, seconds: float) -> Service:
        """Return the same service, whose answers are waited for until `seconds` from now."""

    @property
    def identity(self) -> Identity:
        """Whose batches they are."""

    @property
    def profile(self) -> Provider:
        """What service it seems to be, by its client and its address."""

    def create_batch(
        self,
        input_file_id: str,
        endpoint: str,
        metadata: Mapping[str, str],
        key: str,
        window: str = "24h",
    ) -> CreateOutcome:
        """Ask once, with no retry and no redirect, for a batch; never raise ``ServiceError``."""

    def ask(self, endpoint: str, body: Mapping[str, Any]) -> Asked:
        """Ask one request in real time, once; never raise ``ServiceError``."""

    def count_input_tokens(self, body: Mapping[str, Any]) -> int:
        """Ask how many input tokens a body of ``/v1/responses/input_tokens`` has."""

    def list_batches(self) -> Iterator[Batch]:
        """Yield all batches, newest first, a page at a time."""

    def server_time(self) -> float | None:
        """Return the date of the service's clock, in whole seconds; None if it does not tell."""

    def cancel_batch(self, batch_id: str) -> Batch:
        """Ask for a batch to be cancelled."""

    def moderate(self, body: Mapping[str, Any]) -> Any:
        """Ask what a moderation says, as plain JSON. It is free, and may be repeated."""

    def delete_file(self, file_id: str) -> bool:
        """Delete a file, and return whether it was there."""


def newest_batches(service: Service) -> list[Batch]:
    """List the newest batches; none where the service has no list.

    Raises
    ------
    ServiceError
        If the service cannot be reached.
    """
    try:
        return list(islice(service.list_batches(), _LOOKBACK))
    except ServiceError as reason:
        if reason.status in {404, 405, 501}:
            return []
        raise


def since(oldest: float | None, batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield batches, newest first, as long as they are not older."""
    for batch in batches:
        if oldest is not None and batch.created_at is not None and batch.created_at < oldest:
            return
        yield batch
