"""Read the cells that a prompt uses as Arrow string columns.

Rows are identified by position; the frame's index is only used in error messages.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.digests import Digests, digests_of
from batchframe._base.errors import CellError, ColumnError, TemplateError, format_list, format_row
from batchframe._base.safe_text import SKIP, NextStep, option_step
from batchframe._frames.attached.columns import (
    Attached,
    AttachedCells,
    raise_if_unreadable,
    read_attached,
)
from batchframe._frames.cells import TEXT, text_column
from batchframe._frames.tabular import RowBlock
from batchframe._recipe.slots import PROMPT, column_name
from batchframe._recipe.template import Cell

_BATCH_ROWS: Final = 1_000
"""Small enough to fit in the CPU cache: ten times as many rows take 50% longer per request."""

_MOST_NAMED: Final = 5
_MARK: Final = "\ue000"


@dataclass(frozen=True, eq=False)
class Source:
    """The cells of the rows that the prompt uses.

    Attributes
    ----------
    columns
        One ``large_string`` column for each cell of the templates, without nulls.
    absent
        For each row, the reason it has no prompt; null if it has one.
    labels
        The frame's index, used in error messages only.
    identity
        With a prompt function: a digest of each row's cells, by which `join` matches the row.
    attached
        The cells with images or files, which are read only when a record batch needs them.
    """

    columns: pa.Table
    absent: pa.Array
    labels: pd.Index
    identity: Digests | None = None
    attached: AttachedCells | None = None

    def __len__(self) -> int:
        return len(self.absent)

    @property
    def may_change(self) -> bool:
        """Whether cells may change between reads, as files on disk may."""
        return self.attached is not None and not self.attached.sketched

    def sketched(self) -> Source:
        """Return the same rows with stubs of images and files, for counting."""
        return self if self.attached is None else replace(self, attached=self.attached.sketches())

    def blocks(self) -> Iterator[tuple[int, Source]]:
        """Yield this source as a single block, with its start."""
        yield 0, self

    def with_absent(self, absent: pa.Array) -> Source:  # noqa: ARG002 - `absent` is already set
        """Return the same rows with the reasons for missing prompts."""
        return self

    def checksum(self, render: Callable[[pa.RecordBatch], list[bytes]]) -> str | None:
        """Hash all cells as 64 hex digits; None if they may change.

        Checksums are equal only for the same strings in the same order that render to the same
        requests.

        Parameters
        ----------
        render
            Renders cells as requests. Its result for a row of markers identifies the position of
            each column.
        """
        if self.attached is not None or self.identity is not None:
            return None
        is_absent = pc.is_valid(self.absent).cast(TEXT)
        reasons = self.absent.cast(TEXT).fill_null("")
        names = self.columns.column_names
        marks = [pa.array([f"{_MARK}{place}{_MARK}"], TEXT) for place in range(len(names))]
        content = hashlib.sha256(render(pa.RecordBatch.from_arrays(marks, names))[0])
        for chunks in ([is_absent], [reasons], *(column.chunks for column in self.columns.columns)):
            _hash_texts(chunks, content.update)
        return content.hexdigest()

    def changed(self, row: int) -> CellError:
        """Return the error for a row that has changed."""
        return CellError(
            f"The image or file at {format_row(row, self.labels[row])} changed after the requests "
            "were made. Nothing was sent.",
            next_step=NextStep("Fix: run the cell with df.bf.requests(...)", "Fix: run the command")
            + " again.",
        )

    def batches(
        self, chosen: npt.NDArray[np.bool_] | None = None, unreadable: dict[int, str] | None = None
    ) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
        """Yield record batches, each with the positions of its rows.

        Parameters
        ----------
        chosen
            A mask of rows; None for all.
        unreadable
            Filled with the rows whose images or files cannot be sent and the reason; None raises
            instead.

        Raises
        ------
        CellError
            If images or files cannot be sent and `unreadable` is None.
        """
        if self.attached is not None:
            yield from self._with_attached(self.attached, chosen, unreadable)
            return
        start = 0
        for batch in self.columns.to_batches(max_chunksize=_BATCH_ROWS):
            rows = np.arange(start, start + batch.num_rows)
            start += batch.num_rows
            mask = None if chosen is None else chosen[rows]
            if mask is None or mask.all():
                yield rows, batch
            else:
                yield rows[mask], batch.filter(pa.array(mask))

    def _with_attached(
        self,
        attached: AttachedCells,
        chosen: npt.NDArray[np.bool_] | None,
        unreadable: dict[int, str] | None,
    ) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
        positions = np.arange(len(self)) if chosen is None else np.flatnonzero(chosen)
        reasons: dict[int, str] = {} if unreadable is None else unreadable
        for rows, strings in attached.batches(positions, _BATCH_ROWS, reasons):
            if unreadable is None:
                raise_if_unreadable(reasons, self.labels)
            names, columns = strings.schema.names, strings.columns
            if self.columns.num_columns:
                block = self.columns.slice(rows[0], rows[-1] - rows[0] + 1)
                texts = block.take(pa.array(rows - rows[0])).combine_chunks()
                names = [*texts.column_names, *names]
                columns = [*(column.combine_chunks() for column in texts.columns), *columns]
            yield rows, pa.RecordBatch.from_arrays(columns, names)
        if unreadable is None:
            raise_if_unreadable(reasons, self.labels)


def _hash_texts(chunks: Sequence[pa.Array], add: Callable[[Any], object]) -> None:
    """Hash the lengths, then the bytes, of strings; ignore chunking."""
    for chunk in chunks:
        add(pc.binary_length(chunk).to_numpy())
    for chunk in chunks:
        _, ends, texts = chunk.buffers()
        bounds = np.frombuffer(ends, np.int64)[[chunk.offset, chunk.offset + len(chunk)]]
        if texts is not None:
            add(memoryview(texts)[bounds[0] : bounds[1]])


def read_cells(
    block: RowBlock, cells: Sequence[Cell], on_missing: str, attached: Sequence[Attached] = ()
) -> Source:
    """Read the cells that the recipe uses; at least one.

    Raises
    ------
    ColumnError
        If a column of images or files is missing.
    CellError
        If a cell has no exact string representation.
    """
    frame = block.frame
    attached_cells = read_attached(frame, attached) if attached else None
    columns: dict[str, pa.ChunkedArray] = {}
    absent = pa.nulls(len(frame), pa.string())
    for cell in dict.fromkeys(cells):
        texts = frame.iloc[:, cell.column]
        column = text_column(texts, as_json=cell.form == "json", first=block.start)
        if column.null_count:
            label = str(frame.columns[cell.column])
            first = pc.and_(pc.is_null(column).combine_chunks(), pc.is_null(absent))
            absent = pc.if_else(first, f"column {label!r} is missing", absent)
        columns[column_name(cell)] = pc.fill_null(column, _replacement(on_missing, cell))
    if attached_cells is not None:
        absent = pc.coalesce(absent, attached_cells.absent())
    if on_missing not in {"raise", "skip"}:
        absent = pa.nulls(len(frame), pa.string())
    return Source(pa.table(columns), absent, frame.index, attached=attached_cells)


def _replacement(on_missing: str, cell: Cell) -> pa.Scalar:
    text = "" if on_missing in {"raise", "skip", "empty"} else on_missing
    if cell.form == "json":
        text = msgspec.json.encode(text).decode() if text else "null"
    return pa.scalar(text, TEXT)


def raise_if_absent(absent: pa.Array, labels: pd.Index) -> None:
    """Raise if any row has no prompt.

    Raises
    ------
    CellError
        If a row has no prompt; the message names the first of them.
    """
    positions = pc.indices_nonzero(pc.is_valid(absent)).to_numpy()
    if len(positions):
        lines = [
            f"  {format_row(row, labels[row])}: {absent[row].as_py()}"
            for row in positions[:_MOST_NAMED].tolist()
        ]
        if len(positions) > _MOST_NAMED:
            lines.append(f"  and {len(positions) - _MOST_NAMED:,} more")
        listing = "\n".join(lines)
        raise CellError(
            f"{len(positions):,} of {len(labels):,} rows have no prompt:\n{listing}\n",
            next_step="Fix: "
            + SKIP
            + " (these rows are not sent), "
            + option_step("on_missing", '"empty"')
            + ", or a replacement string, such as "
            + option_step("on_missing", '"(no text)"')
            + ".",
        )


def read_prompts(
    block: RowBlock, prompt_of: Callable[[Mapping[Any, Any]], Any], advance: Callable[[int], object]
) -> Source:
    """Call a prompt function on each row and store the prompts.

    Parameters
    ----------
    advance
        Called after each row.

    Raises
    ------
    TemplateError
        If the function raises; the message names the row.
    CellError
        If a cell has no exact string representation.
    ColumnError
        If two columns have the same name.
    """
    frame = block.frame
    labels = list(frame.columns)
    # Raises before the function is called.
    identity = row_identity(block, [str(label) for label in labels])
    # iterrows() turns integers into floats, and itertuples() renames columns.
    columns = [frame.iloc[:, i] for i in range(len(labels))]
    encoder = msgspec.json.Encoder().encode
    prompts: list[str] = []
    reasons: list[str | None] = []
    for position, cells in enumerate(_transpose(columns, len(frame))):
        try:
            prompt = prompt_of(dict(zip(labels, cells, strict=True)))
        except Exception as reason:  # the user's own code may raise anything
            row = block.start + position
            raise TemplateError(
                f"prompt: the function failed at {format_row(row, frame.index[position])}: "
                f"{type(reason).__name__}: {str(reason).rstrip('.')}. To reproduce: "
                f"function(df.iloc[{row}].to_dict())."
            ) from reason
        reasons.append(None if prompt is not None else "the prompt function returned None")
        prompts.append(encoder(prompt).decode())
        advance(1)
    table = pa.table({PROMPT: pa.array(prompts, TEXT)})
    return Source(table, pa.array(reasons, pa.string()), frame.index, identity)


def _transpose(columns: Sequence[Iterable[Any]], rows: int) -> Iterator[tuple[Any, ...]]:
    # zip() of no columns would drop the rows.
    return zip(*columns, strict=True) if columns else itertools.repeat((), rows)


def row_identity(block: RowBlock, columns: Sequence[str]) -> Digests:
    """Hash the cells of each row in the given columns.

    Raises
    ------
    ColumnError
        If a column is missing or its name is duplicated.
    CellError
        If a cell has no exact string representation.
    """
    frame = block.frame
    labels = [str(label) for label in frame.columns]
    for name in columns:
        if (count := labels.count(name)) != 1:
            problem = f"not unique ({count} times {name!r})" if count else f"missing ({name!r})"
            raise ColumnError(
                f"columns: {problem}; with a prompt function, rows are matched by all columns of "
                "the submitted frame. Fix: pass a frame with the same columns. Columns: "
                f"{format_list(labels)}."
            )
    texts = []
    for name in columns:
        try:
            column = text_column(frame.iloc[:, labels.index(name)], first=block.start)
        except CellError as reason:
            raise CellError(
                f"{reason!s} Or, if the function does not use it: "
                f"df.drop(columns=[{name!r}]).bf.requests(function, ...)."
            ) from None
        texts.append(column.to_pylist())
    return digests_of(map(msgspec.json.Encoder().encode, _transpose(texts, len(frame))))
