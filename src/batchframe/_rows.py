"""``rows.parquet``: which request each row of the submitted frame asked.

In: a request table, once. Out: a frozen :class:`Rows`, from then on without the frame.
Must not know: templates, answers, the network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchframe._digests import ARROW, NONE, Digests, to_arrow
from batchframe._private import in_words, open_private, replacing
from batchframe._request_table import RequestTable
from batchframe.errors import JobError

SCHEMA: Final = pa.schema(
    {"digest": ARROW, "number": pa.int32(), "absent": pa.string(), "identity": ARROW}
)


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a job.

    Attributes
    ----------
    digest
        For each row, the digest of its request; null where it has none.
    number
        For each row, the number of its request; −1 where it has none.
    absent
        For each row, why it has no request; null where it has one.
    identity
        For each row, what `join` knows it by: the digest of its request, or of its cells where a
        function made the prompt.
    """

    digest: pa.Array
    number: npt.NDArray[np.int64]
    absent: pa.Array
    identity: pa.Array

    def __len__(self) -> int:
        return len(self.number)

    @cached_property
    def first_row(self) -> npt.NDArray[np.int64]:
        """For each request, the first row that asks it."""
        asked = np.flatnonzero(self.number >= 0)
        _, first = np.unique(self.number[asked], return_index=True)
        return asked[first]

    @cached_property
    def request_digest(self) -> pa.Array:
        """For each request, its digest."""
        return self.digest.take(pa.array(self.first_row))

    def why_absent(self, identity: Digests) -> pa.Array:
        """Return, for each identity, why the job had no request for it; null where it had."""
        absent = pa.array(np.flatnonzero(self.absent.is_valid().to_numpy(zero_copy_only=False)))
        known = self.identity.take(absent)
        return self.absent.take(absent).take(pc.index_in(to_arrow(identity), known))

    def find(self, identity: Digests) -> npt.NDArray[np.int64]:
        """Return, for each identity, the number of its request; −1 where the job has none.

        Where the job asked the same more than once, equal rows take its answers in turn.
        """
        asked = np.flatnonzero(self.number >= 0)
        order, starts, counts, distinct = _group(self.identity.take(pa.array(asked)))
        group = (
            pc.fill_null(pc.index_in(to_arrow(identity), distinct), -1).to_numpy().astype(np.int64)
        )
        found = np.full(len(group), -1, dtype=np.int64)
        hit = group >= 0
        turn = _occurrence(group)[hit] % counts[group[hit]]
        found[hit] = self.number[asked[order[starts[group[hit]] + turn]]]
        return found


def _group(
    keys: pa.Array,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], pa.Array]:
    """Order positions by key; say where each distinct key starts and how often it stands."""
    encoded = keys.dictionary_encode()
    codes = encoded.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=len(encoded.dictionary))
    return order, np.cumsum(counts) - counts, counts, encoded.dictionary


def _occurrence(group: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count how often each value stood before: [5, 7, 5] → [0, 0, 1]."""
    order = np.argsort(group, kind="stable")
    ranked = group[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(group) else order
    position = np.arange(len(group))
    occurrence = np.empty_like(position)
    occurrence[order] = position - np.repeat(starts, np.diff(np.r_[starts, len(group)]))
    return occurrence


def rows_of(table: RequestTable) -> Rows:
    """Keep what a later kernel needs to know of a request table's rows."""
    nothing, named = pa.scalar(None, ARROW), to_arrow(table.digest)
    digest = pc.if_else(pa.array(table.number < 0), nothing, named)
    if table.source.identity is None:
        # A row that is held back has no request, and is known again all the same.
        identity = pc.if_else(pc.equal(named, pa.scalar(NONE, ARROW)), nothing, named)
    else:
        identity = to_arrow(table.source.identity)
    return Rows(digest, table.number, table.source.absent, identity)


def follow(rows: Rows, table: RequestTable) -> Rows:
    """Return the rows of another frame that asks the same requests, with their numbers kept.

    The frame may be sorted otherwise, or repeat other rows: its requests are those of `rows`.
    """
    number = replace(rows, identity=rows.digest).find(table.digest)
    return replace(rows_of(table), number=number)


def write_rows(rows: Rows, path: Path) -> None:
    """Write ``rows.parquet``."""
    table = pa.table(
        {
            "digest": rows.digest,
            "number": pa.array(rows.number, pa.int32()),
            "absent": rows.absent,
            "identity": rows.identity,
        },
        schema=SCHEMA,
    )
    with replacing(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def read_rows(path: Path) -> Rows:
    """Read ``rows.parquet``.

    Raises
    ------
    JobError
        If it is absent or damaged.
    """
    with in_words(path), open_private(path) as file:
        try:
            table = pq.read_table(file, page_checksum_verification=True).combine_chunks()
        except (OSError, pa.ArrowException) as reason:
            raise JobError.damaged(str(path), str(reason)) from None
    if table.schema != SCHEMA:
        raise JobError.damaged(str(path), "it has other columns than batchframe writes")
    digest, number, absent, identity = map(_whole, table.columns)
    if not _is_whole(digest, number):
        raise JobError.damaged(str(path), "its rows name requests that it does not have")
    return Rows(digest, number.to_numpy().astype(np.int64), absent, identity)


def _is_whole(digest: pa.Array, number: pa.Array) -> bool:
    """Tell whether each row has the number of a request, all of them counted from 0, or −1."""
    if (
        number.null_count
        or pc.any(pc.and_(pc.greater_equal(number, 0), pc.is_null(digest))).as_py()
    ):
        return False
    distinct = np.unique(number.to_numpy())
    first = -1 if len(distinct) and distinct[0] < 0 else 0
    return bool(np.array_equal(distinct, np.arange(first, first + len(distinct))))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
