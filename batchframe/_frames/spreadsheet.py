"""Frames whose text no spreadsheet runs as a formula."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from batchframe._base.errors import RequestError

# OWASP on CSV injection, 2025: these begin a formula, or hide one from a careless look. The signs
# of full width count too, since some spreadsheets read them as the narrow ones.
_BEGINNINGS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def escape_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a new frame that is safe to open in a spreadsheet.

    ``to_csv`` and ``to_excel`` write text as it is, and a spreadsheet runs a cell such as
    ``=HYPERLINK(...)`` as a formula, with the rights of whoever opens the file. Answers of a model,
    and the texts it was asked about, may hold anything: call this before you export them.

    Parameters
    ----------
    frame
        Any frame; it is not changed.

    Returns
    -------
    A frame of the same shape. A text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line
    break has an apostrophe before it, which spreadsheets do not show; so have column labels and
    index labels. Numbers, dates and all other values are as they were, a text such as "-3" is not.

    Raises
    ------
    RequestError
        If it is no frame.

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
        raise RequestError.not_a_frame(frame)
    safe = frame.copy()
    for place in range(frame.shape[1]):
        column = frame.iloc[:, place]  # by position, since labels may repeat
        if _holds_formula(column.array):
            safe.isetitem(place, _escape_column(column))
    safe.index = _escape_labels(frame.index)
    safe.columns = _escape_labels(frame.columns)
    return safe


def _holds_formula(values: Any) -> bool:
    # Numbers, dates and truth values are looked at by their dtype alone.
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biufcmM":
        return False
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.categories
    return any(isinstance(value, str) and value.startswith(_BEGINNINGS) for value in values)


def _escape_column(column: pd.Series) -> pd.Series:
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Series(
            [_escape(value) for value in column.array], index=column.index, dtype=column.dtype
        )
    safe = list(map(_escape, column.cat.categories))
    if len(set(safe)) == len(safe):
        return column.cat.rename_categories(safe)
    # Two categories became one: one of them had its apostrophe already.
    return column.astype(object).map(_escape, na_action="ignore").astype("category")


def _escape_labels(labels: pd.Index) -> pd.Index:
    """Escape labels and the names that stand above them, leaving all others as they are."""
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
