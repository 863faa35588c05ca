"""X10: forget() deletes everything, or lists what it could not delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local

CANARY = "Herr Canary, born 1961"


@pytest.fixture
def requests() -> bf.Requests:
    frame = pd.DataFrame({"text": [CANARY, "b", "c"]})
    return frame.bf.requests("{{ text }}", model="gpt-4.1")


def files_with(text: str, folder: Path) -> list[Path]:
    return [
        path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()
    ]


def test_x10_no_trace_of_a_text_is_left_locally_or_on_the_server(
    requests: bf.Requests, home: Path, tmp_path: Path
) -> None:
    def echo(body: dict[str, Any]) -> str:
        return str(body["messages"][0]["content"])

    with batchframe.local.serve(answer=echo, folder=tmp_path / "server") as server:
        job = requests.submit("patients", client=server.client()).wait()
        assert files_with(CANARY, tmp_path)
        batch = job.batches[0]
        forgotten = job.forget(remote=True)
        assert not files_with(CANARY, tmp_path)
        assert server.client().files.list().data == []
    assert not list((home / "jobs").iterdir())
    assert len(forgotten.removed) == 3
    assert [batch.id in line for line in forgotten.remaining] == [True]
    assert "cannot delete it" in repr(forgotten)
    with pytest.raises(bf.errors.JobError, match="not found"):
        bf.job("patients")


def test_x10_without_remote_the_servers_files_stay_and_are_listed(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    job = requests.submit("here", client=server.client()).wait()
    forgotten = job.forget()
    assert not Path(forgotten.removed[0]).exists()
    assert "forget(remote=True)" in repr(forgotten)
    assert len(server.client().files.list().data) == 2


@pytest.mark.parametrize(
    ("kind", "options", "fragment"),
    [
        ("400 refused", {"status": 403}, "HTTP 403"),
        ("reset", {"times": 3}, "could not be reached"),
    ],
)
def test_x10_files_that_could_not_be_deleted_are_listed_and_can_be_retried(
    kind: str, options: dict[str, Any], fragment: str, proxy: Any, requests: bf.Requests
) -> None:
    job = requests.submit("sticky", client=proxy.client()).wait()
    proxy.fail("DELETE", job.batches[0].output_file_id, kind, **options)
    forgotten = job.forget(remote=True)
    assert any(fragment in each for each in forgotten.remaining)
    assert bf.job("sticky").counts == {"ok": 3}
    forgotten = bf.job("sticky", client=proxy.client()).forget(remote=True)
    assert any("already deleted" in each for each in forgotten.removed)
    assert not Path(forgotten.removed[0]).exists()


def test_x10_a_running_job_is_not_forgotten(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    server.pause()
    job = requests.submit("running", client=server.client())
    for remote in (False, True):
        with pytest.raises(bf.errors.JobError, match="abandon"):
            job.forget(remote=remote)
    assert bf.job("running").counts == {"pending": 3}


def test_x10_an_uncertain_job_is_not_forgotten(proxy: Any, requests: bf.Requests) -> None:
    proxy.fail("POST", "/batches", "reset")
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("uncertain", client=proxy.client())
    with pytest.raises(bf.errors.JobError, match="abandon"):
        bf.job("uncertain", client=proxy.client()).forget(remote=True)


def test_x10_jobs_that_reused_the_answers_are_named(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    first = requests.submit("first", client=server.client()).wait()
    frame = pd.DataFrame({"text": [CANARY]})
    frame.bf.requests("{{ text }}", model="gpt-4.1").submit("second", client=server.client())
    assert any("job 'second'" in each for each in first.forget().remaining)
    assert bf.job("second").counts == {"ok": 1}
