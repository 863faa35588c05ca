"""Image columns as URLs, in batches of rows to bound memory use."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from batchframe._base.errors import CellError, ColumnError, format_row
from batchframe._base.safe_text import SKIP
from batchframe._frames.image_options import ImageInput
from batchframe._frames.image_urls import image_sketch, image_url

MOST_BYTES: Final = 4 * 2**20
"""Characters of URLs per batch; a single row may exceed it."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ImageCells:
    """The cells of a frame that hold images.

    Attributes
    ----------
    cells
        The cells of each column.
    missing
        For each column, which rows hold no image.
    sketched
        Whether each image is replaced by a short URL of the same size in pixels, which suffices to
        count tokens.
    """

    options: ImageInput
    cells: tuple[Any, ...]
    missing: tuple[npt.NDArray[np.bool_], ...]
    sketched: bool = False

    def sketches(self) -> ImageCells:
        """Return the same cells, each image replaced by a blank one of its size."""
        return replace(self, sketched=True)

    def absent(self) -> pa.Array:
        """Name the missing image of each row; null where no image is missing."""
        reasons = np.full(len(self.missing[0]), None, dtype=object)
        for name, missing in reversed(list(zip(self.options.columns, self.missing, strict=True))):
            reasons[missing] = f"column {name!r} is missing"
        return pa.array(reasons, pa.string())

    def batches(
        self, rows: Rows, most: int, unreadable: dict[int, str]
    ) -> Iterator[tuple[Rows, pa.RecordBatch]]:
        """Yield batches of rows, with a column of URLs per image column.

        Parameters
        ----------
        most
            Maximum rows per batch.
        unreadable
            Collects the rows whose images cannot be sent, and why; the batches omit them.
        """
        sendable: list[int] = []
        urls: list[list[str | None]] = []
        size = 0
        for row in rows.tolist():
            try:
                row_urls = self._urls(row)
            except ValueError as reason:
                unreadable[row] = str(reason)
                continue
            sendable.append(row)
            urls.append(row_urls)
            size += sum(len(url) for url in row_urls if url)
            if size >= MOST_BYTES or len(sendable) == most:
                batch = self._batch(sendable, urls)
                # Cleared before the batch is used, so that its strings are not in memory twice.
                sendable, urls, size = [], [], 0
                yield batch
        if sendable:
            yield self._batch(sendable, urls)

    def _urls(self, row: int) -> list[str | None]:
        url_of: Callable[[Any, ImageInput], str] = image_sketch if self.sketched else image_url
        urls: list[str | None] = []
        columns = zip(self.options.columns, self.cells, self.missing, strict=True)
        for name, cells, missing in columns:
            try:
                urls.append(None if missing[row] else url_of(cells[row], self.options))
            except ValueError as reason:
                raise ValueError(f"column {name!r} {reason}") from None
        return urls

    def _batch(
        self, rows: Sequence[int], urls: Sequence[list[str | None]]
    ) -> tuple[Rows, pa.RecordBatch]:
        columns = [pa.array(column, pa.large_string()) for column in zip(*urls, strict=True)]
        names = [image_column(at) for at in range(len(columns))]
        return np.array(rows, np.int64), pa.RecordBatch.from_arrays(columns, names)


def image_column(position: int) -> str:
    """Name the URL column of the image column at a position."""
    return f"image.{position}"


def read_images(frame: pd.DataFrame, options: ImageInput) -> ImageCells:
    """Find the image columns, without reading any image.

    Raises
    ------
    ColumnError
        If a column is missing or its name is not unique.
    """
    labels = list(frame.columns)
    columns = [frame.iloc[:, column_position(name, labels)] for name in options.columns]
    return ImageCells(
        options,
        # The references are copied, so that later changes of the frame have no effect.
        tuple(column.array.copy() for column in columns),
        tuple(column.isna().to_numpy(dtype=bool) for column in columns),
    )


def column_position(name: str, labels: Sequence[Hashable]) -> int:
    """Find an image column.

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
    """Raise if any row's image cannot be sent.

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
            f"{len(unreadable):,} of {len(labels):,} rows have images that cannot be sent:\n"
            f"{chr(10).join(lines)}\n"
            "Supported: https: and data: URLs, bytes, PIL images, and paths below "
            'image_root="photos".',
            next_step="Fix: correct these cells, or set them to missing and pass " + SKIP + ".",
        )
