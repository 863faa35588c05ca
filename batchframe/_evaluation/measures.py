"""Measures of agreement, with references."""

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
    """Return part / whole; NaN if `whole` is 0.

    Examples
    --------
    >>> share(3, 4), share(0, 0)
    (0.75, nan)
    """
    return part / whole if whole else math.nan


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return the bounds of the 95% Wilson score interval of a fraction.

    Unlike the normal approximation (± 1.96 standard errors), it is accurate for few rows and near
    0 and 1 (Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22, 1927).

    Examples
    --------
    >>> [round(end, 4) for end in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    if of == 0:
        return math.nan, math.nan
    p, z2 = hits / of, _QUANTILE**2
    center = (p + z2 / (2 * of)) / (1 + z2 / of)
    half = _QUANTILE / (1 + z2 / of) * math.sqrt(p * (1 - p) / of + z2 / (4 * of * of))
    # For no or only hits, the bound is exactly 0 or 1; floating point may be off by one bit.
    return (0.0 if hits == 0 else center - half), (1.0 if hits == of else center + half)


def cohens_kappa(table: Counts) -> float:
    """Return Cohen's kappa of two raters: 1 is perfect, 0 is chance.

    It is (p − e) / (1 − e), with the fraction p of equal labels and the fraction e expected by
    chance from the label frequencies (Cohen, "A coefficient of agreement for nominal scales",
    Educational and Psychological Measurement 20, 1960). NaN if both raters use a single label.

    Parameters
    ----------
    table
        Confusion matrix: labels of the first rater in rows, of the second in columns.

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
    """Return Krippendorff's alpha of any number of raters, for nominal labels.

    It is 1 − observed / expected disagreement, over the rows with at least two labels (Hayes and
    Krippendorff, "Answering the call for a standard reliability measure for coding data",
    Communication Methods and Measures 1, 2007; Krippendorff, "Computing Krippendorff's
    alpha-reliability", 2011). NaN if no row has two labels, or all labels are equal.

    Parameters
    ----------
    codes
        Codes of the labels, of shape (rows, raters); −1 for a missing label.

    Examples
    --------
    >>> krippendorffs_alpha(np.array([[0, 0], [1, 1], [0, 1]]))
    0.4444444444444444
    """
    counts = (codes >= 0).sum(axis=1)
    codes, counts = codes[counts > 1], counts[counts > 1]
    ratings = np.bincount(codes[codes >= 0]) if len(codes) else np.zeros(0, np.int64)
    total = int(ratings.sum())
    expected = total * (total - 1) - int((ratings * (ratings - 1)).sum())
    if expected == 0:
        return math.nan
    pairs = counts * (counts - 1)
    unequal = pairs - 2 * _equal_pairs(codes)
    return 1 - (total - 1) * float((unequal / (counts - 1)).sum()) / expected


def _equal_pairs(codes: Counts) -> Counts:
    """Count the pairs of raters with the same label, for each row."""
    equal = np.zeros(len(codes), dtype=np.int64)
    for first, second in itertools.combinations(codes.T, 2):
        equal += (first == second) & (first >= 0)
    return equal
