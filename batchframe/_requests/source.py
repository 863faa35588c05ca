"""Read the cells that a prompt needs as Arrow text columns.

From here on a row is known by its position; the frame's index only names it in an error.
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
from batchframe._frames.cells import TEXT, text_column
from batchframe._frames.image_columns import ImageCells, raise_if_unreadable, read_images
from batchframe._frames.image_options import ImageInput
from batchframe._frames.tabular import Part
from batchframe._recipe.slots import PROMPT, column_name
from batchframe._recipe.template import Cell

_BATCH_ROWS: Final = 1_000
"""Few enough that a processor's cache holds what is made of them: with ten times as many, making
requests takes half as long again."""

_MOST_NAMED: Final = 5
_MARK: Final = "\ue000"


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

    @property
    def may_change(self) -> bool:
        """Whether another reading may find other cells: a file of an image is read each time."""
        return self.images is not None and not self.images.sketched

    def sketched(self) -> Source:
        """Return the same rows, each image a stub of its size."""
        return self if self.images is None else replace(self, images=self.images.sketches())

    def parts(self) -> Iterator[tuple[int, Source]]:
        """Yield the one part that this is, and where it starts."""
        yield 0, self

    def knowing(self, absent: pa.Array) -> Source:  # noqa: ARG002 - it knew
        """Return the same rows, told why some have no prompt."""
        return self

    def checksum(self, made: Callable[[pa.RecordBatch], list[bytes]]) -> str | None:
        """Name all cells at once: 64 hexadecimal digits; None where they may change.

        Only rows with the same texts in the same order, of which the same requests are made, have
        the same.

        Parameters
        ----------
        made
            Makes requests of cells. What it makes of a row whose texts are marks, in the order of
            the columns, tells where it puts each.
        """
        if self.images is not None or self.identity is not None:
            return None
        is_absent, why = pc.is_valid(self.absent).cast(TEXT), self.absent.cast(TEXT).fill_null("")
        names = self.columns.column_names
        marks = [pa.array([f"{_MARK}{place}{_MARK}"], TEXT) for place in range(len(names))]
        content = hashlib.sha256(made(pa.RecordBatch.from_arrays(marks, names))[0])
        for chunks in ([is_absent], [why], *(column.chunks for column in self.columns.columns)):
            _hash_texts(chunks, content.update)
        return content.hexdigest()

    def changed(self, row: int) -> CellError:
        """Return what to raise if a row is no longer what it was."""
        where = format_row(row, self.labels[row])
        return CellError(
            f"{where[0].upper()}{where[1:]}: an image is not what it was when the requests were "
            "made, so nothing was sent.",
            next_step=NextStep("Run the cell with df.bf.requests(...)", "Run the command")
            + " again.",
        )

    def batches(
        self, chosen: npt.NDArray[np.bool_] | None = None, unreadable: dict[int, str] | None = None
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
        for batch in self.columns.to_batches(max_chunksize=_BATCH_ROWS):
            rows = np.arange(start, start + batch.num_rows)
            start += batch.num_rows
            mask = None if chosen is None else chosen[rows]
            if mask is None or mask.all():
                yield rows, batch
            else:
                yield rows[mask], batch.filter(pa.array(mask))

    def _with_images(
        self,
        images: ImageCells,
        chosen: npt.NDArray[np.bool_] | None,
        unreadable: dict[int, str] | None,
    ) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
        wanted = np.arange(len(self)) if chosen is None else np.flatnonzero(chosen)
        reasons: dict[int, str] = {} if unreadable is None else unreadable
        for rows, urls in images.batches(wanted, _BATCH_ROWS, reasons):
            if unreadable is None:
                raise_if_unreadable(reasons, self.labels)
            names, columns = urls.schema.names, urls.columns
            if self.columns.num_columns:
                near = self.columns.slice(rows[0], rows[-1] - rows[0] + 1)
                texts = near.take(pa.array(rows - rows[0])).combine_chunks()
                names = [*texts.column_names, *names]
                columns = [*(column.combine_chunks() for column in texts.columns), *columns]
            yield rows, pa.RecordBatch.from_arrays(columns, names)
        if unreadable is None:
            raise_if_unreadable(reasons, self.labels)


def _hash_texts(chunks: Sequence[pa.Array], add: Callable[[Any], object]) -> None:
    """Add the length of each text, then all texts, the same however the column is chunked."""
    for chunk in chunks:
        add(pc.binary_length(chunk).to_numpy())
    for chunk in chunks:
        _, ends, texts = chunk.buffers()
        bounds = np.frombuffer(ends, np.int64)[[chunk.offset, chunk.offset + len(chunk)]]
        if texts is not None:
            add(memoryview(texts)[bounds[0] : bounds[1]])


def read_cells(
    part: Part, cells: Sequence[Cell], on_missing: str, images: ImageInput | None = None
) -> Source:
    """Read the cells that the templates use, and find those that hold images; at least one.

    Raises
    ------
    ColumnError
        If a column of images is not there.
    CellError
        If a cell has no exact text.
    """
    frame = part.frame
    image_cells = None if images is None else read_images(frame, images)
    columns: dict[str, pa.ChunkedArray] = {}
    absent = pa.nulls(len(frame), pa.string())
    for cell in dict.fromkeys(cells):
        texts = frame.iloc[:, cell.column]
        column = text_column(texts, as_json=cell.form == "json", first=part.start)
        if column.null_count:
            label = str(frame.columns[cell.column])
            first = pc.and_(pc.is_null(column).combine_chunks(), pc.is_null(absent))
            absent = pc.if_else(first, f"column {label!r} is missing", absent)
        columns[column_name(cell)] = pc.fill_null(column, _stand_in(on_missing, cell))
    if image_cells is not None:
        absent = pc.coalesce(absent, image_cells.absent())
    if on_missing not in {"raise", "skip"}:
        absent = pa.nulls(len(frame), pa.string())
    return Source(pa.table(columns), absent, frame.index, images=image_cells)


def _stand_in(on_missing: str, cell: Cell) -> pa.Scalar:
    text = "" if on_missing in {"raise", "skip", "empty"} else on_missing
    if cell.form == "json":
        text = msgspec.json.encode(text).decode() if text else "null"
    return pa.scalar(text, TEXT)


def raise_if_absent(absent: pa.Array, labels: pd.Index) -> None:
    """Refuse rows without a prompt.

    Raises
    ------
    CellError
        Naming the first of them.
    """
    positions = pc.indices_nonzero(pc.is_valid(absent)).to_numpy()
    if len(positions):
        lines = [
            f"  {format_row(row, labels[row])}: {absent[row].as_py()}"
            for row in positions[:_MOST_NAMED].tolist()
        ]
        if len(positions) > _MOST_NAMED:
            lines.append(f"  and {len(positions) - _MOST_NAMED:,} more")
        listed = "\n".join(lines)
        raise CellError(
            f"{len(positions):,} of {len(labels):,} rows cannot be asked:\n{listed}\n",
            next_step="Choose what happens to them: "
            + SKIP
            + " leaves them out (nothing sent, nothing billed), "
            + option_step("on_missing", '"empty"')
            + " asks with an empty text, and any other text, for example "
            + option_step("on_missing", '"(no text)"')
            + ", stands for what is missing.",
        )


def read_prompts(
    part: Part, prompt_of: Callable[[Mapping[Any, Any]], Any], advance: Callable[[int], object]
) -> Source:
    """Call a function once for each row and keep the prompt it made.

    Parameters
    ----------
    advance
        Told of each row that is done.

    Raises
    ------
    TemplateError
        If the function raises, naming the row.
    CellError
        If a cell has no exact text.
    ColumnError
        If two columns have one name.
    """
    frame = part.frame
    labels = list(frame.columns)
    # First, so that the function is not called for nothing.
    identity = row_identity(part, [str(label) for label in labels])
    # By column, because iterrows() turns integers into floats and itertuples() renames columns.
    columns = [frame.iloc[:, i] for i in range(len(labels))]
    encode = msgspec.json.Encoder().encode
    prompts: list[str] = []
    reasons: list[str | None] = []
    for position, cells in enumerate(_transpose(columns, len(frame))):
        try:
            prompt = prompt_of(dict(zip(labels, cells, strict=True)))
        except Exception as reason:  # the user's own code may raise anything
            row = part.start + position
            raise TemplateError(
                f"The prompt function failed at {format_row(row, frame.index[position])}: "
                f"{type(reason).__name__}: {str(reason).rstrip('.')}. Try it alone: "
                f"function(df.iloc[{row}].to_dict())."
            ) from reason
        reasons.append(None if prompt is not None else "the prompt function returned None")
        prompts.append(encode(prompt).decode())
        advance(1)
    table = pa.table({PROMPT: pa.array(prompts, TEXT)})
    return Source(table, pa.array(reasons, pa.string()), frame.index, identity)


def _transpose(columns: Sequence[Iterable[Any]], rows: int) -> Iterator[tuple[Any, ...]]:
    # A frame without columns has rows all the same.
    return zip(*columns, strict=True) if columns else itertools.repeat((), rows)


def row_identity(part: Part, columns: Sequence[str]) -> Digests:
    """Digest the cells of each row in the named columns.

    Raises
    ------
    ColumnError
        If a column is gone or no longer the only one of its name.
    CellError
        If a cell has no exact text.
    """
    frame = part.frame
    labels = [str(label) for label in frame.columns]
    for name in columns:
        if (there := labels.count(name)) != 1:
            state = f"{there} columns" if there else "no column"
            raise ColumnError(
                "Where a function makes the prompts, a row is known by its cells in all the "
                f"columns that the function could see, and this frame has {state} named {name!r}. "
                f"Use a frame with one column of each name. Columns: {format_list(labels)}."
            )
    try:
        texts = [
            text_column(frame.iloc[:, labels.index(name)], first=part.start).to_pylist()
            for name in columns
        ]
    except CellError as reason:
        raise CellError(
            f"{reason!s} Or keep such columns from the prompt function, "
            'df.drop(columns=["image"]).bf.requests(function, ...): a row is known by its cells in '
            "all the columns that the function could see."
        ) from None
    return digests_of(map(msgspec.json.Encoder().encode, _transpose(texts, len(frame))))
