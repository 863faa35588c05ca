"""The network seam: what batchframe asks of a service, and the values that come back.

Must not know: the openai package, job folders, requests. ``_services`` is the one room that
speaks to a real service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from batchframe._base.errors import ServiceError
from batchframe._services.provider_table import Provider

ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})
"""The statuses after which a batch never changes; any other word, known or not, may change."""


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


REALTIME: Final = "realtime"
"""Stands where a batch has its id, for what was asked in real time."""

NOBODY: Final = Identity("", None, None)
"""Whose a job is that asks nothing."""


@dataclass(frozen=True)
class RemoteFile:
    """A file on the server. `created_at` is in seconds on the server's clock."""

    id: str
    bytes: int | None
    created_at: float | None


@dataclass(frozen=True)
class RemoteVideo:
    """A video on the server, as it was last described."""

    id: str
    status: str
    error: str | None = None


@dataclass(frozen=True)
class BatchError:
    """Why a batch failed at validation; `line` counts the input file's lines from 1."""

    code: str | None
    message: str | None
    line: int | None


@dataclass(frozen=True)
class Batch:
    """One batch as the server last described it; whatever it left out is None or 0."""

    id: str
    status: str
    endpoint: str | None = None
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    errors: tuple[BatchError, ...] = ()
    created_at: float | None = None
    expires_at: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the status can change no more."""
        return self.status in ENDED

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> Batch:
        """Read a batch object, tolerating what other servers leave out or write differently.

        Examples
        --------
        >>> Batch.from_json({"id": "batch_1", "status": "completed", "error_file_id": ""})
        Batch(id='batch_1', status='completed', endpoint=None, input_file_id=None, ...
        """
        counts = _mapping(described.get("request_counts"))
        errors = described.get("errors")
        listed = errors.get("data") if isinstance(errors, Mapping) else errors
        return cls(
            id=_text(described["id"]) or "",
            status=_status(described.get("status")),
            endpoint=_text(described.get("endpoint")),
            input_file_id=_text(described.get("input_file_id")),
            output_file_id=_text(described.get("output_file_id")),
            error_file_id=_text(described.get("error_file_id")),
            total=_count(counts.get("total")),
            completed=_count(counts.get("completed")),
            failed=_count(counts.get("failed")),
            errors=tuple(map(_error, listed[:_MOST_ERRORS] if isinstance(listed, list) else ())),
            created_at=_date(described.get("created_at")),
            expires_at=_date(described.get("expires_at")),
            metadata={
                whole: text
                for key, value in _mapping(described.get("metadata")).items()
                if (text := _plain(value)) is not None and (whole := _text(key)) is not None
            },
        )

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` reads."""
        return {
            "id": self.id,
            "status": self.status,
            "endpoint": self.endpoint,
            "input_file_id": self.input_file_id,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "request_counts": {
                "total": self.total,
                "completed": self.completed,
                "failed": self.failed,
            },
            "errors": {
                "data": [
                    {"code": error.code, "message": error.message, "line": error.line}
                    for error in self.errors
                ]
            },
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "metadata": dict(self.metadata),
        }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _plain(value: Any) -> str | None:
    # Half a surrogate pair can be written neither to the journal nor to a terminal.
    return value.encode(errors="replace").decode() if isinstance(value, str) else None


def _text(value: Any) -> str | None:
    # A clean batch may carry an empty string where there is no file.
    return _plain(value) or None


def _status(value: Any) -> str:
    word = str(_text(value) or "unknown").strip().lower()[:_LONGEST_STATUS]
    return _SPELT.get(word, word)


_LONGEST_STATUS: Final = 64
_MOST_ERRORS: Final = 1000
_SPELT: Final = {"canceled": "cancelled", "canceling": "cancelling"}


def _number(value: Any, most: float) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and 0 <= value <= most else None  # which NaN is not


def _date(value: Any) -> float | None:
    # Further away lies no date that could be shown; milliseconds are none.
    return _number(value, most=1e11)


def _count(value: Any) -> int:
    return int(_number(value, most=1e12) or 0)


def _error(value: Any) -> BatchError:
    if isinstance(value, str):
        return BatchError(None, _text(value), None)
    told = _mapping(value)
    line = told.get("line")
    return BatchError(
        code=_text(told.get("code")),
        message=_text(told.get("message")),
        line=line if type(line) is int and 0 < line < _MOST_LINES else None,
    )


_MOST_LINES: Final = 10**9


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


class Service(Protocol):
    """What batchframe asks of a service.

    Except for :meth:`create_batch`, every method raises ``ServiceError`` if the service cannot be
    reached, refuses, or answers something unusable.
    """

    def within(self, seconds: float) -> Service:
        """Return the same service, whose answers are waited for until `seconds` from now."""

    @property
    def identity(self) -> Identity:
        """Whose batches they are."""

    @property
    def profile(self) -> Provider:
        """What service it seems to be, by its client and its address."""

    def upload(
        self, path: Path, filename: str, purpose: str = "batch", lifetime: int | None = None
    ) -> RemoteFile:
        """Upload an input file, to be kept for `lifetime` seconds. Doing it twice costs nothing."""

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

    def retrieve_batch(self, batch_id: str) -> Batch:
        """Look at one batch."""

    def list_batches(self) -> Iterator[Batch]:
        """Yield all batches, newest first, a page at a time."""

    def server_time(self) -> float | None:
        """Return the date of the service's clock, in whole seconds; None if it does not tell."""

    def cancel_batch(self, batch_id: str) -> Batch:
        """Ask for a batch to be cancelled."""

    def retrieve_file(self, file_id: str) -> RemoteFile:
        """Look at one file."""

    def download(self, file_id: str, path: Path, most: int) -> int:
        """Stream a file's content, of at most so many bytes, to `path`, and return its bytes."""

    def retrieve_video(self, video_id: str) -> RemoteVideo:
        """Look at one video."""

    def download_video(self, video_id: str, path: Path, most: int) -> int:
        """Stream a video, of at most so many bytes, to `path`, and return its bytes."""

    def moderate(self, body: Mapping[str, Any]) -> Any:
        """Ask what a moderation says, as plain JSON. It is free, and may be repeated."""

    def delete_file(self, file_id: str) -> bool:
        """Delete a file, and return whether it was there."""


_LOOKBACK: Final = 100


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
