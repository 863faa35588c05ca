"""X6: escaping of spreadsheet formulas."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import batchframe as bf
import batchframe.local

DANGEROUS = [
    "=cmd|' /C calc'!A0", '=HYPERLINK("http://x","y")', "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1",
    "\n=1", "=", "-3", "＝1", "+49 30 123",
]  # fmt: skip
HARMLESS = ["", " =1", "a=b", "'=1", "text", "1-2", "e@x.org", "中文", None]
DTYPES: dict[str, Any] = {
    "object": object,
    "string": "string",
    "Arrow": pd.ArrowDtype(pa.string()),
    "large Arrow": pd.ArrowDtype(pa.large_string()),
    "category": "category",
}


@pytest.mark.parametrize("kind", DTYPES)
def test_x6_formulas_are_escaped_in_every_kind_of_column(kind: str) -> None:
    column = pd.Series([*DANGEROUS, *HARMLESS], dtype=object).astype(DTYPES[kind])
    frame = pd.DataFrame({"t": column})
    before = frame.copy(deep=True)
    safe = bf.escape_formulas(frame)
    escaped = [f"'{text}" for text in DANGEROUS]
    assert safe["t"].tolist()[: len(escaped)] == escaped
    assert safe["t"].iloc[len(escaped) :].dropna().tolist() == HARMLESS[:-1]
    assert safe["t"].isna().tolist() == frame["t"].isna().tolist()
    if kind != "category":
        assert safe["t"].dtype == frame["t"].dtype
    else:
        assert isinstance(safe["t"].dtype, pd.CategoricalDtype)
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(bf.escape_formulas(safe), safe)


def test_x6_numbers_dates_and_other_values_are_unchanged() -> None:
    frame = pd.DataFrame(
        {
            "i": [-1, 2], "f": [-1.5, np.nan], "b": [True, False],
            "I": pd.array([-1, None], "Int64"), "d": pd.to_datetime(["2026-01-01", None]),
            "t": pd.to_timedelta([-5, 5], unit="s"), "D": [Decimal(-1), Decimal(2)],
            "o": [["=1"], {"=": "="}], "date": [dt.date(2026, 1, 1), None],
            "x": pd.Categorical([-1, 2]), "a": pd.array([-1, 2], pd.ArrowDtype(pa.int64())),
        }
    )  # fmt: skip
    pd.testing.assert_frame_equal(bf.escape_formulas(frame), frame)


def test_x6_labels_and_their_names_are_escaped_too() -> None:
    frame = pd.DataFrame([[1, "=x"]], columns=["=a", "=a"], index=pd.Index(["@i"], name="+n"))
    safe = frame.bf.escape_formulas()
    assert safe.columns.tolist() == ["'=a", "'=a"]
    assert (safe.index.tolist(), safe.index.name) == (["'@i"], "'+n")
    assert safe.iloc[0].tolist() == [1, "'=x"]
    deep = pd.DataFrame(
        [[1]],
        columns=pd.MultiIndex.from_tuples([("=a", 1)], names=["-n", None]),
        index=pd.MultiIndex.from_tuples([("b", "+c")]),
    )
    safe = bf.escape_formulas(deep)
    assert safe.columns.tolist() == [("'=a", 1)]
    assert safe.columns.names == ["'-n", None]
    assert safe.index.tolist() == [("b", "'+c")]


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(),
        pd.DataFrame({"a": []}),
        pd.DataFrame(index=[1, 2]),
        pd.DataFrame({"a": [1]}, index=pd.Index([np.nan])),
        pd.DataFrame({"a": ["x"]}, index=pd.date_range("2026", periods=1)),
    ],
)
def test_x6_an_empty_or_unusual_frame_is_unchanged(frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(bf.escape_formulas(frame), frame)


def test_x6_an_object_that_is_not_a_frame_is_refused() -> None:
    with pytest.raises(bf.errors.RequestError, match="DataFrame"):
        bf.escape_formulas(["=1"])  # type: ignore[arg-type]


def test_x6_to_csv_writes_answers_unchanged_unless_escaped() -> None:
    frame = pd.DataFrame({"text": ["a"]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1")
    with batchframe.local.serve(answer=lambda _: "=cmd|' /C calc'!A0") as server:
        job = requests.submit(client=server.client()).wait()
    joined = frame.bf.join(job)
    assert ",=cmd" in joined.to_csv()
    safe = joined.bf.escape_formulas().to_csv(index=False)
    assert ",'=cmd" in safe
    for row in pd.read_csv(io.StringIO(safe), header=None, dtype=str).fillna("").to_numpy():
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]
