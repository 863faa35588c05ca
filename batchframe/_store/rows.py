"""``rows.parquet``: the mapping of submitted rows to their requests.

With it, answers are joined to their rows, and to rows of other frames, without the original frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchframe._base.digests import ARROW, NONE, Digests, from_arrow, sortable, to_arrow
from batchframe._base.errors import JobError
from batchframe._base.private_files import open_private, replacing, translate_os_errors
from batchframe._requests.lines import request_bytes
from batchframe._requests.table import RequestTable
from batchframe._store.manifest import Record

SCHEMA: Final = pa.schema(
    {"digest": ARROW, "number": pa.int32(), "absent": pa.string(), "identity": ARROW}
)
_CHECKSUM: Final = b"checksum"


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a job.

    Attributes
    ----------
    digest
        For each row, the digest of its request; null without a request.
    number
        For each row, the number of its request; −1 without a request.
    absent
        For each row, why it has no request; null with a request.
    identity
        For each row, the key of `join`: the digest of its request, or of its cells if a function
        built the prompt.
    checksum
        Hash of all cells used in the requests, in row order, and of the recipe; None if the rows
        may change, a function built the prompts, or the rows were streamed.
    """

    digest: pa.Array
    number: npt.NDArray[np.int64]
    absent: pa.Array
    identity: pa.Array
    checksum: str | None = None

    def __len__(self) -> int:
        return len(self.number)

    @cached_property
    def first_row(self) -> npt.NDArray[np.int64]:
        """For each request, its first row."""
        rows = np.flatnonzero(self.number >= 0)[::-1]
        number = self.number[rows]
        first = np.empty(int(number.max(initial=-1)) + 1, dtype=np.int64)
        first[number] = rows  # the first of duplicate rows is assigned last
        return first

    @cached_property
    def request_digest(self) -> pa.Array:
        """For each request, its digest."""
        return self.digest.take(pa.array(self.first_row))

    def find(self, identity: Digests) -> npt.NDArray[np.int64]:
        """Find the request number of each identity, as :class:`Finder` does."""
        return Finder(self).find(identity)


