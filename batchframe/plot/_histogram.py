"""Histogram of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pandas as pd

from batchframe._api.job import Job
from batchframe._display import plural
from batchframe.plot import _canvas, tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIDES: Final = {"input": "C0", "output": "C1"}


def tokens(source: Job | pd.DataFrame, *, prefix: str = "", ax: Axes | None = None) -> Axes:
    """Draw histograms of the input and output tokens per row.

    Draws :func:`batchframe.plot.tables.tokens`, which describes the parameters and the bins. The
    token axis is logarithmic if the counts differ by more than a factor of 50.

    Parameters
    ----------
    ax
        Axes to draw on; by default those of a new figure.

    Raises
    ------
    ColumnError
        If the frame has no token counts: join with ``details=True``.
    ExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> frame = pd.DataFrame({"bf_input_tokens": [12, 12, 80], "bf_output_tokens": [4, 4, None]})
    >>> [text.get_text() for text in tokens(frame).get_legend().get_texts()]
    ['input (3 rows)', 'output (2 rows)']
    """
    table = tables.tokens(source, prefix=prefix)
    ax = _canvas.axes(ax, 6.4, 3.2)
    ax.set_title("tokens per row")
    if table.empty:
        return _canvas.draw_message(ax, "no answers with token counts")
    edges = [*table["at_least"], table["below"].iloc[-1]]
    for side, color in _SIDES.items():
        rows = table[f"{side}_tokens"]
        if rows.any():
            name = f"{side} ({plural(int(rows.sum()), 'row')})"
            ax.stairs(rows, edges, fill=True, color=color, alpha=0.65, label=name)
            ax.stairs(rows, edges, color=color)
    widths = table["below"] - table["at_least"]
    if widths.iloc[-1] > widths.iloc[0]:
        ax.set_xscale("symlog", linthresh=1, linscale=0.3)
        ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(bottom=0)
    ax.locator_params(axis="y", integer=True)
    ax.set_xlabel("tokens")
    ax.set_ylabel("rows")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, labelcolor=_canvas.ink(ax))
    return ax
