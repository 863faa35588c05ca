"""The frame → the Arrow text columns that a prompt needs.

In: a pandas DataFrame and the cells that the templates use (or a function of a row). Out: a frozen
:class:`Source`: text columns without a null, and which rows have no prompt.
Must not know: models, endpoints, JSON lines.

From here on a row is known by its position; the frame's index only names it in an error.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._cells import TEXT, text_column
from batchframe._digests import Digests, digests_of
from batchframe._display import progress
from batchframe._image_cells import ImageCells, raise_if_unreadable, read_images
from batchframe._image_input import ImageInput
from batchframe._template import Cell
from batchframe.errors import CellError, ColumnError, TemplateError

BATCH_ROWS = 10_000
"""Rows rendered at a time: large enough for Arrow, small enough for the processor's cache."""

PROMPT = "prompt"
"""The column of a source whose prompts a function made: what each row asks, as JSON."""


@dataclass(frozen=True, eq=False)
class Source:
    """The rows, as far as the prompt needs them.

    Attributes
    ----------
    columns
        One ``large_string`` column for each cell of the templates, without nulls.
    absent
        For each row, why it has no prompt; null where it has one.
    labels
        The frame's index, to name a row in an error and for nothing else.
    identity
        Only where a function made the prompts: a digest of each row's cells, by which `join`
        knows the row again.
    images
        The cells that hold images, which stay as they are until a batch needs them.
    """

    columns: pa.Table
    absent: pa.Array
    labels: pd.Index
    identity: Digests | None = None
    images: ImageCells | None = None

    def __len__(self) -> int:
        return len(self.absent)

    def batches(
        self,
        chosen: npt.NDArray[np.bool_] | None = None,
        unreadable: dict[int, str] | None = None,
    ) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
        """Yield record batches, each with the positions of its rows.

        Parameters
        ----------
        chosen
            Which rows; None for all.
        unreadable
            Takes the rows whose images cannot be sent, and why; without it they are an error.

        Raises
        ------
        CellError
            For images that cannot be sent.
        """
        if self.images is not None:
            yield from self._with_images(self.images, chosen, unreadable)
            return
        start = 0
        for batch in self.columns.to_batches(max_chunksize=BATCH_ROWS):
            rows = np.arange(start, start + batch.num_rows)
            start += batch.num_rows
            here = None if chosen is None else chosen[rows]
            if here is None or here.all():
                yield rows, batch
            else:
                yield rows[here], batch.filter(pa.array(here))

    def _with_images(
        self,
        images: ImageCells,
        chosen: npt.NDArray[np.bool_] | None,
        unreadable: dict[int, str] | None,
    ) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
        wanted = np.arange(len(self)) if chosen is None else np.flatnonzero(chosen)
        found: dict[int, str] = {} if unreadable is None else unreadable
        for rows, urls in images.batches(wanted, BATCH_ROWS, found):
            if unreadable is None:
                raise_if_unreadable(found, self.labels)
            names, columns = urls.schema.names, urls.columns
            if self.columns.num_columns:
                near = self.columns.slice(rows[0], rows[-1] - rows[0] + 1)
                texts = near.take(pa.array(rows - rows[0])).combine_chunks()
                names = [*texts.column_names, *names]
                columns = [*[_whole(column) for column in texts.columns], *columns]
            yield rows, pa.RecordBatch.from_arrays(columns, names)
        if unreadable is None:
            raise_if_unreadable(found, self.labels)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def column_name(cell: Cell) -> str:
    """Name the source column that holds `cell`."""
    return f"{cell.column}.{cell.form}"


def read_cells(
    frame: pd.DataFrame, cells: Sequence[Cell], on_missing: str, images: ImageInput | None = None
) -> Source:
    """Read the cells that the templates use, and find those that hold images; at least one.

    Raises
    ------
    ColumnError
        If a column of images is not there.
    CellError
        If a cell has no exact text, or is missing under ``on_missing="raise"``.
    """
    pictures = None if images is None else read_images(frame, images)
    columns: dict[str, pa.ChunkedArray] = {}
    absent = pa.nulls(len(frame), pa.string())
    for cell in cells:
        name = column_name(cell)
        if name in columns:
            continue
        column = text_column(frame.iloc[:, cell.column], as_json=cell.form == "json")
        absent = _note_missing(absent, column, str(frame.columns[cell.column]))
        columns[name] = pc.fill_null(column, _stand_in(on_missing, cell))
    if pictures is not None:
        absent = pc.coalesce(absent, pictures.absent())
    if on_missing not in {"raise", "skip"}:
        absent = pa.nulls(len(frame), pa.string())
    elif on_missing == "raise":
        _raise_if_absent(frame, absent)
    return Source(pa.table(columns), absent, frame.index, images=pictures)


