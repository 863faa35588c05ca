"""The text of a cell is exact, and depends on the cell alone."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe._frames.cells import text_column
from batchframe.errors import CellError

MISSING = [None, float("nan"), pd.NA, pd.NaT]


class Tone(enum.Enum):
    GOOD = "good"
    SCORE = 2.5


class Word(str, enum.Enum):  # noqa: UP042 - as in older code
    GOOD = "good"


class Level(enum.IntEnum):
    HIGH = 3


class Loud(str):
    """A string whose `__str__` would return something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


def texts(cells: Any, dtype: Any = None, *, as_json: bool = False) -> list[str | None]:
    return text_column(pd.Series(cells, dtype=dtype), as_json=as_json).to_pylist()


def arrow(values: list[Any], kind: pa.DataType | None = None) -> pd.Series:
    array = pa.chunked_array([pa.array(values, kind)])
    return pd.Series(pd.arrays.ArrowExtensionArray(array))


SCALARS: dict[str, tuple[Any, str, str]] = {
    "int8": (np.int8(-128), "-128", "-128"),
    "uint64 max": (np.uint64(2**64 - 1), "18446744073709551615", "18446744073709551615"),
    "int above 2**53": (2**53 + 1, "9007199254740993", "9007199254740993"),
    "int above 64 bits": (2**70, "1180591620717411303424", "1180591620717411303424"),
    "float": (0.1, "0.1", "0.1"),
    "whole float": (2.0, "2.0", "2.0"),
    "float16": (np.float16(0.1), "0.1", "0.1"),
    "float32": (np.float32(0.1), "0.1", "0.1"),
    "float64": (np.float64(0.1), "0.1", "0.1"),
    "bool": (True, "True", "true"),
    "numpy bool": (np.False_, "False", "false"),
    "complex": (1 + 2j, "(1+2j)", '"(1+2j)"'),
    "complex64": (np.complex64(0.1 + 0.2j), "(0.1+0.2j)", '"(0.1+0.2j)"'),
    "Decimal": (decimal.Decimal("3.10"), "3.10", "3.10"),
    "huge Decimal": (decimal.Decimal("1E+400"), "1E+400", "1E+400"),
    "Fraction": (fractions.Fraction(1, 3), "1/3", '"1/3"'),
    "date": (dt.date(2026, 11, 21), "2026-11-21", '"2026-11-21"'),
    "datetime": (
        dt.datetime(2026, 11, 21, 9, 30),  # noqa: DTZ001 - a cell without a time zone
        "2026-11-21 09:30:00",
        '"2026-11-21 09:30:00"',
    ),
    "time": (dt.time(9, 30), "09:30:00", '"09:30:00"'),
    "Timestamp": (
        pd.Timestamp("2026-11-21 09:30", tz="Europe/Berlin"),
        "2026-11-21 09:30:00+01:00",
        '"2026-11-21 09:30:00+01:00"',
    ),
    "datetime64": (np.datetime64("2026-11-21"), "2026-11-21", '"2026-11-21"'),
    "Timedelta": (pd.Timedelta("1D"), "1 days 00:00:00", '"1 days 00:00:00"'),
    "timedelta64": (np.timedelta64(2, "h"), "2 hours", '"2 hours"'),
    "Period": (pd.Period("2026-11", "M"), "2026-11", '"2026-11"'),
    "Interval": (pd.Interval(0, 1), "(0, 1]", '"(0, 1]"'),
    "UUID": (
        uuid.UUID(int=1),
        "00000000-0000-0000-0000-000000000001",
        '"00000000-0000-0000-0000-000000000001"',
    ),
    "Enum": (Tone.GOOD, "good", '"good"'),
    "Enum of a number": (Tone.SCORE, "2.5", "2.5"),
    "str Enum": (Word.GOOD, "good", '"good"'),
    "IntEnum": (Level.HIGH, "3", "3"),
    "str": ('a "b"\n{{ c }}', 'a "b"\n{{ c }}', '"a \\"b\\"\\n{{ c }}"'),
    "numpy str": (np.str_("a"), "a", '"a"'),
    "str subclass": (Loud("a"), "a", '"a"'),
    "list": ([1, None, "a", float("nan"), pd.NaT], '[1,null,"a",null,null]', ""),
    "dict": ({"a": [1.5], 2: True}, '{"a":[1.5],"2":true}', ""),
    "dict with a numpy key": ({np.int64(1): "a"}, '{"1":"a"}', ""),
    "tuple": ((1, "é"), '[1,"é"]', ""),
    "set": ({3, 1, "a"}, '["a",1,3]', ""),
    "float64 array": (np.array([[0.1, 2.0]]), "[[0.1,2.0]]", ""),
    "float32 array": (np.array([0.1, np.nan], dtype="f4"), "[0.1,null]", ""),
    "int array": (np.array([2**63 - 1]), "[9223372036854775807]", ""),
    "text array": (np.array(["a"]), '["a"]', ""),
    "object array": (np.array([None, "a", 1], dtype=object), '[null,"a",1]', ""),
    "array without dimensions": (np.array(5), "5", ""),
    "dates array": (np.array(["2026-11-21", "NaT"], dtype="M8[D]"), '["2026-11-21",null]', ""),
    "durations array": (np.array([90, "NaT"], dtype="m8[s]"), '["90 seconds",null]', ""),
    "nested numpy": (
        [np.float32(0.1), np.float64(0.1), np.int8(1), np.str_("a"), np.True_],
        '[0.1,0.1,1,"a",true]',
        "",
    ),
    "nested Decimal": ([decimal.Decimal("3.10"), decimal.Decimal("NaN")], "[3.10,null]", ""),
}


