"""Answers find their rows by content, however the frame has changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batchframe as bf
import batchframe.local
from batchframe.errors import ColumnError, RequestError, TemplateError
from tests.support.examples import examples

TEXTS = ["lovely", "broken", "fine", "broken", None, "é\u2028{{ n }}", "odd", ""]
LEVELS = ["good", "bad", "unused"]
NEW = ["label", "bf_status", "bf_error"]
DETAILS = {
    "bf_custom_id": "text",
    "bf_input_tokens": "Int64",
    "bf_output_tokens": "Int64",
    "bf_cached_tokens": "Int64",
    "bf_cache_write_tokens": "Int64",
    "bf_reasoning_tokens": "Int64",
    "bf_cost": "object",
    "bf_finish_reason": "text",
    "bf_reasoning": "text",
    "bf_raw": "text",
}
TEXT_DTYPE = "str" if int(pd.__version__.partition(".")[0]) >= 3 else "string"


def gold(text: str) -> str:
    return "bad" if len(text) % 2 == 0 else "good"


def answer(body: dict[str, Any]) -> Any:
    text = body["messages"][-1]["content"].removeprefix("Rate: ")
    return "no JSON" if text == "odd" else {"label": gold(text)}


def make_frame() -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "text": pd.Series(TEXTS, dtype="str"),
            "n": pd.Series([1, None, 3, 4, 5, 6, 7, 8], dtype="Int64"),
            "kind": pd.Categorical(list("abababab")),
            "seen": pd.date_range("2026-11-21", periods=8),
            "tags": [["x"]] * 8,
        }
    )
    frame.attrs["source"] = {"survey": 1}
    return frame


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Run each job once, and return their folders."""
    with pytest.MonkeyPatch.context() as patch, batchframe.local.serve(answer=answer) as server:
        patch.setenv("BATCHFRAME_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("NO_PROXY", "127.0.0.1")
        client = server.client()
        frame = make_frame()

        def run(frame: pd.DataFrame, prompt: Any = "Rate: {{ text }}", **options: Any) -> Path:
            options = {"model": "gpt-4.1", "output": LEVELS, "on_missing": "skip", **options}
            requests = frame.bf.requests(prompt, **options)
            return requests.submit(client=client).wait().folder

        yield {
            "all": run(frame),
            "first half": run(frame.iloc[:4]),
            "second half": run(frame.iloc[4:]),
            "other levels": run(frame, output=["bad", "good", "new"]),
            "text": run(frame, output=None),
            "apart": run(frame, dedupe=False),
            "by function": run(frame[["text", "n"]], lambda row: text_of(row["text"]), seed=1),
            "wide body": run(frame, seed=2**64 - 1, temperature=0.1, logit_bias={50256: -100}),
        }


def text_of(cell: Any) -> str | None:
    return None if pd.isna(cell) else f"Rate: {cell}"


@pytest.fixture
def job(folders: dict[str, Path]) -> bf.Job:
    return bf.job(folders["all"])


def expected(texts: pd.Series) -> pd.DataFrame:
    """Return the expected answers to these texts."""
    missing = texts.isna()
    pairs = list(zip(texts, missing, strict=True))
    labels = [None if absent or text == "odd" else gold(text) for text, absent in pairs]
    status = ["skipped" if m else "invalid" if text == "odd" else "ok" for text, m in pairs]
    return pd.DataFrame({"label": labels, "bf_status": status}, dtype=object)


def check(joined: pd.DataFrame, frame: pd.DataFrame, prefix: str = "") -> None:
    """Compare a joined frame with the expected answers."""
    assert len(joined) == len(frame)
    pd.testing.assert_index_equal(joined.index, frame.index)
    pd.testing.assert_frame_equal(joined[frame.columns], frame)
    label, status, error = (joined[prefix + name] for name in NEW)
    expected_text = expected(frame["text"])
    assert (
        label.astype(object).where(label.notna(), None).tolist() == expected_text["label"].tolist()
    )
    assert status.tolist() == expected_text["bf_status"].tolist()
    assert label.cat.categories.tolist() == LEVELS
    assert (error.isna() == (status == "ok")).all()


ROWS = st.lists(st.integers(0, len(TEXTS) - 1), max_size=20)


@settings(max_examples=examples(50))
@given(rows=ROWS, index=st.lists(st.integers(0, 3), min_size=20, max_size=20))
def test_d10_any_choice_of_rows_under_any_index_finds_its_own_answers(
    folders: dict[str, Path], rows: list[int], index: list[int]
) -> None:
    for name in ("all", "apart", "by function", "wide body"):
        frame = make_frame().iloc[rows].set_axis(index[: len(rows)])
        before = frame.copy(deep=True)
        check(frame.bf.join(bf.job(folders[name])), frame)
        pd.testing.assert_frame_equal(frame, before)


INDEXES = {
    "repeated": pd.Index([0] * 8),
    "unsorted": pd.Index([3, 1, 2, 0, 7, 5, 6, 4]),
    "levels": pd.MultiIndex.from_product([["a", "b"], range(4)], names=["p", "q"]),
    "dates": pd.date_range("2026-11-21", periods=8, name="day"),
    "mixed": pd.Index([None, 1, "x", 1.5, (1, 2), "x", np.nan, True], dtype=object),
    "categories": pd.CategoricalIndex(list("aabbccdd")),
    "intervals": pd.interval_range(0, 8),
}


@pytest.mark.parametrize("case", INDEXES)
def test_the_index_is_preserved(job: bf.Job, case: str) -> None:
    frame = make_frame().set_axis(INDEXES[case])
    joined = frame.bf.join(job)
    check(joined, frame)
    assert joined.columns.tolist() == [*frame.columns, *NEW]


def wide(columns: pd.Index) -> pd.DataFrame:
    frame = pd.DataFrame({0: make_frame()["text"], 1: range(8)})
    return frame.set_axis(columns, axis=1)


COLUMNS = {
    "ints": pd.Index([1, 2], name="number"),
    "range": pd.RangeIndex(2),
    "tuples": pd.Index([("text", 1), "n"], tupleize_cols=False),
    "missing": pd.Index(["text", np.nan], dtype=object),
    "dates": pd.date_range("2026-11-21", periods=2),
    "categories": pd.CategoricalIndex(["text", "n"]),
    "twins beside": pd.Index(["text", "label_"]),
}


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("case", COLUMNS)
def test_labels_of_columns_may_be_anything(case: str, repeated: bool) -> None:
    frame = wide(COLUMNS[case])
    if repeated:
        frame.index = pd.Index([1] * 8)
    prompt = f"Rate: {{{{ {frame.columns[0]} }}}}"
    with batchframe.local.serve(answer=answer) as server:
        requests = frame.bf.requests(prompt, model="gpt-4.1", output=LEVELS, on_missing="skip")
        joined = frame.bf.join(requests.submit(client=server.client()).wait())
    assert joined.columns[2:].tolist() == NEW
    assert joined.columns.name == frame.columns.name
    pd.testing.assert_frame_equal(
        joined.iloc[:, :2].set_axis(["a", "b"], axis=1), frame.set_axis(["a", "b"], axis=1)
    )
    assert joined["bf_status"].tolist() == expected(frame.iloc[:, 0])["bf_status"].tolist()


@pytest.mark.parametrize("repeated", [False, True])
def test_two_level_columns_are_preserved(job: bf.Job, repeated: bool) -> None:
    frame = make_frame()
    frame.columns = pd.MultiIndex.from_tuples(
        [(name, "") for name in frame.columns], names=["p", "q"]
    )
    if repeated:
        frame.index = pd.Index([1] * 8)
    named = bf.requests(
        frame, "Rate: {{ ('text', '') }}", model="gpt-4.1", output=LEVELS, on_missing="skip"
    )
    assert len(named) == len(set(TEXTS) - {None})
    with pytest.raises(TemplateError, match=re.escape("('text', '')")):
        frame.bf.join(job)
    with batchframe.local.serve(answer=answer) as server:
        joined = frame.bf.join(named.submit(client=server.client()).wait())
    assert joined.columns.names == ["p", "q"]
    assert joined.columns.tolist() == [*frame.columns, *[(name, "") for name in NEW]]
    assert joined["label"].cat.categories.tolist() == LEVELS
    pd.testing.assert_frame_equal(joined[frame.columns], frame)


class Survey(pd.DataFrame):
    """A DataFrame subclass with metadata."""

    _metadata = ("wave",)

    @property
    def _constructor(self) -> type[Survey]:
        return Survey


def test_a_dataframe_subclass_keeps_its_class_metadata_and_attrs(job: bf.Job) -> None:
    for index in (range(8), [1] * 8):
        frame = Survey(make_frame().set_axis(index))
        frame.attrs["source"] = {"survey": 1}
        frame.wave = 3
        joined = frame.bf.join(job)
        assert isinstance(joined, Survey)
        assert joined.wave == 3
        assert joined.attrs == {"source": {"survey": 1}}
        joined.attrs["source"]["survey"] = 2
        assert frame.attrs == {"source": {"survey": 1}}


def test_changing_the_joined_frame_does_not_change_the_users(job: bf.Job) -> None:
    frame = make_frame()
    joined = frame.bf.join(job)
    joined.loc[0, "text"] = "changed"
    joined.loc[0, "n"] = 99
    pd.testing.assert_frame_equal(frame, make_frame())


def test_read_only_columns_are_joined(job: bf.Job) -> None:
    values = np.array([text or "" for text in TEXTS], dtype=object)
    values.flags.writeable = False
    frame = pd.DataFrame({"text": pd.Series(values, copy=False)})
    assert frame.bf.join(job)["bf_status"].iloc[0] == "ok"


@pytest.mark.parametrize("dtype", ["object", "string", TEXT_DTYPE, "category"])
def test_rows_are_found_for_any_string_dtype(job: bf.Job, dtype: str) -> None:
    frame = make_frame()[["text"]].astype(dtype)
    check(frame.bf.join(job), frame)


def test_answer_columns_have_their_types(folders: dict[str, Path]) -> None:
    frame = make_frame()
    joined = frame.bf.join(bf.job(folders["all"]), details=True)
    assert joined.columns.tolist() == [*frame.columns, *NEW, *DETAILS]
    # Only what occurs, so that a summary has no zeros.
    assert joined["bf_status"].cat.categories.tolist() == ["ok", "invalid", "skipped"]
    for name, kind in {"bf_error": "text", **DETAILS}.items():
        assert joined[name].dtype == (TEXT_DTYPE if kind == "text" else kind), name
    is_sent = joined["bf_status"] != "skipped"
    assert joined["bf_custom_id"].notna().tolist() == is_sent.tolist()
    assert joined["bf_input_tokens"].notna().tolist() == is_sent.tolist()
    assert joined["bf_custom_id"].iloc[1] == joined["bf_custom_id"].iloc[3]
    assert joined.loc[6, "bf_raw"] == "no JSON"
    text = make_frame().bf.join(bf.job(folders["text"]))
    assert text["response"].dtype == TEXT_DTYPE
    assert text.loc[6, "response"] == "no JSON"
    empty = frame.iloc[:0].bf.join(bf.job(folders["all"]), details=True)
    # The statuses are those that occur.
    assert isinstance(empty["bf_status"].dtype, pd.CategoricalDtype)
    others = joined.columns.drop("bf_status")
    pd.testing.assert_series_equal(empty.dtypes[others], joined.dtypes[others])


def test_d10_edited_or_added_rows_are_missing_with_a_reason(job: bf.Job) -> None:
    frame = make_frame().iloc[[*range(8), 1, 1]].reset_index(drop=True)
    frame.loc[0, "text"] = "edited"
    frame.loc[2, "text"] = None
    frame.loc[9, "text"] = "added"
    joined = frame.bf.join(job)
    assert joined["bf_status"].tolist() == [
        "missing", "ok", "skipped", "ok", "skipped", "ok", "invalid", "ok", "ok", "missing",
    ]  # fmt: skip
    assert joined.loc[[0, 2, 9], "label"].isna().all()
    assert joined.loc[0, "bf_error"].endswith("or its text has changed")
    assert joined.loc[2, "bf_error"] == "column 'text' is missing"


def test_d10_unused_columns_may_be_added_or_removed(job: bf.Job) -> None:
    frame = make_frame()[["seen", "text"]].assign(fresh=1)
    check(frame.bf.join(job), frame)
    with pytest.raises(TemplateError, match="no such column"):
        frame.drop(columns="text").bf.join(job)


def test_d10_columns_that_a_prompt_function_saw_are_required(folders: dict[str, Path]) -> None:
    job = bf.job(folders["by function"])
    frame = make_frame()
    check(frame.bf.join(job), frame)
    with pytest.raises(ColumnError, match=r"columns: missing \('n'\)"):
        frame.drop(columns="n").bf.join(job)
    with pytest.warns(bf.errors.JoinWarning, match="has a cell that changed"):
        edited = frame.assign(n=0).bf.join(job)
    assert set(edited["bf_status"]) == {"missing"}


def test_a_prefix_applies_to_every_new_column(job: bf.Job) -> None:
    frame = make_frame()
    first = frame.bf.join(job)
    joined = first.bf.join(job, prefix="second_", details=True)
    added = joined.columns[len(first.columns) :]
    assert [name.removeprefix("second_") for name in added] == [*NEW, *DETAILS]
    assert joined["second_label"].equals(joined["label"])
    pd.testing.assert_frame_equal(joined[first.columns], first)


def test_a_name_that_is_taken_is_refused_or_replaced(job: bf.Job) -> None:
    frame = make_frame().assign(label="mine", after=1)
    with pytest.raises(ColumnError, match=r"already has 'label'.*prefix=.*overwrite=True"):
        frame.bf.join(job)
    joined = frame.bf.join(job, overwrite=True)
    assert joined.columns.tolist() == [*make_frame().columns, "after", *NEW]
    again = joined.bf.join(job, overwrite=True)
    pd.testing.assert_frame_equal(again, joined)
    assert frame["label"].tolist() == ["mine"] * 8


def test_jobs_of_two_halves_join_into_all_rows(folders: dict[str, Path]) -> None:
    frame = make_frame().sample(frac=1, random_state=4)
    halves = [bf.job(folders[f"{half} half"]) for half in ("first", "second")]
    check(frame.bf.join(*halves), frame)
    check(frame.bf.join(*reversed(halves)), frame)
    alone = frame.bf.join(halves[0])
    assert alone.loc[[5, 6, 7], "bf_status"].tolist() == ["missing"] * 3


def test_the_first_job_with_an_answer_gives_it(folders: dict[str, Path]) -> None:
    frame = make_frame()
    jobs = [bf.job(folders[name]) for name in ("all", "other levels")]
    joined = frame.bf.join(*jobs, details=True)
    own = frame.bf.join(jobs[0], details=True)
    assert joined["label"].cat.categories.tolist() == ["good", "bad", "unused", "new"]
    assert joined["label"].astype(object).equals(own["label"].astype(object))
    rest = ["label", "bf_cost"]
    pd.testing.assert_frame_equal(joined.drop(columns=rest), own.drop(columns=rest))
    # Both were billed.
    assert joined["bf_cost"].sum() == sum(job.cost or 0 for job in jobs)


def test_jobs_with_different_columns_are_joined_one_after_the_other(
    folders: dict[str, Path],
) -> None:
    labels, texts = bf.job(folders["all"]), bf.job(folders["text"])
    frame = make_frame()
    with pytest.raises(ColumnError, match="'label' and 'response'"):
        frame.bf.join(labels, texts)
    joined = frame.bf.join(labels).bf.join(texts, prefix="second_")
    assert joined.loc[0, ["label", "second_response"]].tolist() == ["bad", '{"label":"bad"}']


def test_a_join_without_a_job_raises_a_clear_error() -> None:
    with pytest.raises(RequestError, match=r"join\(\): no job"):
        make_frame().bf.join()
    with pytest.raises(RequestError, match=r"not a job, name or id \(list\)"):
        make_frame().bf.join([])


def test_a_joined_frame_round_trips_through_parquet(job: bf.Job, tmp_path: Path) -> None:
    joined = make_frame().bf.join(job, details=True)
    joined.to_parquet(tmp_path / "joined.parquet")
    restored = pd.read_parquet(tmp_path / "joined.parquet")
    added = [*NEW, *DETAILS]
    pd.testing.assert_frame_equal(restored[added], joined[added])
    # The restored frame joins again.
    again = restored.drop(columns=added).bf.join(job, details=True)
    pd.testing.assert_frame_equal(again[added], joined[added])


def test_the_ledger_has_the_submitted_rows_in_their_order(job: bf.Job) -> None:
    frame = make_frame()
    ledger = job.results()
    assert ledger.columns.tolist() == NEW
    pd.testing.assert_index_equal(ledger.index, pd.RangeIndex(8))
    pd.testing.assert_frame_equal(ledger, frame.bf.join(job)[NEW])
    assert job.counts == ledger["bf_status"].value_counts()[lambda n: n > 0].to_dict()


def test_rows_of_an_unsaved_template_get_no_foreign_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    # Both prompts are "xxy", so they are one job; the second cell is interrupted.
    first, second = (pd.DataFrame({"a": [a], "b": [b]}) for a, b in (("x", "y"), ("xxy", "")))
    with batchframe.local.serve(answer=lambda _: "yes") as server:
        client = server.client()
        requests = first.bf.requests("{{ a }}{{ a }}{{ b }}", model="gpt-4.1")
        job = requests.submit(client=client).wait()
        monkeypatch.setattr("batchframe._jobs.preparation.write_manifest", broken)
        with pytest.raises(KeyboardInterrupt):
            second.bf.requests("{{ a }}{{ b }}{{ b }}", model="gpt-4.1").submit(client=client)
    again = bf.job(job.folder)
    assert first.bf.join(again)["bf_status"].tolist() == ["ok"]
    with pytest.warns(bf.errors.JoinWarning, match="0 of 1 rows match"):
        assert second.bf.join(again)["bf_status"].tolist() == ["missing"]
