"""Compare columns of labels with each other."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from batchframe._base.errors import ColumnError, shorten
from batchframe._display import Card, CardRepr, Table, decimals, percent, plural, shortened
from batchframe._evaluation.labels import Codes, check_frame, read_labels, together
from batchframe._evaluation.measures import cohens_kappa, krippendorffs_alpha, share, wilson


@dataclass(frozen=True, repr=False, eq=False)
class Agreement(CardRepr):
    """How far several columns of labels agree.

    Attributes
    ----------
    columns
        The columns that were compared.
    rows
        All rows of the frame.
    missing
        How many rows have no label in each column.
    compared
        Rows with two labels or more: the others can neither agree nor disagree.
    complete
        Rows with a label in every column.
    all_agree
        Rows with a label in every column, and in each the same.
    alpha
        Krippendorff's alpha of all columns, for labels without an order; NaN where it is undefined.
    pairs
        One row a pair: ``first``, ``second``, ``rows`` (both have a label), ``equal``,
        ``agreement`` (the share of equal ones), its 95 % interval ``low`` and ``high`` (Wilson
        1927), and ``kappa`` (Cohen 1960).
    disagreements
        The rows with two different labels at least, with all their columns: to read.
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
        """The share of the complete rows on which all agree; NaN if there are none."""
        return share(self.all_agree, self.complete)

    def _card(self) -> Card:
        lacking = [f"{number:,} in {name}" for name, number in self.missing.items() if number]
        part, single = self.compared - self.complete, self.rows - self.compared
        parts = [f"{self.complete:,} labelled by all"]
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


def agreement(frame: pd.DataFrame, columns: Sequence[Hashable]) -> Agreement:
    """Compare columns of labels with each other: two models, or runs of one.

    Pairs are compared on the rows that both have labelled. Of all columns together it gives
    Krippendorff's alpha rather than Fleiss' kappa, which needs every row to be labelled equally
    often: with a refused or expired answer, rows would have to be dropped. Alpha takes each row
    with two labels at least for what it holds, allows for chance as kappa does, and means the same
    for two columns as for ten (Hayes and Krippendorff, "Answering the call for a standard
    reliability measure for coding data", 2007). Krippendorff asks for 0.8 before labels are relied
    upon.

    Parameters
    ----------
    frame
        Any frame with the columns, such as one that was joined to two jobs; it is not changed.
    columns
        Their names, two or more. A missing label is counted, and is no label of its own.

    Raises
    ------
    ColumnError
        If there are fewer than two columns, or one is not there, or there or given twice; if the
        labels of two could never be equal, as texts and numbers cannot; if there are more than
        1,000 labels.

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
      rows                  5: 3 labelled by all, 1 by some, 1 by fewer than two, not compared
      no label              1 in small, 2 in again
      all agree             2 of 3 (66.7 %)
      Krippendorff's alpha  0.64
    <BLANKLINE>
      by pair
                     rows    equal  Cohen's kappa
      small – large     4   75.0 %           0.50
      small – again     3   66.7 %           0.40
      large – again     3  100.0 %           1.00
    <BLANKLINE>
      next  agreement.disagreements
    >>> agreement(frame, ["small", "large"]).all_agree
    3
    """
    check_frame("agreement", frame)
    names = _checked(columns)
    labels, codes = together([read_labels(frame, name) for name in names])
    ratings = np.column_stack(codes)
    given = (ratings >= 0).sum(axis=1)
    first = ratings.max(axis=1)
    unequal = ((ratings >= 0) & (ratings != first[:, np.newaxis])).any(axis=1)
    complete = given == len(names)
    return Agreement(
        columns=names,
        rows=len(frame),
        missing={name: int((code < 0).sum()) for name, code in zip(names, codes, strict=True)},
        compared=int((given > 1).sum()),
        complete=int(complete.sum()),
        all_agree=int((complete & ~unequal).sum()),
        alpha=krippendorffs_alpha(ratings),
        pairs=_pairs(names, codes, len(labels)),
        disagreements=frame[unequal].copy(),
    )


def _checked(columns: Sequence[Hashable]) -> tuple[Hashable, ...]:
    if isinstance(columns, str) or not pd.api.types.is_list_like(columns):
        raise _too_few_to_agree_error(columns)
    names = tuple(columns)
    if len(names) < 2:  # noqa: PLR2004 - agreement takes two
        raise _too_few_to_agree_error(list(names))
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ColumnError.given_twice(name)
    return names


def _pairs(names: Sequence[Hashable], codes: Sequence[Codes], size: int) -> pd.DataFrame:
    pairs = itertools.combinations(zip(names, codes, strict=True), 2)
    return pd.DataFrame(
        [
            {"first": first, "second": second, **_pair(one, other, size)}
            for (first, one), (second, other) in pairs
        ]
    )


def _pair(one: Codes, other: Codes, size: int) -> dict[str, float]:
    both = (one >= 0) & (other >= 0)
    table = np.bincount((one * size + other)[both], minlength=size * size).reshape(size, size)
    rows, equal = int(both.sum()), int(np.trace(table))
    low, high = wilson(equal, rows)
    kappa = cohens_kappa(table)
    figures = {"rows": rows, "equal": equal, "agreement": share(equal, rows)}
    return figures | {"low": low, "high": high, "kappa": kappa}


def _too_few_to_agree_error(columns: object) -> ColumnError:
    return ColumnError(
        "agreement() compares two columns or more, and this is "
        f'{shorten(repr(columns), 60)}. Name them in a list: ["label", "second_label"].'
    )
