"""Parallel transfers of files; everything else stays in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from tests.support.job_folders import read_journal
from tests.support.profiles import change_local
from tests.support.seams import wrap_service

PARTS = 6


@pytest.fixture(autouse=True)
def _one_request_a_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "home"))
    change_local(monkeypatch, max_requests=1)


@pytest.fixture
def requests() -> bf.Requests:
    frame = pd.DataFrame({"text": [f"text {number}" for number in range(PARTS)]})
    return frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])


class Watched:
    """A method of the service that counts its concurrent calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.most = self.now = self.calls = 0
        self.gate = threading.Lock()

        def wrap(original: Any) -> Any:
            def watched(*how: Any, **options: Any) -> Any:
                with self.gate:
                    self.now, self.calls = self.now + 1, self.calls + 1
                    self.most = max(self.most, self.now)
                time.sleep(0.1)  # time for the others to begin
                try:
                    return original(*how, **options)
                finally:
                    with self.gate:
                        self.now -= 1

            return watched

        wrap_service(monkeypatch, name, wrap)


def events(job: bf.Job, *kinds: str) -> list[tuple[str, int]]:
    journal = read_journal(job)
    return [(event["event"], event["shard"]) for event in journal if event["event"] in kinds]


def test_up_to_four_files_are_transferred_at_once_and_each_once(
    requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    up, down = Watched(monkeypatch, "upload"), Watched(monkeypatch, "download")
    with batchframe.local.serve(answer=lambda _: {"label": "+"}) as server:
        job = requests.submit(client=server.client()).wait()
    assert job.counts == {"ok": PARTS}
    assert (up.most, up.calls) == (4, PARTS)
    assert 1 < down.most <= 4
    assert down.calls == PARTS
    assert not list(job.folder.glob("*.part"))


def test_batches_are_created_one_after_the_other_despite_early_uploads(
    requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = Watched(monkeypatch, "create_batch")
    with batchframe.local.serve(answer=lambda _: {"label": "+"}) as server:
        job = requests.submit(client=server.client())
    assert (created.most, created.calls) == (1, PARTS)
    in_turn = [
        (kind, part) for part in range(PARTS) for kind in ("UPLOADED", "CREATING", "CREATED")
    ]
    assert events(job, "UPLOADED", "CREATING", "CREATED") == in_turn


def test_a_file_uploaded_before_a_rejection_is_recorded_and_reused(
    requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    up = Watched(monkeypatch, "upload")
    refused = [batchframe.local.Fault("POST /v1/batches", 400)]
    with batchframe.local.serve(answer=lambda _: {"label": "+"}, faults=refused) as server:
        client = server.client()

        def patient(create: Any) -> Any:
            def waiting(*how: Any, **options: Any) -> Any:
                while up.calls < 4 or up.now:  # until the earlier ones are there
                    time.sleep(0.01)
                return create(*how, **options)

            return waiting

        with monkeypatch.context() as patched:
            wrap_service(patched, "create_batch", patient)
            with pytest.raises(bf.errors.SubmissionError):
                requests.submit("again", client=client)
        job = requests.submit("again", client=client).wait()
        assert len(server.ledger) == PARTS
    assert job.counts == {"ok": PARTS}
    assert up.calls == PARTS
    assert sorted(events(job, "UPLOADED")) == [("UPLOADED", part) for part in range(PARTS)]


def _interrupted(retrieve: Any) -> Callable[..., Any]:
    calls = iter(range(100))

    def interrupting(*how: Any) -> Any:
        if next(calls) >= 3:
            raise KeyboardInterrupt
        return retrieve(*how)

    return interrupting


def test_an_interrupted_poll_leaves_no_partial_file_and_continues(
    requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    with batchframe.local.serve(answer=lambda _: {"label": "+"}) as server:
        job = requests.submit("interrupted", client=server.client())
        while not all(b.status == "completed" for b in server_batches(job, server)):
            time.sleep(0.05)
        with monkeypatch.context() as patched:
            wrap_service(patched, "retrieve_file", _interrupted)
            with pytest.raises(KeyboardInterrupt):
                job.refresh()
        deadline = time.monotonic() + 10
        while list(job.folder.glob("*.part")) and time.monotonic() < deadline:
            time.sleep(0.05)  # a transfer that ends in another thread removes its file
        assert not list(job.folder.glob("*.part"))
        assert job.wait().counts == {"ok": PARTS}


def server_batches(job: bf.Job, server: batchframe.local.Server) -> list[Any]:
    client = server.client()
    return [client.batches.retrieve(batch.id) for batch in job.batches]


def test_a_changed_input_file_is_not_uploaded_early(
    requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = [batchframe.local.Fault("POST /v1/files", 401, times=PARTS)]
    with batchframe.local.serve(answer=lambda _: {"label": "+"}, faults=refused) as server:
        with pytest.raises(bf.errors.ServiceError):
            requests.submit("changed", client=server.client())
        server.faults.clear()
        path = bf.job("changed").folder / "input-001.jsonl"
        path.write_bytes(path.read_bytes().replace(b"text", b"test"))
        up = Watched(monkeypatch, "upload")
        with pytest.raises(bf.errors.JobError, match=r"input-001\.jsonl"):
            bf.job("changed", client=server.client()).resume()
        assert len(server.ledger) <= 1
    assert up.calls < PARTS
