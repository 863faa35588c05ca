"""Integer codes for columns of labels.

Labels are compared with ``==``, so 5.0 in a column with missing values equals 5 in another column;
an ``Enum`` member is replaced by its value. Strings are not normalized.
"""

from __future__ import annotations

import enum
import itertools
import numbers
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from batchframe._base.errors import ColumnError, format_list, format_row, plain_scalar
from batchframe._frames.kinds import as_pandas

_P = ParamSpec("_P")
_T = TypeVar("_T")
Codes = npt.NDArray[np.int64]
MOST_LABELS: Final = 1000


@dataclass(frozen=True, eq=False)
class Labels:
    """Column of labels.

    Attributes
    ----------
    codes
        Index in `levels` of each row's label; −1 if missing.
    levels
        Labels, in the order of the categories or of appearance.
    is_category
        Whether the column is categorical, so that `levels` has all possible labels.
    """

    name: Hashable
    codes: Codes
    levels: tuple[Hashable, ...]
    is_category: bool

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of the labels: strings, numbers, booleans, or other type names."""
        return frozenset(map(_kind, self.levels))


def by_name(example: str) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Reject columns passed by position, since two are easily swapped."""

    def decorate(function: Callable[_P, _T]) -> Callable[_P, _T]:
        @wraps(function)
        def checked(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            if len(args) > 1:
                name = function.__name__
                raise ColumnError(
                    f"{name}(): columns are passed by name ({len(args) - 1} by position). Fix: "
                    f"{name}(df, {example})."
                )
            return function(*args, **kwargs)

        return checked

    return decorate


def read_frame(verb: str, frame: object) -> pd.DataFrame:
    """Return a frame, of any library that `join` accepts, as a DataFrame.

    Raises
    ------
    ColumnError
        If `frame` is of another type.
    """
    frame = as_pandas(frame)
    if not isinstance(frame, pd.DataFrame):
        raise ColumnError(
            f"{verb}(): not a DataFrame ({type(frame).__name__}). Fix: "
            f"{verb}(df.bf.join(job), ...)."
        )
    return frame


def column_of(frame: pd.DataFrame, name: Hashable) -> pd.Series:
    """Return a column by its name.

    With MultiIndex columns, the first level is enough if the others are empty.

    Raises
    ------
    ColumnError
        If the name is not hashable, or the frame has no such column, or more than one.
    """
    if not pd.api.types.is_hashable(name):
        raise ColumnError(
            f"column: not a column name ({type(name).__name__}). Fix: df.assign(truth=...), then "
            'truth="truth".'
        )
    candidates = {name, (name, *[""] * (frame.columns.nlevels - 1))}
    positions = [position for position, label in enumerate(frame.columns) if label in candidates]
    if not positions:
        raise ColumnError.not_there(name, list(frame.columns))
    if len(positions) > 1:
        raise ColumnError.several(name, positions)
    return frame.iloc[:, positions[0]]


def read_labels(frame: pd.DataFrame, name: Hashable) -> Labels:
    """Read a column of labels.

    Raises
    ------
    ColumnError
        If the frame has no such column, or more than one; if a cell is a list or other container.
    """
    cells = column_of(frame, name)
    is_category = isinstance(cells.dtype, pd.CategoricalDtype)
    if is_category:
        codes, values = cells.cat.codes.to_numpy(), cells.cat.categories
    else:
        if isinstance(cells.dtype, pd.ArrowDtype | pd.SparseDtype):
            cells = cells.astype(object)
        try:
            codes, values = pd.factorize(cells)
        except TypeError:
            raise _not_a_label(cells) from None
    plain = tuple(map(_plain, values.tolist()))
    return Labels(name, np.asarray(codes, dtype=np.int64), plain, is_category)


def _not_a_label(cells: pd.Series) -> ColumnError:
    position = [pd.api.types.is_hashable(cell) for cell in cells].index(False)
    kind = type(cells.iloc[position]).__name__
    label = cells.index[position]
    cells.name = plain_scalar(cells.name)
    return ColumnError(
        f"Column {cells.name!r}, {format_row(position, label)}: not a single label ({kind}). Fix: "
        f"df.explode({cells.name!r}) for one row per value, or df[{cells.name!r}].map(str)."
    )


def _plain(value: Any) -> Hashable:
    plain: Hashable = value.value if isinstance(value, enum.Enum) else value
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "booleans"
    if isinstance(value, str):
        return "strings"
    return "numbers" if isinstance(value, numbers.Number) else type(value).__name__


def together(columns: Sequence[Labels]) -> tuple[tuple[Hashable, ...], list[Codes]]:
    """Encode the labels of several columns with common codes.

    Returns
    -------
    All labels: categories in their order, then the other labels, sorted. And for each column the
    index of each row's label among them, −1 if it is missing.

    Raises
    ------
    ColumnError
        If the labels of two columns can never be equal, or there are too many labels.
    """
    for first, second in itertools.combinations(columns, 2):
        _refuse_other_kinds(first, second)
    declared = [value for column in columns if column.is_category for value in column.levels]
    free = {value for column in columns if not column.is_category for value in column.levels}
    labels = tuple(dict.fromkeys([*declared, *_sort(free)]))
    if len(labels) > MOST_LABELS:
        raise ColumnError(
            f"{len(labels):,} different values in {format_list([c.name for c in columns])}, but at "
            f'most {MOST_LABELS:,} labels are supported. Fix, for numbers: pd.cut(df["x"], 10).'
        )
    index = {label: number for number, label in enumerate(labels)}
    # The code −1 of a missing label selects the last element.
    mappings = [np.array([*(index[v] for v in c.levels), -1], dtype=np.int64) for c in columns]
    return labels, [mapping[c.codes] for mapping, c in zip(mappings, columns, strict=True)]


def _refuse_other_kinds(first: Labels, second: Labels) -> None:
    one, other = first.kinds, second.kinds
    # True equals 1 in Python, but comparing them most likely means a wrong column.
    confusing = {"booleans", "numbers"} <= one | other
    if one and other and (one.isdisjoint(other) or confusing):
        name = plain_scalar(first.name)
        raise ColumnError(
            f"Columns {name!r} ({' and '.join(sorted(one))}) and {plain_scalar(second.name)!r} "
            f"({' and '.join(sorted(other))}) can never be equal. Fix: convert one of them, for "
            f'example df[{name!r}].map({{1: "one"}}).'
        )


def _sort(values: set[Hashable]) -> list[Hashable]:
    by_kind: Any = lambda value: (_kind(value), value)  # noqa: E731 - two keys, side by side
    by_text: Any = lambda value: (_kind(value), repr(value))  # noqa: E731
    try:
        return sorted(values, key=by_kind)
    except TypeError:
        return sorted(values, key=by_text)


def name_for_none(labels: Sequence[Hashable]) -> str:
    """Return a name for missing labels that differs from every label.

    Examples
    --------
    >>> name_for_none(["yes", "no"]), name_for_none(["yes", "no answer"])
    ('no answer', '(no answer)')
    """
    name = "no answer"
    while name in labels:
        name = f"({name})"
    return name
