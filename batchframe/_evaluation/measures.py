"""Measures of agreement, and the papers that define them."""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
_QUANTILE: Final = NormalDist().inv_cdf(0.975)


def share(part: int, whole: int) -> float:
    """Return part / whole, NaN of nothing.

    Examples
    --------
    >>> share(3, 4), share(0, 0)
    (0.75, nan)
    """
    return part / whole if whole else math.nan


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share: its low and its high end.

    Unlike the interval of the schoolbooks (share ± 1.96 standard errors) it holds for few rows and
    near 0 and 1 too (Wilson, "Probable inference, the law of succession, and statistical
    inference", Journal of the American Statistical Association 22, 1927).

    Examples
    --------
    >>> [round(end, 4) for end in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    if of == 0:
        return math.nan, math.nan
    p, z2 = hits / of, _QUANTILE**2
    centre = (p + z2 / (2 * of)) / (1 + z2 / of)
    half = _QUANTILE / (1 + z2 / of) * math.sqrt(p * (1 - p) / of + z2 / (4 * of * of))
    # At both ends it is exactly 0 or 1, but for the last bit of the arithmetic.
    return (0.0 if hits == 0 else centre - half), (1.0 if hits == of else centre + half)


def cohens_kappa(table: Counts) -> float:
    """Return how far two raters agree beyond chance: 1 always, 0 as chance would have it.

    The share of equal labels p, and the share e that raters with these frequencies would reach by
    chance: (p − e) / (1 − e) (Cohen, "A coefficient of agreement for nominal scales", Educational
    and Psychological Measurement 20, 1960). NaN if both only ever gave one and the same label,
    since agreement is then certain by chance.

    Parameters
    ----------
    table
        How often the first gave the label of the row while the second gave that of the column.

    Examples
    --------
    >>> round(cohens_kappa(np.array([[20, 5], [10, 15]])), 4)
    0.4
    """
    rows = int(table.sum())
    if rows == 0:
        return math.nan
    by_chance = float(table.sum(axis=0) / rows @ (table.sum(axis=1) / rows))
    equal = float(np.trace(table)) / rows
    return math.nan if math.isclose(by_chance, 1) else (equal - by_chance) / (1 - by_chance)


def krippendorffs_alpha(codes: Counts) -> float:
    """Return how far any number of raters agree beyond chance, for labels without an order.

    1 − observed / expected disagreement; a row counts as far as it was rated, if by two at least
    (Hayes and Krippendorff, "Answering the call for a standard reliability measure for coding
    data", Communication Methods and Measures 1, 2007; Krippendorff, "Computing Krippendorff's
    alpha-reliability", 2011). NaN if no row was rated twice, or only one label was ever given.

    Parameters
    ----------
    codes
        One row a row, one column a rater: the number of the label; −1 where there is none.

    Examples
    --------
    >>> krippendorffs_alpha(np.array([[0, 0], [1, 1], [0, 1]]))
    0.4444444444444444
    """
    given = (codes >= 0).sum(axis=1)
    codes, given = codes[given > 1], given[given > 1]
    ratings = np.bincount(codes[codes >= 0]) if len(codes) else np.zeros(0, np.int64)
    total = int(ratings.sum())
    expected = total * (total - 1) - int((ratings * (ratings - 1)).sum())
    if expected == 0:
        return math.nan
    pairs = given * (given - 1)
    unequal = pairs - 2 * _equal_pairs(codes)
    return 1 - (total - 1) * float((unequal / (given - 1)).sum()) / expected


def _equal_pairs(codes: Counts) -> Counts:
    """Count, for each row, the pairs of raters who gave the same label."""
    equal = np.zeros(len(codes), dtype=np.int64)
    for first, second in itertools.combinations(codes.T, 2):
        equal += (first == second) & (first >= 0)
    return equal
