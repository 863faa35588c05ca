"""Evaluation of answers against gold labels."""

from __future__ import annotations

import enum
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchframe as bf
import batchframe.local
from batchframe.errors import ColumnError

GOLD = ["a", "a", "a", "a", "b", "b", "b", "c", "c", None]
GIVEN = ["a", "a", "b", None, "b", "b", "a", "c", None, "a"]


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"gold": GOLD, "label": GIVEN} | columns)


def evaluated(gold: Any, predicted: Any) -> bf.Evaluation:
    return bf.evaluate(pd.DataFrame({"t": gold, "p": predicted}), truth="t", predicted="p")


def test_every_row_is_counted_once() -> None:
    evaluation = bf.evaluate(frame(), truth="gold", predicted="label")
    assert (evaluation.rows, evaluation.no_truth, evaluation.answered, evaluation.unanswered) == (
        10,
        1,
        7,
        2,
    )
    assert evaluation.correct == 5
    assert evaluation.accuracy == 5 / 7
    assert evaluation.accuracy_of_all == 5 / 9
    assert evaluation.accuracy_interval == pytest.approx((0.35893, 0.91778), abs=1e-5)
    assert evaluation.accuracy_of_all_interval == pytest.approx((0.26665, 0.81122), abs=1e-5)


def test_the_confusion_has_a_column_for_no_answer() -> None:
    table = bf.evaluate(frame(), truth="gold", predicted="label").confusion
    assert table.index.tolist() == ["a", "b", "c"]
    assert table.columns.tolist() == ["a", "b", "c", "no answer"]
    assert (table.index.name, table.columns.name) == ("gold", "label")
    assert table.to_numpy().tolist() == [[2, 1, 0, 1], [1, 2, 0, 0], [0, 0, 1, 1]]


def test_figures_by_class_are_those_worked_by_hand() -> None:
    by_class = bf.evaluate(frame(), truth="gold", predicted="label").per_class
    expected = pd.DataFrame(
        {
            "precision": [2 / 3, 2 / 3, 1.0],
            "recall": [2 / 4, 2 / 3, 1 / 2],
            "f1": [4 / 7, 2 / 3, 2 / 3],
            "support": [4, 3, 2],
            "predicted": [3, 3, 1],
        },
        index=pd.Index(["a", "b", "c"], name="gold"),
    )
    pd.testing.assert_frame_equal(by_class, expected, check_index_type=False)


def test_kappa_is_over_the_answered_rows() -> None:
    # Of 7 answers 5 are equal; by chance (3·3 + 3·3 + 1·1) / 49 = 19/49.
    evaluation = bf.evaluate(frame(), truth="gold", predicted="label")
    assert evaluation.kappa == pytest.approx((5 / 7 - 19 / 49) / (1 - 19 / 49))


def test_disagreements_are_the_wrong_rows_with_all_their_columns() -> None:
    source = frame(text=[f"text {i}" for i in range(10)]).set_axis([7] * 10)
    wrong = source.bf.evaluate(truth="gold", predicted="label").disagreements
    pd.testing.assert_frame_equal(wrong, source.iloc[[2, 6]])
    wrong["text"] = "changed"
    assert "changed" not in set(source["text"])


def test_the_figures_make_a_row_of_a_table_of_models() -> None:
    row = bf.evaluate(frame(), truth="gold", predicted="label").to_frame()
    assert row.index.tolist() == ["label"]
    assert row["unanswered"].tolist() == [2]
    assert row["accuracy_of_all"].tolist() == [5 / 9]
    assert row.notna().all(axis=None)


def test_unanswered_rows_are_counted_by_their_status() -> None:
    status = ["ok", "ok", "ok", "refused", "ok", "ok", "ok", "ok", "expired", "ok"]
    evaluation = bf.evaluate(frame(bf_status=status), truth="gold", predicted="label")
    assert evaluation.reasons == {"refused": 1, "expired": 1}
    assert "2 unanswered (1 refused, 1 expired)" in repr(evaluation)


def test_a_null_answer_is_no_answer_but_not_a_failure() -> None:
    evaluation = bf.evaluate(frame(bf_status=["ok"] * 10), truth="gold", predicted="label")
    assert evaluation.reasons == {"no value": 2}


