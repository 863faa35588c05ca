"""State of a running batch: its lines, its answers, and a requested end."""

from __future__ import annotations

import asyncio
import enum
import hashlib
import io
import random
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec

from batchframe.local._answers.billing import usage_parts
from batchframe.local._answers.streaming import Answer
from batchframe.local._batches.dialects import Dialect
from batchframe.local._batches.store import Workspace
from batchframe.local._objects import Batch, RequestCounts, Usage

_FIRST_ERROR: Final = 400
_EXPIRED: Final = "This request could not be executed before the completion window expired."


class Outcome(enum.Enum):
    """Requested outcome of a batch; the value is its final status."""

    COMPLETE = "completed"
    CANCEL = "cancelled"
    EXPIRE = "expired"


class Request(msgspec.Struct):
    """Line of an input file."""

    custom_id: str
    body: dict[str, Any]


_decode: Final = msgspec.json.Decoder(Request).decode


class Run:
    """Mutable state of a batch that has not ended."""

    def __init__(self, batch: Batch, workspace: Workspace, dialect: Dialect) -> None:
        self.dialect = dialect
        self.batch_id = batch.id
        self.endpoint = batch.endpoint
        self.expires_at = batch.expires_at
        self.workspace = workspace
        self.outcome = Outcome.CANCEL if batch.status == "cancelling" else Outcome.COMPLETE
        self.start_time = time.monotonic()
        self.total = batch.request_counts.total
        self.tokens = 0
        self.task: asyncio.Task[None] | None = None
        self.consumers: list[asyncio.Task[None]] = []
        self._open = ExitStack()

    @cached_property
    def lines(self) -> Lines:
        """Input lines; the file is opened on first access."""
        return self._open.enter_context(closing(Lines(self.workspace.input)))

    @cached_property
    def spool(self) -> Spool:
        """Answers; the result files are opened and read on first access."""
        return self._open.enter_context(closing(Spool(self.workspace, self.batch_id, self.dialect)))

    @property
    def is_active(self) -> bool:
        """Whether the batch is neither canceled nor expired."""
        overdue = self.dialect.service.expires and time.time() >= self.expires_at
        if self.outcome is Outcome.COMPLETE and overdue:
            self.outcome = Outcome.EXPIRE
        return self.outcome is Outcome.COMPLETE

    @property
    def progress(self) -> dict[str, Any]:
        """Request counts and usage of the batch."""
        spool = self.spool
        counts = RequestCounts(self.total, spool.completed, spool.failed)
        return {"request_counts": counts, "usage": spool.usage}

    def close(self) -> None:
        """Close all files."""
        self._open.close()

    def remaining(self) -> Iterator[Request]:
        """Yield the unanswered requests, in an order derived from the batch id.

        The order is random because OpenAI does not guarantee one.
        """
        order = list(range(len(self.lines)))
        random.Random(self.batch_id).shuffle(order)  # noqa: S311 - an order, not a secret
        for index in order:
            request = _decode(self.lines[index])
            if request.custom_id not in self.spool.answered_ids:
                yield request


class Lines:
    r"""Random access to the lines of a file; call `scan` first.

    Only the offsets are in memory, 8 bytes per line. Only ``b"\n"`` ends a line: a JSON string may
    contain other line separators such as U+2028.
    """

    def __init__(self, path: Path) -> None:
        self._handle = path.open("rb")
        self._offsets = array("Q", [0])

    def close(self) -> None:
        """Close the file."""
        self._handle.close()

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> bytes:
        start = self._offsets[index]
        self._handle.seek(start)
        return self._handle.read(self._offsets[index + 1] - start)

    def scan(self) -> Iterator[bytes]:
        """Yield every line in order and store its offset."""
        self._offsets = array("Q", [0])
        self._handle.seek(0)
        position = 0
        for line in self._handle:
            position += len(line)
            self._offsets.append(position)
            yield line


class Spool:
    """Open result files of a batch, written line by line.

    Every line is flushed before the next request is answered, so a killed server loses no answer
    that it counted. Opening the files drops an incomplete last line.
    """

    def __init__(self, workspace: Workspace, batch_id: str, dialect: Dialect) -> None:
        self._dialect = dialect
        self._batch_id = batch_id
        self._encode = msgspec.json.Encoder().encode
        self.answered_ids: set[str] = set()
        self.completed = 0
        self.failed = 0
        self._tokens = (0, 0, 0, 0)
        self._recover(workspace.output, succeeded=True)
        self._recover(workspace.errors, succeeded=False)
        # Without a buffer, one call to the system writes and flushes a line.
        self._output = workspace.output.open("ab", buffering=0)
        self._errors = workspace.errors.open("ab", buffering=0)

    @property
    def usage(self) -> Usage:
        """Usage of the answers so far."""
        return Usage.of(*self._tokens)

    def close(self) -> None:
        """Close both files."""
        self._output.close()
        self._errors.close()

    def answer(self, custom_id: str, answer: Answer) -> None:
        """Write the answer to one request."""
        succeeded = answer.status_code < _FIRST_ERROR
        digest = self._digest(custom_id)
        response = {
            "status_code": answer.status_code,
            "request_id": f"req_{digest}",
            "body": answer.body,
        }
        self._write(custom_id, digest, succeeded=succeeded, response=response)
        self.answered_ids.add(custom_id)
        if succeeded:
            self._bill(answer.body)

    def expire(self, custom_id: str) -> None:
        """Write the error of a request that was not answered in time."""
        error = {"code": "batch_expired", "message": _EXPIRED}
        self._write(custom_id, self._digest(custom_id), succeeded=False, error=error)

    def _digest(self, custom_id: str) -> str:
        return hashlib.blake2b(f"{self._batch_id}/{custom_id}".encode(), digest_size=16).hexdigest()

    def _write(self, custom_id: str, digest: str, *, succeeded: bool, **fields: Any) -> None:
        ids = {"id": f"batch_req_{digest}", "custom_id": custom_id}
        line = self._dialect.line({**ids, "response": None, "error": None, **fields})
        handle = self._output if succeeded else self._errors
        _write_all(handle, self._encode(line) + b"\n")
        self._count(succeeded=succeeded)

    def _bill(self, body: dict[str, Any]) -> None:
        before, added = self._tokens, usage_parts(body)
        self._tokens = (
            before[0] + added[0],
            before[1] + added[1],
            before[2] + added[2],
            before[3] + added[3],
        )

    def _count(self, *, succeeded: bool) -> None:
        self.completed += succeeded
        self.failed += not succeeded

    def _recover(self, path: Path, *, succeeded: bool) -> None:
        if not path.exists():
            path.touch(mode=0o600)
            return
        size = 0
        with path.open("rb+") as handle:
            for line in handle:
                if not line.endswith(b"\n"):
                    break
                size += len(line)
                result = msgspec.json.decode(line)
                self.answered_ids.add(result["custom_id"])
                if succeeded:
                    self._bill(result["response"]["body"])
                self._count(succeeded=succeeded)
            handle.truncate(size)


def _write_all(handle: io.FileIO, data: bytes) -> None:
    """Write all of a line; the system may take a part of it."""
    view = memoryview(data)
    while view:
        view = view[handle.write(view) or 0 :]
