"""X5: a value of another type or size anywhere in a job's state is refused or does no harm."""

from __future__ import annotations

import copy
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batchframe as bf
import batchframe.local
from batchframe.errors import BatchframeError
from tests.support.examples import examples

FRAME = pd.DataFrame({"text": ["a", "b", "c", None]})
MODEL = "gpt-4.1-mini"


@dataclass(frozen=True)
class Kept:
    """A finished job, and a copy of its folder as it should be."""

    frame: pd.DataFrame
    requests: bf.Requests
    folder: Path
    pristine: Path


@dataclass(frozen=True)
class Kitchen:
    """Some jobs, and the server that answered them."""

    server: batchframe.local.Server
    home: Path
    jobs: dict[str, Kept]


_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
_ASKED: dict[str, Callable[[], tuple[pd.DataFrame, bf.Requests]]] = {
    "labels": lambda: (
        FRAME,
        FRAME.bf.requests("{{ text }}", model=MODEL, output=["+", "-"], on_missing="skip"),
    ),
    "reusing": lambda: (
        frame := pd.DataFrame({"text": ["b", "d"]}),
        frame.bf.requests("{{ text }}", model=MODEL, output=["+", "-"]),
    ),
    "tools": lambda: (
        frame := FRAME.head(2),
        frame.bf.requests(
            [{"role": "user", "content": "{{ text }}"}], model=MODEL, tools=[_TOOL], system="Be {}."
        ),
    ),
    "vectors": lambda: (
        frame := FRAME.head(2),
        frame.bf.requests(
            "{{ text }}",
            model="text-embedding-3-small",
            endpoint="/v1/embeddings",
            dimensions=4,
        ),
    ),
}


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kitchen]:
    base = tmp_path_factory.mktemp("odd")
    home = base / "home"
    with pytest.MonkeyPatch.context() as patch, batchframe.local.serve() as server:
        patch.setenv("BATCHFRAME_HOME", str(home))
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        jobs = {}
        for name, ask in _ASKED.items():
            frame, requests = ask()
            prices = {"input": "0.1", "output": "2"} if name == "labels" else None
            job = requests.submit(name, client=server.client(), prices=prices).wait()
            job.results()
            bf.jobs()
            pristine = Path(shutil.copytree(job.folder, base / name))
            jobs[name] = Kept(frame, requests, job.folder, pristine)
        for kept in jobs.values():
            shutil.rmtree(kept.folder)
        yield Kitchen(server, home, jobs)


@pytest.fixture
def at_home(kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kitchen]:
    """Let the jobs be found."""
    monkeypatch.setenv("BATCHFRAME_HOME", str(kitchen.home))
    yield kitchen
    for kept in kitchen.jobs.values():
        shutil.rmtree(kept.folder, ignore_errors=True)


# ---- what is put where -----------------------------------------------------


def nested(levels: int) -> Any:
    value: Any = {"a": 1}
    for _ in range(levels):
        value = [value]
    return value


ODD: list[Any] = [
    None, True, -1, 0, 7, 10**30, 1.5, 1e308, "", "x", "NaN", "1e99", "http://[", "\x00../..",
    [], [1], ["x"], {}, {"a": 1}, nested(500),
]  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
ANYTHING = st.sampled_from(ODD) | _JSON
Place = tuple[Any, ...]


def places(value: Any, way: Place = ()) -> list[Place]:
    """List the ways to everything inside a JSON value."""
    inner: Any = ()
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [way] if way else []
    for key, part in inner:
        found += places(part, (*way, key))
    return found


def put(value: Any, way: Place, new: Any) -> Any:
    value = copy.deepcopy(value)
    inner = value
    for key in way[:-1]:
        inner = inner[key]
    inner[way[-1]] = new
    return value


def read_lines(path: Path) -> list[Any]:
    content = path.read_bytes()
    if path.suffix == ".jsonl":
        return [msgspec.json.decode(line) for line in content.splitlines()]
    return [msgspec.json.decode(content)]


def write_lines(path: Path, lines: list[Any]) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


def replaced(kept: Kept, name: str, way: Place, new: Any) -> None:
    """Give the job back its folder, with one value of one file replaced."""
    shutil.rmtree(kept.folder, ignore_errors=True)
    shutil.copytree(kept.pristine, kept.folder)
    write_lines(kept.folder / name, put(read_lines(kept.pristine / name), way, new))


