"""DataFrame rendering for narrow terminals."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

import pandas as pd

from batchframe._display.format import plural, shortened

_FEWEST, _SHORT = 8, 20
"""Minimum length of a truncated string: always, and while optional columns remain."""
_GAP: Final = 2


def narrow_table(
    frame: pd.DataFrame,
    width: int,
    *,
    optional: Sequence[str],
    truncate: str,
    hidden: Sequence[str] = (),
) -> str:
    """Render a DataFrame within a width and list the omitted columns.

    Parameters
    ----------
    width
        Maximum line length, in characters.
    optional
        Columns to omit as needed, in order.
    hidden
        Further columns that the frame has not, and that are listed as omitted.
    truncate
        Column whose strings are truncated to the available width.

    Examples
    --------
    >>> frame = pd.DataFrame({"name": ["a long name"], "done": [7], "folder": ["/home/of/jobs"]})
    >>> print(narrow_table(frame, 24, optional=["folder"], truncate="name"))
              name  done
    0  a long name     7
    [1 row x 3 columns,
    not shown: folder]
    >>> print(narrow_table(frame, 19, optional=["folder"], truncate="name").splitlines()[1])
    0  a long n…     7
    """
    if _width(frame) < width and not hidden:
        return _text(frame)
    table = frame if _width(frame) < width else _shortened(frame, truncate, _SHORT)
    for column in optional:
        if _width(table) < width:
            break
        table = table.drop(columns=column, errors="ignore")
    room = width - 1 - _width(table.drop(columns=truncate, errors="ignore")) - _GAP
    text = _text(_shortened(frame[table.columns], truncate, max(_FEWEST, room)))
    omitted = [*(name for name in frame.columns if name not in table), *hidden]
    columns = len(frame.columns) + len(hidden)
    footer = f"{plural(len(frame), 'row')} x {plural(columns, 'column')}"
    if omitted:
        footer += f", not shown: {', '.join(omitted)}"
    return f"{text}\n{textwrap.fill(f'[{footer}]', width)}"


def _shortened(frame: pd.DataFrame, column: str, most: int) -> pd.DataFrame:
    if column not in frame:
        return frame
    return frame.assign(
        **{column: frame[column].map(lambda text: shortened(str(text), most), "ignore")}
    )


def _width(frame: pd.DataFrame) -> int:
    return max(map(len, _text(frame).splitlines()))


def _text(frame: pd.DataFrame) -> str:
    options = ("max_rows", "min_rows", "max_colwidth")
    text: str = frame.to_string(**{name: pd.get_option(f"display.{name}") for name in options})
    return text