def _note_missing(absent: pa.Array, column: pa.ChunkedArray, label: str) -> pa.Array:
    if column.null_count == 0:
        return absent
    here = pc.is_null(column).combine_chunks()
    return pc.if_else(pc.and_(here, pc.is_null(absent)), f"column {label!r} is missing", absent)


def _stand_in(on_missing: str, cell: Cell) -> pa.Scalar:
    text = "" if on_missing in {"raise", "skip", "empty"} else on_missing
    if cell.form == "json":
        text = msgspec.json.encode(text).decode() if text else "null"
    return pa.scalar(text, TEXT)


def _raise_if_absent(frame: pd.DataFrame, absent: pa.Array) -> None:
    positions = pc.indices_nonzero(pc.is_valid(absent)).to_numpy()
    if len(positions):
        reasons = absent.take(pa.array(positions[:5])).to_pylist()
        labels = [frame.index[i] for i in positions[:5]]
        raise CellError.missing(len(positions), len(frame), positions[:5].tolist(), labels, reasons)


def read_prompts(
    frame: pd.DataFrame,
    prompt_of: Callable[[Mapping[Any, Any]], Any],
    on_missing: str,
) -> Source:
    """Call a function once for each row and keep the prompt it made.

    Raises
    ------
    TemplateError
        If the function raises, naming the row, or if `on_missing` would need a template's cells.
    CellError
        If it returns None under ``on_missing="raise"``, or a cell has no exact text.
    ColumnError
        If two columns have one name.
    """
    if on_missing not in {"raise", "skip"}:
        raise TemplateError.function_with_stand_in(on_missing)
    labels = [str(label) for label in frame.columns]
    # First, so that the function is not called for nothing.
    identity = row_identity(frame, labels)
    encode = msgspec.json.Encoder().encode
    prompts: list[str] = []
    reasons: list[str | None] = []
    with progress("calling the prompt function", len(frame), " rows") as advance:
        for position, row in enumerate(_rows(frame)):
            prompt = _call(prompt_of, row, position, frame)
            reasons.append(None if prompt is not None else "the prompt function returned None")
            prompts.append(encode(prompt).decode())
            advance(1)
    absent = pa.array(reasons, pa.string())
    if on_missing == "raise":
        _raise_if_absent(frame, absent)
    columns = pa.table({PROMPT: pa.array(prompts, TEXT)})
    return Source(columns, absent, frame.index, identity)


def _rows(frame: pd.DataFrame) -> Iterator[dict[Any, Any]]:
    # By column, because iterrows() turns integers into floats and itertuples() renames columns.
    labels = list(frame.columns)
    columns = [frame.iloc[:, i] for i in range(len(labels))]
    for values in _across(columns, len(frame)):
        yield dict(zip(labels, values, strict=True))


def _across(columns: Sequence[Iterable[Any]], rows: int) -> Iterator[tuple[Any, ...]]:
    # A frame without columns has rows all the same.
    return zip(*columns, strict=True) if columns else itertools.repeat((), rows)


def _call(
    prompt_of: Callable[[Mapping[Any, Any]], Any],
    row: Mapping[Any, Any],
    position: int,
    frame: pd.DataFrame,
) -> Any:
    try:
        return prompt_of(row)
    except Exception as reason:  # the user's own code may raise anything
        raise TemplateError.function_failed(position, frame.index[position], reason) from reason


def row_identity(frame: pd.DataFrame, columns: Sequence[str]) -> Digests:
    """Digest the cells of each row in the named columns.

    Raises
    ------
    ColumnError
        If a column is gone or no longer the only one of its name.
    CellError
        If a cell has no exact text.
    """
    labels = [str(label) for label in frame.columns]
    for name in columns:
        if labels.count(name) != 1:
            raise ColumnError.not_the_same(name, labels)
    try:
        texts = [text_column(frame.iloc[:, labels.index(name)]).to_pylist() for name in columns]
    except CellError as reason:
        raise CellError.seen_by_function(str(reason)) from None
    return digests_of(map(msgspec.json.Encoder().encode, _across(texts, len(frame))))
