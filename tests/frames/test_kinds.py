"""Frames of other libraries get the answers that pandas gets."""

from __future__ import annotations

import enum
import importlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import pandas as pd
import pyarrow as pa
import pytest
from typing_extensions import TypedDict

import batchframe as bf
import batchframe.local
from batchframe.errors import ColumnError, RequestError, SourceError


class Tone(enum.Enum):
    """Labels of an enum."""

    GOOD = "good"
    BAD = "bad"


class Review(TypedDict):
    """Several typed columns, one of them optional."""

    tone: Literal["good", "bad"]
    stars: int
    total: float | None


@dataclass
class Order:
    """Nested values."""

    items: list[str]
    paid: bool


OUTPUTS: dict[str, Any] = {
    "text": None,
    "labels": ["good", "bad", "unused"],
    "literal": Literal["good", "bad"],
    "enum": Tone,
    "integer": int,
    "number": float,
    "boolean": bool,
    "list": list[str],
    "typed": Review,
    "nested": Order,
}
ROWS = 1_200


def library(name: str) -> Any:
    """Import a library; skip without it, except where it is required."""
    if os.environ.get("BATCHFRAME_FRAMES") == "required":
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed (the extra frames has it)")


class Kind(NamedTuple):
    """How a test makes a frame of a library, and reads it."""

    make: Callable[[pa.Table], Any]
    read: Callable[[Any], pa.Table]
    columns: Callable[[Any], list[str]] = lambda frame: list(frame.columns)


def polars_kind() -> Kind:
    return Kind(library("polars").from_arrow, lambda frame: frame.to_arrow())


def duckdb_kind() -> Kind:
    return Kind(library("duckdb").from_arrow, lambda relation: relation.to_arrow_table())


def datasets_kind() -> Kind:
    datasets = library("datasets")
    return Kind(
        datasets.Dataset, lambda rows: rows.with_format("arrow")[:], lambda rows: rows.column_names
    )


def narwhals_kind() -> Kind:
    narwhals, polars = library("narwhals"), library("polars")
    return Kind(
        lambda table: narwhals.from_native(polars.from_arrow(table)), lambda frame: frame.to_arrow()
    )


def arrow_kind() -> Kind:
    return Kind(lambda table: table, lambda table: table, lambda table: table.column_names)


KINDS = [arrow_kind, polars_kind, duckdb_kind, datasets_kind, narwhals_kind]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__.removesuffix("_kind"))
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param()


def text_of(body: dict[str, Any]) -> str:
    return body["messages"][-1]["content"]


def make_frame() -> pd.DataFrame:
    """Return rows with duplicates, missing cells and every usual type."""
    texts = [None if i % 97 == 5 else f"text {i % 700}\n„é“ {'x' * (i % 7)}" for i in range(ROWS)]
    return pd.DataFrame(
        {
            "text": pd.Series(texts, dtype="str"),
            "n": pd.Series([None if i % 11 == 0 else i for i in range(ROWS)], dtype="Int64"),
            "kind": pd.Categorical(["a" if i % 2 else "b" for i in range(ROWS)]),
            "price": pd.Series([Decimal(i) / 8 for i in range(ROWS)], dtype=object),
            "tags": [["x", str(i)] for i in range(ROWS)],
        }
    )


