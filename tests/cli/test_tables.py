"""Reading and writing of CSV and Parquet files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe._cli.tables import check_destination, read_table, write_table
from batchframe.errors import CommandError

CELLS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), min_size=1)


@given(st.lists(st.tuples(CELLS, CELLS | st.none()), min_size=1))
def test_a_csv_of_strings_round_trips(rows: list[tuple[str, str | None]]) -> None:
    frame = pd.DataFrame(rows, columns=["a", "b"])
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/x.csv"
        write_table(frame, path)
        restored = read_table(path)
    assert restored["a"].tolist() == frame["a"].tolist()
    assert restored["b"].isna().tolist() == frame["b"].isna().tolist()
    assert restored["b"].dropna().tolist() == frame["b"].dropna().tolist()


def test_the_cells_of_a_csv_are_read_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\ufeffid,n,n,\n007,1e5,1.50,NA\nnull,None,,nan\n", encoding="utf-8")
    frame = read_table(str(path))
    assert frame.columns.tolist() == ["id", "n", "n", ""]
    assert frame.iloc[0].tolist() == ["007", "1e5", "1.50", "NA"]
    assert frame.iloc[1, [0, 1, 3]].tolist() == ["null", "None", "nan"]
    assert pd.isna(frame.iloc[1, 2])


def test_a_parquet_file_keeps_its_types_and_its_index(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"n": pd.array([1, None], "Int64"), "c": pd.Categorical(["b", "a"], ["a", "b", "c"])},
        index=pd.Index(["x", "y"], name="key"),
    )
    write_table(frame, str(tmp_path / "x.parquet"))
    pd.testing.assert_frame_equal(read_table(str(tmp_path / "x.parquet")), frame)


def test_a_csv_has_the_named_index_and_lists_as_json(tmp_path: Path) -> None:
    frame = pd.DataFrame({"tags": [["a", "ü"], []]}, index=pd.Index([7, 8], name="key"))
    write_table(frame, str(tmp_path / "x.csv"))
    assert (tmp_path / "x.csv").read_text("utf-8") == 'key,tags\n7,"[""a"",""ü""]"\n8,[]\n'


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_table(pd.DataFrame({"a": [1]}), str(path))
    with pytest.raises(CommandError, match="Cannot write"):
        write_table(pd.DataFrame({"a": [1, "text"]}), str(path))
    assert read_table(str(path))["a"].tolist() == [1]
    assert [one.name for one in tmp_path.iterdir()] == ["x.parquet"]


def test_the_input_is_never_replaced_under_any_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a\n", encoding="utf-8")
    (tmp_path / "y.csv").symlink_to(tmp_path / "x.csv")
    with pytest.raises(CommandError, match="replace the input"):
        check_destination(str(tmp_path / "y.csv"), str(tmp_path / "x.csv"))