@pytest.mark.parametrize("case", SCALARS)
def test_the_text_of_a_value_in_an_object_column_is_exact(case: str) -> None:
    value, text, json_text = SCALARS[case]
    cells = pd.Series([None, value, "other"], dtype=object)
    assert text_column(cells).to_pylist() == [None, text, "other"]
    # A container's text is JSON already.
    assert text_column(cells, as_json=True).to_pylist() == [None, json_text or text, '"other"']


COLUMNS: dict[str, tuple[pd.Series, list[str | None], list[str | None]]] = {
    **{
        kind: (pd.Series([1, 0], dtype=kind), ["1", "0"], ["1", "0"])
        for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "Sparse[int]")
    },
    **{
        kind: (pd.Series([0.1, None], dtype=kind), ["0.1", None], ["0.1", None])
        for kind in ("f2", "f4", "f8", "Float32", "Float64", "Sparse[float]")
    },
    "longdouble": (pd.Series(np.array(["0.1"], np.longdouble)), ["0.1"], ["0.1"]),
    "nullable int": (
        pd.Series([2**53 + 1, None], dtype="Int64"),
        ["9007199254740993", None],
        ["9007199254740993", None],
    ),
    "nullable uint": (
        pd.Series([2**64 - 1, None], dtype="UInt64"),
        ["18446744073709551615", None],
        ["18446744073709551615", None],
    ),
    "bool": (pd.Series([True, False]), ["True", "False"], ["true", "false"]),
    "nullable bool": (pd.Series([True, None], dtype="boolean"), ["True", None], ["true", None]),
    "sparse bool": (
        pd.Series([True, False], dtype="Sparse[bool]"),
        ["True", "False"],
        ["true", "false"],
    ),
    "sparse text": (
        pd.Series(pd.arrays.SparseArray(["a", None, "b"], fill_value="a")),
        ["a", None, "b"],
        ['"a"', None, '"b"'],
    ),
    "infinity": (pd.Series([np.inf, -np.inf]), ["inf", "-inf"], []),
    "string": (pd.Series(["é", None], dtype="string"), ["é", None], ['"é"', None]),
    "str": (pd.Series(["é", None], dtype="str"), ["é", None], ['"é"', None]),
    "object strings": (pd.Series(["é", None], dtype=object), ["é", None], ['"é"', None]),
    "dates": (
        pd.to_datetime(pd.Series(["2026-11-21", None])),
        ["2026-11-21 00:00:00", None],
        ['"2026-11-21 00:00:00"', None],
    ),
    "dates with a zone": (
        pd.to_datetime(pd.Series(["2026-11-21", None])).dt.tz_localize("Europe/Berlin"),
        ["2026-11-21 00:00:00+01:00", None],
        ['"2026-11-21 00:00:00+01:00"', None],
    ),
    "durations": (
        pd.Series(pd.to_timedelta(["1ns", None])),
        ["0 days 00:00:00.000000001", None],
        ['"0 days 00:00:00.000000001"', None],
    ),
    "periods": (
        pd.Series(pd.PeriodIndex(["2026-11", None], freq="M")),
        ["2026-11", None],
        ['"2026-11"', None],
    ),
    "intervals": (pd.Series(pd.interval_range(0, 1, 1)), ["(0, 1]"], ['"(0, 1]"']),
    "category of strings": (pd.Series(pd.Categorical(["a", None])), ["a", None], ['"a"', None]),
    "category of ints": (
        pd.Series(pd.Categorical([2**53 + 1, None])),
        ["9007199254740993", None],
        ["9007199254740993", None],
    ),
    "category of float32": (pd.Series(pd.Categorical(np.array([0.1], "f4"))), ["0.1"], ["0.1"]),
    "category of bools": (pd.Series(pd.Categorical([True, None])), ["True", None], ["true", None]),
    "category of dates": (
        pd.Series(pd.Categorical([dt.date(2026, 11, 21), None])),
        ["2026-11-21", None],
        ['"2026-11-21"', None],
    ),
    "category of timestamps": (
        pd.Series(pd.Categorical(pd.to_datetime(["2026-11-21", None]))),
        ["2026-11-21 00:00:00", None],
        ['"2026-11-21 00:00:00"', None],
    ),
    "category of nothing": (pd.Series(pd.Categorical([None, None])), [None, None], [None, None]),
    "category with an unused unsupported level": (
        pd.Series(pd.Categorical(["a"], categories=[b"bytes", "a"])),
        ["a"],
        ['"a"'],
    ),
    "arrow int": (
        arrow([2**64 - 1, None], pa.uint64()),
        ["18446744073709551615", None],
        ["18446744073709551615", None],
    ),
    "arrow float32": (arrow([0.1, None], pa.float32()), ["0.1", None], ["0.1", None]),
    "arrow float": (arrow([0.1, None]), ["0.1", None], ["0.1", None]),
    "arrow bool": (arrow([True, None]), ["True", None], ["true", None]),
    "arrow string": (arrow(["a", None]), ["a", None], ['"a"', None]),
    "arrow large string": (arrow(["a", None], pa.large_string()), ["a", None], ['"a"', None]),
    "arrow dictionary": (
        arrow(["a", None], pa.dictionary(pa.int8(), pa.string())),
        ["a", None],
        ['"a"', None],
    ),
    "arrow list": (arrow([[1, None], None]), ["[1,null]", None], ["[1,null]", None]),
    "arrow struct": (arrow([{"a": 1.5}, None]), ['{"a":1.5}', None], ['{"a":1.5}', None]),
    "arrow map": (
        arrow([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        ['[["a",1]]'],
        ['[["a",1]]'],
    ),
    "arrow timestamp": (
        arrow([dt.datetime(2026, 11, 21, tzinfo=dt.UTC)]),
        ["2026-11-21 00:00:00+00:00"],
        ['"2026-11-21 00:00:00+00:00"'],
    ),
    "arrow date": (arrow([dt.date(2026, 11, 21)]), ["2026-11-21"], ['"2026-11-21"']),
    "arrow decimal": (arrow([decimal.Decimal("1.50")]), ["1.50"], ["1.50"]),
    "arrow null": (arrow([None], pa.null()), [None], [None]),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_the_text_of_a_typed_column_is_exact(case: str) -> None:
    cells, expected, expected_json = COLUMNS[case]
    before = cells.copy(deep=True)
    assert text_column(cells).to_pylist() == expected
    if expected_json:
        assert text_column(cells, as_json=True).to_pylist() == expected_json
    pd.testing.assert_series_equal(cells, before)


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("case", COLUMNS)
def test_a_column_without_rows_has_no_text(case: str, as_json: bool) -> None:
    column = text_column(COLUMNS[case][0].iloc[:0], as_json=as_json)
    assert column.to_pylist() == []
    assert column.type == pa.large_string()


@pytest.mark.parametrize("missing", MISSING, ids=repr)
def test_every_kind_of_missing_is_missing(missing: Any) -> None:
    for values in ([missing, "a"], [missing, 1], [missing, [1]], [missing]):
        for as_json in (False, True):
            assert texts(values, object, as_json=as_json)[0] is None


def test_zero_divided_by_zero_is_missing_even_if_pandas_keeps_nan() -> None:
    for dtype in ("Float64", "double[pyarrow]"):
        quotient = pd.Series([0.0], dtype=dtype) / 0
        assert text_column(quotient).to_pylist() == [None]


REFUSED: dict[str, tuple[Any, str]] = {
    "bytes": (b"x", "bytes"),
    "bytearray": (bytearray(b"x"), "bytes"),
    "nested bytes": ({"a": [b"x"]}, "bytes"),
    "an object": (object(), "unsupported type object"),
    "a path": (Path("x"), "Path"),
    "infinity inside JSON": ([np.inf], "infinity"),
    "infinite Decimal inside JSON": ([decimal.Decimal("-Infinity")], "infinity"),
    "half a surrogate pair": ("\ud800", "surrogate"),
    "half a surrogate pair inside JSON": (["\ud800"], "surrogate"),
    "half a surrogate pair in a key": ({"\ud800": 1}, "surrogate"),
    "a key that is not a string": ({(1, 2): "a"}, "key of type tuple"),
    "two keys with equal text": ({1: "a", "1": "b"}, "two keys"),
    "a number too long for Python": (10**5000, "digits"),
    "a structured array": (np.zeros(1, dtype=[("a", int)]), "void"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_value_without_exact_text_is_named_by_column_row_and_index(case: str) -> None:
    value, word = REFUSED[case]
    cells = pd.Series(["fine", value], index=["p", "q"], name="notes", dtype=object)
    for as_json in (False, True):
        with pytest.raises(CellError, match=word) as excinfo:
            text_column(cells, as_json=as_json)
        assert "Column 'notes', row 1 (index 'q')" in str(excinfo.value)


def test_a_list_that_contains_itself_raises_a_clear_error() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(CellError, match="row 0: nested too deeply"):
        texts([circle], object)


def test_infinity_is_text_in_a_prompt_and_an_error_as_json() -> None:
    assert texts([np.inf]) == ["inf"]
    with pytest.raises(CellError, match="row 0: infinity"):
        texts([np.inf], as_json=True)


def test_an_unsupported_category_is_named_by_its_row() -> None:
    cells = pd.Series(pd.Categorical(["a", "a", b"x"], categories=[b"x", "a"]), name="c")
    with pytest.raises(CellError, match="Column 'c', row 2: bytes"):
        text_column(cells)


def test_a_numpy_index_label_is_shown_as_a_plain_value() -> None:
    frame = pd.DataFrame({3: [b"x"]}, index=pd.Index([7]))
    with pytest.raises(CellError, match=r"Column 3, row 0 \(index 7\)"):
        text_column(frame.iloc[:, 0])


def test_cells_in_read_only_memory_are_read() -> None:
    values = np.array([0.5, 1.5])
    values.flags.writeable = False
    assert texts(pd.Series(values, copy=False)) == ["0.5", "1.5"]


VALUES = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.integers(),
    st.floats(),
    st.floats(width=32).map(np.float32),
    st.integers(-128, 127).map(np.int8),
    st.booleans(),
    st.booleans().map(np.bool_),
    st.decimals(allow_infinity=False).filter(lambda number: not number.is_snan()),
    st.dates(),
    st.datetimes(),
    st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2100, 1, 1)).map(pd.Timestamp),  # noqa: DTZ001
    st.timedeltas(),
    st.uuids(),
    st.lists(
        st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=3), max_size=3
    ),
    st.sampled_from([*Tone, *Word, *Level, *MISSING, Loud("x"), np.datetime64("NaT")]),
)