def table_of(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


class Jobs(dict[str, bf.Job]):
    """One job for each output, run when a test needs it."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __missing__(self, name: str) -> bf.Job:
        requests = make_frame().bf.requests(
            "Rate {{ text }}, {{ n }}", model="gpt-4.1", output=OUTPUTS[name], on_missing="skip"
        )
        self[name] = requests.submit(name, client=self.client).wait()
        return self[name]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    with pytest.MonkeyPatch.context() as patch, batchframe.local.serve() as server:
        patch.setenv("BATCHFRAME_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield Jobs(server.client())


def values(table: pa.Table, names: list[str]) -> list[dict[str, Any]]:
    return table.select(names).to_pylist()


def expected(frame: pd.DataFrame, job: bf.Job) -> tuple[list[str], list[dict[str, Any]]]:
    joined = frame.bf.join(job)
    names = [name for name in joined.columns if name not in frame.columns]
    return names, values(table_of(joined), names)


SLOW_OUTPUTS = [
    pytest.param(name, marks=[] if name == "typed" else pytest.mark.slow) for name in OUTPUTS
]


@pytest.mark.parametrize("output", SLOW_OUTPUTS)
def test_every_answer_equals_that_of_pandas(output: str, kind: Kind, jobs: Jobs) -> None:
    frame, job = make_frame(), jobs[output]
    names, answers = expected(frame, job)
    for rows in (frame, frame.sample(frac=1, random_state=2), frame.iloc[200:400], frame.iloc[:0]):
        made = kind.make(table_of(rows))
        joined = bf.join(made, job)
        assert type(joined) is type(made)
        assert kind.columns(joined) == [*frame.columns, *names]
        read = kind.read(joined)
        assert values(read, names) == [answers[i] for i in rows.index]
        assert values(read, ["text", "n", "kind"]) == values(table_of(rows), ["text", "n", "kind"])


def test_the_requests_are_those_of_pandas(kind: Kind) -> None:
    frame = make_frame()
    options: dict[str, Any] = {"model": "gpt-4.1", "output": int, "on_missing": "skip"}
    ours = frame.bf.requests("Rate {{ text }}, {{ n }}", **options)
    theirs = bf.requests(kind.make(table_of(frame)), "Rate {{ text }}, {{ n }}", **options)
    assert (theirs.preview(9), len(theirs)) == (ours.preview(9), len(ours))
    assert theirs.fingerprint == ours.fingerprint


def test_duplicates_are_billed_once_over_several_blocks(kind: Kind, jobs: Jobs) -> None:
    frame = pd.concat([make_frame()] * 12)
    joined = kind.read(bf.join(kind.make(table_of(frame)), jobs["labels"], details=True))
    costs = joined["bf_cost"].to_pylist()
    assert len(costs) > 10_000
    assert sum(cost for cost in costs if cost is not None) == jobs["labels"].cost


def test_an_existing_column_is_replaced_only_when_asked(kind: Kind, jobs: Jobs) -> None:
    once = bf.join(kind.make(table_of(make_frame())), jobs["labels"])
    with pytest.raises(ColumnError, match=r'Fix: join\(job, prefix="second_"\)'):
        bf.join(once, jobs["labels"])
    again = bf.join(once, jobs["labels"], overwrite=True)
    assert kind.columns(again) == kind.columns(once)
    twice = bf.join(once, jobs["integer"], prefix="second_")
    assert kind.columns(twice)[-3:] == ["second_response", "second_bf_status", "second_bf_error"]


def test_several_jobs_complete_each_other(kind: Kind) -> None:
    frame = make_frame().iloc[:40]
    with batchframe.local.serve() as server:
        client = server.client()
        halves = [
            half.bf.requests(
                "{{ text }}", model="gpt-4.1", output=["a", "b"], on_missing="skip"
            ).submit(client=client).wait()
            for half in (frame.iloc[:25], frame.iloc[20:])
        ]  # fmt: skip
        assert [len(job.results()) for job in halves] == [25, 20]
        theirs = kind.read(bf.join(kind.make(table_of(frame)), *halves))
        assert (
            theirs["label"].to_pylist()
            == frame.bf.join(*halves)["label"]
            .astype(object)
            .where(lambda label: label.notna(), None)
            .tolist()
        )


def test_evaluation_and_agreement_read_every_kind(kind: Kind) -> None:
    frame = pd.DataFrame(
        {
            "gold": pd.Series([5, 5, 3, None], dtype="Int64"),
            "label": pd.Series([5, 3, None, 5], dtype="Int64"),
            "other": pd.Series([5, 3, 3, 3], dtype="Int64"),
        }
    )
    made = kind.make(table_of(frame))
    ours = bf.evaluate(frame, truth="gold", predicted="label")
    theirs = bf.evaluate(made, truth="gold", predicted="label")
    pd.testing.assert_frame_equal(theirs.to_frame(), ours.to_frame())
    pd.testing.assert_frame_equal(theirs.confusion, ours.confusion)
    columns = ["gold", "label", "other"]
    assert bf.agreement(made, columns).alpha == bf.agreement(frame, columns).alpha


def test_polars_keeps_its_own_types(jobs: Jobs) -> None:
    pl = library("polars")
    importlib.import_module("batchframe.polars")
    frame = pl.from_arrow(table_of(make_frame())).with_columns(
        level=pl.lit("low").cast(pl.Enum(["low", "high"])), at=pl.datetime(2026, 11, 30)
    )
    joined = frame.bf.join(jobs["typed"], details=True)
    assert joined.select(frame.columns).equals(frame)
    assert joined.select(frame.columns).schema == frame.schema
    added = {name: kind for name, kind in joined.schema.items() if name not in frame.columns}
    assert added["tone"] == pl.Categorical
    assert added["stars"] == pl.Int64
    assert added["bf_cost"] == pl.Decimal(38, 18)
    assert bf.join(frame, jobs["list"]).schema["response"] == pl.List(pl.String)
    assert frame.bf.evaluate(truth="kind", predicted="level", status=None).rows == ROWS


def test_embeddings_are_vectors_in_every_kind(kind: Kind) -> None:
    frame = pd.DataFrame({"text": ["a", "b", "a"]})
    with batchframe.local.serve() as server:
        requests = bf.requests(
            kind.make(table_of(frame)), "{{ text }}", model="text-embedding-3-small",
            endpoint="/v1/embeddings", dimensions=8,
        )  # fmt: skip
        job = requests.submit(client=server.client()).wait()
    vectors = kind.read(bf.join(kind.make(table_of(frame)), job))["embedding"].to_pylist()
    assert [len(vector) for vector in vectors] == [8, 8, 8]
    assert vectors == [vector.tolist() for vector in frame.bf.join(job)["embedding"]]


def test_a_query_in_random_order_keeps_each_answer_on_its_row(jobs: Jobs) -> None:
    duckdb = library("duckdb")
    rows = table_of(make_frame())
    relation = duckdb.from_arrow(rows).query("rows", "SELECT * FROM rows ORDER BY random()")
    joined = bf.join(relation, jobs["text"]).to_arrow_table().to_pylist()
    answers = {
        (row["text"], row["n"]): row["response"] for row in bf.join(rows, jobs["text"]).to_pylist()
    }
    assert [row["response"] for row in joined] == [answers[row["text"], row["n"]] for row in joined]


def test_a_filtered_and_shuffled_dataset_keeps_its_answers(jobs: Jobs) -> None:
    datasets = library("datasets")
    rows = table_of(make_frame())
    chosen = datasets.Dataset(rows).select(range(0, ROWS, 3)).shuffle(seed=4)
    joined = bf.join(chosen, jobs["text"])
    answers = {
        (row["text"], row["n"]): row["response"] for row in bf.join(rows, jobs["text"]).to_pylist()
    }
    assert len(joined) == ROWS // 3
    assert all(row["response"] == answers[row["text"], row["n"]] for row in joined)


def polars_query() -> Any:
    return library("polars").LazyFrame({"text": ["a"]})


def class_of_that_name() -> Any:
    """Return an object that is recognized without Polars."""
    return type("LazyFrame", (), {"__module__": "polars.lazyframe.frame"})()


@pytest.mark.parametrize("make", [class_of_that_name, polars_query])
def test_a_lazy_frame_is_refused_with_the_line_to_copy(make: Callable[[], Any]) -> None:
    with pytest.raises(SourceError, match=r"Fix: batchframe\.requests\(frame\.collect\(\)"):
        bf.requests(make(), "{{ text }}", model="gpt-4.1")
    with pytest.raises(RequestError, match=r"not a DataFrame or Arrow table \(LazyFrame\)"):
        bf.join(make(), "job")


def test_rows_larger_than_memory_are_not_joined_in_memory(jobs: Jobs) -> None:
    with pytest.raises(RequestError, match=r"Fix: .*job\.to_parquet\(path, source\)"):
        bf.join(pa.RecordBatchReader.from_batches(pa.schema([]), []), jobs["text"])
