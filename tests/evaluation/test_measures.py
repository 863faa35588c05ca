"""Formulas, compared with hand-computed and published values."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe._evaluation.measures import cohens_kappa, krippendorffs_alpha, wilson

# Krippendorff, "Computing Krippendorff's alpha-reliability", 2011: four observers, twelve units.
FOUR_OBSERVERS = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
TWO_OBSERVERS = """
0 1 0 0 0 0 0 0 1 0
1 1 1 0 0 1 0 0 0 0
"""


def codes(text: str) -> np.ndarray:
    return np.array(
        [
            [-1 if cell == "." else int(cell) for cell in line.split()]
            for line in text.split("\n")
            if line
        ]
    ).T


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    # By hand, with z² = 3.8415: at 8 of 10 the center is (0.8 + 0.19207) / 1.38415 = 0.71674 and
    # half the width 1.95996 / 1.38415 · √(0.016 + 0.0096037) = 0.22658.
    [
        (8, 10, 0.49016, 0.94332),
        (0, 10, 0.0, 0.27753),
        (10, 10, 0.72247, 1.0),
        (1, 2, 0.09453, 0.90547),
    ],
)
def test_the_interval_is_wilsons(hits: int, of: int, low: float, high: float) -> None:
    assert wilson(hits, of) == pytest.approx((low, high), abs=1e-5)


def test_a_share_of_zero_rows_is_undefined() -> None:
    assert all(math.isnan(end) for end in wilson(0, 0))
    assert math.isnan(cohens_kappa(np.zeros((3, 3), int)))
    assert math.isnan(krippendorffs_alpha(np.full((4, 2), -1)))


def test_kappa_is_cohens() -> None:
    # 70% equal; by chance 0.5 · 0.6 + 0.5 · 0.4 = 50%.
    assert cohens_kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)
    assert cohens_kappa(np.array([[0, 5], [5, 0]])) == pytest.approx(-1)
    assert cohens_kappa(np.array([[3, 0], [0, 4]])) == pytest.approx(1)


def test_kappa_of_a_single_label_is_undefined() -> None:
    assert math.isnan(cohens_kappa(np.array([[9, 0], [0, 0]])))
    assert math.isnan(krippendorffs_alpha(np.zeros((9, 2), int)))


def test_alpha_is_krippendorffs() -> None:
    assert krippendorffs_alpha(codes(FOUR_OBSERVERS)) == pytest.approx(113 / 152)
    assert krippendorffs_alpha(codes(TWO_OBSERVERS)) == pytest.approx(1 - 19 * 4 / (14 * 6))


def test_a_unit_with_one_rating_does_not_change_alpha() -> None:
    ratings = codes(FOUR_OBSERVERS)
    more = np.vstack([ratings, [[-1, -1, 3, -1], [-1, -1, -1, -1]]])
    assert krippendorffs_alpha(more) == krippendorffs_alpha(ratings)


def alpha_by_definition(units: list[list[int]]) -> Fraction | None:
    """Sum the coincidences pair by pair, as in the definition."""
    units = [[value for value in unit if value >= 0] for unit in units]
    units = [unit for unit in units if len(unit) > 1]
    values = [value for unit in units for value in unit]
    observed = sum(
        Fraction(int(one != other), len(unit) - 1)
        for unit in units
        for one, other in itertools.permutations(unit, 2)
    )
    expected = sum(one != other for one, other in itertools.permutations(values, 2))
    return 1 - observed * (len(values) - 1) / expected if expected else None


@given(st.integers(2, 4).flatmap(
    lambda raters: st.lists(
        st.lists(st.integers(-1, 3), min_size=raters, max_size=raters), min_size=1, max_size=12
    )
))  # fmt: skip
def test_alpha_matches_its_definition(units: list[list[int]]) -> None:
    expected = alpha_by_definition(units)
    alpha = krippendorffs_alpha(np.array(units))
    if expected is None:
        assert math.isnan(alpha)
    else:
        assert alpha == pytest.approx(float(expected))