@given(st.lists(VALUES, min_size=1, max_size=8), st.data())
def test_the_text_of_a_cell_does_not_depend_on_the_rows_around_it(
    values: list[Any], data: st.DataObject
) -> None:
    cells = pd.Series(np.fromiter(values, dtype=object, count=len(values)), dtype=object)
    all_texts = text_column(cells).to_pylist()
    positions = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=8))
    assert text_column(cells.iloc[positions]).to_pylist() == [all_texts[i] for i in positions]
    alone = [text_column(cells.iloc[[i]]).to_pylist()[0] for i in range(len(values))]
    assert alone == all_texts


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("case", [case for case in COLUMNS if case != "infinity"])
def test_the_text_does_not_change_when_rows_are_sorted_filtered_or_repeated(
    case: str,
    as_json: bool,
) -> None:
    cells = COLUMNS[case][0]
    all_texts = text_column(cells, as_json=as_json).to_pylist()
    last = len(cells) - 1
    for positions in ([last], [0], [last, 0, last]):
        texts = text_column(cells.iloc[positions], as_json=as_json).to_pylist()
        assert texts == [all_texts[i] for i in positions]


# Without NUL: older pandas merges categories that differ only in a trailing NUL.
@given(
    st.lists(
        st.none()
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
        max_size=6,
    )
)
def test_a_string_has_the_same_text_in_every_column_type(values: list[str | None]) -> None:
    kinds = ["object", "string", "str", "string[pyarrow]", "category", pd.ArrowDtype(pa.string())]
    for kind in kinds:
        assert texts(values, kind) == values


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_date_has_the_same_text_in_every_unit(unit: str) -> None:
    moments = pd.to_datetime(["2026-11-21 09:30:05", "2026-11-21"], format="ISO8601")
    expected = ["2026-11-21 09:30:05", "2026-11-21 00:00:00"]
    assert texts(moments.as_unit(unit)) == expected
    assert texts(list(moments.as_unit(unit)), object) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_float_reads_back_as_that_float(number: float) -> None:
    for as_json in (False, True):
        assert float(str(texts([number], as_json=as_json)[0])) == number


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_text_of_a_float32_reads_back_as_that_float32(number: float) -> None:
    for dtype in ("f4", "Float32", pd.ArrowDtype(pa.float32())):
        for as_json in (False, True):
            text = texts(np.array([number], "f4"), dtype, as_json=as_json)[0]
            assert np.float32(text) == np.float32(number)
