"""Bar charts of labels, statuses and cost."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import pandas as pd

from batchframe._api.job import Job
from batchframe._base.ranges import Range
from batchframe._display import format_range, money
from batchframe.plot import _canvas, tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH: Final = 5.0
_BAR: Final = 0.27
_FRAME: Final = 0.8
_ROOM_FOR_NUMBERS: Final = 1.15


def labels(source: Job | pd.DataFrame, column: str = "label", *, ax: Axes | None = None) -> Axes:
    """Draw a bar chart of the number of rows per label.

    Draws :func:`batchframe.plot.tables.labels`, which describes the parameters and the order.

    Parameters
    ----------
    ax
        Axes to draw on; by default those of a new figure. For many labels, pass tall axes.

    Raises
    ------
    ColumnError
        If the frame has no such column, or its values are not labels.
    ExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> frame = pd.DataFrame({"label": ["good", "bad", "good"]})
    >>> ax = labels(frame)
    >>> [text.get_text() for text in [*ax.get_yticklabels(), *ax.texts]]
    ['good', 'bad', '2', '1']
    """
    return _draw_rows(tables.labels(source, column), ax)


def statuses(
    source: Job | pd.DataFrame, column: str = "bf_status", *, ax: Axes | None = None
) -> Axes:
    """Draw a bar chart of the number of rows per status.

    Draws :func:`batchframe.plot.tables.statuses`, which describes the parameters.

    Parameters
    ----------
    ax
        Axes to draw on; by default those of a new figure.

    Raises
    ------
    ColumnError
        If the frame has no such column.
    ExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> frame = pd.DataFrame({"bf_status": ["ok", "failed", "ok"]})
    >>> [text.get_text() for text in statuses(frame).get_yticklabels()]
    ['ok', 'failed']
    """
    table = tables.statuses(source, column)
    colors = ["C0" if status == "ok" else "C1" for status in table.index]
    return _draw_rows(table, ax, colors)


def _draw_rows(table: pd.DataFrame, ax: Axes | None, colors: list[str] | None = None) -> Axes:
    names = [_canvas.label(name) for name in table.index]
    width = _WIDTH + _canvas.length(names)
    ax = _canvas.axes(ax, width, _FRAME + _BAR * max(len(table), 2))
    ax.set_title(_canvas.label(table.index.name), **_canvas.AS_IT_IS)
    if table.empty:
        return _canvas.draw_message(ax)
    positions, rows = range(len(table)), table["rows"].tolist()
    bars = ax.barh(positions, rows, color=colors or "C0")
    texts = [f"{number:,}" for number in rows]
    numbers = ax.bar_label(bars, texts, padding=3, color=_canvas.ink(ax))
    ax.set_yticks(positions, names, **_canvas.AS_IT_IS)
    room = _canvas.size(ax)[1] / len(table)
    _canvas.fit([*numbers, *ax.get_yticklabels()], room)
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.set_xlim(0, max(*rows, 1) * _ROOM_FOR_NUMBERS)
    ax.locator_params(axis="x", integer=True)
    ax.set_xlabel("rows")
    return _hide_frame(ax)


def _hide_frame(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def cost(job: Job, *, ax: Axes | None = None) -> Axes:
    """Draw the estimated and the actual cost of a job, in USD.

    Draws :func:`batchframe.plot.tables.cost`. The bar of the estimate shows the expected cost, or
    the lower bound if it is unknown; its line spans the lower and the upper bound.

    Parameters
    ----------
    ax
        Axes to draw on; by default those of a new figure.

    Raises
    ------
    ExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import batchframe as bf, batchframe.local
    >>> frame = pd.DataFrame({"text": ["fine", "poor"]})
    >>> with batchframe.local.serve() as server:
    ...     asked = frame.bf.requests("{{ text }}", model="gpt-6-luna", output=["+", "-"])
    ...     job = asked.submit(client=server.client()).wait()
    >>> cost(job).get_xlabel()
    'USD'
    """
    table = tables.cost(job)
    ax = _canvas.axes(ax, 6.4, 1.8)
    names = ["estimated", "actual" if job.done else "actual so far"]
    tick_labels = []
    for position, (low, expected, high) in enumerate(table.itertuples(index=False)):
        _draw_range(ax, position, low, expected, high)
        cost_text = format_range(None if low is None else Range(low, expected, high), money)
        tick_labels.append(f"{names[position]}\n{cost_text}")
    ax.set_yticks(range(len(table)), tick_labels, **_canvas.AS_IT_IS)
    ax.set_ylim(1.6, -0.6)
    ax.set_xlim(left=0)
    ax.locator_params(axis="x", nbins=5)
    if table.isna().all(axis=None):
        ax.set_xticks([0])
    ax.set_xlabel("USD")
    return _hide_frame(ax)


def _draw_range(
    ax: Axes, position: int, low: Decimal | None, expected: Decimal | None, high: Decimal | None
) -> None:
    length = low if expected is None else expected
    ax.barh(position, float(length or 0), color=f"C{position}", height=0.6)
    if low is not None and high is not None and low != high:
        bounds = [float(low), float(high)]
        ax.plot(bounds, [position] * 2, color=_canvas.ink(ax), marker="|", linewidth=1.5)
