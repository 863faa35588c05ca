"""Answers against gold labels: right numbers, every row counted, or a clear error."""

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


def evaluated(gold: Any, given: Any) -> bf.Evaluation:
    return bf.evaluate(pd.DataFrame({"t": gold, "p": given}), truth="t", predicted="p")


def test_every_row_is_counted_once() -> None:
    found = bf.evaluate(frame(), truth="gold", predicted="label")
    assert (found.rows, found.no_truth, found.answered, found.unanswered) == (10, 1, 7, 2)
    assert found.correct == 5
    assert found.accuracy == 5 / 7
    assert found.accuracy_of_all == 5 / 9
    assert found.accuracy_interval == pytest.approx((0.35893, 0.91778), abs=1e-5)
    assert found.accuracy_of_all_interval == pytest.approx((0.26665, 0.81122), abs=1e-5)


def test_the_confusion_has_a_column_for_no_answer() -> None:
    table = bf.evaluate(frame(), truth="gold", predicted="label").confusion
    assert table.index.tolist() == ["a", "b", "c"]
    assert table.columns.tolist() == ["a", "b", "c", "no answer"]
    assert (table.index.name, table.columns.name) == ("gold", "label")
    assert table.to_numpy().tolist() == [[2, 1, 0, 1], [1, 2, 0, 0], [0, 0, 1, 1]]


def test_figures_by_class_are_those_worked_by_hand() -> None:
    by_class = bf.evaluate(frame(), truth="gold", predicted="label").per_class
    wanted = pd.DataFrame(
        {
            "precision": [2 / 3, 2 / 3, 1.0],
            "recall": [2 / 4, 2 / 3, 1 / 2],
            "f1": [4 / 7, 2 / 3, 2 / 3],
            "support": [4, 3, 2],
            "predicted": [3, 3, 1],
        },
        index=pd.Index(["a", "b", "c"], name="gold"),
    )
    pd.testing.assert_frame_equal(by_class, wanted, check_index_type=False)


def test_kappa_is_over_the_answered_rows() -> None:
    # Of 7 answers 5 are equal; by chance (3·3 + 3·3 + 1·1) / 49 = 19/49.
    found = bf.evaluate(frame(), truth="gold", predicted="label")
    assert found.kappa == pytest.approx((5 / 7 - 19 / 49) / (1 - 19 / 49))


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
    found = bf.evaluate(frame(bf_status=status), truth="gold", predicted="label")
    assert found.reasons == {"refused": 1, "expired": 1}
    assert "2 unanswered (1 refused, 1 expired)" in repr(found)


def test_an_answer_of_null_is_no_answer_but_no_failure() -> None:
    found = bf.evaluate(frame(bf_status=["ok"] * 10), truth="gold", predicted="label")
    assert found.reasons == {"no value": 2}


def test_a_second_jobs_answers_go_with_a_second_jobs_status() -> None:
    status = ["ok"] * 3 + ["failed"] + ["ok"] * 4 + ["failed", "ok"]
    both = frame(bf_status="ok").assign(label="a", second_label=GIVEN, second_bf_status=status)
    second = bf.evaluate(both, truth="gold", predicted="second_label")
    assert second.reasons == {"failed": 2}
    assert bf.evaluate(both, truth="gold", predicted="label").unanswered == 0


def test_a_gap_that_was_filled_is_not_taken_for_an_answer() -> None:
    status = ["ok"] * 3 + ["failed"] + ["ok"] * 4 + ["failed", "ok"]
    filled = frame(bf_status=status).fillna({"label": "a"})
    with pytest.raises(ColumnError, match="row 3, 'failed'"):
        filled.bf.evaluate(truth="gold", predicted="label")
    assert filled.bf.evaluate(truth="gold", predicted="label", status=None).answered == 9


def test_rows_from_elsewhere_have_no_status() -> None:
    mixed = pd.concat([frame(bf_status="ok").dropna(), frame()])
    with pytest.raises(ColumnError, match="'no status'"):
        mixed.bf.evaluate(truth="gold", predicted="label")


def test_a_status_of_any_name_can_be_given() -> None:
    source = frame(why=["ok"] * 3 + ["lost"] + ["ok"] * 4 + ["lost", "ok"])
    found = source.bf.evaluate(truth="gold", predicted="label", status="why")
    assert found.reasons == {"lost": 2}
    with pytest.raises(ColumnError, match=r"no column 'wyh'\. Did you mean 'why'"):
        source.bf.evaluate(truth="gold", predicted="label", status="wyh")