def test_answers_of_a_second_job_use_its_own_status() -> None:
    status = ["ok"] * 3 + ["failed"] + ["ok"] * 4 + ["failed", "ok"]
    both = frame(bf_status="ok").assign(label="a", second_label=GIVEN, second_bf_status=status)
    second = bf.evaluate(both, truth="gold", predicted="second_label")
    assert second.reasons == {"failed": 2}
    assert bf.evaluate(both, truth="gold", predicted="label").unanswered == 0


def test_a_filled_missing_value_is_not_an_answer() -> None:
    status = ["ok"] * 3 + ["failed"] + ["ok"] * 4 + ["failed", "ok"]
    filled = frame(bf_status=status).fillna({"label": "a"})
    with pytest.raises(ColumnError, match="row 3, 'failed'"):
        filled.bf.evaluate(truth="gold", predicted="label")
    assert filled.bf.evaluate(truth="gold", predicted="label", status=None).answered == 9


def test_rows_without_a_status_are_an_error_beside_rows_with_one() -> None:
    mixed = pd.concat([frame(bf_status="ok").dropna(), frame()])
    with pytest.raises(ColumnError, match="'no status'"):
        mixed.bf.evaluate(truth="gold", predicted="label")


def test_a_status_of_any_name_can_be_given() -> None:
    source = frame(why=["ok"] * 3 + ["lost"] + ["ok"] * 4 + ["lost", "ok"])
    evaluation = source.bf.evaluate(truth="gold", predicted="label", status="why")
    assert evaluation.reasons == {"lost": 2}
    with pytest.raises(ColumnError, match=r"no column 'wyh'\. Did you mean 'why'"):
        source.bf.evaluate(truth="gold", predicted="label", status="wyh")


def test_the_answers_of_a_job_are_compared_with_the_truth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reviews = pd.DataFrame({
        "text": ["good one", "bad one", "good two", "what is this", "bad two", "nothing"],
        "gold": ["good", "bad", "bad", "good", "bad", None],
    })  # fmt: skip

    def answer(body: dict[str, Any]) -> dict[str, str]:
        word = body["messages"][-1]["content"].split()[0]
        return {"label": word if word in {"good", "bad"} else "who knows"}

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with batchframe.local.serve(answer=answer) as server:
        requests = reviews.bf.requests("{{ text }}", model="m", output=["good", "bad", "mixed"])
        job = requests.submit(client=server.client()).wait()
    evaluation = reviews.bf.join(job).bf.evaluate(truth="gold", predicted="label")
    assert (evaluation.rows, evaluation.no_truth, evaluation.answered, evaluation.correct) == (
        6,
        1,
        4,
        3,
    )
    assert evaluation.reasons == {"invalid": 1}
    assert evaluation.disagreements["text"].tolist() == ["good two"]
    assert evaluation.confusion.columns.tolist() == ["good", "bad", "mixed", "no answer"]


def test_unused_categories_are_listed_with_undefined_shares() -> None:
    levels = ["c", "b", "a", "never"]
    evaluation = bf.evaluate(
        frame(label=pd.Categorical(GIVEN, levels)), truth="gold", predicted="label"
    )
    assert evaluation.confusion.index.tolist() == levels
    never = evaluation.per_class.loc["never"]
    assert never[["precision", "recall", "f1"]].isna().all()
    assert never["support"] == 0
    plain = bf.evaluate(frame(), truth="gold", predicted="label")
    assert evaluation.kappa == pytest.approx(plain.kappa)


