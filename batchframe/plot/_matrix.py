"""A heat map with numbers: confusion."""

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
_LYING: Final = 1.1
_LONGEST_UPRIGHT: Final = 28
_TITLE: Final = 2.7


def confusion(evaluation: Evaluation, *, ax: Axes | None = None) -> Axes:
    """Draw which truth was given which label: a cell's number is its rows.

    Draws :func:`batchframe.plot.tables.confusion`: truth down, predictions across, and at the right
    rows without an answer. A cell is the more coloured the larger its share of the rows of its
    truth, so that rare labels can be read as well as frequent ones. Beyond 12 labels zeros are left
    out.

    Parameters
    ----------
    ax
        The axes to draw on; by default those of a new figure that grows with the labels.

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
    own = ax is None
    ax = _canvas.axes(ax, *names.figure)
    if table.empty:
        return _canvas.say_empty(ax)
    counts = table.to_numpy()
    colours = _colours(counts, _canvas.paper(ax), _canvas.rgb_of("C0"))
    ax.imshow(colours, aspect="auto")
    # No answer is no label: a line sets it apart.
    ax.axvline(len(table) - 0.5, color=_canvas.ink(ax), linewidth=0.8)
    width, height = _canvas.size(ax)
    cell = names.cell if own else (width / len(names.across), height / len(names.down))
    _write_names(ax, names, cell)
    _write_numbers(ax, counts, colours, cell)
    return ax


def _colours(
    counts: npt.NDArray[np.int64], empty: _canvas.RGB, full: _canvas.RGB
) -> npt.NDArray[np.float64]:
    """Mix two colours by each cell's share of its row."""
    of = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, of, out=np.zeros(counts.shape), where=of > 0)[..., np.newaxis]
    return np.asarray(empty * (1 - shares) + full * shares)


@dataclass(frozen=True)
class _Names:
    """The words at the sides of a table, and the inches that they need."""

    truth: str
    predicted: str
    down: list[str]
    across: list[str]

    @classmethod
    def of(cls, table: pd.DataFrame) -> _Names:
        truth, predicted = (_canvas.label(axis.name) for axis in (table.index, table.columns))
        down = [_canvas.label(name) for name in table.index]
        across = [_canvas.label(name, _LONGEST_UPRIGHT) for name in table.columns]
        return cls(truth, predicted, down, across)

    @property
    def cell(self) -> tuple[float, float]:
        """The width and height of a cell on a figure of our own."""
        size = len(self.across)
        side = 0.55 if size <= _FEW else 0.4 if size <= _MANY else 0.26
        lying = _canvas.length(self.across) + 0.1
        return (max(side, lying) if size <= _FEW and lying <= _LYING else side), side

    @property
    def figure(self) -> tuple[float, float]:
        """The width and height of a figure of our own."""
        width, height = self.cell
        beneath = _canvas.length(self.across) if self.upright(width) else 0.2
        return (
            0.6 + _canvas.length(self.down) + max(width * len(self.across), _TITLE),
            0.7 + beneath + height * max(len(self.down), 2),
        )

    def upright(self, width: float) -> bool:
        """Whether the words beneath the columns are too long to lie."""
        return _canvas.length(self.across) > width


def _write_names(ax: Axes, names: _Names, cell: tuple[float, float]) -> None:
    width, height = cell
    turn = 90 if names.upright(width) else 0
    ax.set_xticks(range(len(names.across)), names.across, rotation=turn, **_canvas.AS_IT_IS)
    ax.set_yticks(range(len(names.down)), names.down, **_canvas.AS_IT_IS)
    _canvas.fit(ax.get_xticklabels(), width if turn else height)
    _canvas.fit(ax.get_yticklabels(), height)
    ax.tick_params(length=0)
    ax.set_xlabel(names.predicted, **_canvas.AS_IT_IS)
    ax.set_ylabel(names.truth, **_canvas.AS_IT_IS)
    ax.set_title("rows; colour: share of the truth's rows", fontsize="small")


def _write_numbers(
    ax: Axes,
    counts: npt.NDArray[np.int64],
    colours: npt.NDArray[np.float64],
    cell: tuple[float, float],
) -> None:
    width, height = (72 * inches for inches in cell)
    digits = len(f"{counts.max():,}")
    points = min(_MOST_POINTS, 0.6 * height, 0.9 * width / (_DIGIT * digits))
    for (row, column), number in np.ndenumerate(counts):
        if number or len(counts) <= _FEW:
            ink = _canvas.readable_on(colours[row, column])
            ax.text(column, row, f"{number:,}", size=points, color=ink, ha="center", va="center")
