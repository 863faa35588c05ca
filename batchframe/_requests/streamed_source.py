"""Stream rows from disk in blocks, so that they need not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.digests import Digests
from batchframe._base.errors import SourceError
from batchframe._base.progress import progress
from batchframe._frames.attached.columns import raise_if_unreadable
from batchframe._frames.tabular import Tabular, of_batches
from batchframe._recipe.slots import PROMPT
from batchframe._requests.source import Source, read_prompts


@dataclass(frozen=True, eq=False)
class StreamedSource:
    """The cells of the rows that the prompt uses, read on each pass.

    Attributes
    ----------
    absent
        For each row, the reason it has no prompt; null if it has one, and for all rows before
        :meth:`with_absent`.
    labels, identity
        As in :class:`Source`.
    """

    labels: pd.Index
    absent: pa.Array
    read: Callable[[], Iterator[Source]] = field(repr=False)
    identity: Digests | None = None
    is_sketched: bool = False

    def __len__(self) -> int:
        return len(self.absent)

    @property
    def may_change(self) -> bool:
        """Whether cells may change between reads."""
        return not self.is_sketched

    def sketched(self) -> StreamedSource:
        """Return the same rows with stubs of images and files, for counting."""
        return replace(self, is_sketched=True)

    def blocks(self) -> Iterator[tuple[int, Source]]:
        """Yield the start and source of each block."""
        start = 0
        for block in self.read():
            yield start, block.sketched() if self.is_sketched else block
            start += len(block)

    def with_absent(self, absent: pa.Array) -> StreamedSource:
        """Return the same rows with the reasons for missing prompts."""
        return replace(self, absent=pc.coalesce(self.absent, absent))

    def batches(
        self, chosen: npt.NDArray[np.bool_] | None = None
    ) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
        """Yield record batches, each with the positions of its rows."""
        for start, block in self.blocks():
            mask = None if chosen is None else chosen[start : start + len(block)]
            if mask is not None and not mask.any():
                continue
            unreadable: dict[int, str] = {}
            for rows, batch in block.batches(mask, unreadable):
                yield rows + start, batch
            raise_if_unreadable(
                {start + row: reason for row, reason in unreadable.items()}, self.labels
            )

    def checksum(self, render: object) -> None:
        """Return None: hashing the cells takes as long as rendering them."""

    def changed(self, row: int) -> SourceError:
        """Return the error for a row that has changed."""
        return SourceError(
            f"Row {row} of the source changed after the requests were made. Nothing was sent. Fix: "
            "make the requests again, and leave the file unchanged until submit() returns."
        )


def stream_prompts(rows: Tabular, prompt_of: Callable[[Mapping[Any, Any]], Any]) -> StreamedSource:
    """Call a prompt function on each row; store prompts in a temporary file.

    Raises
    ------
    TemplateError, CellError
        As in :func:`read_prompts`.
    """
    absent: list[pa.Array] = []
    identity: list[Digests] = []

    def record_batches(advance: Callable[[int], object]) -> Iterator[pa.RecordBatch]:
        for block in rows.blocks():
            source = read_prompts(block, prompt_of, advance)
            absent.append(source.absent)
            identity.extend([] if source.identity is None else [source.identity])
            yield from source.columns.to_batches()

    schema = pa.schema({PROMPT: pa.large_string()})
    with progress("calling the prompt function", len(rows), " rows") as advance:
        prompts = of_batches(schema, record_batches(advance))

    reasons = pa.concat_arrays(absent) if absent else pa.nulls(0, pa.string())

    def read() -> Iterator[Source]:
        for block in prompts.blocks():
            texts = pa.Table.from_batches([block.arrow])
            yield Source(texts, reasons.slice(block.start, len(texts)), block.frame.index)

    return StreamedSource(rows.index, reasons, read, np.concatenate(identity) if identity else None)
