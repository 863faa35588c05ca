"""The values of the local server: OpenAI's File and Batch objects, and what is kept beside them.

Comes in: nothing. Goes out: frozen dataclasses, whose fields are the wire names and which msgspec
writes and reads as they stand. Must not know: HTTP, folders, or how a request is answered.
"""

from __future__ import annotations

import dataclasses
import operator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

Status: TypeAlias = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]

ENDED: Final[frozenset[Status]] = frozenset({"failed", "completed", "expired", "cancelled"})

ENDPOINTS: Final = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
)

ROUTES: Final = (
    "POST /v1/files",
    "GET /v1/files",
    "GET /v1/files/{id}",
    "DELETE /v1/files/{id}",
    "GET /v1/files/{id}/content",
    "POST /v1/batches",
    "GET /v1/batches",
    "GET /v1/batches/{id}",
    "POST /v1/batches/{id}/cancel",
    "GET /v1/models",
    "POST /v1/responses/input_tokens",
    *(f"POST {endpoint}" for endpoint in ENDPOINTS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileObject:
    """A file as the Files API shows it; times are Unix seconds."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    expires_at: int | None = None
    object: Literal["file"] = "file"
    status: Literal["processed"] = "processed"
    status_details: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchError:
    """One reason why a batch was refused; `line` counts from 1."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class BatchErrors:
    """The reasons why a batch was refused."""

    data: list[BatchError]
    object: Literal["list"] = "list"


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """How many requests a batch has, and how many have their answer or their error."""

    total: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class InputDetails:
    """The part of the input tokens that came from the prompt cache."""

    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class OutputDetails:
    """The part of the output tokens that was reasoning."""

    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of a batch, or of one answer."""

    input_tokens: int = 0
    input_tokens_details: InputDetails = field(default_factory=InputDetails)
    output_tokens: int = 0
    output_tokens_details: OutputDetails = field(default_factory=OutputDetails)
    total_tokens: int = 0

    @classmethod
    def of(cls, given: int, cached: int, made: int, reasoning: int) -> Usage:
        """Return the usage of these tokens: input, of them cached, output, of them reasoning."""
        return cls(given, InputDetails(cached), made, OutputDetails(reasoning), given + made)

    @property
    def parts(self) -> tuple[int, int, int, int]:
        """What `of` takes."""
        cached = self.input_tokens_details.cached_tokens
        reasoning = self.output_tokens_details.reasoning_tokens
        return self.input_tokens, cached, self.output_tokens, reasoning

    def __add__(self, other: Usage) -> Usage:
        return Usage.of(*map(operator.add, self.parts, other.parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch as the Batch API shows it; times are Unix seconds."""

    id: str
    endpoint: str
    input_file_id: str
    completion_window: str
    created_at: int
    expires_at: int
    status: Status = "validating"
    object: Literal["batch"] = "batch"
    model: str | None = None
    errors: BatchErrors | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts = field(default_factory=RequestCounts)
    usage: Usage = field(default_factory=Usage)
    metadata: dict[str, str] | None = None

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return self.status in ENDED

    def having(self, **changes: Any) -> Batch:
        """Return this batch with `changes`."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest:
    """The checked parameters of `POST /batches`; `output_lifetime` in seconds."""

    endpoint: str
    input_file_id: str
    completion_window: str
    metadata: dict[str, str] | None
    output_lifetime: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """A file and what the server keeps beside it.

    `sequence` orders files of the same second; `sha256` is kept of uploads only.
    """

    sequence: int
    sha256: str | None
    file: FileObject


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptBatch:
    """A batch and what the server keeps beside it.

    `input_sha256` is the digest of the input file as it was when the batch was created, `None`
    when there was no such file. `output_lifetime` is how long result files live, in seconds.
    """

    sequence: int
    input_sha256: str | None
    output_lifetime: int
    batch: Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledBatch:
    """One batch that the service would have billed: an entry of `Server.ledger`.

    A batch is billed for the requests that were answered (those in its output file), whether it
    completed, expired or was cancelled; requests in the error file cost nothing (OpenAI Batch
    guide, 2026-11). Each batch has at most one entry, which grows while the batch runs. Two
    entries with one `input_sha256` are the same requests paid twice.
    """

    batch_id: str
    input_file_id: str
    input_sha256: str | None
    endpoint: str
    model: str | None
    metadata: dict[str, str] | None
    status: Status
    created_at: int
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int


def billed(kept: KeptBatch) -> BilledBatch | None:
    """Return the ledger's entry for a batch, or `None` when nothing of it would be billed."""
    batch = kept.batch
    if not batch.request_counts.completed:
        return None
    given, cached, made, reasoning = batch.usage.parts
    return BilledBatch(
        batch_id=batch.id,
        input_file_id=batch.input_file_id,
        input_sha256=kept.input_sha256,
        endpoint=batch.endpoint,
        model=batch.model,
        metadata=batch.metadata,
        status=batch.status,
        created_at=batch.created_at,
        requests=batch.request_counts.completed,
        input_tokens=given,
        cached_tokens=cached,
        output_tokens=made,
        reasoning_tokens=reasoning,
    )
