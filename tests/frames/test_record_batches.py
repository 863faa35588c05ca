"""Cells of any source: exact text or a clear error."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

import batchframe as bf
from batchframe._frames import record_batches, tabular
from tests.support.pictures import png


def texts(source: Any, prompt: Any = "{{ x }}", **options: Any) -> list[str]:
    options = {"on_missing": "(none)", "dedupe": False, **options}
    requests = bf.requests(source, prompt, model="gpt-4.1", **options)
    return [line["body"]["messages"][0]["content"] for line in requests.preview(requests.rows)]


def of_bytes(*values: bytes) -> pa.Array:
    """Return an Arrow string array of any bytes."""
    ends = np.cumsum([0, *map(len, values)]).astype(np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


PERIODS = pa.array(pd.Series(pd.PeriodIndex(["2024-01", "NaT"], freq="M")))
INTERVALS = pa.array(pd.Series(pd.arrays.IntervalArray.from_tuples([(0, 1), None])))
WORDS = pa.array(["a", None])
READABLE: dict[str, tuple[pa.Array, str]] = {
    "texts in views": (WORDS.cast(pa.string_view()), "a"),
    "dictionary-encoded string views": (
        pa.DictionaryArray.from_arrays(
            pa.array([0, None], pa.uint32()), pa.array(["a"], pa.string_view())
        ),
        "a",
    ),
    "a null in the dictionary": (
        pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), WORDS),
        "a",
    ),
    "runs": (pa.RunEndEncodedArray.from_arrays([1, 2], WORDS), "a"),
    "lists in views": (pa.array([[1, None], None], pa.list_view(pa.int64())), "[1,null]"),
    "large list views": (pa.array([[1], None], pa.large_list_view(pa.int64())), "[1]"),
    "lists of string views": (pa.array([["a"], None], pa.list_(pa.string_view())), '["a"]'),
    "periods of pandas": (PERIODS, "2024-01"),
    "intervals of pandas": (INTERVALS, "(0.0, 1.0]"),
    "half floats": (pa.array([np.float16(0.1), np.float16("nan")], pa.float16()), "0.1"),
    "wide decimals": (pa.array([Decimal(10**40), None], pa.decimal256(76, 0)), str(10**40)),
    "times": (pa.array([dt.time(1, 2, 3), None], pa.time32("s")), "01:02:03"),
    "times in nanoseconds": (pa.array([1_000, None]).cast(pa.time64("ns")), "00:00:00.000001"),
    "durations": (pa.array([86_400, None]).cast(pa.duration("s")), "1 days 00:00:00"),
    "maps": (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())), '[["k",1]]'),
}


@pytest.mark.parametrize("kind", READABLE)
def test_a_cell_of_any_type_has_the_text_of_its_value(kind: str) -> None:
    column, text = READABLE[kind]
    table = pa.table({"x": column})
    assert texts(table) == [text, "(none)"]
    assert texts(table.to_reader()) == [text, "(none)"]


UNREADABLE: dict[str, tuple[pa.Array, str]] = {
    "unions": (pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]), "union"),
    "intervals": (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "interval"),
    "times between microseconds": (pa.array([1]).cast(pa.time64("ns")), "lose data"),
    "bytes in views": (pa.array([b"a"], pa.binary_view()), "bytes"),
    "times after the year 9999": (pa.array([10**15]).cast(pa.timestamp("s")), "1 to 9999"),
    "dates after the year 9999": (pa.array([10**8], pa.int32()).cast(pa.date32()), "1 to 9999"),
    "bytes declared as a string": (of_bytes(b"\xff\xfe"), "UTF-8"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_cell_without_exact_text_raises_a_clear_error(kind: str) -> None:
    column, fragment = UNREADABLE[kind]
    for prompt in ("{{ x }}", "{{ x | json }}", lambda row: str(row["x"])):
        with pytest.raises((bf.errors.CellError, bf.errors.SourceError), match=f"'x'.*{fragment}"):
            texts(pa.table({"x": column}), prompt, on_missing="skip")


def test_an_unused_column_may_have_any_type() -> None:
    union, _ = UNREADABLE["unions"]
    assert texts(pa.table({"x": ["a"], "y": union})) == ["a"]


def test_bytes_that_are_not_utf_8_are_refused_in_a_frame_too() -> None:
    frame = pa.table({"x": of_bytes(b"a", b"\xff")}).to_pandas(types_mapper=pd.ArrowDtype)
    with pytest.raises(bf.errors.CellError, match=r"'x', row 1.*UTF-8"):
        texts(frame)


def of_arrow(column: pa.Array) -> pd.DataFrame:
    """Return a frame with a column of an Arrow dtype."""
    return pd.DataFrame({"x": pd.arrays.ArrowExtensionArray(pa.chunked_array([column]))})


@pytest.mark.parametrize("kind", [kind for kind in READABLE if "of pandas" not in kind])
def test_a_frame_column_may_have_any_arrow_type(kind: str) -> None:
    column, text = READABLE[kind]
    assert texts(of_arrow(column)) == [text, "(none)"]
    assert texts(of_arrow(column).iloc[:0]) == []
    requests = of_arrow(column).bf.requests(lambda _: "the same", model="gpt-4.1")
    assert len(requests) == 1


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_frame_cell_without_exact_text_raises_a_clear_error(kind: str) -> None:
    column, fragment = UNREADABLE[kind]
    for prompt in ("{{ x }}", "{{ x | json }}"):
        with pytest.raises(bf.errors.CellError, match=f"'x'.*{fragment}"):
            texts(of_arrow(column), prompt)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (UNREADABLE["unions"][0], "1"),
        (UNREADABLE["intervals"][0], "MonthDayNano(months=1, days=2, nanoseconds=3)"),
        (pa.array([b"a", None]), "a"),
        (pa.array([b"a", None], pa.large_binary()), "a"),
        (pa.array([b"a", None], pa.binary(1)), "a"),
        (pa.array([b"a", None], pa.binary_view()), "a"),
    ],
    ids=str,
)
def test_the_fix_in_the_error_makes_the_column_usable(column: pa.Array, text: str) -> None:
    df = of_arrow(column)
    with pytest.raises(bf.errors.CellError) as excinfo:
        texts(df)
    step = str(excinfo.value).partition("Fix: ")[2].removesuffix(".")
    assert step.startswith("df['x']")
    exec(step if " = " in step[:12] else f"df['x'] = {step}", {"df": df, "pd": pd})  # noqa: S102 - our own code
    assert texts(df)[0] == text
    assert texts(df)[1:] == ["(none)"] * (len(df) - 1)


def test_images_may_be_arrow_binary_views() -> None:
    table = pa.table({"x": ["a"], "photo": pa.array([png(1)], pa.binary_view())})
    [line] = bf.requests(table, "{{ x }}", model="gpt-4.1", images="photo").preview(1)
    assert line["body"]["messages"][0]["content"][1]["type"] == "image_url"


@pytest.mark.parametrize(
    "names", [["a.b", "a"], ["a b", "ü"], ["l.list.element", "l"], ["__index_level_0__", "A"]]
)
def test_a_column_with_an_unusual_name_is_read(names: list[str], tmp_path: Path) -> None:
    columns = [pa.array(["first"]), pa.array([{"b": "second", "list": {"element": "third"}}])]
    table = pa.table(columns, names)
    pq.write_table(table, tmp_path / "rows.parquet")
    for source in (
        table,
        tmp_path / "rows.parquet",
        ds.dataset(tmp_path).filter(pc.field(names[0]) == "first"),
    ):
        assert texts(source, f"{{{{ {names[0]} }}}}") == ["first"]
        assert texts(source, f"{{{{ {names[0]} }}}}{{{{{names[1]}}}}}")[0].startswith('first{"b":')


def files_of(folder: Path, **tables: Any) -> Path:
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


def test_files_with_different_columns_and_types_are_unified(tmp_path: Path) -> None:
    late = {"x": pa.array([2**40]), "y": ["late"], "z": ["text"]}
    early = {"x": pa.array([1], pa.int32()), "z": pa.nulls(1)}
    folder = files_of(tmp_path, a=early, b=late)
    assert texts(folder, "{{ x }} {{ y }} {{ z }}") == [
        "1 (none) (none)",
        f"{2**40} late text",
    ]


def test_files_with_incompatible_schemas_are_named(tmp_path: Path) -> None:
    folder = files_of(tmp_path, a={"x": [1]}, b={"x": ["text"]})
    with pytest.raises(bf.errors.SourceError, match=r"b\.parquet.*Field x .*schema=") as excinfo:
        texts(folder)
    assert "read_csv" not in str(excinfo.value)
    dataset = ds.dataset(folder, schema=pa.schema({"x": pa.int64()}))
    with pytest.raises(bf.errors.SourceError, match=r"b\.parquet: column 'x' is stored as string"):
        texts(dataset)
    assert texts(ds.dataset(folder, schema=pa.schema({"x": pa.string()}))) == ["1", "text"]


def test_files_of_other_programs_in_a_folder_are_ignored(tmp_path: Path) -> None:
    files_of(tmp_path, a={"x": ["a"]})
    for name in ("_SUCCESS", ".a.parquet.crc", "_metadata"):
        (tmp_path / name).write_bytes(b"no rows")
    assert texts(tmp_path) == ["a"]
    (tmp_path / "README.txt").write_text("no rows")
    with pytest.raises(bf.errors.SourceError, match=r"README\.txt"):
        texts(tmp_path)


def test_a_folder_without_files_and_a_missing_column_have_different_errors(tmp_path: Path) -> None:
    (tmp_path / "_SUCCESS").write_text("")
    with pytest.raises(bf.errors.SourceError, match="no Parquet files"):
        texts(tmp_path)


@pytest.mark.parametrize("target", ["a.parquet", "."])
def test_a_link_that_would_read_rows_twice_is_refused(target: str, tmp_path: Path) -> None:
    files_of(tmp_path, a={"x": ["a"]})
    (tmp_path / "link").symlink_to(tmp_path / target)
    with pytest.raises(bf.errors.SourceError, match="the same file"):
        texts(tmp_path)


def test_a_link_to_a_file_elsewhere_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    files_of(tmp_path / "there", a={"x": ["a"]})
    (tmp_path / "here" / "link").symlink_to(tmp_path / "there")
    assert texts(tmp_path / "here") == ["a"]


def test_partition_values_may_be_missing_or_unusual(tmp_path: Path) -> None:
    for name, x in {"k=a b%20c": 1, "k=__HIVE_DEFAULT_PARTITION__": 2}.items():
        (tmp_path / name).mkdir()
        files_of(tmp_path / name, a={"x": [x]})
    assert sorted(texts(tmp_path, "{{ x }} {{ k }}")) == ["1 a b c", "2 (none)"]


def test_only_the_selected_row_groups_of_a_fragment_are_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": list(range(10))}), tmp_path / "a.parquet", row_group_size=2)
    dataset = ds.dataset(tmp_path)
    [fragment] = dataset.get_fragments()
    row_groups = fragment.subset(row_group_ids=[1, 3])
    some = ds.FileSystemDataset([row_groups], dataset.schema, dataset.format, dataset.filesystem)
    assert texts(some) == ["2", "3", "6", "7"]


def test_a_file_may_be_rewritten_with_other_row_groups(tmp_path: Path) -> None:
    table = pa.table({"x": [str(row) for row in range(10)]})
    for before, after in ((2, 10), (10, 2)):
        pq.write_table(table, tmp_path / "a.parquet", row_group_size=before)
        requests = bf.requests(tmp_path / "a.parquet", "{{ x }}", model="gpt-4.1")
        pq.write_table(table, tmp_path / "a.parquet", row_group_size=after)
        assert len(requests.preview(10)) == 10


def test_a_tilde_in_a_path_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    files_of(tmp_path, a={"x": ["a"]})
    assert texts("~/a.parquet") == texts(Path("~/a.parquet")) == ["a"]
    with pytest.raises(bf.errors.SourceError, match="No such file or folder: '~nobody-at-all"):
        texts("~nobody-at-all/a.parquet")


def test_a_url_is_distinguished_from_a_path() -> None:
    with pytest.raises(bf.errors.SourceError, match=r"dataset\('s3://bucket/rows'"):
        texts("s3://bucket/rows")


@pytest.mark.parametrize("prompt", ["{{ x }}", lambda row: row["x"]])
def test_an_empty_source_makes_no_requests(prompt: Any, tmp_path: Path) -> None:
    none = pa.table({"x": pa.array([], pa.string())})
    pq.write_table(none, tmp_path / "none.parquet")
    for source in (none, tmp_path / "none.parquet", none.to_reader()):
        requests = bf.requests(source, prompt, model="gpt-4.1")
        assert (requests.rows, len(requests), requests.preview()) == (0, 0, [])
        assert requests.submit().counts == {}


def test_batches_of_a_stream_may_have_separate_dictionaries() -> None:
    batches = [pa.record_batch({"x": pa.array(x).dictionary_encode()}) for x in ("ab", "cd")]
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, iter(batches))
    assert texts(reader) == ["a", "b", "c", "d"]


def test_a_consumed_reader_is_an_error_not_an_empty_source() -> None:
    reader = pa.table({"x": ["a"]}).to_reader()
    assert texts(reader) == ["a"]
    with pytest.raises(bf.errors.SourceError, match="exhausted"):
        texts(reader)


class TroubleError(Exception):
    """Exception of the user's record batch reader."""


