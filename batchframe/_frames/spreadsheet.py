"""Frames that spreadsheets open without running formulas."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from batchframe._base.errors import RequestError

# OWASP on CSV injection, 2025: these characters start a formula or hide one. Full-width signs are
# included, since some spreadsheets treat them as the ASCII ones.
_BEGINNINGS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def escape_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a copy that is safe to open in a spreadsheet.

    ``to_csv`` and ``to_excel`` write strings unchanged, and a spreadsheet runs a cell such as
    ``=HYPERLINK(...)`` as a formula, with the rights of the user who opens the file. A model's
    answers and your input strings may contain such cells: call this before you export them.

    Parameters
    ----------
    frame
        Any DataFrame; it is not modified.

    Returns
    -------
    A frame of the same shape. Strings that begin with ``=``, ``+``, ``-``, ``@``, a tab or a line
    break are prefixed with an apostrophe, which spreadsheets do not display; so are column and
    index labels. Numbers, dates and all other values are unchanged; a string such as "-3" is
    escaped.

    Raises
    ------
    RequestError
        If it is not a DataFrame.

    Examples
    --------
    >>> frame = pd.DataFrame({"text": ["=1+1", "fine"], "n": [-1, 2]})
    >>> frame.bf.escape_formulas()
        text  n
    0  '=1+1 -1
    1   fine  2
    >>> escape_formulas(frame.head(1)).columns.tolist()
    ['text', 'n']
    """
    if not isinstance(frame, pd.DataFrame):
        raise RequestError(
            f"frame: not a pandas DataFrame ({type(frame).__name__}). Fix: df.bf.escape_formulas()."
        )
    safe = frame.copy()
    for place in range(frame.shape[1]):
        column = frame.iloc[:, place]  # by position, since labels may repeat
        if _holds_formula(column.array):
            safe.isetitem(place, _escape_column(column))
    safe.index = _escape_labels(frame.index)
    safe.columns = _escape_labels(frame.columns)
    return safe


def _holds_formula(values: Any) -> bool:
    # Numeric, datetime and boolean columns are recognized by their dtype alone.
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biufcmM":
        return False
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.categories
    return any(isinstance(value, str) and value.startswith(_BEGINNINGS) for value in values)


def _escape_column(column: pd.Series) -> pd.Series:
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Series(list(map(_escape, column.array)), column.index, column.dtype)
    safe = list(map(_escape, column.cat.categories))
    if len(set(safe)) == len(safe):
        return column.cat.rename_categories(safe)
    # Two categories may become equal, if one of them already had an apostrophe.
    return column.astype(object).map(_escape, na_action="ignore").astype("category")


def _escape_labels(labels: pd.Index) -> pd.Index:
    """Escape labels and their names, leaving all others unchanged."""
    names = list(map(_escape, labels.names))
    if labels.nlevels > 1:
        if any(map(_holds_formula, labels.levels)):
            labels = pd.MultiIndex.from_tuples([tuple(map(_escape, label)) for label in labels])
        return labels.rename(names)
    if _holds_formula(labels):
        labels = pd.Index([_escape(label) for label in labels])
    return labels.rename(names[0])


def _escape(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_BEGINNINGS) else value
