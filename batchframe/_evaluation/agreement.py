"""Agreement between columns of labels."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from batchframe._base.errors import ColumnError, shorten
from batchframe._display import Card, CardRepr, Table, decimals, percent, plural, shortened
from batchframe._evaluation.labels import Codes, read_frame, read_labels, together
from batchframe._evaluation.measures import cohens_kappa, krippendorffs_alpha, share, wilson


@dataclass(frozen=True, repr=False, eq=False)
class Agreement(CardRepr):
    """Agreement between two or more columns of labels.

    Attributes
    ----------
    columns
        Compared columns.
    rows
        Number of rows in the frame.
    missing
        Number of missing labels in each column.
    compared
        Number of rows with at least two labels; other rows can neither agree nor disagree.
    complete
        Number of rows with a label in every column.
    all_agree
        Number of rows with the same label in every column.
    alpha
        Krippendorff's alpha of all columns, for nominal labels; NaN if undefined.
    pairs
        One row per pair: ``first``, ``second``, ``rows`` (rows with both labels), ``equal``,
        ``agreement`` (the fraction of equal labels), its 95% interval ``low`` and ``high`` (Wilson
        1927), and ``kappa`` (Cohen 1960).
    disagreements
        Rows with at least two different labels, with all columns of the frame.
    """

    columns: tuple[Hashable, ...]
    rows: int
    missing: Mapping[Hashable, int]
    compared: int
    complete: int
    all_agree: int
    alpha: float
    pairs: pd.DataFrame
    disagreements: pd.DataFrame

    @property
    def agreement(self) -> float:
        """Fraction of the complete rows with equal labels; NaN without such rows."""
        return share(self.all_agree, self.complete)

    def _card(self) -> Card:
        lacking = [f"{number:,} in {name}" for name, number in self.missing.items() if number]
        part, single = self.compared - self.complete, self.rows - self.compared
        parts = [f"{self.complete:,} labeled by all"]
        parts += [f"{part:,} by some"] if part else []
        parts += [f"{single:,} by fewer than two, not compared"] if single else []
        agree = f"{self.all_agree:,} of {self.complete:,} ({percent(self.agreement)})"
        return Card(
            title=f"Agreement of {len(self.columns)} columns on {plural(self.rows, 'row')}",
            facts=(
                ("rows", f"{self.rows:,}: {', '.join(parts)}"),
                ("no label", ", ".join(lacking) or "none"),
                ("all agree", agree),
                ("Krippendorff's alpha", decimals(self.alpha)),
            ),
            table=_pair_table(self.pairs),
            next_step="agreement.disagreements" if len(self.disagreements) else None,
        )


def _pair_table(pairs: pd.DataFrame) -> Table:
    rows = tuple(
        (
            f"{shortened(str(pair.first))} – {shortened(str(pair.second))}",
            f"{pair.rows:,}",
            percent(pair.agreement),
            decimals(pair.kappa),
        )
        for pair in pairs.itertuples(index=False)
    )
    return Table("by pair", ("", "rows", "equal", "Cohen's kappa"), rows)


def agreement(frame: Any, columns: Sequence[Hashable]) -> Agreement:
    """Measure the agreement between columns of labels.

    The columns may come from two models, or from two runs of one model. A pair of columns is
    compared on the rows with both labels. The measure for all columns is Krippendorff's alpha:
    unlike Fleiss' kappa, it allows missing labels, so rows with a refused or expired answer need
    not be dropped. Like kappa, alpha corrects for chance, and its values are comparable for any
    number of columns (Hayes and Krippendorff, "Answering the call for a standard reliability
    measure for coding data", 2007). Krippendorff recommends at least 0.8 for reliable labels.

    Parameters
    ----------
    frame
        Frame with the columns, such as one joined to two jobs, of any library that `join` accepts;
        it is not modified.
    columns
        Names of two or more columns. Missing values are counted, and do not form a label.

    Raises
    ------
    ColumnError
        If there are fewer than two columns; if a column is missing or a duplicate; if the labels of
        two columns can never be equal, such as strings and numbers; if there are more than 1,000
        labels.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "small": ["a", "b", "a", "b", None],
    ...     "large": ["a", "b", "b", "b", "a"],
    ...     "again": ["a", "b", "b", None, None],
    ... })
    >>> frame.bf.agreement(["small", "large", "again"])
    Agreement of 3 columns on 5 rows
      rows                  5: 3 labeled by all, 1 by some, 1 by fewer than two, not compared
      no label              1 in small, 2 in again
      all agree             2 of 3 (66.7%)
      Krippendorff's alpha  0.64
    <BLANKLINE>
      by pair
                     rows   equal  Cohen's kappa
      small – large     4   75.0%           0.50
      small – again     3   66.7%           0.40
      large – again     3  100.0%           1.00
    <BLANKLINE>
      next  agreement.disagreements
    >>> agreement(frame, ["small", "large"]).all_agree
    3
    """
    frame = read_frame("agreement", frame)
    names = _check_columns(columns)
    labels, codes = together([read_labels(frame, name) for name in names])
    ratings = np.column_stack(codes)
    counts = (ratings >= 0).sum(axis=1)
    first = ratings.max(axis=1)
    unequal = ((ratings >= 0) & (ratings != first[:, np.newaxis])).any(axis=1)
    complete = counts == len(names)
    return Agreement(
        columns=names,
        rows=len(frame),
        missing={name: int((code < 0).sum()) for name, code in zip(names, codes, strict=True)},
        compared=int((counts > 1).sum()),
        complete=int(complete.sum()),
        all_agree=int((complete & ~unequal).sum()),
        alpha=krippendorffs_alpha(ratings),
        pairs=_pairs(names, codes, len(labels)),
        disagreements=frame[unequal].copy(),
    )


def _check_columns(columns: Sequence[Hashable]) -> tuple[Hashable, ...]:
    is_list = pd.api.types.is_list_like(columns) and not isinstance(columns, str)
    names = tuple(columns) if is_list else ()
    if len(names) < 2:  # noqa: PLR2004 - agreement takes two
        raise ColumnError(
            f"columns: not a list of at least two columns ({shorten(repr(columns), 60)}). Fix: "
            'columns=["label", "second_label"].'
        )
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ColumnError.compared_with_itself(name)
    return names


def _pairs(names: Sequence[Hashable], codes: Sequence[Codes], size: int) -> pd.DataFrame:
    pairs = itertools.combinations(zip(names, codes, strict=True), 2)
    return pd.DataFrame(
        [
            {"first": first, "second": second, **_pair(codes1, codes2, size)}
            for (first, codes1), (second, codes2) in pairs
        ]
    )


def _pair(first: Codes, second: Codes, size: int) -> dict[str, float]:
    both = (first >= 0) & (second >= 0)
    table = np.bincount((first * size + second)[both], minlength=size * size).reshape(size, size)
    rows, equal = int(both.sum()), int(np.trace(table))
    figures = {"rows": rows, "equal": equal, "agreement": share(equal, rows)}
    low, high = wilson(equal, rows)
    return figures | {"low": low, "high": high, "kappa": cohens_kappa(table)}
