"""State of a running batch: its lines, its answers, and a requested end."""

from __future__ import annotations

import asyncio
import enum
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import cached_property

import msgspec

from batchframe.local._batches.dialects import Dialect
from batchframe.local._batches.lines import Lines
from batchframe.local._batches.spool import Spool
from batchframe.local._batches.store import Workspace
from batchframe.local._objects import Batch


class Wish(enum.Enum):
    """Requested outcome of a batch; the value is its final status."""

    GO_ON = "completed"
    CANCEL = "cancelled"
    EXPIRE = "expired"


class _Head(msgspec.Struct):
    custom_id: str


class Run:
    """Mutable state of a batch that has not ended."""

    def __init__(self, batch: Batch, workspace: Workspace, dialect: Dialect) -> None:
        self.dialect = dialect
        self.batch_id = batch.id
        self.endpoint = batch.endpoint
        self.expires_at = batch.expires_at
        self.workspace = workspace
        self.wish = Wish.CANCEL if batch.status == "cancelling" else Wish.GO_ON
        self.began = time.monotonic()
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
    def going_on(self) -> bool:
        """Whether the batch is neither canceled nor expired."""
        overdue = self.dialect.service.expires and time.time() >= self.expires_at
        if self.wish is Wish.GO_ON and overdue:
            self.wish = Wish.EXPIRE
        return self.wish is Wish.GO_ON

    def close(self) -> None:
        """Close all files."""
        self._open.close()

    def remaining(self) -> Iterator[bytes]:
        """Yield the unanswered lines, in an order derived from the batch id.

        The order is random because OpenAI does not guarantee one.
        """
        order = list(range(len(self.lines)))
        random.Random(self.batch_id).shuffle(order)  # noqa: S311 - an order, not a secret
        answered = frozenset(self.spool.answered)
        for index in order:
            line = self.lines[index]
            if not answered or msgspec.json.decode(line, type=_Head).custom_id not in answered:
                yield line
