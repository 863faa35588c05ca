"""X4: names and ids are never paths. S22: a job belongs to one account."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import openai
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from tests.support.seams import folder_of

NAMES = [
    "../../x", "/etc/passwd", "~/x", "a/b", "a\\b", "C:\\x", "CON", "nul.txt", "..", ".", " ",
    "x" * 300, "Größe 中文 🙂", "$(touch x)", "`x`", "-rf", "%2e%2e", "file:///etc/passwd", "a;b|c",
    "\x00", "a\nb", "", "\u202ex", "{0}{{ text }}",
]  # fmt: skip


def paths_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("name", NAMES)
def test_x4_a_job_name_is_checked_and_its_folder_is_a_number(
    name: str, requests: bf.Requests, server: batchframe.local.Server, tmp_path: Path, home: Path
) -> None:
    if not name.strip() or not name.isprintable():
        with pytest.raises(bf.errors.RequestError, match="name: not a"):
            requests.submit(name, client=server.client())
        assert not home.exists()
        return
    job = requests.submit(name, client=server.client()).wait()
    assert bf.job(name).id == job.id
    assert re.fullmatch("[0-9a-f]{20}", job.folder.name)
    assert {path for path in paths_below(tmp_path) if "/" not in path} <= {"home"}
    assert name in server.client().batches.list().data[0].metadata.values() or len(name) > 512


@pytest.mark.parametrize("name", [*NAMES, "a" * 129, "é", "job-1/"])
def test_x4_an_invalid_id_names_no_folder(name: str) -> None:
    with pytest.raises(bf.errors.JobError, match="not a job id"):
        folder_of(name)


@pytest.mark.parametrize("name", NAMES)
def test_x4_a_missing_job_raises_a_clear_error(name: str) -> None:
    with pytest.raises(bf.errors.JobError, match="not found"):
        bf.job(name)


def test_x4_a_folder_beside_the_notebook_does_not_replace_a_job(
    requests: bf.Requests, server: batchframe.local.Server, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    mine = requests.submit("sentiment", client=server.client()).wait()
    other = requests.submit("other", rerun="2", client=server.client()).wait()
    (tmp_path / "cloned").mkdir()
    shutil.copytree(other.folder, tmp_path / "cloned" / "sentiment")
    monkeypatch.chdir(tmp_path / "cloned")
    assert bf.job("sentiment").id == mine.id
    assert bf.job(Path("sentiment")).id == other.id
    assert bf.job("./sentiment").id == other.id


@pytest.mark.parametrize("bad", ["../../x", "/etc/passwd", "..", "a\x00b", "CON", "x" * 400])
def test_x4_ids_of_the_service_are_never_paths(  # noqa: PLR0917 - cases and fixtures
    bad: str, proxy: Any, heard: list[Any], requests: bf.Requests,
    server: batchframe.local.Server, tmp_path: Path,
) -> None:  # fmt: skip
    server.pause()
    job = requests.submit("kept", client=proxy.client())
    batch = server.client().batches.list().data[0].to_dict()
    hostile = {**batch, "status": "completed", "output_file_id": bad, "error_file_id": bad}
    proxy.fail("GET", batch["id"], "500", status=200, body=json.dumps(hostile), times=50)
    heard.clear()
    # Refused by the client, or requested as an id that the service does not have.
    with contextlib.suppress(bf.errors.ServiceError):
        job.refresh()
    assert job.counts == {"pending": 3}
    for request in heard:
        assert re.fullmatch(r"GET /v1/(batches|files)/[^/]+(/content)?", request.line.split("?")[0])
    expected = {"journal.jsonl", "manifest.json", "rows.parquet", "input-000.jsonl", "lock"}
    assert {path.name for path in job.folder.iterdir()} <= expected | {"output-000.jsonl.part"}
    assert {path for path in paths_below(tmp_path) if "/" not in path} == {"home"}


def test_x4_a_batch_id_that_looks_like_a_path_is_escaped(
    proxy: Any, heard: list[Any], requests: bf.Requests, server: batchframe.local.Server
) -> None:
    job = requests.submit("kept", client=proxy.client())
    journal = job.folder / "journal.jsonl"
    real = server.ledger[0].batch_id if server.ledger else job.batches[0].id
    journal.write_bytes(journal.read_bytes().replace(real.encode(), b"../files/x"))
    heard.clear()
    with pytest.raises(bf.errors.ServiceError):
        bf.job(job.folder, client=proxy.client()).refresh()
    assert heard[0].line == "GET /v1/batches/..%2Ffiles%2Fx"


OTHERS = {
    "another server": {"base_url": "http://127.0.0.1:9/v1"},
    "another organization": {"organization": "org-other"},
    "another project": {"project": "proj-other"},
}


@pytest.mark.parametrize("case", OTHERS)
def test_s22_a_job_is_not_searched_for_in_another_account(
    case: str, requests: bf.Requests, proxy: Any, server: batchframe.local.Server
) -> None:
    server.pause()
    own_job = requests.submit("kept", client=proxy.client())
    calls = len(proxy.calls)
    proxy.fail("GET", own_job.batches[0].id, "404 refused", times=99)
    other = proxy.client().with_options(**OTHERS[case])
    job = bf.job("kept", client=other)
    for act in (job.refresh, job.wait, job.cancel, job.resume, lambda: job.resume(recreate=True)):
        with pytest.raises(bf.errors.ClientError, match="belongs to") as excinfo:
            act()
        assert all(value in str(excinfo.value) for value in OTHERS[case].values())
    # The only calls check whether the client sees the batch.
    assert set(proxy.calls[calls:]) <= {("GET", f"/v1/batches/{own_job.batches[0].id}")}


def test_s22_a_manifest_that_names_another_server_does_not_get_the_key(
    requests: bf.Requests, proxy: Any, server: batchframe.local.Server
) -> None:
    server.pause()
    job = requests.submit("kept", client=server.client())
    manifest = job.folder / "manifest.json"
    # As if edited to have the key sent there.
    manifest.write_bytes(manifest.read_bytes().replace(server.url.encode(), proxy.url.encode()))
    picked = bf.job("kept", client=server.client())
    with pytest.raises(bf.errors.ClientError, match="belongs to"):
        picked.refresh()
    with pytest.raises(bf.errors.ClientError):
        bf.job("kept").refresh()
    assert proxy.calls == []


def test_s22_the_same_content_for_another_account_is_another_job(
    requests: bf.Requests, proxy: Any
) -> None:
    first = requests.submit(client=proxy.client())
    proxy.fail("GET", first.batches[0].id, "404 refused", times=99)
    other = proxy.client().with_options(project="proj-other")
    with pytest.raises(bf.errors.SentElsewhere):
        requests.submit(client=other)
    second = requests.submit(client=other, rerun="for another account")
    assert first.id != second.id
    assert len(bf.jobs()) == 2


def test_s22_an_azure_client_is_another_account(proxy: Any, requests: bf.Requests) -> None:
    requests.submit("kept", client=proxy.client())
    azure = openai.AzureOpenAI(
        azure_endpoint="https://example.openai.azure.com", api_key="x", api_version="2024-10-21"
    )
    with pytest.raises(bf.errors.ClientError, match="belongs to"):
        bf.job("kept", client=azure).resume()


def test_x4_a_column_name_is_never_code_or_a_path() -> None:
    frame = pd.DataFrame({"__class__": ["a"], "os.system('x')": ["b"], "../../x": ["c"]})
    requests = frame.bf.requests(
        "{{ __class__ }} {{ os.system('x') }} {{ ../../x }}", model="gpt-4.1"
    )
    assert requests.preview(1)[0]["body"]["messages"][0]["content"] == "a b c"
