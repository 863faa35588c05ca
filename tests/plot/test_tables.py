"""The tables behind the plots."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchframe as bf
import batchframe.local
from batchframe import plot
from batchframe.errors import ColumnError

TOKENS = ["bf_input_tokens", "bf_output_tokens"]


@pytest.fixture
def job(server: batchframe.local.Server) -> bf.Job:
    frame = pd.DataFrame({"text": ["one", "two", "one", None]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+"], on_missing="skip")
    return requests.submit("signs", client=server.client()).wait()


def test_each_plot_has_a_table_of_the_same_name() -> None:
    assert {*plot.tables.__all__, "tables"} == set(plot.__all__)


def test_labels_are_counted_most_frequent_first_and_those_without_last() -> None:
    frame = pd.DataFrame({"label": pd.Categorical(["b", "c", "c", None], ["a", "b", "c"])})
    table = plot.tables.labels(frame)
    assert table["rows"].to_dict() == {"c": 2, "b": 1, "a": 0, "no answer": 1}
    assert list(table.index) == ["c", "b", "a", "no answer"]
    assert table.index.name == "label"


def test_labels_with_an_order_keep_it() -> None:
    stars = pd.Categorical([5, 1, 5], [1, 2, 3, 4, 5], ordered=True)
    table = plot.tables.labels(pd.DataFrame({"stars": stars}), "stars")
    assert table["rows"].to_dict() == {1: 1, 2: 0, 3: 0, 4: 0, 5: 2}
    assert list(table.index) == [1, 2, 3, 4, 5]


def test_statuses_add_up_to_the_rows() -> None:
    frame = pd.DataFrame({"bf_status": ["failed", "ok", "ok", None, "odd"]})
    table = plot.tables.statuses(frame)
    assert list(table["rows"].items()) == [("ok", 2), ("failed", 1), ("odd", 1), ("unknown", 1)]


def test_a_job_is_read_as_its_frame_is(job: bf.Job) -> None:
    assert plot.tables.statuses(job)["rows"].to_dict() == job.counts == {"ok": 3, "skipped": 1}
    assert plot.tables.labels(job)["rows"].to_dict() == {"+": 3, "no answer": 1}
    results = job.results(details=True)
    pd.testing.assert_frame_equal(plot.tables.tokens(job), plot.tables.tokens(results))
    prefixed = results.add_prefix("x_")
    pd.testing.assert_frame_equal(
        plot.tables.tokens(job), plot.tables.tokens(prefixed, prefix="x_")
    )


def test_the_cost_of_a_job_is_beside_its_estimate(job: bf.Job) -> None:
    table = plot.tables.cost(job)
    assert list(table.index) == ["estimated", "actual"]
    assert list(table.loc["actual"]) == [job.cost] * 3
    low, expected, high = table.loc["estimated"]
    assert isinstance(low, Decimal)
    assert 0 < low <= expected <= high


def test_an_unknown_cost_is_none(server: batchframe.local.Server) -> None:
    requests = pd.DataFrame({"text": ["a"]}).bf.requests("{{ text }}", model="my-model")
    table = plot.tables.cost(requests.submit(client=server.client()))
    assert table.isna().all(axis=None)


def test_tokens_are_binned_by_whole_numbers() -> None:
    frame = pd.DataFrame({TOKENS[0]: [1, 2, 2, 5], TOKENS[1]: pd.array([3, None, 3, 3], "Int64")})
    table = plot.tables.tokens(frame)
    assert table["at_least"].tolist() == [1, 2, 3, 4, 5]
    assert table["below"].tolist() == [2, 3, 4, 5, 6]
    assert table["input_tokens"].tolist() == [1, 2, 0, 0, 1]
    assert table["output_tokens"].tolist() == [0, 0, 3, 0, 0]


COUNTS = st.one_of(st.integers(0, 60), st.integers(0, 2_000_000))


@given(st.lists(st.tuples(COUNTS, st.one_of(st.none(), COUNTS)), max_size=30))
def test_every_count_is_in_exactly_one_bin(rows: list[tuple[int, int | None]]) -> None:
    frame = pd.DataFrame(rows, columns=TOKENS).astype("Int64")
    table = plot.tables.tokens(frame)
    assert table["input_tokens"].sum() == len(rows)
    assert table["output_tokens"].sum() == sum(output is not None for _, output in rows)
    assert (table["below"] > table["at_least"]).all()
    assert (table["at_least"].iloc[1:].to_numpy() == table["below"].iloc[:-1].to_numpy()).all()
    assert len(table) <= 32
    for low, below, inputs in zip(
        table["at_least"], table["below"], table["input_tokens"], strict=True
    ):
        assert inputs == sum(low <= count < below for count, _ in rows)


def test_empty_input_makes_empty_tables() -> None:
    empty = pd.DataFrame({"label": [], "bf_status": [], TOKENS[0]: [], TOKENS[1]: []})
    for table in (plot.tables.labels, plot.tables.statuses, plot.tables.tokens):
        assert table(empty).empty
    assert list(plot.tables.tokens(empty)) == ["at_least", "below", "input_tokens", "output_tokens"]


def test_a_frame_without_the_required_column_names_the_fix() -> None:
    frame = pd.DataFrame({"text": ["a"], "tags": [["x"]], "bf_input_tokens": [1]})
    with pytest.raises(ColumnError, match=r"no column 'bf_output_tokens'.*details=True"):
        plot.tables.tokens(frame)
    with pytest.raises(ColumnError, match="no column 'bf_status'"):
        plot.tables.statuses(frame)
    with pytest.raises(ColumnError, match="no column 'label'"):
        plot.tables.labels(frame)
    with pytest.raises(ColumnError, match=r"\(list\).*df.explode\('tags'\)"):
        plot.tables.labels(frame, "tags")
    with pytest.raises(ColumnError, match=r"labels\(\): not a DataFrame"):
        plot.tables.labels(np.array(["a"]))  # type: ignore[arg-type]


def test_tables_need_no_matplotlib() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import pandas as pd, batchframe as bf\n"
        "frame = pd.DataFrame({'label': ['a']})\n"
        "print(bf.plot.tables.labels(frame)['rows'].tolist())\n"
        "try:\n    bf.plot.labels(frame)\n"
        "except ImportError as error:\n    print(type(error).__name__, error)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    table, refusal = process.stdout.splitlines()
    assert table == "[1]"
    assert refusal.startswith("ExtraError")
    assert 'pip install "batchframe[plot]"' in refusal
