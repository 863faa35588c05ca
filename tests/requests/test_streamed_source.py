"""Streamed sources make the same requests as a frame."""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchframe as bf
from tests.support.pictures import png

ROWS = 23_456  # several batches, the last one not full
FRAME = pd.DataFrame(
    {"id": range(ROWS), "text": [f"text {i % 20_000} ü\u2028" for i in range(ROWS)]}
)
PROMPT = "{{ text }} of {{ id }}"
ARROW = pa.Table.from_pandas(FRAME)


class Stream:
    """An object that only streams Arrow."""

    def __arrow_c_stream__(self, schema: Any = None) -> Any:
        return ARROW.__arrow_c_stream__(schema)


def folder_of(path: Path) -> Path:
    (path / "many").mkdir()
    for number, start in enumerate(range(0, ROWS, 7_000)):
        part = ARROW.slice(start, 7_000)
        pq.write_table(part, path / "many" / f"{number}.parquet", row_group_size=3_000)
    return path / "many"


def file_of(path: Path) -> Path:
    pq.write_table(ARROW, path / "one.parquet", row_group_size=5_000)
    return path / "one.parquet"


SOURCES: dict[str, Callable[[Path], Any]] = {
    "file": file_of,
    "name of a file": lambda path: str(file_of(path)),
    "folder": folder_of,
    "dataset": lambda path: ds.dataset(folder_of(path)),
    "chosen rows": lambda path: ds.dataset(file_of(path)).filter(pc.field("id") >= 0),
    "table": lambda _: ARROW,
    "batch": lambda _: ARROW.combine_chunks().to_batches()[0],
    "reader": lambda _: ARROW.to_reader(max_chunksize=9_999),
    "stream": lambda _: Stream(),
    "encoded texts": lambda _: ARROW.set_column(1, "text", ARROW["text"].dictionary_encode()),
    "texts in views": lambda _: ARROW.set_column(1, "text", ARROW["text"].cast(pa.string_view())),
}


def asked_of(source: Any, prompt: Any = PROMPT, **options: Any) -> bf.Requests:
    return bf.requests(source, prompt, model="gpt-4.1", **options)


def lines(requests: bf.Requests) -> list[dict[str, Any]]:
    return requests.preview(len(requests))


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_makes_the_same_requests_as_its_frame(kind: str, tmp_path: Path) -> None:
    source = SOURCES[kind](tmp_path)
    requests, of_frame = asked_of(source), asked_of(FRAME)
    assert (requests.rows, len(requests)) == (ROWS, len(of_frame))
    assert lines(requests) == lines(of_frame)
    assert requests.estimate().input_tokens == of_frame.estimate().input_tokens


