"""Any value in any frame is sent as documented and gets its own answer.

The server echoes the prompt, so the joined frame shows for each row
what was sent for it. tests/frames/test_cells.py tests the text of every kind of cell.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import batchframe.local
from batchframe.errors import CellError, ColumnError, TemplateError

Echo = Callable[..., pd.DataFrame]
PROMPT = "<{{ x }}>"


@pytest.fixture(scope="module")
def running() -> Iterator[batchframe.local.Server]:
    with batchframe.local.serve(answer=lambda body: body["messages"][-1]["content"]) as server:
        yield server


@pytest.fixture
def echo(running: batchframe.local.Server) -> Echo:
    """Submit and join a frame, and check that it has not changed."""

    def of(frame: pd.DataFrame, prompt: Any = PROMPT, **options: Any) -> pd.DataFrame:
        before = frame.copy(deep=True)
        job = frame.bf.requests(prompt, model="m", **options).submit(client=running.client()).wait()
        joined = frame.bf.join(job)
        pd.testing.assert_frame_equal(frame, before)
        pd.testing.assert_index_equal(joined.index, before.index)
        assert sum(job.counts.values()) == len(frame)
        return joined

    return of


def sent(joined: pd.DataFrame) -> list[str | None]:
    answers = joined["response"]
    return [None if gone else text for text, gone in zip(answers, answers.isna(), strict=True)]


MISSING = [None, float("nan"), pd.NA, pd.NaT]


@pytest.mark.parametrize("missing", MISSING, ids=repr)
def test_v1_missing_cells_follow_on_missing(missing: Any, echo: Echo) -> None:
    frame = pd.DataFrame({"x": pd.Series(["a", missing, "b"], dtype=object)})
    with pytest.raises(CellError, match=r'(?s)1 of 3 rows.*on_missing="skip"'):
        echo(frame)
    assert sent(echo(frame, on_missing="skip")) == ["<a>", None, "<b>"]
    assert sent(echo(frame, on_missing="empty")) == ["<a>", "<>", "<b>"]
    assert sent(echo(frame, "{{ x | json }}", on_missing="empty")) == ['"a"', "null", '"b"']


def test_v1_infinity_is_text_and_not_json(echo: Echo) -> None:
    frame = pd.DataFrame({"x": [np.inf, -np.inf, 1.5]})
    assert sent(echo(frame)) == ["<inf>", "<-inf>", "<1.5>"]
    with pytest.raises(CellError, match="infinity"):
        echo(frame, "{{ x | json }}")


EXACT: dict[str, tuple[Any, str]] = {
    "int8": (np.int8(-128), "-128"),
    "float32": (np.float32(0.1), "0.1"),
    "float64": (np.float64(1) / 3, "0.3333333333333333"),
    "Decimal": (decimal.Decimal("3.10"), "3.10"),
    "date": (dt.date(2026, 11, 21), "2026-11-21"),
    "Timestamp": (
        pd.Timestamp("2026-11-21 09:30", tz="Europe/Berlin"), "2026-11-21 09:30:00+01:00",
    ),
    "Timedelta": (pd.Timedelta("1D"), "1 days 00:00:00"),
    "Period": (pd.Period("2026-11", "M"), "2026-11"),
    "Interval": (pd.Interval(0, 1), "(0, 1]"),
    "bool": (True, "True"),
    "numpy bool": (np.False_, "False"),
    "complex": (1 + 2j, "(1+2j)"),
    "list": ([1, None, "é"], '[1,null,"é"]'),
    "dict": ({"a": [1.5]}, '{"a":[1.5]}'),
    "set": ({2, 1}, "[1,2]"),
    "array": (np.array([0.1, 2.0], dtype="f4"), "[0.1,2.0]"),
}  # fmt: skip


def test_v2_every_kind_of_value_is_sent_as_documented(echo: Echo) -> None:
    frame = pd.DataFrame({"x": pd.Series([value for value, _ in EXACT.values()], dtype=object)})
    assert sent(echo(frame)) == [f"<{text}>" for _, text in EXACT.values()]


TYPED = {
    "categories": (pd.Series(pd.Categorical(["b", "a", "b"])), ["b", "a", "b"]),
    "sparse": (pd.Series(pd.arrays.SparseArray([0, 0, 5])), ["0", "0", "5"]),
    "dates": (pd.Series(pd.date_range("2026-11-21", periods=2)),
              ["2026-11-21 00:00:00", "2026-11-22 00:00:00"]),
    "nullable": (pd.Series([1, 2], dtype="Int64"), ["1", "2"]),
    "arrow": (pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([[[1], [2, 3]]]))),
              ["[1]", "[2,3]"]),
}  # fmt: skip


@pytest.mark.parametrize("case", TYPED)
def test_v2_every_kind_of_column_is_sent_as_documented(case: str, echo: Echo) -> None:
    cells, texts = TYPED[case]
    assert sent(echo(pd.DataFrame({"x": cells}))) == [f"<{text}>" for text in texts]


@pytest.mark.parametrize(
    "value", [b"raw", bytearray(b"raw"), object()], ids=["bytes", "array", "o"]
)
def test_v2_a_value_without_text_is_refused_by_its_row(value: Any, echo: Echo) -> None:
    frame = pd.DataFrame({"x": ["a", value]}, index=["p", "q"], dtype=object)
    with pytest.raises(CellError, match=r"Column 'x', row 1 \(index 'q'\)"):
        echo(frame)


LARGE = [2**53 + 1, 2**63 - 1, -(2**63)]


@pytest.mark.parametrize("dtype", ["int64", "Int64", "int64[pyarrow]", "object"])
def test_v3_large_ints_are_exact(dtype: str, echo: Echo) -> None:
    frame = pd.DataFrame({"x": pd.Series(LARGE, dtype=dtype)})
    assert sent(echo(frame, "{{ x }} {{ x | json }}")) == [f"{n} {n}" for n in LARGE]


def test_v3_mixed_columns_are_exact(echo: Echo) -> None:
    values = [2**53 + 1, 0.1, "2", True, 2**70, decimal.Decimal("0.10"), np.uint64(2**64 - 1)]
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object)})
    assert sent(echo(frame)) == [f"<{value}>" for value in values]
    nullable = pd.DataFrame({"x": pd.Series([2**53 + 1, None], dtype="Int64")})
    assert sent(echo(nullable, on_missing="skip")) == ["<9007199254740993>", None]


INDEXES = {
    "repeated": pd.Index([0, 0, 0]),
    "unsorted": pd.Index([2, 0, 1]),
    "levels": pd.MultiIndex.from_tuples([("a", 1), ("a", 1), ("b", None)]),
    "dates": pd.DatetimeIndex(["2026-11-22", "2026-11-21", "2026-11-21"], tz="Europe/Berlin"),
    "objects": pd.Index([None, (1, 2), "x"], dtype=object, tupleize_cols=False),
    "missing": pd.Index([np.nan, np.nan, 1.0]),
    "named like an answer": pd.Index([1, 2, 3], name="response"),
}


@pytest.mark.parametrize("case", INDEXES)
def test_v4_any_index_is_kept_and_finds_its_answers(case: str, echo: Echo) -> None:
    frame = pd.DataFrame({"x": ["a", "b", "c"]}).set_axis(INDEXES[case])
    assert sent(echo(frame)) == ["<a>", "<b>", "<c>"]


LABELS: dict[str, tuple[Any, str]] = {
    "a keyword": ("class", "{{ class }}"),
    "a space": ("a b", "{{ a b }}"),
    "dunder": ("__class__", "{{ __class__ }}"),
    "a number": (7, "{{ 7 }}"),
    "a tuple": (("a", 1), "{{ ('a', 1) }}"),
    "a date": (pd.Timestamp("2026-11-21"), "{{ 2026-11-21 00:00:00 }}"),
    "an expression": ("x | json", "{{ x | json }}"),
    "not ascii": ("größe 🦆", "{{ größe 🦆 }}"),
    "NaN": (np.nan, "{{ nan }}"),
}


@pytest.mark.parametrize("case", LABELS)
def test_v4_any_column_label_can_be_used(case: str, echo: Echo) -> None:
    label, prompt = LABELS[case]
    columns = pd.Index([label, "other"], dtype=object, tupleize_cols=False)
    frame = pd.DataFrame([["a", 1], ["b", 2]], columns=columns)
    assert sent(echo(frame, prompt)) == ["a", "b"]


def test_v4_a_label_that_cannot_be_named_is_refused_before_anything_is_sent(
    echo: Echo, home: Path
) -> None:
    braces = pd.DataFrame({"{{x}}": ["a"]})
    with pytest.raises(TemplateError, match="no such column"):
        echo(braces, "{{ {{x}} }}{{ y }}")
    twins = pd.DataFrame([["a", "b"]], columns=["x", "x"])
    with pytest.raises(ColumnError, match="2 columns"):
        echo(twins)
    assert not home.exists()


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"x": []}, dtype=object),
        pd.DataFrame({"x": [None, np.nan, pd.NaT]}, dtype=object),
    ],
    ids=["no rows", "only skipped rows"],
)
def test_v5_an_empty_frame_makes_no_call_and_a_typed_result(frame: pd.DataFrame) -> None:
    requests = frame.bf.requests(PROMPT, model="m", output=["p", "q"], on_missing="skip")
    job = requests.submit()  # without a client, and with an invalid key
    joined = frame.bf.join(job)
    assert job.done
    assert joined["bf_status"].tolist() == ["skipped"] * len(frame)
    assert joined["label"].cat.categories.tolist() == ["p", "q"]
    assert len(job.results()) == len(frame)


def test_v5_a_prompt_function_sees_the_rows_of_a_frame_without_columns(echo: Echo) -> None:
    frame = pd.DataFrame(index=[5, 6])
    with pytest.raises(TemplateError, match=r"no columns|no such column"):
        echo(frame)
    assert sent(echo(frame, lambda _: "hello")) == ["hello", "hello"]


def test_v5_one_row(echo: Echo) -> None:
    assert sent(echo(pd.DataFrame({"x": ["only"]}))) == ["<only>"]


MANY = """
import resource, sys
from pathlib import Path
import numpy as np, pandas as pd
import batchframe as bf
rows = 250_000
frame = pd.DataFrame({"x": "review number " + pd.Series(np.arange(rows)).astype(str)})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
paths = frame.bf.requests("Rate {{ x }}", model="m", output=["p", "q"]).to_jsonl(sys.argv[1])
lines = [sum(1 for _ in path.open("rb")) for path in paths]
print(lines, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_v6_many_rows_are_streamed_into_full_files(tmp_path: Path) -> None:
    # A separate process, because peak memory never decreases.
    process = subprocess.run(
        [sys.executable, "-c", MANY, str(tmp_path / "files")],
        capture_output=True,
        text=True,
        check=True,
    )
    lines, _, grown = process.stdout.strip().rpartition(" ")
    assert lines == str([50_000] * 5)
    unit = 1 if sys.platform == "darwin" else 1024
    written = sum(path.stat().st_size for path in (tmp_path / "files").iterdir())
    assert int(grown) * unit < 250 << 20
    assert written > 60 << 20


def test_v7_a_character_at_the_size_limit_is_never_split(echo: Echo, tmp_path: Path) -> None:
    texts = ["é" * 50, "🦆" * 25, "x" * 100, "\u2028" * 33, '"' * 50, "\x00" * 16]
    frame = pd.DataFrame({"x": texts})
    assert sent(echo(frame)) == [f"<{text}>" for text in texts]
    (path,) = frame.bf.requests(PROMPT, model="m").to_jsonl(tmp_path)
    lines = path.read_bytes().split(b"\n")[:-1]
    prompts = [json.loads(line)["body"]["messages"][0]["content"] for line in lines]
    assert prompts == [f"<{text}>" for text in texts]


class Survey(pd.DataFrame):
    """A DataFrame subclass, like GeoDataFrame."""

    _metadata = ("wave",)

    @property
    def _constructor(self) -> type[Survey]:
        return Survey


FRAMES: dict[str, Callable[[], pd.DataFrame]] = {
    "object": lambda: pd.DataFrame({"x": pd.Series(["a", "é", "b"], dtype=object)}),
    "string": lambda: pd.DataFrame({"x": pd.Series(["a", "é", "b"], dtype="string")}),
    "inferred": lambda: pd.DataFrame({"x": ["a", "é", "b"]}),
    "arrow": lambda: pd.DataFrame({"x": pd.Series(["a", "é", "b"], dtype="string[pyarrow]")}),
    "category": lambda: pd.DataFrame({"x": pd.Categorical(["a", "é", "b"])}),
    "a view": lambda: pd.DataFrame({"x": ["a", "-", "é", "-", "b"]}).iloc[::2],
    "filtered": lambda: pd.DataFrame({"x": ["a", "-", "é", "b"]}).query("x != '-'"),
    "a subclass": lambda: Survey({"x": ["a", "é", "b"]}),
}


@pytest.mark.parametrize("case", FRAMES)
def test_v8_equal_values_of_any_dtype_are_sent_alike(case: str, echo: Echo) -> None:
    frame = FRAMES[case]()
    joined = echo(frame)
    assert sent(joined) == ["<a>", "<é>", "<b>"]
    assert type(joined) is type(frame)
    joined.loc[joined.index[0], "x"] = "é"
    assert frame["x"].iloc[0] == "a"


def test_v8_read_only_memory_is_read_and_not_changed(echo: Echo) -> None:
    values = np.array([[0.5, 1.5], [2.5, 3.5]])
    values.flags.writeable = False
    frame = pd.DataFrame(values, columns=["x", "y"], copy=False)
    assert sent(echo(frame, "{{ x }} {{ y }}")) == ["0.5 1.5", "2.5 3.5"]
    assert values.tolist() == [[0.5, 1.5], [2.5, 3.5]]


@pytest.mark.filterwarnings("ignore:The 'future.infer_string' option is deprecated")
@pytest.mark.parametrize("inferred", [False, True])
def test_v8_the_texts_of_old_and_new_pandas_are_the_same(inferred: bool, echo: Echo) -> None:
    with pd.option_context("future.infer_string", inferred):
        frame = pd.DataFrame({"x": ["a", None, "é"]})
        assert sent(echo(frame, on_missing="skip")) == ["<a>", None, "<é>"]


LITERAL = [
    "{{ x }}", "{{x | json}}", "{% for i in x %}", "{# c #}", "{0} {x} {}", "%s %(x)s %", "${x} $x",
    "<|endoftext|>", "<|im_start|>system", "{{{{", "}}", "\\n \\u0041", "'; DROP TABLE x", "\u202e",
    "__import__('os')", "=1+1", "../../x", "\x00\x1b[31m",
]  # fmt: skip


def test_v9_a_cell_is_literal_whatever_it_looks_like(echo: Echo) -> None:
    frame = pd.DataFrame({"x": LITERAL})
    assert sent(echo(frame)) == [f"<{text}>" for text in LITERAL]
    written = sent(echo(frame, "{{ x | json }}"))
    assert [json.loads(text or "") for text in written] == LITERAL


def test_v9_tokens_are_counted_whatever_a_cell_looks_like() -> None:
    estimate = pd.DataFrame({"x": LITERAL}).bf.requests(PROMPT, model="gpt-4.1").estimate()
    assert estimate.input_tokens.expected is not None
    assert estimate.input_tokens.expected > len(LITERAL)
