"""Rows that are as they were submitted are known without rendering them, and no others are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import batchframe as bf
from batchframe._frames.tabular import of_frame
from batchframe._requests.rendering import row_digests
from batchframe._store.rows import Rows, read_rows, rows_of, write_rows

CELLS = st.sampled_from(["", "a", "ab", "b", "é", None])
FRAMES = st.lists(st.tuples(CELLS, CELLS), max_size=4)


def frame_of(rows: list[tuple[str | None, str | None]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["left", "right"], dtype="string")


def asked(frame: pd.DataFrame, **more: Any) -> Any:
    more = {"on_missing": "skip", **more}
    return bf.requests(frame, "{{ left }}{{ right | json }}", model="gpt-4.1", **more)._table


def told(table: Any, frame: pd.DataFrame, checksum: str | None) -> Any:
    return row_digests(table.recipe, of_frame(frame), checksum)


@example(first=[("ab", "a"), ("", "a")], second=[("a", "a"), ("b", "a")], on_missing="skip")
@given(first=FRAMES, second=FRAMES, on_missing=st.sampled_from(["skip", "empty", "nothing"]))
def test_only_rows_with_the_same_cells_in_the_same_order_are_taken_for_the_same(
    first: Any, second: Any, on_missing: str
) -> None:
    table = asked(frame_of(first), on_missing=on_missing)
    known = told(table, frame_of(second), rows_of(table).checksum)
    read_as = "" if on_missing == "empty" else "nothing"
    alike = [
        frame_of(rows) if on_missing == "skip" else frame_of(rows).fillna(read_as)
        for rows in (first, second)
    ]
    assert (known is None) == alike[0].equals(alike[1])


def test_labels_other_columns_and_chunks_are_no_matter() -> None:
    frame = frame_of([("a", "b"), ("é", None), ("", "c"), ("a", "b")])
    table = asked(frame)
    chunks = pa.chunked_array([["a"], ["é", ""], [], ["a"]], pa.string())
    changed = pd.DataFrame(
        {
            "more": range(4),
            "right": pd.Categorical(frame["right"].array),
            "left": pd.arrays.ArrowExtensionArray(chunks),
        },
        index=["x", "x", "y", "z"],
    )
    assert told(table, changed, rows_of(table).checksum) is None


def test_a_slice_is_not_taken_for_the_whole_it_is_cut_from() -> None:
    frame = frame_of([("a", "b"), ("b", "a"), ("c", "c")])
    checksums = {rows_of(asked(frame.iloc[part])).checksum for part in (
        slice(None), slice(1, None), slice(None, 2), slice(1, 2),
    )}  # fmt: skip
    assert len(checksums) == 4
    assert rows_of(asked(frame.iloc[1:].copy())).checksum in checksums


def test_what_may_change_has_no_checksum() -> None:
    frame = frame_of([("https://example.org/1.png", "b")])
    seen = bf.requests(frame, "{{ right }}", model="gpt-4.1", images="left")._table
    made = bf.requests(frame, lambda row: row["right"], model="gpt-4.1")._table
    read = bf.requests(pa.Table.from_pandas(frame), "{{ right }}", model="gpt-4.1")._table
    assert {rows_of(table).checksum for table in (seen, made, read)} == {None}


@pytest.mark.parametrize("checksum", [None, "0" * 64])
def test_the_checksum_is_kept_with_the_rows(checksum: str | None, tmp_path: Any) -> None:
    rows = replace(rows_of(asked(frame_of([("a", "b"), ("a", None)]))), checksum=checksum)
    write_rows(rows, tmp_path / "rows.parquet")
    kept = read_rows(tmp_path / "rows.parquet")
    assert kept.checksum == checksum
    assert kept.identity == rows.identity


@given(st.lists(st.integers(-1, 4), max_size=8))
def test_the_first_row_of_each_request_is_found(numbers: list[int]) -> None:
    places = {number: place for place, number in reversed([*enumerate(numbers)]) if number >= 0}
    known = sorted(places)
    number = np.array([known.index(n) if n >= 0 else -1 for n in numbers], np.int64)
    none = pa.nulls(len(numbers), pa.binary(16))
    rows = Rows(none, number, pa.nulls(len(numbers), pa.string()), none)
    assert rows.first_row.tolist() == [places[n] for n in known]
