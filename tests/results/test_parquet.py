"""Export of rows and answers to Parquet, block by block."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

import batchframe as bf
import batchframe.local
from batchframe._results import arrow_columns as _export

ROWS = 360
HALF = ROWS // 2


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchframe._frames.tabular.BLOCK_ROWS", 30)


class Reading(BaseModel):
    mood: Literal["good", "bad", "none"]
    score: int | None
    words: list[str]


def read(body: dict[str, Any]) -> dict[str, Any]:
    number = int(body["messages"][0]["content"])
    moods = ("good", "bad")
    score = None if number % 3 else number
    return {"mood": moods[number % 2], "score": score, "words": [str(number)]}


@pytest.fixture
def many(tmp_path: Path) -> Path:
    path = tmp_path / "many.parquet"
    number = [None if i == 7 else i % 330 for i in range(ROWS)]
    table = pa.table(
        {
            "number": pa.array(number, pa.int64()),
            "tags": pa.array([["a", "b"]] * ROWS),
            "when": pa.array([1] * ROWS, pa.timestamp("s")),
        }
    )
    pq.write_table(table, path)
    return path


def answered(source: Any, **options: Any) -> bf.Job:
    requests = bf.requests(
        source, "{{ number }}", model="gpt-4.1", output=Reading, on_missing="skip", **options
    )
    with batchframe.local.serve(answer=read) as server:
        return requests.submit("many", client=server.client()).wait()


def test_the_file_has_the_columns_that_join_adds(many: Path, tmp_path: Path) -> None:
    job = answered(many)
    written = job.to_parquet(tmp_path / "labeled.parquet", details=True)
    restored = pd.read_parquet(written)
    frame = pq.read_table(many).to_pandas(types_mapper=pd.ArrowDtype)
    joined = frame.bf.join(job, details=True)
    assert list(restored.columns) == list(joined.columns)
    assert restored["number"].isna().sum() == 1
    for name in ("mood", "score", "bf_status", "bf_error", "bf_input_tokens", "bf_custom_id"):
        categories = {"check_categorical": name != "bf_status"}  # all, or those that occur
        pd.testing.assert_series_equal(
            restored[name], joined[name], check_index=False, **categories
        )
    assert [list(words or []) for words in restored["words"].replace({None: np.nan}).dropna()] == [
        words for words in joined["words"] if isinstance(words, list)
    ]
    assert restored["bf_status"].value_counts()["skipped"] == 1
    assert list(restored["mood"].cat.categories) == ["good", "bad", "none"]
    assert sum(cost for cost in restored["bf_cost"] if cost is not None) == job.cost > Decimal(0)


def test_the_columns_of_the_source_stay_as_they_are_stored(many: Path, tmp_path: Path) -> None:
    written = answered(many).to_parquet(tmp_path / "labeled.parquet")
    before, after = pq.read_table(many), pq.read_table(written)
    assert after.select(before.column_names).equals(before)


@pytest.mark.parametrize("kind", ["frame", "table", "reader"])
def test_rows_in_memory_must_be_passed_again(kind: str, many: Path, tmp_path: Path) -> None:
    table = pq.read_table(many)
    source = {
        "frame": lambda: table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get),
        "table": lambda: table,
        "reader": table.to_reader,
    }[kind]
    job = answered(source())
    with pytest.raises(bf.errors.SourceError, match=r"job.to_parquet\('x.parquet', df\)"):
        job.to_parquet("x.parquet")
    restored = pd.read_parquet(job.to_parquet(tmp_path / "labeled.parquet", source()))
    assert restored["bf_status"].astype(str).value_counts().to_dict() == job.counts
    assert not list(tmp_path.glob("*.part"))


def test_a_job_without_dedupe_is_exported_row_by_row(many: Path, tmp_path: Path) -> None:
    job = answered(many, dedupe=False)
    restored = pd.read_parquet(job.to_parquet(tmp_path / "labeled.parquet", details=True))
    ids = restored["bf_custom_id"].dropna()
    assert len(ids) == ids.nunique() == ROWS - 1
    assert restored["bf_custom_id"].tolist() == job.results(details=True)["bf_custom_id"].tolist()


def test_rows_in_another_order_find_their_own_answers(many: Path, tmp_path: Path) -> None:
    job = answered(many)
    table = pq.read_table(many)
    mixed = table.take(np.random.default_rng(0).permutation(ROWS))
    more = pa.concat_tables([mixed, table.slice(0, 1).set_column(0, "number", [[77_777]])])
    restored = pd.read_parquet(job.to_parquet(tmp_path / "labeled.parquet", more))
    there = restored[restored["bf_status"] == "ok"]
    assert len(there) == ROWS - 1
    assert (there["number"] == there["words"].map(lambda words: int(words[0]))).all()
    assert restored["bf_status"].iloc[-1] == "missing"


def test_a_taken_name_is_refused_before_anything_is_written(many: Path, tmp_path: Path) -> None:
    job = answered(many)
    labeled = job.to_parquet(tmp_path / "labeled.parquet")
    with pytest.raises(bf.errors.ColumnError, match="prefix"):
        job.to_parquet(tmp_path / "again.parquet", labeled)
    assert not (tmp_path / "again.parquet").exists()
    twice = job.to_parquet(tmp_path / "again.parquet", labeled, prefix="second_")
    restored = pd.read_parquet(twice)
    assert restored["second_mood"].astype(object).equals(restored["mood"].astype(object))
    over = pd.read_parquet(job.to_parquet(tmp_path / "over.parquet", labeled, overwrite=True))
    assert list(over.columns) == list(pd.read_parquet(labeled).columns)


def test_a_destination_in_the_source_folder_is_refused(many: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    many.rename(tmp_path / "folder" / "many.parquet")
    job = answered(tmp_path / "folder")
    with pytest.raises(bf.errors.SourceError, match="choose a path outside"):
        job.to_parquet(tmp_path / "folder" / "labeled.parquet")


def test_a_failed_export_leaves_no_file(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = answered(many)
    there = tmp_path / "labeled.parquet"
    there.write_bytes(b"what stood here")
    writes = iter([None, OSError(28, "No space left on device")])

    def write_table(*_: Any) -> None:
        if (reason := next(writes)) is not None:
            raise reason

    monkeypatch.setattr(pq.ParquetWriter, "write_table", write_table)
    with pytest.raises(OSError, match="No space"):
        job.to_parquet(there)
    assert there.read_bytes() == b"what stood here"
    assert not list(tmp_path.glob("*.part"))


def test_vectors_are_lists_of_a_fixed_length(tmp_path: Path) -> None:
    path = tmp_path / "texts.parquet"
    pq.write_table(pa.table({"text": ["a", "b"]}), path)
    requests = bf.requests(
        path, "{{ text }}", model="text-embedding-3-small", endpoint="/v1/embeddings", dimensions=8
    )
    with batchframe.local.serve() as server:
        job = requests.submit(client=server.client()).wait()
    written = job.to_parquet(tmp_path / "vectors.parquet")
    assert pa.types.is_fixed_size_list(pq.read_schema(written).field("embedding").type)
    restored = pd.read_parquet(written)["embedding"]
    assert (np.stack(restored) == np.stack(job.results()["embedding"])).all()


def test_rows_changed_during_the_export_keep_their_own_answers(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    rows = pq.read_table(many)
    for name, part in {"a": rows.slice(0, HALF), "b": rows.slice(HALF)}.items():
        pq.write_table(part, folder / f"{name}.parquet")
    job = answered(folder)
    match_rows = _export.match_rows

    def change(*arguments: Any) -> Any:
        mixed = rows.slice(HALF).take(list(reversed(range(HALF))))
        pq.write_table(mixed, folder / "b.parquet")
        monkeypatch.setattr(_export, "match_rows", match_rows)
        return match_rows(*arguments)

    monkeypatch.setattr(_export, "match_rows", change)
    restored = pd.read_parquet(job.to_parquet(tmp_path / "labeled.parquet"))
    there = restored[restored["bf_status"] == "ok"]
    assert len(there) == ROWS - 1
    assert (there["number"] == there["words"].map(lambda words: int(words[0]))).all()


FRAMES: dict[str, pd.DataFrame] = {
    "index": pd.DataFrame({"number": range(250)}, index=[f"r{i}" for i in range(250)]),
    "range": pd.DataFrame({"number": range(250)}, index=pd.RangeIndex(3, 253)),
    "levels": pd.DataFrame(
        {"number": range(250)}, index=pd.MultiIndex.from_product([range(125), ["a", "b"]])
    ),
    "dtypes": pd.DataFrame(
        {
            "number": range(250),
            "some": pd.array([1, None] * 125, dtype="Int64"),
            "kind": pd.Categorical(["a", "b"] * 125, categories=["b", "a", "none"], ordered=True),
            "month": pd.period_range("1990-01", periods=250, freq="M"),
        }
    ),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_pandas_reads_back_the_index_and_dtypes_it_wrote(kind: str, tmp_path: Path) -> None:
    FRAMES[kind].to_parquet(tmp_path / "rows.parquet")
    job = answered(tmp_path / "rows.parquet")
    restored = pd.read_parquet(job.to_parquet(tmp_path / "labeled.parquet"))
    pd.testing.assert_frame_equal(restored[FRAMES[kind].columns], FRAMES[kind])
    pd.testing.assert_series_equal(restored["mood"], FRAMES[kind].bf.join(job)["mood"])


def test_an_answer_that_replaces_an_index_is_a_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"number": [1, 2]}, index=pd.Index(["a", "b"], name="mood"))
    job = answered(frame)
    with pytest.raises(bf.errors.ColumnError, match="mood"):
        job.to_parquet(tmp_path / "labeled.parquet", frame)
    restored = pd.read_parquet(job.to_parquet(tmp_path / "labeled.parquet", frame, overwrite=True))
    assert restored["mood"].tolist() == ["bad", "good"]


def test_an_empty_source_writes_the_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"number": pa.array([], pa.int64())}), tmp_path / "none.parquet")
    job = bf.requests(
        tmp_path / "none.parquet", "{{ number }}", model="gpt-4.1", output=Reading
    ).submit()
    written = pd.read_parquet(job.to_parquet(tmp_path / "labeled.parquet"))
    assert len(written) == 0
    assert list(written.columns) == ["number", "mood", "score", "words", "bf_status", "bf_error"]


def test_the_source_file_is_not_overwritten(many: Path, tmp_path: Path) -> None:
    job = answered(many)
    before = many.read_bytes()
    (tmp_path / "link.parquet").symlink_to(many)
    filtered = ds.dataset(many).filter(pc.field("number") > 5)
    for path, source in [(many, None), (tmp_path / "link.parquet", None), (many, filtered)]:
        with pytest.raises(bf.errors.SourceError, match="choose another name"):
            job.to_parquet(path, source)
    assert many.read_bytes() == before


def test_a_moved_source_must_be_passed(many: Path, tmp_path: Path) -> None:
    job = answered(many)
    moved = many.rename(tmp_path / "moved.parquet")
    with pytest.raises(bf.errors.SourceError, match=r"job.to_parquet\('x.parquet', source\)"):
        job.to_parquet("x.parquet")
    assert len(pd.read_parquet(job.to_parquet(tmp_path / "labeled.parquet", moved))) == ROWS


def test_a_symbolic_link_is_written_through(many: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.parquet"
    link.symlink_to(tmp_path / "labeled.parquet")
    answered(many).to_parquet(link)
    assert link.is_symlink()
    assert len(pd.read_parquet(tmp_path / "labeled.parquet")) == ROWS


def test_an_unwritable_destination_is_reported_first(many: Path, tmp_path: Path) -> None:
    job = answered(many)
    with pytest.raises(bf.errors.SourceError, match=r"labeled\.parquet"):
        job.to_parquet(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        job.to_parquet(tmp_path / "nowhere" / "labeled.parquet")


def test_a_tilde_is_expanded(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert answered(many).to_parquet("~/labeled.parquet") == tmp_path / "labeled.parquet"


def test_an_interrupt_leaves_no_file(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = answered(many)
    writes = iter([None, KeyboardInterrupt()])

    def write_table(*_: Any) -> None:
        if (reason := next(writes)) is not None:
            raise reason

    monkeypatch.setattr(pq.ParquetWriter, "write_table", write_table)
    with pytest.raises(KeyboardInterrupt):
        job.to_parquet(tmp_path / "labeled.parquet")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [many.name]


UNION = pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [pa.array([1, 2])])
UNWRITABLE: dict[str, Any] = {
    "union": pa.table({"number": [1, 2], "x": UNION}),
    "mixed": pd.DataFrame({"number": [1, 2], "x": [1, "a"]}),
    "twice": pd.DataFrame([[1, 2, 3]], columns=["number", "x", "x"]),
}


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_values_that_parquet_cannot_store_raise_a_clear_error(kind: str, tmp_path: Path) -> None:
    job = answered(UNWRITABLE[kind])
    with pytest.raises(bf.errors.SourceError, match="cannot be written to Parquet"):
        job.to_parquet(tmp_path / "labeled.parquet", UNWRITABLE[kind])
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_prices_may_have_more_decimal_places_than_the_file(many: Path, tmp_path: Path) -> None:
    prices = {"input": "0.1234567890123", "output": "0.33333333333333333"}
    requests = bf.requests(many, "{{ number }}", model="mine", output=Reading, on_missing="skip")
    with batchframe.local.serve(answer=read) as server:
        job = requests.submit(client=server.client(), prices=prices).wait()
    restored = pd.read_parquet(job.to_parquet(tmp_path / "labeled.parquet", details=True))
    assert job.cost is not None
    assert abs(restored["bf_cost"].dropna().sum() - job.cost) < Decimal("1e-14")


def test_ints_that_became_floats_name_the_fix(many: Path) -> None:
    job = answered(many)
    with pytest.warns(bf.errors.JoinWarning, match="differs in dtype: '0.0' where '0' was sent"):
        plain = pd.read_parquet(many)[["number"]].bf.join(job)
    assert plain["bf_error"].str.contains("dtype_backend").sum() == ROWS - 1
    joined = pd.read_parquet(many, columns=["number"], dtype_backend="pyarrow").bf.join(job)
    assert (joined["bf_status"] == "ok").sum() == ROWS - 1
