"""Agreement of two or more models."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import batchframe as bf
from batchframe.errors import ColumnError

RUNS = pd.DataFrame(
    {
        "text": list("tuvwxyz"),
        "one": ["a", "b", "a", "b", "a", None, None],
        "two": ["a", "b", "b", "b", "a", "b", None],
        "three": ["a", "b", "b", "a", None, None, "a"],
    }
)
NAMES = ["one", "two", "three"]


def test_rows_are_counted_by_how_many_labeled_them() -> None:
    agreement = bf.agreement(RUNS, NAMES)
    assert (agreement.rows, agreement.complete, agreement.compared) == (7, 4, 5)
    assert agreement.missing == {"one": 2, "two": 1, "three": 2}
    assert agreement.all_agree == 2
    assert agreement.agreement == 0.5


def test_disagreements_are_rows_with_two_different_labels() -> None:
    agreement = bf.agreement(RUNS, NAMES)
    pd.testing.assert_frame_equal(agreement.disagreements, RUNS.iloc[[2, 3]])


def test_pairs_are_compared_on_the_rows_that_both_have_labeled() -> None:
    pairs = bf.agreement(RUNS, NAMES).pairs
    assert pairs[["first", "second"]].to_numpy().tolist() == [
        ["one", "two"],
        ["one", "three"],
        ["two", "three"],
    ]
    assert pairs["rows"].tolist() == [5, 4, 4]
    assert pairs["equal"].tolist() == [4, 2, 3]
    assert pairs["agreement"].tolist() == [4 / 5, 2 / 4, 3 / 4]
    # By hand: one and two share (3·2 + 2·3) / 25 by chance, one and three a half, and two and
    # three, who gave a 1 and 2 times of 4, (1·2 + 3·2) / 16.
    by_chance = np.array([12 / 25, 1 / 2, 1 / 2])
    expected = (pairs["agreement"] - by_chance) / (1 - by_chance)
    assert pairs["kappa"].tolist() == pytest.approx(expected.tolist())
    assert (pairs["low"] < pairs["agreement"]).all()
    assert (pairs["agreement"] < pairs["high"]).all()


def test_alpha_matches_a_value_worked_by_hand() -> None:
    # 14 ratings on 5 rows, 7 a and 7 b; rows 2 and 3 have 4 unequal ordered pairs over 3 − 1 each.
    agreement = bf.agreement(RUNS, NAMES)
    assert agreement.alpha == pytest.approx(1 - (13 * 4) / (14 * 13 - 2 * 7 * 6))


def test_two_columns_have_both_kappa_and_alpha() -> None:
    agreement = RUNS.bf.agreement(["one", "two"])
    assert len(agreement.pairs) == 1
    assert agreement.complete == agreement.compared == 5
    assert 0 < agreement.alpha < 1


def test_levels_and_orders_of_categories_do_not_matter() -> None:
    typed = RUNS.assign(
        one=pd.Categorical(RUNS["one"], ["b", "a"]),
        two=pd.Categorical(RUNS["two"], ["a", "b", "c"]),
    )
    plain, agreement = bf.agreement(RUNS, NAMES), bf.agreement(typed, NAMES)
    assert agreement.alpha == plain.alpha
    pd.testing.assert_frame_equal(agreement.pairs, plain.pairs)


def test_nothing_to_compare_is_not_an_error() -> None:
    for source in (RUNS.iloc[:0], RUNS.assign(one=None, two=None)):
        agreement = bf.agreement(source, ["one", "two"])
        assert agreement.compared == 0
        assert math.isnan(agreement.alpha)
        assert math.isnan(agreement.agreement)
        assert "undefined" in repr(agreement)


def test_the_card_shows_what_was_counted() -> None:
    card = repr(bf.agreement(RUNS, NAMES))
    for phrase in (
        "Agreement of 3 columns on 7 rows",
        "7: 4 labeled by all, 1 by some, 2 by fewer than two, not compared",
        "2 in one, 1 in two, 2 in three",
        "2 of 4 (50.0%)",
        "one – two",
        "agreement.disagreements",
    ):
        assert phrase in card
    assert "<table" in bf.agreement(RUNS, NAMES)._repr_html_()


@pytest.mark.parametrize(
    ("columns", "fragment"),
    [
        ("one", r"at least two columns \('one'\)"),
        (["one"], r"at least two columns \(\['one'\]\)"),
        (["one", "two", "one"], "'one' would be compared with itself"),
        (["one", "tow"], "Did you mean 'two'"),
        (["one", ["two"]], r"not a column name \(list\)"),
    ],
)
def test_wrong_columns_say_what_to_do(columns: list[str], fragment: str) -> None:
    with pytest.raises(ColumnError, match=fragment):
        bf.agreement(RUNS, columns)


def test_columns_of_different_kinds_are_refused_in_any_order() -> None:
    source = RUNS.assign(two=None, three=1)
    with pytest.raises(ColumnError, match=r"'one' \(strings\) and 'three' \(numbers\)"):
        bf.agreement(source, NAMES)
    with pytest.raises(ColumnError, match=r"'two' \(strings\) and 'three' \(numbers\)"):
        bf.agreement(source.assign(one=None, two="a"), NAMES)