def draw_place(data: st.DataObject, kept: Kept, name: str) -> Place:
    ways = places(read_lines(kept.pristine / name))
    return data.draw(st.sampled_from([way for way in ways if len(way) > 1]))


# ---- what is done with it --------------------------------------------------


def attempt(act: Callable[[], object]) -> str | None:
    """Return why it is refused, if so; in any other way it must not fail."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            act()
        except BatchframeError as reason:
            return str(reason)
    return None


def look_at(kept: Kept, client: object = None) -> None:
    """Do all that needs no network."""
    attempt(bf.jobs)
    attempt(lambda: kept.requests.estimate)
    job = bf.job(kept.folder, client=client)
    for act in (
        lambda: repr(job),
        job._repr_html_,
        lambda: (job.status, job.done, job.name, job.id, job.batches),
        lambda: job.counts,
        lambda: (job.cost, job.usage),
        job.results,
        lambda: kept.frame.bf.join(job, details=True),
        lambda: repr(job.report()),
        job.unanswered,
        lambda: job.to_parquet(kept.pristine.parent / "out.parquet"),
    ):
        attempt(act)


def go_on_with(kept: Kept, client: Any) -> None:
    """Do all that asks the service."""
    attempt(lambda: bf.job(kept.folder, client=client).refresh())
    attempt(lambda: bf.job(kept.folder, client=client).resume())
    attempt(lambda: kept.requests.submit(client=client))


@settings(max_examples=examples(40))
@given(data=st.data())
@pytest.mark.parametrize("name", ["manifest.json", "journal.jsonl", "summary.json"])
@pytest.mark.parametrize("job", ["labels", "reusing", "tools", "vectors"])
def test_x5_whatever_stands_in_state_is_refused_in_words_or_does_no_harm(
    job: str, name: str, data: st.DataObject, at_home: Kitchen
) -> None:
    kept = at_home.jobs[job]
    replaced(kept, name, draw_place(data, kept, name), data.draw(ANYTHING))
    if data.draw(st.booleans()):
        (kept.folder / "answers.parquet").unlink()
    attempt(lambda: look_at(kept))


@settings(max_examples=examples(15))
@given(data=st.data())
@pytest.mark.parametrize("name", ["manifest.json", "journal.jsonl"])
def test_x5_whatever_stands_in_state_nothing_is_sent_on_a_guess(
    name: str, data: st.DataObject, at_home: Kitchen
) -> None:
    kept = at_home.jobs["labels"]
    replaced(kept, name, draw_place(data, kept, name), data.draw(ANYTHING))
    go_on_with(kept, at_home.server.client())
    assert len(at_home.server.ledger) == len(_ASKED)


FOUND: dict[str, tuple[str, str, Place, Any]] = {
    "source of a number": ("labels", "manifest.json", (0, "source"), 5),
    "name of a number": ("labels", "manifest.json", (0, "recipe", "allow"), 5),
    "images of a number": ("labels", "manifest.json", (0, "recipe", "images"), 5),
    "no columns": ("vectors", "manifest.json", (0, "recipe", "output", "fields"), []),
    "price beyond all": ("labels", "manifest.json", (0, "prices", "input"), 1e308),
    "price of many places": ("labels", "manifest.json", (0, "prices", "input"), "1e-99"),
    "cost of no number": ("labels", "manifest.json", (0, "cost", "low"), "NaN"),
    "cost beyond all": ("labels", "manifest.json", (0, "cost", "high"), "1e999999"),
    "bytes beyond all": ("labels", "manifest.json", (0, "inputs", 0, "bytes"), 10**400),
    "number beyond all": ("labels", "manifest.json", (0, "inputs", 0, "ahead"), 10**30),
    "tokens beyond all": ("labels", "manifest.json", (0, "input_tokens", "high"), 10**400),
    "address of no host": ("labels", "manifest.json", (0, "identity", "base_url"), "http://["),
    "discount of no number": ("labels", "manifest.json", (0, "provider", "discount"), "NaN"),
    "schema without an end": (
        "labels",
        "manifest.json",
        (0, "recipe", "output", "schema", "properties", "label", "type"),
        nested(500),
    ),
    "dimensions below zero": ("vectors", "manifest.json", (0, "recipe", "body", "dimensions"), -1),
    "dimensions of a half": ("vectors", "manifest.json", (0, "recipe", "body", "dimensions"), 1.5),
    "tool of a list": ("tools", "manifest.json", (0, "recipe", "body", "tools", 0, "type"), [1]),
    "waits forever": ("labels", "journal.jsonl", (2, "at"), 1e300),
}


@pytest.mark.parametrize("case", FOUND)
def test_x5_a_value_that_once_failed_otherwise_than_in_words(case: str, at_home: Kitchen) -> None:
    job, name, way, new = FOUND[case]
    kept = at_home.jobs[job]
    replaced(kept, name, way, new)
    for answers in (True, False):
        if not answers:
            (kept.folder / "answers.parquet").unlink(missing_ok=True)
        attempt(lambda: look_at(kept))
    go_on_with(kept, at_home.server.client())
    assert len(at_home.server.ledger) == len(_ASKED)


# ---- tables ----------------------------------------------------------------

ODD_CELLS: list[pa.Scalar] = [
    pa.array([True])[0], pa.scalar(-1), pa.scalar(2**62), pa.scalar(1.5), pa.scalar(float("nan")),
    pa.scalar("x"), pa.scalar(""), pa.scalar(b"\xff" * 16), pa.scalar(b"x"), pa.scalar([1]),
    pa.scalar({"a": 1}), pa.scalar(None),
]  # fmt: skip


@st.composite
def odd_tables(draw: st.DrawFn, table: pa.Table) -> pa.Table:
    """Change the rows, or one column: all of its cells, or one, of any type or of its own."""
    rows = draw(st.sampled_from(["all", "none", "first", "twice", "reversed"]))
    if rows != "all":
        at = {"none": [], "first": [0], "twice": [*range(len(table))] * 2}
        return table.take(pa.array(at.get(rows, range(len(table))[::-1]), pa.int64()))
    at = draw(st.integers(0, table.num_columns - 1))
    field = table.schema.field(at)
    if draw(st.booleans()):
        return table.drop_columns([field.name])
    cell = draw(st.sampled_from(ODD_CELLS))
    column = pa.array([cell.as_py()] * len(table), cell.type)
    try:
        column = column.cast(field.type)
    except pa.ArrowException:
        return table.set_column(at, field.name, column)
    if draw(st.booleans()):
        first = table.column(at).combine_chunks().slice(0, len(table) - 1)
        column = pa.chunked_array([*pa.chunked_array(first).chunks, column.slice(len(table) - 1)])
    return table.set_column(at, field, column)


@settings(max_examples=examples(40))
@given(data=st.data())
@pytest.mark.parametrize(
    ("job", "name"),
    [
        ("labels", "rows.parquet"),
        ("labels", "answers.parquet"),
        ("vectors", "answers.parquet"),
        ("tools", "answers.parquet"),
        ("reusing", "reused.parquet"),
        ("reusing", "rows.parquet"),
    ],
)
def test_x5_whatever_stands_in_a_table_is_refused_in_words_or_does_no_harm(
    job: str, name: str, data: st.DataObject, at_home: Kitchen
) -> None:
    kept = at_home.jobs[job]
    shutil.rmtree(kept.folder, ignore_errors=True)
    shutil.copytree(kept.pristine, kept.folder)
    table = data.draw(odd_tables(pq.read_table(kept.pristine / name)))
    pq.write_table(table, kept.folder / name)
    (kept.folder / "summary.json").unlink()
    if name != "answers.parquet":
        (kept.folder / "answers.parquet").unlink()
    attempt(lambda: look_at(kept))
    if data.draw(st.integers(0, 9)) == 0:
        go_on_with(kept, at_home.server.client())
        assert len(at_home.server.ledger) == len(_ASKED)


def test_x5_a_summary_that_does_not_add_up_is_made_anew(at_home: Kitchen) -> None:
    kept = at_home.jobs["labels"]
    shutil.rmtree(kept.folder, ignore_errors=True)
    shutil.copytree(kept.pristine, kept.folder)
    facts = ["name", "status", "rows", "ok", "failed", "cost"]
    first = bf.jobs()[facts]
    path = kept.folder / "summary.json"
    [whole] = read_lines(path)
    for change in (
        {"counts": {"ok": 9, "skipped": 1}},
        {"counts": {"ok": 5, "skipped": -1}},
        {"counts": {"fine": 4}},
        {"cost": "NaN"},
        {"cost": "-1"},
    ):
        write_lines(path, [whole | change])
        assert bf.jobs()[facts].equals(first), change
        assert read_lines(path) == [whole]
