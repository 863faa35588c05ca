"""What the openai package hands back → values of ``protocol``, believed as little as possible.

In: an answer. Out: a batch, a file, or what is wrong with it.
Must not know: what was asked, or how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, TypeGuard

from openai.types import Batch as OpenAIBatch
from openai.types import FileObject

from batchframe._base.errors import ServiceError
from batchframe._base.safe_text import redacted
from batchframe._services.protocol import (
    Ambiguous,
    Batch,
    BatchError,
    Created,
    CreateOutcome,
    RemoteFile,
)

_LONGEST_ID: Final = 512


def created_of(answer: object, input_file_id: str, endpoint: str) -> CreateOutcome:
    """Say whether an answer to a create is our batch."""
    if not isinstance(answer, OpenAIBatch):
        return Ambiguous("the answer was no batch")
    told: object = answer.to_dict(mode="python", exclude_unset=False, warnings=False)
    if isinstance(told, Mapping) and not is_id(told.get("id")):
        told = told.get("job")  # where Together puts it
    if not isinstance(told, Mapping) or not is_id(told.get("id")):
        return Ambiguous("the answer was no batch")
    batch = batch_of(told)
    if batch.input_file_id != input_file_id or not _same_endpoint(batch.endpoint, endpoint):
        return Ambiguous(f"the answer was another batch, {batch.id}")
    return Created(batch)


def _same_endpoint(theirs: str | None, ours: str) -> bool:
    # Azure leaves it out, or leaves out the version.
    return theirs is None or theirs.removeprefix("/v1") == ours.removeprefix("/v1")


def batch_of(described: object) -> Batch:
    """Read a batch object; raise ``ServiceError`` if it is none."""
    if not isinstance(described, Mapping) or not is_id(described.get("id")):
        raise ServiceError.unusable(got=type(described).__name__, what="a batch")
    batch = Batch.from_json(described)
    return replace(batch, errors=tuple(map(_without_key, batch.errors)))


def _without_key(error: BatchError) -> BatchError:
    return replace(error, message=error.message and redacted(error.message))


def remote_file_of(answer: object) -> RemoteFile:
    """Read a file object; raise ``ServiceError`` if it is none."""
    if not isinstance(answer, FileObject) or not is_id(answer.id):
        raise ServiceError.unusable(got=type(answer).__name__, what="a file")
    created: Any = answer.created_at
    return RemoteFile(
        answer.id, size_of(answer.bytes), created if isinstance(created, int | float) else None
    )


def size_of(value: object) -> int | None:
    """Read a number of bytes."""
    return value if type(value) is int and value >= 0 else None


def is_id(value: object) -> TypeGuard[str]:
    """Tell whether a value can be what a service calls a batch or a file."""
    # The SDK builds its values without checking them.
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= _LONGEST_ID
