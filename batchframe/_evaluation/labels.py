"""Columns of labels as numbers that can be compared.

Labels are the same if Python says they are equal, so 5.0 in a column that holds missing values too
is the 5 of another; an ``Enum`` member is its value. Texts are compared as they are.
"""

from __future__ import annotations

import difflib
import enum
import itertools
import numbers
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from batchframe._base.errors import ColumnError, format_list, format_row, plain_scalar

Codes = npt.NDArray[np.int64]
MOST_LABELS: Final = 1000


@dataclass(frozen=True, eq=False)
class Labels:
    """One column of labels.

    Attributes
    ----------
    codes
        For each row the place of its label in `levels`; −1 where it is missing.
    levels
        The labels: in the order of its categories, or as they appear.
    is_category
        Whether `levels` are all that could occur, and in an order that somebody chose.
    """

    name: Hashable
    codes: Codes
    levels: tuple[Hashable, ...]
    is_category: bool

    @property
    def kinds(self) -> frozenset[str]:
        """What the labels are: text, number, true or false, or the name of another type."""
        return frozenset(map(_kind, self.levels))


def check_frame(verb: str, frame: object) -> None:
    """Refuse what is no frame.

    Raises
    ------
    ColumnError
        If it is not a pandas DataFrame.
    """
    if not isinstance(frame, pd.DataFrame):
        raise ColumnError(
            f"{verb}() reads columns of a pandas DataFrame, and this is a {type(frame).__name__}. "
            "Join a job's answers to its frame first: labelled = df.bf.join(job)."
        )


def column_of(frame: pd.DataFrame, name: Hashable) -> pd.Series:
    """Return the one column of a name; where labels are tuples, its first level may be enough.

    Raises
    ------
    ColumnError
        If it is no name, or there is no such column, or more than one.
    """
    if not pd.api.types.is_hashable(name):
        raise ColumnError(
            f"A column is given by its name, and this is a {type(name).__name__}. Make it a column "
            'of the frame first: df.assign(truth=...), then truth="truth".'
        )
    wanted = {name, (name, *[""] * (frame.columns.nlevels - 1))}
    places = [place for place, label in enumerate(frame.columns) if label in wanted]
    if not places:
        there = [str(label) for label in frame.columns]
        near = difflib.get_close_matches(str(name), there, n=1)
        raise ColumnError.not_there(name, near, list(frame.columns))
    if len(places) > 1:
        raise ColumnError.several(name, places)
    return frame.iloc[:, places[0]]


def read_labels(frame: pd.DataFrame, name: Hashable) -> Labels:
    """Read one column of labels.

    Raises
    ------
    ColumnError
        If there is no such column, or more than one; or if a cell is a list or another container.
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
        f"Column {cells.name!r}, {format_row(position, label)}: the cell is a {kind}, and a label "
        f"is one value. Give each of its values a row: df.explode({cells.name!r}), or write it as "
        f"a text: df[{cells.name!r}].map(str)."
    )


def _plain(value: Any) -> Hashable:
    plain: Hashable = value.value if isinstance(value, enum.Enum) else value
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "True or False"
    if isinstance(value, str):
        return "texts"
    return "numbers" if isinstance(value, numbers.Number) else type(value).__name__


def together(columns: Sequence[Labels]) -> tuple[tuple[Hashable, ...], list[Codes]]:
    """Give the labels of several columns common numbers.

    Returns
    -------
    All labels: those of categories first, in their order, then the others, sorted. And for each
    column the place of each row's label among them, −1 where it is missing.

    Raises
    ------
    ColumnError
        If no label of one column could ever equal one of another, or there are too many.
    """
    for one, other in itertools.combinations(columns, 2):
        _refuse_other_kinds(one, other)
    declared = [value for column in columns if column.is_category for value in column.levels]
    free = {value for column in columns if not column.is_category for value in column.levels}
    labels = tuple(dict.fromkeys([*declared, *_in_order(free)]))
    if len(labels) > MOST_LABELS:
        raise ColumnError(
            f"There are {len(labels):,} different values in "
            f"{format_list([c.name for c in columns])}, and at most {MOST_LABELS:,} can be taken "
            'for labels. Are these texts or numbers? Make classes of them first: pd.cut(df["x"], '
            "bins=10)."
        )
    place = {label: number for number, label in enumerate(labels)}
    # The −1 of a missing label takes the last element.
    to_place = [np.array([*(place[v] for v in c.levels), -1], dtype=np.int64) for c in columns]
    return labels, [places[c.codes] for places, c in zip(to_place, columns, strict=True)]


def _refuse_other_kinds(first: Labels, second: Labels) -> None:
    one, other = first.kinds, second.kinds
    # True equals 1 in Python, but a user who compares them has most likely mixed up columns.
    confusing = {"True or False", "numbers"} <= one | other
    if one and other and (one.isdisjoint(other) or confusing):
        raise ColumnError(
            f"Column {plain_scalar(first.name)!r} holds {' and '.join(sorted(one))}, column "
            f"{plain_scalar(second.name)!r} holds {' and '.join(sorted(other))}: no label of one "
            "can equal one of the other. Write one as the other is written, for example "
            f'df[{plain_scalar(first.name)!r}].map({{1: "one"}}).'
        )


def _in_order(values: set[Hashable]) -> list[Hashable]:
    by_kind: Any = lambda value: (_kind(value), value)  # noqa: E731 - two keys, side by side
    by_text: Any = lambda value: (_kind(value), repr(value))  # noqa: E731
    try:
        return sorted(values, key=by_kind)
    except TypeError:
        return sorted(values, key=by_text)


def name_for_none(labels: Sequence[Hashable]) -> str:
    """Name what stands beside the labels for rows without one.

    Examples
    --------
    >>> name_for_none(["yes", "no"]), name_for_none(["yes", "no answer"])
    ('no answer', '(no answer)')
    """
    name = "no answer"
    while name in labels:
        name = f"({name})"
    return name
