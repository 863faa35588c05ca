"""No second batch: rejections, copied folders, one consent per create."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import batchframe as bf
import batchframe.local
from batchframe.local import Fault, serve
from tests.support.profiles import change_local

CREATE = "POST /v1/batches"
BUSY = {"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}
NO = {"error": {"message": "No.", "code": "no"}}
FULL = {"error": {"message": "Enqueued token limit reached.", "code": "token_limit_exceeded"}}


@pytest.fixture(autouse=True)
def _settles_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, settle=0.3)


def test_one_consent_allows_one_new_create(proxy: Any, requests: bf.Requests) -> None:
    empty = '{"object": "list", "data": [], "has_more": false}'
    proxy.fail("POST", "/batches", "500", after=True, times=9)
    proxy.fail("GET", "/batches", "500", status=200, body=empty, times=10**6)
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("loops", client=proxy.client())
    for creates in (2, 3):
        with pytest.raises(bf.errors.SubmissionUncertain, match="recreate"):
            bf.job("loops", client=proxy.client()).resume(recreate=True)
        assert proxy.creates() == creates


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_consent_counts_without_a_list_of_batches(status: int, requests: bf.Requests) -> None:
    lists = Fault("GET /v1/batches", status, times=float("inf"))
    with serve(faults=[lists, Fault(CREATE, "reset")]) as server:
        client = server.client().with_options(max_retries=0)
        with pytest.raises(bf.errors.SubmissionUncertain, match="recreate=True"):
            requests.submit("no list", client=client)
        with pytest.raises(bf.errors.SubmissionUncertain):
            bf.job("no list", client=client).resume()
        job = bf.job("no list", client=client).resume(recreate=True)
        assert job.wait().counts == {"ok": 3}
        assert len(server.ledger) == 1


@pytest.mark.usefixtures("one_request_a_file")
def test_one_consent_does_not_count_for_another_input_file(
    proxy: Any, requests: bf.Requests
) -> None:
    proxy.fail("POST", "/batches", "500")
    proxy.fail("POST", "/batches", "500", skip=1)
    with pytest.raises(bf.errors.SubmissionUncertain, match="1 of 3"):
        requests.submit("three", client=proxy.client())
    with pytest.raises(bf.errors.SubmissionUncertain, match="2 of 3"):
        bf.job("three", client=proxy.client()).resume(recreate=True)
    assert proxy.creates() == 3


@pytest.mark.parametrize("outcome", ["refused", "unsent", "queued"])
def test_a_copied_folder_does_not_create_again(
    outcome: str, requests: bf.Requests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = FULL if outcome == "queued" else NO
    with serve(faults=[Fault(CREATE, 400, body=refusal)]) as server:
        if outcome == "queued":
            requests.submit("copied", client=server.client())
        else:
            with pytest.raises(bf.errors.SubmissionError):
                requests.submit("copied", client=server.client())
        folder = bf.job("copied").folder
        if outcome == "unsent":
            journal = folder / "journal.jsonl"
            journal.write_text(journal.read_text().replace("REJECTED", "UNSENT"))
        shutil.copytree(folder.parents[1], tmp_path / "copy")
        job = bf.job("copied", client=server.client())
        assert job.resume().wait().counts == {"ok": 3}
        monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "copy"))
        again = bf.job("copied", client=server.client()).resume().wait()
        assert again.batches[0].id == job.batches[0].id
        assert len(server.ledger) == 1


@pytest.mark.parametrize(("status", "body"), [(429, BUSY), (400, NO), (400, FULL)])
def test_an_error_for_a_batch_that_was_created_is_not_retried(
    status: int, body: Any, requests: bf.Requests
) -> None:
    fault = Fault(CREATE, status, body=body, headers={"Retry-After": "0"}, after=True)
    with serve(faults=[fault]) as server:
        assert requests.submit(client=server.client()).wait().counts == {"ok": 3}
        assert len(server.ledger) == 1


def test_the_key_of_a_create_changes_only_after_a_rejection(
    proxy: Any, requests: bf.Requests
) -> None:
    proxy.fail("POST", "/batches", "400 refused")
    proxy.fail("POST", "/batches", "500")
    with pytest.raises(bf.errors.SubmissionError):
        requests.submit("key", client=proxy.client())
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("key", client=proxy.client())
    bf.job("key", client=proxy.client()).resume(recreate=True)
    refused, unknown, recreated = proxy.keys
    assert refused != unknown == recreated
