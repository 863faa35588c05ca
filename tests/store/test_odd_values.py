"""X5: unusual values in a job's state are refused or harmless."""

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
class FinishedJob:
    """A finished job and a pristine copy of its folder."""

    frame: pd.DataFrame
    requests: bf.Requests
    folder: Path
    pristine: Path


@dataclass(frozen=True)
class Workspace:
    """Some jobs, and the server that answered them."""

    server: batchframe.local.Server
    home: Path
    jobs: dict[str, FinishedJob]


_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
_REQUESTS: dict[str, Callable[[], tuple[pd.DataFrame, bf.Requests]]] = {
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
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    base = tmp_path_factory.mktemp("odd")
    home = base / "home"
    with pytest.MonkeyPatch.context() as patch, batchframe.local.serve() as server:
        patch.setenv("BATCHFRAME_HOME", str(home))
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        jobs = {}
        for name, ask in _REQUESTS.items():
            frame, requests = ask()
            prices = {"input": "0.1", "output": "2"} if name == "labels" else None
            job = requests.submit(name, client=server.client(), prices=prices).wait()
            job.results()
            bf.jobs()
            pristine = Path(shutil.copytree(job.folder, base / name))
            jobs[name] = FinishedJob(frame, requests, job.folder, pristine)
        for finished_job in jobs.values():
            shutil.rmtree(finished_job.folder)
        yield Workspace(server, home, jobs)


@pytest.fixture
def restored(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """Use the folder of the jobs as the state folder."""
    monkeypatch.setenv("BATCHFRAME_HOME", str(workspace.home))
    yield workspace
    for finished_job in workspace.jobs.values():
        shutil.rmtree(finished_job.folder, ignore_errors=True)


# ---- values and their places -----------------------------------------------


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
    """List the paths of everything inside a JSON value."""
    inner: Any = ()
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
    paths = [way] if way else []
    for key, part in inner:
        paths += places(part, (*way, key))
    return paths


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


def replaced(finished_job: FinishedJob, name: str, way: Place, new: Any) -> None:
    """Restore the job's folder with one value of one file replaced."""
    shutil.rmtree(finished_job.folder, ignore_errors=True)
    shutil.copytree(finished_job.pristine, finished_job.folder)
    write_lines(finished_job.folder / name, put(read_lines(finished_job.pristine / name), way, new))


def draw_place(data: st.DataObject, finished_job: FinishedJob, name: str) -> Place:
    ways = places(read_lines(finished_job.pristine / name))
    return data.draw(st.sampled_from([way for way in ways if len(way) > 1]))


# ---- what is done with it --------------------------------------------------


def attempt(act: Callable[[], object]) -> str | None:
    """Return the batchframe error, if any; others propagate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            act()
        except BatchframeError as reason:
            return str(reason)
    return None


def read_everything(finished_job: FinishedJob, client: object = None) -> None:
    """Read everything that needs no network."""
    attempt(bf.jobs)
    attempt(lambda: finished_job.requests.estimate)
    job = bf.job(finished_job.folder, client=client)
    for act in (
        lambda: repr(job),
        job._repr_html_,
        lambda: (job.status, job.done, job.name, job.id, job.batches),
        lambda: job.counts,
        lambda: (job.cost, job.usage),
        job.results,
        lambda: finished_job.frame.bf.join(job, details=True),
        lambda: repr(job.report()),
        job.unanswered,
        lambda: job.to_parquet(finished_job.pristine.parent / "out.parquet"),
    ):
        attempt(act)


def resume_job(finished_job: FinishedJob, client: Any) -> None:
    """Call every method that uses the service."""
    attempt(lambda: bf.job(finished_job.folder, client=client).refresh())
    attempt(lambda: bf.job(finished_job.folder, client=client).resume())
    attempt(lambda: finished_job.requests.submit(client=client))


@settings(max_examples=examples(40))
@given(data=st.data())
@pytest.mark.parametrize("name", ["manifest.json", "journal.jsonl", "summary.json"])
@pytest.mark.parametrize("job", ["labels", "reusing", "tools", "vectors"])
def test_x5_any_value_in_state_raises_a_clear_error_or_is_harmless(
    job: str, name: str, data: st.DataObject, restored: Workspace
) -> None:
    finished_job = restored.jobs[job]
    replaced(finished_job, name, draw_place(data, finished_job, name), data.draw(ANYTHING))
    if data.draw(st.booleans()):
        (finished_job.folder / "answers.parquet").unlink()
    attempt(lambda: read_everything(finished_job))


@settings(max_examples=examples(15))
@given(data=st.data())
@pytest.mark.parametrize("name", ["manifest.json", "journal.jsonl"])
def test_x5_with_any_value_in_state_nothing_is_sent_on_a_guess(
    name: str, data: st.DataObject, restored: Workspace
) -> None:
    finished_job = restored.jobs["labels"]
    replaced(finished_job, name, draw_place(data, finished_job, name), data.draw(ANYTHING))
    resume_job(finished_job, restored.server.client())
    assert len(restored.server.ledger) == len(_REQUESTS)


FOUND: dict[str, tuple[str, str, Place, Any]] = {
    "source of a number": ("labels", "manifest.json", (0, "source"), 5),
    "name of a number": ("labels", "manifest.json", (0, "recipe", "allow"), 5),
    "images of a number": ("labels", "manifest.json", (0, "recipe", "images"), 5),
    "no columns": ("vectors", "manifest.json", (0, "recipe", "output", "fields"), []),
    "price beyond all": ("labels", "manifest.json", (0, "prices", "input"), 1e308),
    "price with many decimal places": ("labels", "manifest.json", (0, "prices", "input"), "1e-99"),
    "cost is not a number": ("labels", "manifest.json", (0, "cost", "low"), "NaN"),
    "cost beyond all": ("labels", "manifest.json", (0, "cost", "high"), "1e999999"),
    "bytes beyond all": ("labels", "manifest.json", (0, "inputs", 0, "bytes"), 10**400),
    "number beyond all": ("labels", "manifest.json", (0, "inputs", 0, "ahead"), 10**30),
    "tokens beyond all": ("labels", "manifest.json", (0, "input_tokens", "high"), 10**400),
    "address of no host": ("labels", "manifest.json", (0, "identity", "base_url"), "http://["),
    "discount is not a number": ("labels", "manifest.json", (0, "provider", "discount"), "NaN"),
    "endless schema": (
        "labels",
        "manifest.json",
        (0, "recipe", "output", "schema", "properties", "label", "type"),
        nested(500),
    ),
    "negative dimensions": ("vectors", "manifest.json", (0, "recipe", "body", "dimensions"), -1),
    "fractional dimensions": ("vectors", "manifest.json", (0, "recipe", "body", "dimensions"), 1.5),
    "tool of a list": ("tools", "manifest.json", (0, "recipe", "body", "tools", 0, "type"), [1]),
    "waits forever": ("labels", "journal.jsonl", (2, "at"), 1e300),
}


@pytest.mark.parametrize("case", FOUND)
def test_x5_values_that_once_failed_without_a_clear_error(case: str, restored: Workspace) -> None:
    job, name, way, new = FOUND[case]
    finished_job = restored.jobs[job]
    replaced(finished_job, name, way, new)
    for answers in (True, False):
        if not answers:
            (finished_job.folder / "answers.parquet").unlink(missing_ok=True)
        attempt(lambda: read_everything(finished_job))
    resume_job(finished_job, restored.server.client())
    assert len(restored.server.ledger) == len(_REQUESTS)


# ---- tables ----------------------------------------------------------------

ODD_CELLS: list[pa.Scalar] = [
    pa.array([True])[0], pa.scalar(-1), pa.scalar(2**62), pa.scalar(1.5), pa.scalar(float("nan")),
    pa.scalar("x"), pa.scalar(""), pa.scalar(b"\xff" * 16), pa.scalar(b"x"), pa.scalar([1]),
    pa.scalar({"a": 1}), pa.scalar(None),
]  # fmt: skip


@st.composite
def odd_tables(draw: st.DrawFn, table: pa.Table) -> pa.Table:
    """Change the rows, or some or all cells of one column."""
    rows = draw(st.sampled_from(["all", "none", "first", "twice", "reversed"]))
    if rows != "all":
        position = {"none": [], "first": [0], "twice": [*range(len(table))] * 2}
        return table.take(pa.array(position.get(rows, range(len(table))[::-1]), pa.int64()))
    position = draw(st.integers(0, table.num_columns - 1))
    field = table.schema.field(position)
    if draw(st.booleans()):
        return table.drop_columns([field.name])
    cell = draw(st.sampled_from(ODD_CELLS))
    column = pa.array([cell.as_py()] * len(table), cell.type)
    try:
        column = column.cast(field.type)
    except pa.ArrowException:
        return table.set_column(position, field.name, column)
    if draw(st.booleans()):
        first = table.column(position).combine_chunks().slice(0, len(table) - 1)
        column = pa.chunked_array([*pa.chunked_array(first).chunks, column.slice(len(table) - 1)])
    return table.set_column(position, field, column)


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
def test_x5_any_value_in_a_table_raises_a_clear_error_or_is_harmless(
    job: str, name: str, data: st.DataObject, restored: Workspace
) -> None:
    finished_job = restored.jobs[job]
    shutil.rmtree(finished_job.folder, ignore_errors=True)
    shutil.copytree(finished_job.pristine, finished_job.folder)
    table = data.draw(odd_tables(pq.read_table(finished_job.pristine / name)))
    pq.write_table(table, finished_job.folder / name)
    (finished_job.folder / "summary.json").unlink()
    if name != "answers.parquet":
        (finished_job.folder / "answers.parquet").unlink()
    attempt(lambda: read_everything(finished_job))
    if data.draw(st.integers(0, 9)) == 0:
        resume_job(finished_job, restored.server.client())
        assert len(restored.server.ledger) == len(_REQUESTS)


def test_x5_an_inconsistent_summary_is_rebuilt(restored: Workspace) -> None:
    finished_job = restored.jobs["labels"]
    shutil.rmtree(finished_job.folder, ignore_errors=True)
    shutil.copytree(finished_job.pristine, finished_job.folder)
    facts = ["name", "status", "rows", "ok", "failed", "cost"]
    first = bf.jobs()[facts]
    path = finished_job.folder / "summary.json"
    [summary] = read_lines(path)
    for change in (
        {"counts": {"ok": 9, "skipped": 1}},
        {"counts": {"ok": 5, "skipped": -1}},
        {"counts": {"fine": 4}},
        {"cost": "NaN"},
        {"cost": "-1"},
    ):
        write_lines(path, [summary | change])
        assert bf.jobs()[facts].equals(first), change
        assert read_lines(path) == [summary]
