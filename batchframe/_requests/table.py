"""The request table: the mapping of rows to requests, and their lines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from batchframe._base.digests import Digests, blank, digests_of, sorted_bytes
from batchframe._base.errors import format_row
from batchframe._recipe.recipe import Recipe
from batchframe._recipe.slots import ENCODED_REQUEST, REQUEST, Envelope
from batchframe._requests.custom_ids import line_heads
from batchframe._requests.lines import request_bytes
from batchframe._requests.source import Source
from batchframe._requests.streamed_source import StreamedSource

FINGERPRINT_VERSION = b"batchframe 1"


@dataclass(frozen=True, eq=False)
class RequestTable:
    """The rows of a job and their distinct requests.

    Attributes
    ----------
    digest
        For each row, the digest of its request, even if moderation excludes it; zeros if the row
        has none.
    number
        For each row, the position of its request among :attr:`requests`; −1 if it has none.
    first_row
        For each request, its first row; the same array as :attr:`number` if no rows are
        duplicates.
    size
        For each request, the bytes of its line after the ``custom_id``.
    reused
        The number of requests at the end that earlier answers cover and that are not sent.
    source_path
        The file or folder that the rows are read from; None for rows in memory.
    """

    recipe: Recipe
    source: Source | StreamedSource
    envelope: Envelope
    digest: Digests
    number: npt.NDArray[np.int64]
    first_row: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    reused: int = 0
    source_path: str | None = None

    @property
    def rows(self) -> int:
        """The number of rows in the frame."""
        return len(self.source)

    @property
    def requests(self) -> int:
        """The number of distinct requests."""
        return len(self.first_row)

    @property
    def to_send(self) -> int:
        """The number of requests to send."""
        return self.requests - self.reused

    @property
    def request_digest(self) -> Digests:
        """The digest of each request."""
        return self.digest if self.first_row is self.number else self.digest[self.first_row]

    def where(self, request: int) -> str:
        """Describe the first row of a request for an error message."""
        row = int(self.first_row[request])
        return format_row(row, self.source.labels[row])

    def without(self, answered: npt.NDArray[np.bool_]) -> RequestTable:
        """Move answered requests to the end, where they are not sent."""
        order = np.argsort(answered, kind="stable")
        return replace(self._renumbered(order), reused=int(answered.sum()))

    def excluding(self, why: Mapping[int, str]) -> RequestTable:
        """Drop requests by number; `why` gives the reason for their rows."""
        mask = np.ones(self.requests, dtype=bool)
        mask[list(why)] = False
        table = self._renumbered(np.flatnonzero(mask))
        absent = self.source.absent.to_pylist()
        for row in np.flatnonzero((self.number >= 0) & (table.number < 0)).tolist():
            absent[row] = why[int(self.number[row])]
        return replace(table, source=replace(self.source, absent=pa.array(absent, pa.string())))

    def _renumbered(self, order: npt.NDArray[np.int64]) -> RequestTable:
        """Select requests by number, in the given order."""
        place = np.full(self.requests + 1, -1)  # the last place serves rows without a request
        place[order] = np.arange(len(order))
        return replace(
            self, number=place[self.number], first_row=self.first_row[order], size=self.size[order]
        )

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all requests in any order, as 64 hexadecimal digits.

        Sorting or reindexing the frame or adding duplicate rows does not change it.
        """
        return fingerprint_of(self.recipe.endpoint, self.request_digest)

    @property
    def line_overhead(self) -> int:
        """The bytes of a line outside the request: ``custom_id``, newline."""
        (longest,) = line_heads(self.fingerprint, max(self.requests - 1, 0), blank(1))
        return len(longest + b"\n")

    def lines(self) -> Iterator[bytes]:
        """Yield the line of each request to send, in order."""
        for block in self.line_blocks():
            yield from block

    def line_blocks(self) -> Iterator[list[bytes]]:
        """Yield :meth:`lines` in blocks, one per record batch."""
        start = 0
        for rows, requests in self._request_blocks():
            heads = line_heads(self.fingerprint, start, self.digest[rows])
            start += len(heads)
            lines = [head + request + b"\n" for head, request in zip(heads, requests, strict=True)]
            requests.clear()  # avoids a second copy of large images and files
            yield lines

    def requests_to_send(self) -> Iterator[bytes]:
        """Yield the bytes of each request to send, in order.

        Raises
        ------
        CellError, SourceError
            If an image, a file or a row read from disk has changed since the requests were made.
        """
        for _, requests in self._request_blocks():
            yield from requests

    def _request_blocks(self) -> Iterator[tuple[npt.NDArray[np.int64], list[bytes]]]:
        for rows, batch in self.request_batches():
            requests = request_bytes(self.envelope, batch)
            if self.source.may_change:
                changed_rows = rows[digests_of(requests) != self.digest[rows]]
                if len(changed_rows):
                    raise self.source.changed(int(changed_rows[0]))
            yield rows, requests

    def sketched(self) -> RequestTable:
        """Replace images and files by stubs, for counting only."""
        return replace(self, source=self.source.sketched())

    def request_batches(self) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
        """Yield the rows of requests to send, with record batches of cells."""
        is_first = np.zeros(self.rows, dtype=bool)
        is_first[self.first_row[: self.to_send]] = True
        return self.source.batches(is_first)


def fingerprint_of(endpoint: str, request_digest: Digests) -> str:
    """Hash requests independently of their order as 64 hex digits."""
    content = hashlib.sha256(FINGERPRINT_VERSION + endpoint.encode())
    content.update(sorted_bytes(request_digest))
    return content.hexdigest()


def table_of_requests(
    recipe: Recipe,
    requests: Sequence[bytes],
    position: npt.NDArray[np.int64],
    *,
    digest: Digests,
    identity: Digests | None,
    labels: pd.Index,
) -> RequestTable:
    """Build a request table from encoded requests.

    Parameters
    ----------
    requests
        The bytes after ``custom_id`` in each line; every request belongs to at least one row.
    position
        For each row, the position of its request in `requests`.
    digest, identity, labels
        For each row, as in a request table and its source.
    """
    number, _ = pd.factorize(position)  # requests are numbered by first row
    _, first_row = np.unique(number, return_index=True)
    size = np.array([len(request) for request in requests], np.int64)
    column = pa.array(requests, pa.large_binary()).cast(pa.large_string())
    columns = pa.table({REQUEST: column.take(pa.array(position))})
    absent = pa.nulls(len(position), pa.string())
    return RequestTable(
        recipe=recipe,
        source=Source(columns, absent, labels, identity),
        envelope=ENCODED_REQUEST,
        digest=digest,
        number=number,
        first_row=first_row,
        size=size[position[first_row]],
    )


def encoded_requests(table: RequestTable) -> list[bytes]:
    """Return the requests of a table made by :func:`table_of_requests`."""
    columns = (batch[REQUEST].to_pylist() for _, batch in table.source.batches())
    return [text.encode() for column in columns for text in column]
