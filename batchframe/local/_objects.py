"""Data classes of the local server: OpenAI's File and Batch objects.

Field names are those of the API, so that msgspec encodes and decodes the objects directly.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from batchframe._base.endpoint_paths import EndpointPath

Status: TypeAlias = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling",
    "cancelled",
]  # fmt: skip

ENDED: Final[frozenset[Status]] = frozenset({"failed", "completed", "expired", "cancelled"})

# OpenAI shut /v1/videos down on 2026-09-24.
ENDPOINTS: Final = tuple(path.value for path in EndpointPath if path is not EndpointPath.VIDEOS)

ROUTES: Final = {
    "POST /v1/files": "create_file",
    "GET /v1/files": "list_files",
    "GET /v1/files/{id}": "retrieve_file",
    "DELETE /v1/files/{id}": "delete_file",
    "GET /v1/files/{id}/content": "file_content",
    "PUT /v1/uploads/{id}": "receive_upload",
    "POST /v1/files/{id}/preprocess": "preprocess_file",
    "POST /v1/batches": "create_batch",
    "GET /v1/batches": "list_batches",
    "GET /v1/batches/{id}": "retrieve_batch",
    "POST /v1/batches/{id}/cancel": "cancel_batch",
    "GET /v1/models": "list_models",
    "GET /v1/models/{id}": "retrieve_model",
    "POST /v1/responses/input_tokens": "count_input_tokens",
    **{f"POST {endpoint}": "answer" for endpoint in ENDPOINTS},
}
"""Method and path of each route, and its handler, a method of `Api`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileObject:
    """File object of the Files API; times are Unix seconds."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    expires_at: int | None = None
    object: Literal["file"] = "file"
    status: Literal["processed"] = "processed"
    status_details: None = None


@dataclass(frozen=True, slots=True)
class BatchError:
    """Validation error of a batch; `line` counts from 1."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class BatchErrors:
    """Validation errors of a batch."""

    data: list[BatchError]
    object: Literal["list"] = "list"


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Number of requests of a batch: in total, completed and failed."""

    total: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class InputDetails:
    """Input tokens that came from the prompt cache."""

    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class OutputDetails:
    """Output tokens used for reasoning."""

    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """Token usage of a batch or of an answer."""

    input_tokens: int = 0
    input_tokens_details: InputDetails = field(default_factory=InputDetails)
    output_tokens: int = 0
    output_tokens_details: OutputDetails = field(default_factory=OutputDetails)
    total_tokens: int = 0

    @classmethod
    def of(cls, input_: int, cached: int, output_: int, reasoning: int) -> Usage:
        """Create a usage; `cached` is part of `input_`, `reasoning` of `output_`."""
        return cls(
            input_, InputDetails(cached), output_, OutputDetails(reasoning), input_ + output_
        )

    @property
    def parts(self) -> tuple[int, int, int, int]:
        """Input, cached, output and reasoning tokens: the arguments of `of`."""
        cached = self.input_tokens_details.cached_tokens
        reasoning = self.output_tokens_details.reasoning_tokens
        return self.input_tokens, cached, self.output_tokens, reasoning

    def __add__(self, other: Usage) -> Usage:
        return Usage.of(*map(operator.add, self.parts, other.parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Batch object of the Batch API; times are Unix seconds."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """Stored file with the server's metadata.

    `sequence` orders files of the same second; `sha256` is None except for uploads.
    """

    sequence: int
    sha256: str | None
    file: FileObject


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBatch:
    """Stored batch with the server's metadata.

    `input_sha256` is the digest of the input file at the creation of the batch; None if the file
    did not exist. `output_lifetime` is the lifetime of the result files, in seconds.
    """

    sequence: int
    input_sha256: str | None
    output_lifetime: int
    batch: Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledBatch:
    """Batch that a service would have billed, an entry of `Server.ledger`.

    A service bills the answered requests, those in the output file, whether the batch completed,
    expired or was canceled; requests in the error file are free (OpenAI Batch guide, 2026-11).
    A batch has at most one entry, whose counts grow while the batch runs. Two entries with the
    same `input_sha256` mean that the same requests were billed twice.
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


def billed(stored: StoredBatch) -> BilledBatch | None:
    """Return the ledger entry of a batch; None if nothing would be billed."""
    batch = stored.batch
    if not batch.request_counts.completed:
        return None
    input_tokens, cached, output_tokens, reasoning = batch.usage.parts
    names = ("input_file_id", "endpoint", "model", "metadata", "status", "created_at")
    return BilledBatch(
        **{name: getattr(batch, name) for name in names},
        batch_id=batch.id,
        input_sha256=stored.input_sha256,
        requests=batch.request_counts.completed,
        input_tokens=input_tokens,
        cached_tokens=cached,
        output_tokens=output_tokens,
        reasoning_tokens=reasoning,
    )
