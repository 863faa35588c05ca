"""Images and files as strings, in batches of rows to bound memory use."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from batchframe._base.errors import CellError, ColumnError, format_row
from batchframe._base.safe_text import SKIP
from batchframe._frames.attached.options import FileInput, ImageInput
from batchframe._frames.attached.pdf_files import check_total, pdf_sketch, pdf_strings
from batchframe._frames.image_urls import image_sketch, image_url

MOST_BYTES: Final = 4 * 2**20
"""Characters of strings per batch; a single row may exceed it."""

Attached = ImageInput | FileInput

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class AttachedColumn:
    """A column of images or files.

    Attributes
    ----------
    name
        Its name in the frame.
    options
        How its cells are sent.
    targets
        The source columns that it fills; a cell fills one of them.
    cells
        Its cells.
    missing
        Boolean mask of the rows without a value.
    """

    name: str
    options: Attached
    targets: tuple[str, ...]
    cells: Any
    missing: npt.NDArray[np.bool_]

    def strings(self, row: int, *, sketched: bool) -> tuple[str | None, ...]:
        """Return the strings of a row, one for each target.

        Raises
        ------
        ValueError
            If the cell cannot be sent.
        """
        if self.missing[row]:
            return (None,) * len(self.targets)
        cell = self.cells[row]
        try:
            if isinstance(self.options, FileInput):
                return (pdf_sketch if sketched else pdf_strings)(cell, self.options)
            return ((image_sketch if sketched else image_url)(cell, self.options),)
        except ValueError as reason:
            raise ValueError(f"column {self.name!r} {reason}") from None


@dataclass(frozen=True, eq=False)
class AttachedCells:
    """The cells of a frame that hold images or files.

    Attributes
    ----------
    sketched
        Whether each image is replaced by a short URL of the same size in pixels, and each file by
        its number of pages, which suffices to count tokens.
    """

    columns: tuple[AttachedColumn, ...]
    sketched: bool = False

    def sketches(self) -> AttachedCells:
        """Return the same cells, replaced by stubs for counting."""
        return replace(self, sketched=True)

    def absent(self) -> pa.Array:
        """Name the missing cell of each row; null where none is missing."""
        reasons = np.full(len(self.columns[0].missing), None, dtype=object)
        for column in reversed(self.columns):
            reasons[column.missing] = f"column {column.name!r} is missing"
        return pa.array(reasons, pa.string())

    def batches(
        self, rows: Rows, most: int, unreadable: dict[int, str]
    ) -> Iterator[tuple[Rows, pa.RecordBatch]]:
        """Yield batches of rows, with the columns of strings.

        Parameters
        ----------
        most
            Maximum rows per batch.
        unreadable
            Collects the rows whose cells cannot be sent, and why; the batches omit them.
        """
        sendable: list[int] = []
        texts: list[list[str | None]] = []
        size = 0
        for row in rows.tolist():
            try:
                row_texts = self._strings(row)
            except ValueError as reason:
                unreadable[row] = str(reason)
                continue
            sendable.append(row)
            texts.append(row_texts)
            size += sum(len(text) for text in row_texts if text)
            if size >= MOST_BYTES or len(sendable) == most:
                batch = self._batch(sendable, texts)
                # Cleared before the batch is used, so that its strings are not in memory twice.
                sendable, texts, size = [], [], 0
                yield batch
        if sendable:
            yield self._batch(sendable, texts)

    def _strings(self, row: int) -> list[str | None]:
        texts: list[str | None] = []
        pdfs: list[str] = []
        for column in self.columns:
            strings = column.strings(row, sketched=self.sketched)
            texts += strings
            if isinstance(column.options, FileInput):
                pdfs += filter(None, strings[1:])
                check_total(pdfs)
        return texts

    def _batch(
        self, rows: Sequence[int], texts: Sequence[list[str | None]]
    ) -> tuple[Rows, pa.RecordBatch]:
        columns = [pa.array(column, pa.large_string()) for column in zip(*texts, strict=True)]
        names = [name for column in self.columns for name in column.targets]
        return np.array(rows, np.int64), pa.RecordBatch.from_arrays(columns, names)


def image_column(position: int) -> str:
    """Name the URL column of the image column at a position."""
    return f"image.{position}"


def file_columns(position: int) -> tuple[str, str]:
    """Name the columns with the URLs and the data of a file column."""
    return f"file.{position}.url", f"file.{position}.data"


def read_attached(frame: pd.DataFrame, attached: Sequence[Attached]) -> AttachedCells:
    """Find the columns of images and files, without reading any of them.

    Raises
    ------
    ColumnError
        If a column is missing or its name is not unique.
    """
    labels = list(frame.columns)
    columns = []
    for options in attached:
        for place, name in enumerate(options.columns):
            column = frame.iloc[:, column_position(name, labels)]
            is_file = isinstance(options, FileInput)
            targets = file_columns(place) if is_file else (image_column(place),)
            missing = column.isna().to_numpy(dtype=bool)
            # The references are copied, so that later changes of the frame have no effect.
            cells = column.array.copy()
            columns.append(AttachedColumn(name, options, targets, cells, missing))
    return AttachedCells(tuple(columns))


def column_position(name: str, labels: Sequence[Hashable]) -> int:
    """Find a column of images or files.

    Raises
    ------
    ColumnError
        If it is missing or its name is not unique.
    """
    names = [str(label) for label in labels]
    positions = [position for position, label in enumerate(names) if label == name]
    if not positions:
        raise ColumnError.not_there(name, names)
    if len(positions) > 1:
        raise ColumnError.several(name, positions)
    return positions[0]


def raise_if_unreadable(unreadable: dict[int, str], labels: pd.Index) -> None:
    """Raise if any row's image or file cannot be sent.

    Raises
    ------
    CellError
        For the first such row.
    """
    if unreadable:
        first = sorted(unreadable)[:5]
        lines = [f"  {format_row(row, labels[row])}: {unreadable[row]}" for row in first]
        if len(unreadable) > len(first):
            lines.append(f"  and {len(unreadable) - len(first):,} more")
        raise CellError(
            f"{len(unreadable):,} of {len(labels):,} rows have images or files that cannot be "
            f"sent:\n{chr(10).join(lines)}\n"
            "Supported: https: and data: URLs, bytes, PIL images, and paths below "
            'image_root="photos" or file_root="papers".',
            next_step="Fix: correct these cells, or set them to missing and pass " + SKIP + ".",
        )