@pytest.mark.parametrize(
    ("gold", "predicted", "labels"),
    [
        ([True, False, None], [True, True, False], [False, True]),
        ([1.0, 5.0, np.nan], pd.array([1, 4, 5], "Int64"), [1, 4, 5]),
        ([1, 10, 9], pd.Categorical([1, 10, 9], [10, 9, 1]), [10, 9, 1]),
        (["1", "10", "9"], ["1", "10", "9"], ["1", "10", "9"]),
        (pd.array(["x", "y", None], "string"), ["x", "x", "x"], ["x", "y"]),
        (pd.array([True, None, False], "boolean"), [True, True, True], [False, True]),
        (pd.Categorical(["x", "y", "x"]), pd.Categorical(["y", "y", "x"], ["y", "x"]), ["y", "x"]),
        ([("a", 1), ("b", 2), None], [("a", 1), ("a", 1), None], [("a", 1), ("b", 2)]),
        ([float("nan"), None, pd.NA], ["x", "y", "z"], ["x", "y", "z"]),
    ],
    ids=["bool", "number", "levels", "digits", "string", "boolean", "category", "tuple", "none"],
)  # fmt: skip
def test_labels_of_every_kind_keep_their_value_and_order(
    gold: Any, predicted: Any, labels: list[object]
) -> None:
    evaluation = evaluated(pd.Series(gold), pd.Series(predicted))
    assert evaluation.confusion.index.tolist() == labels
    assert [type(x) for x in evaluation.confusion.index.tolist()] == [type(x) for x in labels]
    assert evaluation.rows == evaluation.no_truth + evaluation.answered + evaluation.unanswered == 3
    assert evaluation.confusion.to_numpy().sum() == 3 - evaluation.no_truth


def test_arrow_columns_are_read_as_any_other() -> None:
    for dtype in ("string[pyarrow]", pd.ArrowDtype(__import__("pyarrow").string())):
        evaluation = evaluated(pd.array(["a", None], dtype), pd.array(["a", "b"], dtype))
        assert (evaluation.correct, evaluation.no_truth) == (1, 1)


def test_an_enum_member_is_its_value() -> None:
    tone = enum.Enum("tone", {"GOOD": "good", "BAD": "bad"})
    evaluation = evaluated([tone.GOOD, tone.BAD], ["good", "good"])
    assert evaluation.confusion.index.tolist() == ["bad", "good"]
    assert evaluation.accuracy == 0.5


def test_a_true_label_outside_the_answer_labels_counts_as_wrong_with_a_note() -> None:
    predicted = pd.Categorical(["a", "a", "a", "b"], ["a", "b"])
    evaluation = evaluated(["A", "a", "mixed", "b"], predicted)
    assert evaluation.accuracy == 0.5
    assert "2 rows cannot be right: p does not have the categories 'A', 'mixed' of t." in repr(
        evaluation
    )
    assert evaluation.confusion.index.tolist() == ["a", "b", "A", "mixed"]


def test_a_label_named_no_answer_stays_a_label() -> None:
    evaluation = evaluated(["no answer", "x"], ["no answer", None])
    assert evaluation.confusion.columns.tolist() == ["no answer", "x", "(no answer)"]
    assert evaluation.correct == 1


def test_empty_rows_truths_and_answers_are_not_an_error() -> None:
    for gold, answers in (([], []), ([None, None], ["a", "b"]), (["a", "b"], [None, None])):
        evaluation = evaluated(pd.Series(gold, dtype=object), pd.Series(answers, dtype=object))
        assert math.isnan(evaluation.accuracy)
        assert math.isnan(evaluation.kappa)
        assert "undefined" in repr(evaluation)
        assert len(evaluation.to_frame()) == 1
    assert evaluation.accuracy_of_all == 0


def test_duplicate_column_names_matter_only_if_used() -> None:
    twice = pd.concat([frame(), frame()[["gold"]], frame()[["label"]]], axis=1)
    with pytest.raises(ColumnError, match=r"2 columns are named 'gold' \(positions 0, 2\)"):
        twice.bf.evaluate(truth="gold", predicted="label")
    other = pd.concat(
        [frame(), pd.DataFrame({"x": range(10)}), pd.DataFrame({"x": range(10)})], axis=1
    )
    assert other.bf.evaluate(truth="gold", predicted="label").disagreements.shape == (2, 4)


def test_columns_of_several_levels_are_named_by_the_first() -> None:
    deep = frame()
    deep.columns = pd.MultiIndex.from_tuples([("gold", ""), ("label", "")])
    evaluation = deep.bf.evaluate(truth="gold", predicted=("label", ""))
    assert evaluation.correct == 5


@pytest.mark.parametrize(
    ("gold", "predicted", "fragment"),
    [
        ([1, 2], ["1", "2"], r"'p' \(strings\) and 't' \(numbers\)"),
        ([True, False], [1, 0], r"'p' \(numbers\) and 't' \(booleans\)"),
        (
            [1, 2],
            pd.Categorical([None, None], ["1", "2"]),
            r"'p' \(strings\) and 't' \(numbers\)",
        ),
        ([["a"], ["b"]], ["a", "b"], r"row 0: not a single label \(list\)"),
        (["a", "b"], ["a", {"b"}], r"row 1: not a single label \(set\)"),
    ],
)
def test_labels_that_can_never_be_equal_are_refused(
    gold: Any, predicted: Any, fragment: str
) -> None:
    with pytest.raises(ColumnError, match=fragment):
        evaluated(gold, predicted)


