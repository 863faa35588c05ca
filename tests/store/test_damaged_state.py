"""X5: state that was cut, edited or taken away is repaired, refused or told; never believed."""

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


def look_at(folder: Path) -> None:
    """Do all that one does with a finished job."""
    job = bf.job(folder)
    for look in (job.results, job.unanswered, lambda: FRAME.bf.join(job)):
        look()
    for shown in (job, job._repr_html_()):
        repr(shown)
    _ = job.status, job.done, job.counts, job.usage, job.cost, job.batches, job.name, job.id


def is_told(act: Callable[[], object], *words: str) -> bool:
    """Say whether it is refused; in any other way than with an error of ours it must not fail."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            act()
    except bf.errors.BatchframeError as reason:
        assert all(word in str(reason) for word in words), reason  # noqa: PT017
        return True
    return False


# ---- journals --------------------------------------------------------------


@pytest.mark.slow
def test_x5_a_journal_cut_at_any_byte_goes_on_to_one_batch(
    requests: bf.Requests, server: batchframe.local.Server, home: Path
) -> None:
    job = requests.submit("kept", client=server.client()).wait()
    journal = job.folder / "journal.jsonl"
    whole = journal.read_bytes()
    ends = [at for at in range(len(whole)) if whole[at : at + 1] == b"\n"]
    # In each line at its start, in its middle and at both sides of its end.
    cuts = {
        0,
        *ends,
        *(end + 1 for end in ends),
        *(end - 1 for end in ends),
        *(e - 30 for e in ends),
    }
    for cut in sorted(cuts):
        journal.write_bytes(whole[:cut])
        found = requests.submit("kept", client=server.client()).wait()
        assert found.counts == {"ok": 3}, whole[:cut]
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
    "index is a truth value": b'{"event": "UPLOADED", "shard": true, "file_id": "file-1"}',
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
def test_x5_a_journal_that_was_edited_is_refused(
    case: str, job: bf.Job, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    journal = job.folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + EVENTS[case] + b"\n")
    for act in (
        lambda: look_at(job.folder),
        lambda: requests.submit("kept", client=server.client()),
        lambda: bf.job(job.folder, client=server.client()).resume(),
        lambda: bf.job(job.folder, client=server.client()).cancel(),
    ):
        assert is_told(act, str(journal), "damaged", "copy")
    with pytest.warns(bf.errors.UnreadableJobWarning, match="damaged"):
        assert bf.jobs().empty
    assert len(server.ledger) == 1


def test_x5_a_journal_too_large_to_be_one_is_not_read(job: bf.Job) -> None:
    with (job.folder / "journal.jsonl").open("ab") as file:
        file.truncate(300_000_000)  # a hole: it takes no room
    with pytest.raises(bf.errors.JobError, match="300,000,000 bytes"):
        look_at(job.folder)


def test_x5_a_manifest_too_large_to_be_one_is_not_read(job: bf.Job) -> None:
    with (job.folder / "manifest.json").open("ab") as file:
        file.truncate(70_000_000)
    with pytest.raises(bf.errors.JobError, match="70,000,000 bytes"):
        look_at(job.folder)


# ---- manifests -------------------------------------------------------------

MANIFESTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "inputs overlap": lambda told: told["inputs"].append(told["inputs"][0]),
    "inputs miss some": lambda told: told["inputs"][0].update(stop=2),
    "inputs are as long as the world": lambda told: told["inputs"][0].update(stop=10**15),
    "requests below zero": lambda told: told.update(requests=-3),
    "rows are a string": lambda told: told.update(rows="three"),
    "date before time": lambda told: told.update(created_at=-1e9),
    "date after time": lambda told: told.update(created_at=1e300),
    "identity is gone": lambda told: told.pop("identity"),
    "identity is a string": lambda told: told.update(identity="https://api.openai.com/v1"),
    "prompt is a number": lambda told: told["recipe"].update(prompt=7),
    "message without a role": lambda told: told["recipe"].update(prompt=[{"content": "x"}]),
    "body is a list": lambda told: told["recipe"].update(body=[]),
    "field of another kind": lambda told: told["recipe"]["output"]["fields"][0].update(kind="list"),
    "field from nowhere": lambda told: told["recipe"]["output"]["fields"][0].update(path=["x"]),
    "field with other levels": lambda told: told["recipe"]["output"]["fields"][0].update(
        levels=[1, 2]
    ),
    "schema of no type": lambda told: told["recipe"]["output"].update(schema={}),
    "schema refers to nothing": lambda told: told["recipe"]["output"].update(
        schema={"$ref": "#/$defs/x"}
    ),
    "schema refers to itself": lambda told: told["recipe"]["output"].update(schema={"$ref": "#"}),
    "cost of no number": lambda told: told.update(cost={"low": "x", "expected": "1", "high": "2"}),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_x5_a_manifest_that_was_edited_is_refused(
    case: str, job: bf.Job, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    manifest = job.folder / "manifest.json"
    told = msgspec.json.decode(manifest.read_bytes())
    MANIFESTS[case](told)
    manifest.write_bytes(msgspec.json.encode(told))
    assert is_told(lambda: look_at(job.folder), str(manifest), "damaged")
    assert is_told(lambda: requests.submit("kept", client=server.client()), str(manifest))
    assert len(server.ledger) == 1


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b'{"state_version": 1}', b"\xff\xfe{", b"[" * 99_000, b"{}"]
)
def test_x5_a_manifest_that_is_none_is_refused(content: bytes, job: bf.Job) -> None:
    (job.folder / "manifest.json").write_bytes(content)
    assert is_told(lambda: look_at(job.folder), str(job.folder))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the way to everything inside a JSON value."""
    inner: Any = ()
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [way] if way else []
    for key, part in inner:
        found += places(part, (*way, key))
    return found


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
def test_x5_whatever_is_put_into_state_never_fails_otherwise_than_in_words(
    name: str, data: st.DataObject, kept: Path
) -> None:
    path = kept / name
    whole = path.read_bytes()
    lines = [msgspec.json.decode(line) for line in whole.splitlines()] if "l" in name[-1] else [
        msgspec.json.decode(whole)
    ]  # fmt: skip
    at = data.draw(st.integers(0, len(lines) - 1))
    way = data.draw(st.sampled_from(places(lines[at])))
    lines[at] = changed(lines[at], way, data.draw(_JSON))
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    try:
        is_told(lambda: look_at(kept))
    finally:
        path.write_bytes(whole)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep one finished job for many looks."""
    home = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch, batchframe.local.serve() as server:
        patch.setenv("BATCHFRAME_HOME", str(home / "home"))
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        asked = FRAME.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
        job = asked.submit("kept", client=server.client()).wait()
        job.results()
        return Path(shutil.copytree(job.folder, home / "copy"))


# ---- the other files -------------------------------------------------------


@pytest.mark.parametrize("how", ["removed", "emptied", "cut", "other"])
@pytest.mark.parametrize(
    ("name", "told"),
    [("rows.parquet", True), ("answers.parquet", False), ("output-000.jsonl", True)],
)
def test_x5_a_file_that_was_changed_is_told_or_made_anew(
    name: str, told: bool, how: str, job: bf.Job, server: batchframe.local.Server
) -> None:
    path = job.folder / name
    first = job.results()
    if how == "removed":
        path.unlink()
    elif how == "other":
        pq.write_table(pa.table({"digest": [1, 2, 3]}), path)
    else:
        path.write_bytes(b"" if how == "emptied" else path.read_bytes()[:-9])
    found = bf.job(job.folder, client=server.client())
    if name == "output-000.jsonl":
        # The parsed answers were made of it, and stand.
        assert found.results().equals(first)
        (job.folder / "answers.parquet").unlink()
        found = bf.job(job.folder, client=server.client())
    assert is_told(lambda: bf.job(job.folder).results(), str(path)) == told
    if name == "output-000.jsonl":
        path.unlink(missing_ok=True)
        assert found.refresh().results().equals(first)
    elif not told:
        assert found.results().equals(first)
    assert len(server.ledger) == 1


@pytest.mark.parametrize(
    "name", ["rows.parquet", pytest.param("answers.parquet", marks=pytest.mark.slow)]
)
def test_x5_no_bit_that_turns_over_turns_an_answer(name: str, kept: Path) -> None:
    path = kept / name
    first = bf.job(kept).results()
    if not path.exists():
        pytest.fail(f"{name} is not there")
    whole = path.read_bytes()
    for at in range(0, len(whole), 11):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])

        def look() -> None:
            assert bf.job(kept).results().equals(first)

        is_told(look, "damaged")
    path.write_bytes(whole)


def test_x5_rows_that_name_requests_that_are_not_there_are_refused(job: bf.Job) -> None:
    path = job.folder / "rows.parquet"
    table = pq.read_table(path)
    for numbers in ([0, 1, 10**9], [-5, 0, 1], [None, 0, 1], [0, 0, 2]):
        column = pa.array(numbers, pa.int32())
        pq.write_table(table.set_column(1, "number", column), path)
        assert is_told(lambda: look_at(job.folder), str(path), "damaged"), numbers


@pytest.mark.parametrize("name", ["input-000.jsonl", "rows.parquet", "manifest.json"])
def test_x5_a_file_that_is_gone_before_anything_was_sent_is_made_again_by_the_cell_alone(
    name: str, requests: bf.Requests, proxy: Any, server: batchframe.local.Server
) -> None:
    proxy.fail("POST", "/files", "401 refused")
    with pytest.raises(bf.errors.ServiceError):
        requests.submit("kept", client=proxy.client())
    folder = bf.job("kept").folder
    (folder / name).unlink()
    if name != "rows.parquet":
        assert is_told(lambda: bf.job(folder, client=proxy.client()).resume(), str(folder))
    if name != "input-000.jsonl":
        assert is_told(lambda: bf.job(folder).results(), str(folder))
    assert server.ledger == []
    if name == "manifest.json":
        assert is_told(
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


def test_x5_a_manifest_says_again_what_it_was_made_of(job: bf.Job) -> None:
    path = job.folder / "manifest.json"
    first = path.read_bytes()
    folder = folder_of(job.id)
    write_manifest(folder, read_manifest(folder))
    assert path.read_bytes() == first
