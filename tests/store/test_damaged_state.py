"""X5: damaged state is repaired, refused or reported, never trusted."""

from __future__ import annotations

import copy
import shutil
import warnings
from collections.abc import Callable
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
from batchframe._store.manifest import read_manifest, write_manifest
from tests.support.examples import examples
from tests.support.seams import folder_of

FRAME = pd.DataFrame({"text": ["a", "b", "c"]})


@pytest.fixture
def job(requests: bf.Requests, server: batchframe.local.Server) -> bf.Job:
    job = requests.submit("kept", client=server.client()).wait()
    job.results()
    return job


def read_everything(folder: Path) -> None:
    """Read everything of a finished job."""
    job = bf.job(folder)
    for read in (job.results, job.unanswered, lambda: FRAME.bf.join(job)):
        read()
    for display_object in (job, job._repr_html_()):
        repr(display_object)
    _ = job.status, job.done, job.counts, job.usage, job.cost, job.batches, job.name, job.id


def is_reported(act: Callable[[], object], *fragments: str) -> bool:
    """Return whether it raises a batchframe error; others propagate."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            act()
    except bf.errors.BatchframeError as reason:
        assert all(word in str(reason) for word in fragments), reason  # noqa: PT017
        return True
    return False


# ---- journals --------------------------------------------------------------


@pytest.mark.slow
def test_x5_a_journal_truncated_at_any_byte_leads_to_one_batch(
    requests: bf.Requests, server: batchframe.local.Server, home: Path
) -> None:
    job = requests.submit("kept", client=server.client()).wait()
    journal = job.folder / "journal.jsonl"
    content = journal.read_bytes()
    ends = [i for i in range(len(content)) if content[i : i + 1] == b"\n"]
    # At the start, in the middle, and on both sides of the end of each line.
    cuts = {
        0,
        *ends,
        *(end + 1 for end in ends),
        *(end - 1 for end in ends),
        *(e - 30 for e in ends),
    }
    for length in sorted(cuts):
        journal.write_bytes(content[:length])
        resumed = requests.submit("kept", client=server.client()).wait()
        assert resumed.counts == {"ok": 3}, content[:length]
    assert len(server.ledger) == 1
    assert len(list(home.glob("jobs/*"))) == 1


EVENTS: dict[str, bytes] = {
    "no JSON": b"\x00\x00",
    "half an event": b'{"event": "STA',
    "a list": b"[]",
    "a number": b"7",
    "no event": b"{}",
    "event is no text": b'{"event": 7}',
    "no index": b'{"event": "UPLOADED", "file_id": "file-1"}',
    "index is a string": b'{"event": "UPLOADED", "shard": "0", "file_id": "file-1"}',
    "index is negative": b'{"event": "UPLOADED", "shard": -1, "file_id": "file-1"}',
    "index is a bool": b'{"event": "UPLOADED", "shard": true, "file_id": "file-1"}',
    "index is not there": b'{"event": "UPLOADED", "shard": 99, "file_id": "file-1"}',
    "no file": b'{"event": "UPLOADED", "shard": 0}',
    "file is a number": b'{"event": "UPLOADED", "shard": 0, "file_id": 7}',
    "date is a string": b'{"event": "UPLOADED", "shard": 0, "file_id": "f", "created_at": "soon"}',
    "no batch": b'{"event": "CREATED", "shard": 0}',
    "batch is a list": b'{"event": "CREATED", "shard": 0, "batch": []}',
    "batch without id": b'{"event": "STATUS", "shard": 0, "batch": {}}',
    "fetched is a string": b'{"event": "FETCHED", "shard": 0, "output": "x"}',
    "fetched without a digest": b'{"event": "FETCHED", "shard": 0, "output": {"bytes": 1}}',
    "infinite": b'{"event": "CREATING", "shard": 0, "at": 1e999}',
    "deep": b'{"event": "CREATED", "shard": 0, "batch": ' + b"[" * 90_000 + b"]" * 90_000 + b"}",
}


@pytest.mark.parametrize("case", EVENTS)
def test_x5_an_edited_journal_is_refused(
    case: str, job: bf.Job, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    journal = job.folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + EVENTS[case] + b"\n")
    for act in (
        lambda: read_everything(job.folder),
        lambda: requests.submit("kept", client=server.client()),
        lambda: bf.job(job.folder, client=server.client()).resume(),
        lambda: bf.job(job.folder, client=server.client()).cancel(),
    ):
        assert is_reported(act, str(journal), "damaged", "copy")
    with pytest.warns(bf.errors.UnreadableJobWarning, match="damaged"):
        assert bf.jobs().empty
    assert len(server.ledger) == 1


def test_x5_a_journal_above_the_size_limit_is_not_read(job: bf.Job) -> None:
    with (job.folder / "journal.jsonl").open("ab") as file:
        file.truncate(300_000_000)  # a sparse file takes no disk space
    with pytest.raises(bf.errors.JobError, match="300,000,000 bytes"):
        read_everything(job.folder)


def test_x5_a_manifest_above_the_size_limit_is_not_read(job: bf.Job) -> None:
    with (job.folder / "manifest.json").open("ab") as file:
        file.truncate(70_000_000)
    with pytest.raises(bf.errors.JobError, match="70,000,000 bytes"):
        read_everything(job.folder)


# ---- manifests -------------------------------------------------------------

MANIFESTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "inputs overlap": lambda manifest: manifest["inputs"].append(manifest["inputs"][0]),
    "inputs miss some": lambda manifest: manifest["inputs"][0].update(stop=2),
    "inputs are too long": lambda manifest: manifest["inputs"][0].update(stop=10**15),
    "negative number of requests": lambda manifest: manifest.update(requests=-3),
    "rows are a string": lambda manifest: manifest.update(rows="three"),
    "date before the year 1": lambda manifest: manifest.update(created_at=-1e9),
    "date after the year 9999": lambda manifest: manifest.update(created_at=1e300),
    "identity is missing": lambda manifest: manifest.pop("identity"),
    "identity is a string": lambda manifest: manifest.update(identity="https://api.openai.com/v1"),
    "prompt is a number": lambda manifest: manifest["recipe"].update(prompt=7),
    "message without a role": lambda manifest: manifest["recipe"].update(prompt=[{"content": "x"}]),
    "body is a list": lambda manifest: manifest["recipe"].update(body=[]),
    "field of an unknown kind": lambda manifest: manifest["recipe"]["output"]["fields"][0].update(
        kind="list"
    ),
    "field with an unknown path": lambda manifest: manifest["recipe"]["output"]["fields"][0].update(
        path=["x"]
    ),
    "field with other levels": lambda manifest: manifest["recipe"]["output"]["fields"][0].update(
        levels=[1, 2]
    ),
    "schema without a type": lambda manifest: manifest["recipe"]["output"].update(schema={}),
    "schema refers to nothing": lambda manifest: manifest["recipe"]["output"].update(
        schema={"$ref": "#/$defs/x"}
    ),
    "schema refers to itself": lambda manifest: manifest["recipe"]["output"].update(
        schema={"$ref": "#"}
    ),
    "cost is not a number": lambda manifest: manifest.update(
        cost={"low": "x", "expected": "1", "high": "2"}
    ),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_x5_an_edited_manifest_is_refused(
    case: str, job: bf.Job, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    manifest = job.folder / "manifest.json"
    fields = msgspec.json.decode(manifest.read_bytes())
    MANIFESTS[case](fields)
    manifest.write_bytes(msgspec.json.encode(fields))
    assert is_reported(lambda: read_everything(job.folder), str(manifest), "damaged")
    assert is_reported(lambda: requests.submit("kept", client=server.client()), str(manifest))
    assert len(server.ledger) == 1


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b'{"state_version": 1}', b"\xff\xfe{", b"[" * 99_000, b"{}"]
)
def test_x5_an_invalid_manifest_is_refused(content: bytes, job: bf.Job) -> None:
    (job.folder / "manifest.json").write_bytes(content)
    assert is_reported(lambda: read_everything(job.folder), str(job.folder))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the paths of everything inside a JSON value."""
    inner: Any = ()
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
    paths = [way] if way else []
    for key, part in inner:
        paths += places(part, (*way, key))
    return paths