def test_more_than_1_000_labels_are_refused() -> None:
    texts = [f"answer {i}" for i in range(1001)]
    with pytest.raises(ColumnError, match="1,001 different values in 'p', 't'"):
        evaluated(texts, texts)


def test_wrong_arguments_say_what_to_do() -> None:
    with pytest.raises(ColumnError, match=r"no column 'lable'\. Did you mean 'label'"):
        frame().bf.evaluate(truth="gold", predicted="lable")
    with pytest.raises(ColumnError, match="compared with itself"):
        frame().bf.evaluate(truth="gold", predicted="gold")
    with pytest.raises(ColumnError, match=r"not a column name \(Series\)"):
        bf.evaluate(frame(), truth=frame()["gold"], predicted="label")
    with pytest.raises(ColumnError, match=r"not a DataFrame \(dict\)"):
        bf.evaluate({"gold": []}, truth="gold", predicted="label")  # type: ignore[arg-type]


def test_the_card_shows_what_was_counted() -> None:
    card = repr(frame().bf.evaluate(truth="gold", predicted="label"))
    for phrase in (
        "label against gold: 5 of 7 answers right",
        "10: 7 answered, 2 unanswered (2 no value), 1 without a gold label",
        "71.4% (95% interval: 35.9% to 91.8%) of the answered",
        "55.6% (95% interval: 26.7% to 81.1%) of all with a gold label",
        "evaluation.disagreements",
    ):
        assert phrase in card


def test_the_card_shows_the_worst_of_many_labels_and_escapes_all() -> None:
    names = [f"<b>{letter}</b>" for letter in "abcdefghijklmnop"]
    evaluation = evaluated(names * 2, names[1:] + names[:1] + names)
    assert "the 12 of 16 labels with the lowest F1" in repr(evaluation)
    assert "<b>" not in evaluation._repr_html_()
    assert "&lt;b&gt;a" in evaluation._repr_html_()


LABELS = st.sampled_from(["a", "b", "c", None])


@given(st.lists(st.tuples(LABELS, LABELS), max_size=30), st.randoms())
def test_counts_add_up_whatever_the_order(rows: list[tuple[Any, Any]], random: Any) -> None:
    source = pd.DataFrame(rows, columns=["t", "p"], dtype=object)
    evaluation = source.bf.evaluate(truth="t", predicted="p")
    assert evaluation.rows == evaluation.no_truth + evaluation.answered + evaluation.unanswered
    assert evaluation.correct + len(evaluation.disagreements) == evaluation.answered
    assert evaluation.confusion.to_numpy().sum() == evaluation.answered + evaluation.unanswered
    assert evaluation.per_class["support"].sum() == evaluation.answered + evaluation.unanswered
    assert evaluation.correct == sum(t == p for t, p in rows if t is not None)
    shuffled = random.sample(range(len(rows)), len(rows))
    again = source.iloc[shuffled].bf.evaluate(truth="t", predicted="p")
    pd.testing.assert_frame_equal(again.confusion, evaluation.confusion)


def test_it_agrees_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    random = np.random.default_rng(1927)
    gold = random.choice(list("abcde"), 500, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    predicted = np.where(random.random(500) < 0.7, gold, random.choice(list("abcde"), 500))
    evaluation = evaluated(gold, predicted)
    labels = evaluation.confusion.index.tolist()
    table = metrics.confusion_matrix(gold, predicted, labels=labels)
    assert (evaluation.confusion.to_numpy()[:, :-1] == table).all()
    assert evaluation.kappa == pytest.approx(metrics.cohen_kappa_score(gold, predicted))
    assert evaluation.accuracy == pytest.approx(metrics.accuracy_score(gold, predicted))
    expected = metrics.precision_recall_fscore_support(gold, predicted, labels=labels)
    for name, figures in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert evaluation.per_class[name].to_numpy() == pytest.approx(figures)