class Finder:
    """Lookup of the requests of a job for rows that arrive in blocks."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    @cached_property
    def _requests_index(self) -> _Index:
        return _Index(np.flatnonzero(self._rows.number >= 0), self._rows.identity)

    @cached_property
    def _counts(self) -> npt.NDArray[np.int64]:
        return np.zeros(len(self._requests_index.count), np.int64)

    @cached_property
    def _absent_index(self) -> _Index:
        absent = np.flatnonzero(self._rows.absent.is_valid().to_numpy(zero_copy_only=False))
        identified = self._rows.identity.is_valid().to_numpy(zero_copy_only=False)
        return _Index(absent[identified[absent]], self._rows.identity)

    def find(self, identity: Digests) -> npt.NDArray[np.int64]:
        """Find the request number of each identity; −1 if the job has none.

        If the job sent duplicates, equal rows take their answers in order, across calls.
        """
        group = self._requests_index.find(identity)
        hit = group >= 0
        matches = group[hit]
        turn = self._counts[matches] + _occurrence(group)[hit]
        self._counts += np.bincount(matches, minlength=len(self._counts))
        numbers = np.full(len(group), -1, dtype=np.int64)
        numbers[hit] = self._rows.number[
            self._requests_index.row(matches, turn % self._requests_index.count[matches])
        ]
        return numbers

    def why_absent(self, identity: Digests) -> pa.Array:
        """Return why each identity has no request; null if it has one."""
        group = self._absent_index.find(identity)
        row = np.full(len(group), -1, dtype=np.int64)
        row[group >= 0] = self._absent_index.row(group[group >= 0], 0)
        return self._rows.absent.take(pa.array(row, mask=row < 0))


class _Index:
    """Sorted index of rows by identity, for binary search."""

    def __init__(self, rows: npt.NDArray[np.int64], identity: pa.Array) -> None:
        keys = sortable(from_arrow(identity.take(pa.array(rows))))
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        self._start = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else order
        self._rows = rows[order]
        self._distinct = keys[self._start]
        self.count = np.diff(np.r_[self._start, len(keys)])

    def find(self, identity: Digests) -> npt.NDArray[np.int64]:
        """Find the position of each identity among the distinct ones, else −1."""
        if not len(self._distinct):
            return np.full(len(identity), -1, dtype=np.int64)
        wanted = sortable(identity)
        place = np.searchsorted(self._distinct, wanted)
        place[place == len(self._distinct)] = 0
        return np.where(self._distinct[place] == wanted, place, -1)

    def row(
        self, place: npt.NDArray[np.int64], turn: npt.NDArray[np.int64] | int
    ) -> npt.NDArray[np.int64]:
        """Return the row at each position, the `turn`-th of its duplicates."""
        rows: npt.NDArray[np.int64] = self._rows[self._start[place] + turn]
        return rows


def _occurrence(group: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count earlier occurrences of each value: [5, 7, 5] gives [0, 0, 1]."""
    order = np.argsort(group, kind="stable")
    ranked = group[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(group) else order
    position = np.arange(len(group))
    occurrence = np.empty_like(position)
    occurrence[order] = position - np.repeat(starts, np.diff(np.r_[starts, len(group)]))
    return occurrence


def rows_of(table: RequestTable) -> Rows:
    """Extract the rows of a request table, to store them."""
    digest = to_arrow(table.digest, table.number >= 0)
    if table.source.identity is None:
        # A flagged row has no request, but its identity is stored.
        identity = to_arrow(table.digest, sortable(table.digest) != NONE)
    else:
        identity = to_arrow(table.source.identity)
    checksum = table.source.checksum(partial(request_bytes, table.envelope))
    return Rows(digest, table.number, table.source.absent, identity, checksum)


def follow(rows: Rows, table: RequestTable) -> Rows:
    """Return the rows of another frame with the same requests and numbers.

    The frame may have another order or other duplicates; its requests are those of `rows`.
    """
    new_rows = rows_of(table)
    if new_rows.digest.equals(rows.digest):
        return replace(new_rows, number=rows.number)
    return replace(new_rows, number=replace(rows, identity=rows.digest).find(table.digest))


def write_rows(rows: Rows, path: Path) -> None:
    """Write ``rows.parquet``."""
    number = pa.array(rows.number, pa.int32())
    table = pa.table([rows.digest, number, rows.absent, rows.identity], schema=SCHEMA)
    if rows.checksum is not None:
        table = table.replace_schema_metadata({_CHECKSUM: rows.checksum})
    with replacing(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def read_rows(path: Path) -> Rows:
    """Read ``rows.parquet``.

    Raises
    ------
    JobError
        If the file is missing or damaged.
    """
    with translate_os_errors(path), open_private(path) as file:
        try:
            # Faster for small files than pq.read_table.
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
            table = parquet.read().combine_chunks()
        except (OSError, pa.ArrowException) as reason:
            raise JobError.damaged(str(path), str(reason)) from None
    if table.schema != SCHEMA:
        raise JobError.damaged(str(path), "its columns are not those that batchframe writes")
    digest, number, absent, identity = map(_one_chunk, table.columns)
    if not _are_consistent(digest, number):
        raise JobError.damaged(str(path), "invalid request numbers")
    stored = (table.schema.metadata or {}).get(_CHECKSUM)
    checksum = None if stored is None else stored.decode(errors="replace")
    return Rows(digest, number.to_numpy().astype(np.int64), absent, identity, checksum)


def read_rows_of(record: Record) -> Rows:
    """Read the rows of a job, and check them against its manifest.

    Raises
    ------
    JobError
        If ``rows.parquet`` is missing or damaged.
    """
    path = record.folder.rows
    rows = read_rows(path)
    if len(rows.first_row) != record.manifest.requests:
        raise JobError.damaged(str(path), "its rows do not match the manifest")
    return rows


def _are_consistent(digest: pa.Array, number: pa.Array) -> bool:
    """Check that the request numbers are −1 or cover 0 to n − 1."""
    nameless = pc.and_(pc.greater_equal(number, 0), pc.is_null(digest))
    if number.null_count or pc.any(nameless).as_py():
        return False
    numbers = number.to_numpy()
    if numbers.min(initial=0) < -1 or numbers.max(initial=-1) >= len(numbers):
        return False
    return bool(np.bincount(numbers + 1)[1:].all())


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