def test_the_answers_of_a_job_are_held_against_the_truth(
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
    found = reviews.bf.join(job).bf.evaluate(truth="gold", predicted="label")
    assert (found.rows, found.no_truth, found.answered, found.correct) == (6, 1, 4, 3)
    assert found.reasons == {"invalid": 1}
    assert found.disagreements["text"].tolist() == ["good two"]
    assert found.confusion.columns.tolist() == ["good", "bad", "mixed", "no answer"]


def test_categories_that_never_occur_are_there_with_nothing_to_divide() -> None:
    levels = ["c", "b", "a", "never"]
    found = bf.evaluate(frame(label=pd.Categorical(GIVEN, levels)), truth="gold", predicted="label")
    assert found.confusion.index.tolist() == levels
    never = found.per_class.loc["never"]
    assert never[["precision", "recall", "f1"]].isna().all()
    assert never["support"] == 0
    plain = bf.evaluate(frame(), truth="gold", predicted="label")
    assert found.kappa == pytest.approx(plain.kappa)


@pytest.mark.parametrize(
    ("gold", "given", "labels"),
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
    gold: Any, given: Any, labels: list[object]
) -> None:
    found = evaluated(pd.Series(gold), pd.Series(given))
    assert found.confusion.index.tolist() == labels
    assert [type(x) for x in found.confusion.index.tolist()] == [type(x) for x in labels]
    assert found.rows == found.no_truth + found.answered + found.unanswered == 3
    assert found.confusion.to_numpy().sum() == 3 - found.no_truth


def test_arrow_columns_are_read_as_any_other() -> None:
    for dtype in ("string[pyarrow]", pd.ArrowDtype(__import__("pyarrow").string())):
        found = evaluated(pd.array(["a", None], dtype), pd.array(["a", "b"], dtype))
        assert (found.correct, found.no_truth) == (1, 1)


def test_an_enum_member_is_its_value() -> None:
    tone = enum.Enum("tone", {"GOOD": "good", "BAD": "bad"})
    found = evaluated([tone.GOOD, tone.BAD], ["good", "good"])
    assert found.confusion.index.tolist() == ["bad", "good"]
    assert found.accuracy == 0.5


def test_a_truth_that_could_not_be_answered_is_wrong_and_said() -> None:
    given = pd.Categorical(["a", "a", "a", "b"], ["a", "b"])
    found = evaluated(["A", "a", "mixed", "b"], given)
    assert found.accuracy == 0.5
    assert "2 rows cannot be right: p does not have the categories 'A', 'mixed' of t." in repr(
        found
    )
    assert found.confusion.index.tolist() == ["a", "b", "A", "mixed"]


def test_a_label_called_no_answer_stays_a_label() -> None:
    found = evaluated(["no answer", "x"], ["no answer", None])
    assert found.confusion.columns.tolist() == ["no answer", "x", "(no answer)"]
    assert found.correct == 1


def test_no_rows_no_truth_and_no_answers_are_no_error() -> None:
    for gold, answers in (([], []), ([None, None], ["a", "b"]), (["a", "b"], [None, None])):
        found = evaluated(pd.Series(gold, dtype=object), pd.Series(answers, dtype=object))
        assert math.isnan(found.accuracy)
        assert math.isnan(found.kappa)
        assert "undefined" in repr(found)
        assert len(found.to_frame()) == 1
    assert found.accuracy_of_all == 0


def test_columns_of_one_name_matter_only_where_they_are_asked_for() -> None:
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
    found = deep.bf.evaluate(truth="gold", predicted=("label", ""))
    assert found.correct == 5


@pytest.mark.parametrize(
    ("gold", "given", "words"),
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
def test_labels_that_can_never_be_equal_are_refused(gold: Any, given: Any, words: str) -> None:
    with pytest.raises(ColumnError, match=words):
        evaluated(gold, given)


def test_texts_are_not_taken_for_labels() -> None:
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
    with pytest.raises(ColumnError, match=r"not a pandas DataFrame \(dict\)"):
        bf.evaluate({"gold": []}, truth="gold", predicted="label")  # type: ignore[arg-type]


def test_the_card_tells_what_was_counted() -> None:
    told = repr(frame().bf.evaluate(truth="gold", predicted="label"))
    for words in (
        "label against gold: 5 of 7 answers right",
        "10: 7 answered, 2 unanswered (2 no value), 1 without a truth",
        "71.4% (95% interval: 35.9% to 91.8%) of the answered",
        "55.6% (95% interval: 26.7% to 81.1%) of all with a truth",
        "evaluation.disagreements",
    ):
        assert words in told


def test_of_many_labels_the_card_shows_the_worst_and_escapes_all() -> None:
    names = [f"<b>{letter}</b>" for letter in "abcdefghijklmnop"]
    found = evaluated(names * 2, names[1:] + names[:1] + names)
    assert "the 12 of 16 labels with the lowest F1" in repr(found)
    assert "<b>" not in found._repr_html_()
    assert "&lt;b&gt;a" in found._repr_html_()


LABELS = st.sampled_from(["a", "b", "c", None])


@given(st.lists(st.tuples(LABELS, LABELS), max_size=30), st.randoms())
def test_counts_add_up_whatever_the_order(rows: list[tuple[Any, Any]], random: Any) -> None:
    source = pd.DataFrame(rows, columns=["t", "p"], dtype=object)
    found = source.bf.evaluate(truth="t", predicted="p")
    assert found.rows == found.no_truth + found.answered + found.unanswered
    assert found.correct + len(found.disagreements) == found.answered
    assert found.confusion.to_numpy().sum() == found.answered + found.unanswered
    assert found.per_class["support"].sum() == found.answered + found.unanswered
    assert found.correct == sum(t == p for t, p in rows if t is not None)
    shuffled = random.sample(range(len(rows)), len(rows))
    again = source.iloc[shuffled].bf.evaluate(truth="t", predicted="p")
    pd.testing.assert_frame_equal(again.confusion, found.confusion)


def test_it_agrees_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    random = np.random.default_rng(1927)
    gold = random.choice(list("abcde"), 500, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    given = np.where(random.random(500) < 0.7, gold, random.choice(list("abcde"), 500))
    found = evaluated(gold, given)
    labels = found.confusion.index.tolist()
    table = metrics.confusion_matrix(gold, given, labels=labels)
    assert (found.confusion.to_numpy()[:, :-1] == table).all()
    assert found.kappa == pytest.approx(metrics.cohen_kappa_score(gold, given))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(gold, given))
    wanted = metrics.precision_recall_fscore_support(gold, given, labels=labels)
    for name, figures in zip(("precision", "recall", "f1", "support"), wanted, strict=True):
        assert found.per_class[name].to_numpy() == pytest.approx(figures)
