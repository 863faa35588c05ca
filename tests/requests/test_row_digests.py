"""Unchanged rows are recognized without rendering."""

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


def table_of(frame: pd.DataFrame, **options: Any) -> Any:
    options = {"on_missing": "skip", **options}
    return bf.requests(frame, "{{ left }}{{ right | json }}", model="gpt-4.1", **options)._table


def match(table: Any, frame: pd.DataFrame, checksum: str | None) -> Any:
    return row_digests(table.recipe, of_frame(frame), checksum)


@example(first=[("ab", "a"), ("", "a")], second=[("a", "a"), ("b", "a")], on_missing="skip")
@example(first=[("", "")], second=[("", None)], on_missing="empty")
@example(first=[("", "")], second=[(None, "")], on_missing="empty")
@given(first=FRAMES, second=FRAMES, on_missing=st.sampled_from(["skip", "empty", "nothing"]))
def test_only_equal_cells_in_equal_order_have_the_same_checksum(
    first: Any, second: Any, on_missing: str
) -> None:
    table = table_of(frame_of(first), on_missing=on_missing)
    numbers = match(table, frame_of(second), rows_of(table).checksum)
    # The JSON filter tells a missing cell from an empty one: null and "".
    read_as = {} if on_missing == "skip" else {"left": "" if on_missing == "empty" else "nothing"}
    alike = [frame_of(rows).fillna(read_as) for rows in (first, second)]
    assert (numbers is None) == alike[0].equals(alike[1])


def test_labels_unused_columns_and_chunks_do_not_matter() -> None:
    frame = frame_of([("a", "b"), ("é", None), ("", "c"), ("a", "b")])
    table = table_of(frame)
    chunks = pa.chunked_array([["a"], ["é", ""], [], ["a"]], pa.string())
    changed = pd.DataFrame(
        {
            "more": range(4),
            "right": pd.Categorical(frame["right"].array),
            "left": pd.arrays.ArrowExtensionArray(chunks),
        },
        index=["x", "x", "y", "z"],
    )
    assert match(table, changed, rows_of(table).checksum) is None


def test_a_slice_is_distinguished_from_its_frame() -> None:
    frame = frame_of([("a", "b"), ("b", "a"), ("c", "c")])
    checksums = {rows_of(table_of(frame.iloc[part])).checksum for part in (
        slice(None), slice(1, None), slice(None, 2), slice(1, 2),
    )}  # fmt: skip
    assert len(checksums) == 4
    assert rows_of(table_of(frame.iloc[1:].copy())).checksum in checksums


def test_images_functions_and_streams_have_no_checksum() -> None:
    frame = frame_of([("https://example.org/1.png", "b")])
    with_images = bf.requests(frame, "{{ right }}", model="gpt-4.1", images="left")._table
    with_function = bf.requests(frame, lambda row: row["right"], model="gpt-4.1")._table
    streamed = bf.requests(pa.Table.from_pandas(frame), "{{ right }}", model="gpt-4.1")._table
    assert {rows_of(table).checksum for table in (with_images, with_function, streamed)} == {None}


@pytest.mark.parametrize("checksum", [None, "0" * 64])
def test_the_checksum_is_stored_with_the_rows(checksum: str | None, tmp_path: Any) -> None:
    rows = replace(rows_of(table_of(frame_of([("a", "b"), ("a", None)]))), checksum=checksum)
    write_rows(rows, tmp_path / "rows.parquet")
    stored = read_rows(tmp_path / "rows.parquet")
    assert stored.checksum == checksum
    assert stored.identity == rows.identity


@given(st.lists(st.integers(-1, 4), max_size=8))
def test_the_first_row_of_each_request_is_found(numbers: list[int]) -> None:
    places = {number: place for place, number in reversed([*enumerate(numbers)]) if number >= 0}
    digests = sorted(places)
    number = np.array([digests.index(n) if n >= 0 else -1 for n in numbers], np.int64)
    none = pa.nulls(len(numbers), pa.binary(16))
    rows = Rows(none, number, pa.nulls(len(numbers), pa.string()), none)
    assert rows.first_row.tolist() == [places[n] for n in digests]