def interrupted() -> Iterator[pa.RecordBatch]:
    yield pa.record_batch({"x": ["a"]})
    raise TroubleError


def no_room(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def stop(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("write", "expected"),
    [(no_room, bf.errors.SourceError), (stop, KeyboardInterrupt)],
    ids=["no room", "interrupt"],
)
def test_a_failed_copy_leaves_no_file(
    write: Callable[..., None],
    expected: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(record_batches, "_write", write)
    with pytest.raises(expected) as excinfo:
        texts(pa.table({"x": ["a"]}).to_reader())
    assert list(tmp_path.iterdir()) == []
    if expected is not KeyboardInterrupt:
        assert "TMPDIR" in str(excinfo.value)


def test_a_reader_that_failed_is_not_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    reader = pa.RecordBatchReader.from_batches(pa.schema({"x": pa.string()}), interrupted())
    with pytest.raises((bf.errors.SourceError, TroubleError)):
        texts(reader)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(bf.errors.SourceError, match="exhausted"):
        texts(reader)


def test_a_failing_prompt_function_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(bf.errors.TemplateError):
        texts(pa.table({"x": [1, 0]}), lambda row: str(1 / row["x"]), on_missing="skip")
    assert list(tmp_path.iterdir()) == []


def test_large_cells_are_read_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_batches, "_BATCH_BYTES", 10_000)
    table = pa.table({"x": [f"{i:05}" * 500 for i in range(40)], "y": ["small"] * 40})
    pq.write_table(table, tmp_path / "rows.parquet")
    for source in (tmp_path / "rows.parquet", table.to_reader()):
        parts = list(tabular.tabular(source).blocks())
        assert max(map(len, parts)) <= 5
        assert [text for part in parts for text in part.frame["x"]] == table["x"].to_pylist()
    [narrow] = tabular.tabular(tmp_path / "rows.parquet").only(["y"]).blocks()
    assert len(narrow) == 40


class Answer(BaseModel):
    """Two columns."""

    label: str
    why: str


def test_a_taken_column_name_has_a_fix_for_sources_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"x": ["a"], "label": ["b"], "why": ["c"]}), path)
    with pytest.raises(bf.errors.ColumnError, match=r"scanner\(columns=\[\.\.\.\]\)"):
        texts(path, output=Answer)
    assert texts(ds.dataset(path).scanner(columns=["x"]).to_reader(), output=Answer) == ["a"]