YEAR_1700, YEAR_2200 = (
    dt.datetime.fromisoformat("1700-01-01"),
    dt.datetime.fromisoformat("2200-01-01"),
)
VALUES = {
    "integers": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "numbers": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "short numbers": (pa.float32(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    "booleans": (pa.bool_(), st.booleans()),
    "texts": (pa.string(), st.text()),
    "dates": (pa.date32(), st.dates()),
    "times": (pa.timestamp("us"), st.datetimes(YEAR_1700, YEAR_2200)),
    "decimals": (pa.decimal128(9, 2), st.decimals(-1000, 1000, places=2).map(Decimal)),
    "lists": (pa.list_(pa.int64()), st.lists(st.integers(-9, 9))),
    "structs": (pa.struct({"a": pa.int64()}), st.fixed_dictionaries({"a": st.integers(-9, 9)})),
}


@given(data=st.data(), kind=st.sampled_from(list(VALUES)), as_json=st.booleans())
def test_the_text_of_a_cell_does_not_depend_on_its_batch(
    data: st.DataObject, kind: str, as_json: bool
) -> None:
    arrow, values = VALUES[kind]
    cells = data.draw(st.lists(st.none() | values, min_size=1, max_size=6))
    table = pa.table({"x": pa.array(cells, arrow)})
    prompt = "<{{ x | json }}>" if as_json else "<{{ x }}>"
    together = [
        line["body"] for line in lines(asked_of(table, prompt, on_missing="skip", dedupe=False))
    ]
    alone = [
        line["body"]
        for i in range(len(cells))
        for line in lines(asked_of(table.slice(i, 1), prompt, on_missing="skip"))
    ]
    assert together == alone
    as_frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    of_frame = asked_of(as_frame, prompt, on_missing="skip", dedupe=False)
    assert [line["body"] for line in lines(of_frame)] == together


def test_filtered_rows_are_not_sent(tmp_path: Path) -> None:
    filtered = ds.dataset(file_of(tmp_path)).filter(pc.field("id") > 12_345)
    assert lines(asked_of(filtered)) == lines(asked_of(FRAME[FRAME["id"] > 12_345]))


def test_folders_may_name_a_column_and_files_may_lack_one(tmp_path: Path) -> None:
    for place, table in {
        "lang=de/a": pa.table({"text": ["x"], "id": pa.array([1], pa.int32())}),
        "lang=en/b": pa.table({"text": ["y"]}),
    }.items():
        (tmp_path / place).parent.mkdir()
        pq.write_table(table, tmp_path / f"{place}.parquet")
    prompts = asked_of(tmp_path, "{{ lang }} {{ text }} {{ id }}", on_missing="empty")
    contents = [line["body"]["messages"][0]["content"] for line in lines(prompts)]
    assert contents == ["de x 1", "en y "]


def test_missing_cells_are_counted_over_all_batches() -> None:
    table = pa.table({"text": [None if i in {5, 20_001} else "a" for i in range(ROWS)]})
    with pytest.raises(bf.errors.CellError) as excinfo:
        asked_of(table, "{{ text }}")
    for phrase in (f"2 of {ROWS:,} rows", "row 5:", "row 20001:"):
        assert phrase in str(excinfo.value)
    skipping = asked_of(table, "{{ text }}", on_missing="skip", dedupe=False)
    assert len(skipping) == ROWS - 2
    assert len(asked_of(table, "{{ text }}", on_missing="empty")) == 2


def test_a_cell_without_text_is_named_by_its_row_in_the_source() -> None:
    table = pa.table({"x": pa.array([b""] * 12_345 + [b"\xff"] + [b""] * 9, pa.binary())})
    with pytest.raises(bf.errors.CellError, match=r"\b0\b"):
        asked_of(table, "{{ x }}")
    numbers = pa.table({"x": [1.0] * 12_345 + [float("inf")]})
    with pytest.raises(bf.errors.CellError, match=r"12345"):
        asked_of(numbers, "{{ x | json }}")


def test_a_function_is_called_once_for_each_row_in_order() -> None:
    row_ids: list[int] = []

    def prompt(row: Any) -> str | None:
        row_ids.append(row["id"])
        return None if row["id"] == 12_000 else f"say {row['text']}"

    requests = asked_of(ARROW, prompt, on_missing="skip")
    assert row_ids == list(range(ROWS))
    of_frame = asked_of(FRAME, prompt, on_missing="skip")
    assert lines(requests) == lines(of_frame)


def test_a_failing_function_is_reported_with_the_row() -> None:
    with pytest.raises(bf.errors.TemplateError, match=r"12345"):
        asked_of(ARROW, lambda row: f"{1 / (row['id'] - 12_345)}")


def test_images_are_sent_with_their_rows() -> None:
    pictures = [png(1 + i % 7) for i in range(30)]
    table = pa.table({"photo": pictures, "text": [f"{i}" for i in range(30)]})
    requests = asked_of(table, "{{ text }}", images="photo")
    assert lines(requests) == lines(asked_of(table.to_pandas(), "{{ text }}", images="photo"))
    with pytest.raises(bf.errors.CellError, match=r"row 1: column 'photo'"):
        asked_of(pa.table({"photo": [pictures[0], b"none"]}), "What?", images="photo")
    with pytest.raises(bf.errors.ColumnError, match=r"'foto'.*photo.*text"):
        asked_of(table, "{{ text }}", images="foto")


def test_no_more_columns_are_read_than_the_prompt_needs(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["a"], "x": pa.array([1], pa.uint8())}), path)
    broken = path.read_bytes()
    assert lines(asked_of(path, "{{ text }}"))[0]["body"]["messages"][0]["content"] == "a"
    assert broken == path.read_bytes()


@pytest.mark.parametrize(
    ("source", "fragment"),
    [
        ("nowhere.parquet", "No such file or folder: 'nowhere.parquet'"),
        (__file__, "cannot be read as Parquet or Arrow"),
        ([1, 2], "unsupported type (list)"),
        (pd.Series(["a"]), "unsupported type (Series)"),
        (None, "unsupported type (NoneType)"),
        (pa.table([["a"], ["b"]], names=["x", "x"]), "duplicate column names ('x')"),
    ],
)
def test_an_unreadable_source_raises_a_clear_error(source: Any, fragment: str) -> None:
    with pytest.raises(bf.errors.SourceError, match=re.escape(fragment)):
        asked_of(source, "{{ x }}")


@pytest.mark.parametrize("more", [0, 1])
def test_rows_that_change_before_they_are_sent_are_refused(
    more: int, tmp_path: Path, server: Any
) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["a", "b"]}), path)
    requests = asked_of(path, "{{ text }}")
    pq.write_table(pa.table({"text": ["a", "x"][: 2 - more]}), path)
    with pytest.raises(bf.errors.SourceError, match=r"file unchanged|Leave it as"):
        requests.submit(client=server.client())
    assert len(server.ledger) == 0


def test_a_stream_is_copied_to_a_private_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    requests = asked_of(ARROW.to_reader())
    [copy] = tmp_path.glob("batchframe-*")
    assert copy.stat().st_mode & 0o077 == 0
    assert len(requests.estimate().notes) >= 0
    del requests
    assert list(tmp_path.glob("batchframe-*")) == []


MEASURE = """
import resource, sys
import batchframe as bf
requests = bf.requests(sys.argv[1], "{{ text }}", model="gpt-4.1")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, len(requests))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_texts(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        with pq.ParquetWriter(tmp_path / f"{rows}", pa.schema({"text": pa.string()})) as file:
            for start in range(0, rows, 10_000):
                texts = [f"{row} {'x' * 1_500}" for row in range(start, start + 10_000)]
                file.write_table(pa.table({"text": texts}))
        command = [sys.executable, "-c", MEASURE, str(tmp_path / f"{rows}")]
        process = subprocess.run(
            command, env=os.environ, capture_output=True, text=True, check=True
        )
        most, requests = map(int, process.stdout.split())
        assert requests == rows
        return most

    # Another 240 MB of strings may take the bookkeeping of their rows, and what an allocator keeps.
    assert peak(200_000) - peak(40_000) < 80 * 2**20
