"""The job's folder: content, privacy and damage."""

from __future__ import annotations

import os
import pickle
import shutil
import stat
from pathlib import Path
from typing import Any, get_args

import msgspec
import pandas as pd
import pytest
from openai.types import Batch as OpenAIBatch

import batchframe as bf
import batchframe.local
from tests.support.job_folders import add_event, read_journal
from tests.support.profiles import change_local

KEY = "sk-CANARY-0123456789abcdef"


@pytest.fixture
def job(requests: bf.Requests, server: batchframe.local.Server) -> bf.Job:
    return requests.submit("kept", client=server.client()).wait()


def test_folders_and_files_are_private_whatever_the_umask(
    requests: bf.Requests, server: batchframe.local.Server, home: Path
) -> None:
    before = os.umask(0)
    try:
        requests.submit(client=server.client()).wait().results()
    finally:
        os.umask(before)
    for path in home.rglob("*"):
        mode = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == mode, path


def test_the_folder_contains_only_what_the_design_lists(job: bf.Job) -> None:
    job.results()
    assert sorted(path.name for path in job.folder.iterdir()) == [
        "answers.parquet",
        "input-000.jsonl",
        "journal.jsonl",
        "lock",
        "manifest.json",
        "output-000.jsonl",
        "rows.parquet",
        "summary.json",
    ]


def test_a_copied_folder_is_the_same_job(job: bf.Job, tmp_path: Path) -> None:
    job_id = job.id
    copied = shutil.copytree(job.folder, tmp_path / "copy")
    shutil.rmtree(job.folder)
    reopened = bf.job(copied)
    assert reopened.id == job_id
    assert reopened.counts == {"ok": 3}


def test_the_parsed_answers_are_rebuilt_when_absent_or_damaged(job: bf.Job) -> None:
    first = job.results()
    answers = job.folder / "answers.parquet"
    answers.unlink()
    assert bf.job("kept").results().equals(first)
    answers.write_bytes(b"PAR1 and then nothing")
    assert bf.job("kept").results().equals(first)


def test_a_torn_last_line_of_the_journal_is_dropped(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    server.pause()
    client = server.client()
    journal = requests.submit("torn", client=client).folder / "journal.jsonl"
    content = journal.read_bytes()
    journal.write_bytes(content + b'{"event": "STAT')
    assert bf.job("torn").status == "validating"
    server.resume()
    job = bf.job("torn", client=client).wait()
    assert journal.read_bytes().startswith(content + b'{"event":')
    assert read_journal(job)[-1]["event"] == "FETCHED"
    assert job.counts == {"ok": 3}


def test_a_damaged_journal_is_reported(job: bf.Job) -> None:
    journal = job.folder / "journal.jsonl"
    journal.write_bytes(b"\x00\x00\n" + journal.read_bytes())
    with pytest.raises(bf.errors.JobError, match="damaged"):
        _ = bf.job(job.folder).status
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(bf.errors.JobError):
        bf.job("kept")


def test_a_job_of_a_newer_version_is_refused(job: bf.Job) -> None:
    manifest = job.folder / "manifest.json"
    fields = msgspec.json.decode(manifest.read_bytes())
    manifest.write_bytes(msgspec.json.encode({**fields, "state_version": 99}))
    with pytest.raises(bf.errors.JobError, match="pip install --upgrade"):
        bf.job(job.folder).results()


def test_a_journal_of_a_newer_version_sends_nothing(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    job = requests.submit(client=server.client())
    with (job.folder / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"event":"TELEPORTED"}\n')
    with pytest.raises(bf.errors.JobError, match="newer version"):
        job.resume()
    assert len(server.client().batches.list().data) == 1


def test_an_input_file_that_was_changed_is_not_sent(
    requests: bf.Requests, server: batchframe.local.Server, proxy: object
) -> None:
    proxy.fail("POST", "/files", "401 refused")  # type: ignore[attr-defined]
    with pytest.raises(bf.errors.ServiceError):
        requests.submit("changed", client=proxy.client())  # type: ignore[attr-defined]
    path = bf.job("changed").folder / "input-000.jsonl"
    path.write_bytes(path.read_bytes().replace(b"gpt-4.1", b"gpt-9.1"))
    with pytest.raises(bf.errors.JobError, match="checksum differs"):
        bf.job("changed", client=proxy.client()).resume()  # type: ignore[attr-defined]
    assert server.ledger == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "a/b", "unknown", "\x00", "x" * 300])