def changed(value: Any, way: tuple[Any, ...], new: Any) -> Any:
    value = copy.deepcopy(value)
    inner = value
    for key in way[:-1]:
        inner = inner[key]
    inner[way[-1]] = new
    return value


@settings(max_examples=examples(150))
@given(data=st.data())
@pytest.mark.parametrize("name", ["manifest.json", "journal.jsonl"])
def test_x5_any_value_in_state_fails_only_with_a_clear_error(
    name: str, data: st.DataObject, finished_job: Path
) -> None:
    path = finished_job / name
    content = path.read_bytes()
    lines = [msgspec.json.decode(line) for line in content.splitlines()] if "l" in name[-1] else [
        msgspec.json.decode(content)
    ]  # fmt: skip
    position = data.draw(st.integers(0, len(lines) - 1))
    way = data.draw(st.sampled_from(places(lines[position])))
    lines[position] = changed(lines[position], way, data.draw(_JSON))
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    try:
        is_reported(lambda: read_everything(finished_job))
    finally:
        path.write_bytes(content)


@pytest.fixture(scope="module")
def finished_job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of one finished job."""
    home = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch, batchframe.local.serve() as server:
        patch.setenv("BATCHFRAME_HOME", str(home / "home"))
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        requests = FRAME.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
        job = requests.submit("kept", client=server.client()).wait()
        job.results()
        return Path(shutil.copytree(job.folder, home / "copy"))


# ---- the other files -------------------------------------------------------


@pytest.mark.parametrize("how", ["removed", "emptied", "cut", "other"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [("rows.parquet", True), ("answers.parquet", False), ("output-000.jsonl", True)],
)
def test_x5_a_changed_file_is_reported_or_rebuilt(
    name: str, expected: bool, how: str, job: bf.Job, server: batchframe.local.Server
) -> None:
    path = job.folder / name
    first = job.results()
    if how == "removed":
        path.unlink()
    elif how == "other":
        pq.write_table(pa.table({"digest": [1, 2, 3]}), path)
    else:
        path.write_bytes(b"" if how == "emptied" else path.read_bytes()[:-9])
    reopened = bf.job(job.folder, client=server.client())
    if name == "output-000.jsonl":
        # The parsed answers were made from it and remain valid.
        assert reopened.results().equals(first)
        (job.folder / "answers.parquet").unlink()
        reopened = bf.job(job.folder, client=server.client())
    assert is_reported(lambda: bf.job(job.folder).results(), str(path)) == expected
    if name == "output-000.jsonl":
        path.unlink(missing_ok=True)
        assert reopened.refresh().results().equals(first)
    elif not expected:
        assert reopened.results().equals(first)
    assert len(server.ledger) == 1


@pytest.mark.parametrize(
    "name", ["rows.parquet", pytest.param("answers.parquet", marks=pytest.mark.slow)]
)
def test_x5_no_flipped_bit_changes_an_answer(name: str, finished_job: Path) -> None:
    path = finished_job / name
    first = bf.job(finished_job).results()
    if not path.exists():
        pytest.fail(f"{name} is not there")
    content = path.read_bytes()
    for i in range(0, len(content), 11):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])

        def read_job() -> None:
            assert bf.job(finished_job).results().equals(first)

        is_reported(read_job, "damaged")
    path.write_bytes(content)


def test_x5_rows_that_name_missing_requests_are_refused(job: bf.Job) -> None:
    path = job.folder / "rows.parquet"
    table = pq.read_table(path)
    for numbers in ([0, 1, 10**9], [-5, 0, 1], [None, 0, 1], [0, 0, 2]):
        column = pa.array(numbers, pa.int32())
        pq.write_table(table.set_column(1, "number", column), path)
        assert is_reported(lambda: read_everything(job.folder), str(path), "damaged"), numbers


@pytest.mark.parametrize("name", ["input-000.jsonl", "rows.parquet", "manifest.json"])
def test_x5_a_file_lost_before_submission_is_rebuilt_only_by_the_cell(
    name: str, requests: bf.Requests, proxy: Any, server: batchframe.local.Server
) -> None:
    proxy.fail("POST", "/files", "401 refused")
    with pytest.raises(bf.errors.ServiceError):
        requests.submit("kept", client=proxy.client())
    folder = bf.job("kept").folder
    (folder / name).unlink()
    if name != "rows.parquet":
        assert is_reported(lambda: bf.job(folder, client=proxy.client()).resume(), str(folder))
    if name != "input-000.jsonl":
        assert is_reported(lambda: bf.job(folder).results(), str(folder))
    assert server.ledger == []
    if name == "manifest.json":
        assert is_reported(
            lambda: requests.submit("kept", client=proxy.client()), name, "the file is missing"
        )
        assert server.ledger == []
        return
    with warnings.catch_warnings():
        # A warning names the job that lost its rows and cannot answer other frames.
        warnings.simplefilter("ignore", bf.errors.UnreadableJobWarning)
        job = requests.submit("kept", client=proxy.client()).wait()
    assert job.counts == {"ok": 3}
    assert len(server.ledger) == 1


def test_x5_a_manifest_round_trips(job: bf.Job) -> None:
    path = job.folder / "manifest.json"
    first = path.read_bytes()
    folder = folder_of(job.id)
    write_manifest(folder, read_manifest(folder))
    assert path.read_bytes() == first
