"""Heat map of a confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from batchframe._evaluation.evaluation import Evaluation
from batchframe.plot import _canvas, tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEW: Final = 12
_MANY: Final = 30
_MOST_POINTS: Final = 10.0
_DIGIT: Final = 0.62
_MAX_HORIZONTAL_WIDTH: Final = 1.1
_MAX_VERTICAL_LABEL: Final = 28
_TITLE: Final = 2.7
_TINT: Final = 0.3


def confusion(evaluation: Evaluation, *, ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix with the number of rows in each cell.

    Draws :func:`batchframe.plot.tables.confusion`: gold labels in rows, predictions in columns,
    and rows without an answer in the last column. The color shows a cell's fraction of the rows
    with its gold label, so that rare and frequent labels are equally readable. With more than 12
    labels, zeros are omitted.

    Parameters
    ----------
    ax
        Axes to draw on; by default those of a new figure, sized for the labels.

    Raises
    ------
    ExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import batchframe as bf
    >>> frame = pd.DataFrame({"gold": ["a", "a", "b"], "label": ["a", "b", "b"]})
    >>> ax = confusion(bf.evaluate(frame, truth="gold", predicted="label"))
    >>> [text.get_text() for text in ax.texts]
    ['1', '1', '0', '0', '1', '0']
    """
    table = tables.confusion(evaluation)
    names = _Names.of(table)
    is_new = ax is None
    ax = _canvas.axes(ax, *names.figure)
    if table.empty:
        return _canvas.draw_message(ax)
    counts = table.to_numpy()
    full = _canvas.rgb_of("C0")
    # A pale cell is a tint where the page is visible, so that no cell looks like a hole in it.
    empty = _canvas.paper(ax) * (1 - _TINT) + full * _TINT
    is_transparent = _canvas.is_transparent(ax)
    colors = _colors(counts, empty if is_transparent else _canvas.paper(ax), full)
    alpha = np.where(counts == 0, 0.0, 1.0)
    ax.imshow(np.dstack([colors, alpha]) if is_transparent else colors, aspect="auto")
    # A line separates the column without an answer from the labels.
    ax.axvline(len(table) - 0.5, color=_canvas.ink(ax), linewidth=0.8)
    width, height = _canvas.size(ax)
    cell = names.cell if is_new else (width / len(names.across), height / len(names.down))
    _write_names(ax, names, cell)
    _write_numbers(ax, counts, colors, cell)
    return ax


def _colors(
    counts: npt.NDArray[np.int64], empty: _canvas.RGB, full: _canvas.RGB
) -> npt.NDArray[np.float64]:
    """Mix two colors by each cell's fraction of its row."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    mix = shares[..., np.newaxis]
    return np.asarray(empty * (1 - mix) + full * mix)


@dataclass(frozen=True)
class _Names:
    """Axis and tick labels of a table, with their sizes in inches."""

    truth: str
    predicted: str
    down: list[str]
    across: list[str]

    @classmethod
    def of(cls, table: pd.DataFrame) -> _Names:
        truth, predicted = (_canvas.label(axis.name) for axis in (table.index, table.columns))
        down = [_canvas.label(name) for name in table.index]
        across = [_canvas.label(name, _MAX_VERTICAL_LABEL) for name in table.columns]
        return cls(truth, predicted, down, across)

    @property
    def cell(self) -> tuple[float, float]:
        """Width and height of a cell in a new figure."""
        size = len(self.across)
        side = 0.55 if size <= _FEW else 0.4 if size <= _MANY else 0.26
        width = _canvas.length(self.across) + 0.1
        return (max(side, width) if size <= _FEW and width <= _MAX_HORIZONTAL_WIDTH else side), side

    @property
    def figure(self) -> tuple[float, float]:
        """Width and height of a new figure."""
        width, height = self.cell
        label_height = _canvas.length(self.across) if self.upright(width) else 0.2
        return (
            0.6 + _canvas.length(self.down) + max(width * len(self.across), _TITLE),
            0.7 + label_height + height * max(len(self.down), 2),
        )

    def upright(self, width: float) -> bool:
        """Return whether the column labels are too long to be horizontal."""
        return _canvas.length(self.across) > width


def _write_names(ax: Axes, names: _Names, cell: tuple[float, float]) -> None:
    width, height = cell
    rotation = 90 if names.upright(width) else 0
    ax.set_xticks(range(len(names.across)), names.across, rotation=rotation, **_canvas.AS_IT_IS)
    ax.set_yticks(range(len(names.down)), names.down, **_canvas.AS_IT_IS)
    _canvas.fit(ax.get_xticklabels(), width if rotation else height)
    _canvas.fit(ax.get_yticklabels(), height)
    ax.tick_params(length=0)
    ax.set_xlabel(names.predicted, **_canvas.AS_IT_IS)
    ax.set_ylabel(names.truth, **_canvas.AS_IT_IS)
    ax.set_title("rows; color: fraction of the gold label's rows", fontsize="small")


def _write_numbers(
    ax: Axes,
    counts: npt.NDArray[np.int64],
    colors: npt.NDArray[np.float64],
    cell: tuple[float, float],
) -> None:
    width, height = (72 * inches for inches in cell)
    digits = len(f"{counts.max():,}")
    points = min(_MOST_POINTS, 0.6 * height, 0.9 * width / (_DIGIT * digits))
    for (row, column), number in np.ndenumerate(counts):
        if number or len(counts) <= _FEW:
            is_empty = not number and _canvas.is_transparent(ax)
            ink = _canvas.ink(ax) if is_empty else _canvas.readable_on(colors[row, column])
            ax.text(column, row, f"{number:,}", size=points, color=ink, ha="center", va="center")
