"""X10: forget() leaves no trace, or names what it could not remove."""

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


def test_x10_no_trace_of_a_text_is_left_here_or_on_the_server(
    requests: bf.Requests, home: Path, tmp_path: Path
) -> None:
    def echo(body: dict[str, Any]) -> str:
        return str(body["messages"][0]["content"])

    with batchframe.local.serve(answer=echo, folder=tmp_path / "server") as server:
        job = requests.submit("patients", client=server.client()).wait()
        assert files_with(CANARY, tmp_path)
        batch = job.batches[0]
        told = job.forget(remote=True)
        assert not files_with(CANARY, tmp_path)
        assert server.client().files.list().data == []
    assert not list((home / "jobs").iterdir())
    assert len(told.removed) == 3
    assert [batch.id in words for words in told.remaining] == [True]
    assert "cannot delete it" in repr(told)
    with pytest.raises(bf.errors.JobError, match="not found"):
        bf.job("patients")


def test_x10_without_remote_the_servers_files_stay_and_that_is_said(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    job = requests.submit("here", client=server.client()).wait()
    told = job.forget()
    assert not Path(told.removed[0]).exists()
    assert "forget(remote=True)" in repr(told)
    assert len(server.client().files.list().data) == 2


@pytest.mark.parametrize(
    ("kind", "how", "words"),
    [
        ("400 refused", {"status": 403}, "HTTP 403"),
        ("reset", {"times": 3}, "could not be reached"),
    ],
)
def test_x10_what_could_not_be_removed_is_told_and_can_be_tried_again(
    kind: str, how: dict[str, Any], words: str, proxy: Any, requests: bf.Requests
) -> None:
    job = requests.submit("sticky", client=proxy.client()).wait()
    proxy.fail("DELETE", job.batches[0].output_file_id, kind, **how)
    told = job.forget(remote=True)
    assert any(words in each for each in told.remaining)
    assert bf.job("sticky").counts == {"ok": 3}
    told = bf.job("sticky", client=proxy.client()).forget(remote=True)
    assert any("already deleted" in each for each in told.removed)
    assert not Path(told.removed[0]).exists()


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


def test_x10_jobs_that_took_over_answers_are_named(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    first = requests.submit("first", client=server.client()).wait()
    frame = pd.DataFrame({"text": [CANARY]})
    frame.bf.requests("{{ text }}", model="gpt-4.1").submit("second", client=server.client())
    assert any("job 'second'" in each for each in first.forget().remaining)
    assert bf.job("second").counts == {"ok": 1}