@pytest.mark.usefixtures("job")
def test_a_name_is_never_a_path_out_of_home(name: str) -> None:
    with pytest.raises(bf.errors.JobError):
        bf.job(name)


def test_another_account_raises_a_clear_error(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    server.pause()
    requests.submit("kept", client=server.client())
    with batchframe.local.serve() as another:
        picked = bf.job("kept", client=another.client())
        for attempt in (picked.refresh, picked.cancel, picked.resume):
            with pytest.raises(bf.errors.ClientError, match="belongs to"):
                attempt()


def test_the_key_is_nowhere(
    requests: bf.Requests, proxy: object, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    reply = f'{{"error": {{"message": "Incorrect API key provided: {KEY}.", "code": "bad_key"}}}}'
    proxy.fail("POST", "/files", "401 refused", body=reply)  # type: ignore[attr-defined]
    with pytest.raises(bf.errors.ServiceError) as excinfo:
        requests.submit("secret", client=proxy.client(key=KEY))  # type: ignore[attr-defined]
    assert excinfo.value.__cause__ is None
    assert excinfo.value.__context__ is None
    texts = [str(excinfo.value), repr(excinfo.value), caplog.text]
    texts += [pickle.dumps(excinfo.value).decode("latin-1")]
    job = requests.submit("secret", client=proxy.client(key=KEY)).wait()  # type: ignore[attr-defined]
    texts += [repr(job), job._repr_html_(), repr(bf.jobs())]
    texts += [pickle.dumps(job).decode("latin-1")]
    assert pickle.loads(pickle.dumps(job)).counts == {"ok": 3}  # noqa: S301 - our own bytes
    texts += [path.read_bytes().decode("latin-1") for path in home.rglob("*") if path.is_file()]
    assert not [text for text in texts if KEY in text]


def stored_batch(requests: bf.Requests, server: batchframe.local.Server, batch: Any) -> Any:
    """Return the batch as stored for this response of the service."""
    server.pause()
    job = requests.submit("stored", client=server.client())
    add_event(job, {"event": "STATUS", "batch": batch})
    (stored,) = bf.job("stored").batches
    return stored


def test_the_final_statuses_are_those_of_the_sdk(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    statuses = set(get_args(OpenAIBatch.model_fields["status"].annotation))
    ended = {
        word
        for word in statuses
        if stored_batch(requests, server, {"id": "b1", "status": word}).ended
    }
    assert statuses - ended == {"validating", "in_progress", "finalizing", "cancelling"}
    assert statuses > ended > {"completed", "failed"}


@pytest.mark.parametrize(
    ("statuses", "word"),
    [
        (["completed", "completed"], "completed"),
        (["completed", "in_progress"], "in_progress"),
        (["in_progress", "validating"], "validating"),
        (["completed", "expired"], "expired"),
        (["cancelled", "failed", "completed"], "failed"),
        (["completed", "paused"], "paused"),
    ],
)
def test_the_statuses_of_the_input_files_give_one_status(
    statuses: list[str],
    word: str,
    server: batchframe.local.Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change_local(monkeypatch, max_requests=1)
    server.pause()
    requests = pd.DataFrame({"t": statuses}).bf.requests("{{ t }}", model="gpt-4.1", dedupe=False)
    job = requests.submit("parts", client=server.client())
    events = [{"event": "INTENT"}] + [
        {"event": "CREATED", "shard": n, "batch": {"id": f"batch_{n}", "status": status}}
        for n, status in enumerate(statuses)
    ]
    lines = b"".join(msgspec.json.encode(event) + b"\n" for event in events)
    (job.folder / "journal.jsonl").write_bytes(lines)
    assert bf.job(job.folder).status == word


def test_a_batch_object_of_another_server_is_read_as_far_as_possible(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    unusual = {
        "id": "b1", "status": None, "request_counts": None, "errors": {"object": "list"},
        "error_file_id": "", "output_file_id": None, "metadata": None, "created_at": "soon",
    }  # fmt: skip
    batch = stored_batch(requests, server, unusual)
    assert (batch.status, batch.ended, batch.error_file_id, batch.total) == (
        "unknown",
        False,
        None,
        0,
    )
    assert stored_batch(requests, server, batch.to_json()) == batch
