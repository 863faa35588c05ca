"""Input files above the account's queue limit are divided."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
from batchframe.local import Fault, Limits, Server, serve
from tests.support.profiles import change_local

CREATE = "POST /v1/batches"


@pytest.fixture(autouse=True)
def _polls_often(monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, first_poll=0.01, last_poll=0.05, queue_pause=0.1, settle=0.3)


def ask(rows: int = 12, words: str = "a review of some words", **options: Any) -> bf.Requests:
    frame = pd.DataFrame({"text": [f"{words}, number {i}" for i in range(rows)]})
    return frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"], **options)


def tokens_a_row() -> int:
    return ask(1).estimate().input_tokens.high or 0


@pytest.fixture
def small() -> Iterator[Server]:
    """Serve an account with room for five rows in its queue."""
    with serve(limits=Limits(enqueued_tokens=5 * tokens_a_row())) as server:
        yield server


def failed(server: Server) -> int:
    return sum(batch.status == "failed" for batch in server.client().batches.list())


def answered(server: Server) -> int:
    return sum(batch.requests for batch in server.ledger)


def test_a_file_larger_than_the_queue_is_divided_by_the_stated_limit(small: Server) -> None:
    job = ask().submit("large", client=small.client())
    assert job.wait(60).counts == {"ok": 12}
    assert failed(small) == 1
    assert [batch.requests for batch in small.ledger] == [5, 5, 2]
    assert job.results()["bf_status"].tolist() == ["ok"] * 12
    # A divided job is still one job for other cells and kernels.
    assert ask().submit("large", client=small.client()).id == job.id
    assert bf.job("large").counts == {"ok": 12}
    assert len(small.ledger) == 3


def test_the_limit_holds_for_later_jobs_of_the_account(small: Server) -> None:
    ask().submit("first", client=small.client()).wait(60)
    before = failed(small)
    other = ask(11, "another text").submit("second", client=small.client()).wait(60)
    assert other.counts == {"ok": 11}
    assert failed(small) == before


def test_a_limit_for_another_model_does_not_count(small: Server) -> None:
    ask().submit("first", client=small.client()).wait(60)
    frame = pd.DataFrame({"text": [f"a review, number {i}" for i in range(12)]})
    other = frame.bf.requests("{{ text }}", model="gpt-4.1-mini").submit(client=small.client())
    assert len(list(other.folder.glob("input-*.jsonl"))) == 1
    assert other.wait(60).counts == {"ok": 12}


def test_a_service_that_counts_twice_as_much_rejects_two_batches() -> None:
    one = tokens_a_row()
    limits = Limits(enqueued_tokens=6 * one)
    with serve(limits=limits, count_tokens=lambda _: 2 * one) as server:
        job = ask().submit("counts more", client=server.client())
        assert job.wait(60).counts == {"ok": 12}
        assert failed(server) == 2
        assert answered(server) == 12


def test_a_row_that_never_fits_is_named(small: Server) -> None:
    frame = pd.DataFrame({"text": ["short", "long words " * 300, "short too"]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
    job = requests.submit("long", client=small.client())
    with pytest.raises(bf.errors.SubmissionError, match=r"row 1 has [0-9]{3} input tokens"):
        job.wait(60)
    assert failed(small) == 1
    assert job.cancel().done
    with pytest.raises(bf.errors.RequestError, match="row 1"):
        requests.submit("long again", client=small.client(), rerun="2")
    assert frame.drop(1).bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"]).submit(
        client=small.client()
    ).wait(60).counts == {"ok": 2}


def test_another_limit_in_the_cell_divides_what_is_unsent(server: Server) -> None:
    one = tokens_a_row()
    refused = {
        "error": {"message": "Enqueued token limit reached.", "code": "token_limit_exceeded"}
    }
    server.faults.add(Fault(CREATE, 400, body=refused, skip=1, times=9))
    server.pause()
    job = ask().submit("limited", client=server.client(), max_enqueued_tokens=8 * one)
    assert [batch.total for batch in job.batches] in ([0], [8])
    server.faults.clear()
    job = ask().submit("limited", client=server.client(), max_enqueued_tokens=3 * one)
    server.resume()
    assert job.wait(60).counts == {"ok": 12}
    assert [batch.requests for batch in server.ledger] == [8, 3, 1]


def test_a_job_that_was_divided_is_recovered(
    small: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ask().submit("large", client=small.client()).wait(60)
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "another"))
    recovered = bf.recover(client=small.client())
    assert [one.id for one in recovered] == [job.id]
    again = ask().submit("large", client=small.client()).wait(60)
    assert (again.id, again.counts) == (job.id, {"ok": 12})
    assert answered(small) == 12


def test_a_cell_after_a_lost_home_finds_the_divided_job(
    small: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask().submit("large", client=small.client()).wait(60)
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "another"))
    assert ask().submit("large", client=small.client()).wait(60).counts == {"ok": 12}
    assert answered(small) == 12


def test_a_job_that_was_divided_and_sent_in_part_is_recovered(
    small: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ask().submit("large", client=small.client())
    while len(job.batches) < 1 or not failed(small) or job.batches[0].status == "failed":
        job.refresh()
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "another"))
    bf.recover(client=small.client())
    for job_id in bf.jobs()["id"]:
        bf.job(job_id, client=small.client()).wait(60)
    again = ask().submit("large", client=small.client()).wait(60)
    assert again.counts == {"ok": 12}
    assert answered(small) == 12


def test_a_rejected_batch_that_exists_is_not_divided() -> None:
    limit = "Enqueued token limit reached for m in organization o. Limit: 90 enqueued tokens."
    refused = {"error": {"message": limit, "code": "token_limit_exceeded"}}
    with serve(faults=[Fault(CREATE, 400, body=refused, after=True)]) as server:
        job = ask().submit("created", client=server.client())
        assert job.wait(60).counts == {"ok": 12}
        assert answered(server) == 12


def test_files_of_a_divided_job_are_deleted_from_the_server(small: Server) -> None:
    job = ask().submit("large", client=small.client()).wait(60)
    assert len(list(small.client().files.list())) > 4
    job.forget(remote=True)
    assert list(small.client().files.list()) == []


def test_the_state_version_of_a_divided_job_survives_a_rerun(small: Server) -> None:
    job = ask().submit("large", client=small.client()).wait(60)
    manifest = json.loads((job.folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["state_version"] == 2
    # A rerun keeps it.
    with pytest.warns(bf.errors.NamesakeWarning):
        ask().submit("renamed", client=small.client())
    manifest = json.loads((job.folder / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["state_version"], manifest["name"]) == (2, "renamed")


def test_unanswered_rows_of_a_divided_job_are_sent_again(small: Server) -> None:
    job = ask().submit("large", client=small.client())
    while len(job.batches) < 1 or not failed(small) or job.batches[0].status == "failed":
        job.refresh()
    small.pause()
    job.cancel()
    small.resume()
    job.wait(60)
    again = job.unanswered()
    if len(again):
        again.submit(client=small.client()).wait(60)
    assert answered(small) == 12


def test_a_copied_folder_of_a_divided_job_sends_nothing_twice(
    small: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ask().submit("large", client=small.client())
    while not (job.folder / "input-001.jsonl").exists():
        job.refresh()
    shutil.copytree(job.folder.parents[1], tmp_path / "copy")
    job.wait(60)
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "copy"))
    assert bf.job("large", client=small.client()).wait(60).counts == {"ok": 12}
    assert answered(small) == 12


def test_a_division_that_loses_a_request_is_damage(small: Server) -> None:
    job = ask().submit("large", client=small.client()).wait(60)
    journal = job.folder / "journal.jsonl"
    text = journal.read_text(encoding="utf-8")
    assert '"start":5' in text
    journal.write_text(text.replace('"start":5', '"start":6'), encoding="utf-8")
    with pytest.raises(bf.errors.JobError, match="does not cover the requests"):
        job.refresh()


def test_a_division_by_a_newer_version_is_shown_and_sends_nothing(small: Server) -> None:
    job = ask().submit("large", client=small.client())
    while not (job.folder / "input-001.jsonl").exists():
        job.refresh()
    journal = job.folder / "journal.jsonl"
    newer = '{"event":"JOINED","shard":1}\n{"event":"QUEUED","shard":7}\n'
    journal.write_text(journal.read_text(encoding="utf-8") + newer, encoding="utf-8")
    assert "large" in repr(job)
    with pytest.raises(bf.errors.JobError, match="newer version"):
        job.resume()


def test_embedding_inputs_in_the_queue_are_limited_too(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_local(monkeypatch, max_enqueued_inputs=4, max_requests=3)
    server.pause()
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(9)]})
    requests = frame.bf.requests(
        "{{ text }}", model="text-embedding-3-small", endpoint="/v1/embeddings"
    )
    job = requests.submit("vectors", client=server.client())
    assert len(job.batches) == 1
    server.resume()
    assert job.wait(60).counts == {"ok": 9}
    assert [batch.requests for batch in server.ledger] == [3, 3, 3]


def test_a_stated_limit_of_requests_divides_too(server: Server) -> None:
    rejection = (
        "Enqueued request limit reached for text-embedding-3-small. Limit: 4 enqueued requests."
    )
    refused = {"error": {"message": rejection, "code": "batch_limit_exceeded"}}
    server.faults.add(Fault(CREATE, 429, body=refused))
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(9)]})
    requests = frame.bf.requests(
        "{{ text }}", model="text-embedding-3-small", endpoint="/v1/embeddings"
    )
    job = requests.submit("vectors", client=server.client()).wait(60)
    assert job.counts == {"ok": 9}
    assert [batch.requests for batch in server.ledger] == [4, 4, 1]
