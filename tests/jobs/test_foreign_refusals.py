"""Rejections in another format than OpenAI's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
from batchframe import local
from batchframe.errors import SubmissionError, SubmissionUncertain
from batchframe.local import Fault
from tests.support.profiles import change_local

CREATE, LIST = "POST /v1/batches", "GET /v1/batches"
FORMATS: dict[str, tuple[int, Any, str]] = {
    "FastAPI": (
        422,
        {"detail": [{"loc": ["body", "metadata"], "msg": "Field required", "type": "missing"}]},
        "body.metadata: Field required",
    ),
    "FastAPI, a string": (404, {"detail": "Not Found"}, "Not Found"),
    "vLLM": (400, {"object": "error", "message": "Unknown model.", "code": 400}, "Unknown model."),
    "a string": (403, {"error": "Not on this plan."}, "Not on this plan."),
    "a list": (422, [{"msg": "too long"}, {"msg": "too old"}], "too long; too old"),
    "problem": (402, {"title": "Payment", "detail": "No credit.", "status": 402}, "No credit."),
}


@pytest.fixture(autouse=True)
def _settles_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, settle=0.3)


@pytest.fixture
def server() -> Iterator[local.Server]:
    with local.serve() as server:
        yield server


def refuse(server: local.Server, requests: bf.Requests, **how: Any) -> str:
    """Submit to a server that rejects, and return the message."""
    server.faults.add(Fault(CREATE, **{"kind": 422, "form": "detail", **how}))
    with pytest.raises(SubmissionError) as caught:
        requests.submit("refused", client=server.client())
    return str(caught.value)


def job_of(server: local.Server) -> bf.Job:
    return bf.job("refused", client=server.client())


@pytest.mark.parametrize("name", FORMATS)
def test_a_rejection_states_its_reason_and_its_fix_ends_the_job(
    name: str, server: local.Server, requests: bf.Requests
) -> None:
    status, body, reason = FORMATS[name]
    message = refuse(server, requests, kind=status, form="openai", body=json.dumps(body))
    assert f"rejected the batch (HTTP {status}): {reason}" in message
    assert "bf.job('refused').resume(recreate=True)" in message
    assert "bf.job('refused').cancel()" in message
    assert job_of(server).status == "submitting"
    job = job_of(server).cancel()
    assert job.done
    assert job.counts == {"cancelled": 3}
    assert server.ledger == []


def test_resume_with_recreate_sends_it_again(server: local.Server, requests: bf.Requests) -> None:
    refuse(server, requests)
    job = job_of(server).resume(recreate=True).wait()
    assert job.counts == {"ok": 3}
    assert len(server.ledger) == 1


def test_soon_after_it_is_sent_again_only_on_request(proxy: Any, requests: bf.Requests) -> None:
    proxy.fail("POST", "/batches", "422 of FastAPI")
    with pytest.raises(SubmissionError, match="field required"):
        requests.submit("refused", client=proxy.client())
    with pytest.raises(SubmissionUncertain, match="field required"):
        requests.submit("refused", client=proxy.client())
    assert proxy.creates() == 1


def test_long_after_the_rejection_it_is_sent_again(
    server: local.Server, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_local(monkeypatch, settle=0.01)
    other = pd.DataFrame({"text": ["other"]}).bf.requests("{{ text }}", model="gpt-4.1")
    other.submit("listed", client=server.client()).wait()
    refuse(server, requests)
    time.sleep(0.2)
    assert requests.submit("refused", client=server.client()).wait().counts == {"ok": 3}
    assert len(server.ledger) == 2


def test_a_list_that_shows_no_batch_at_all_proves_nothing(
    server: local.Server, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_local(monkeypatch, settle=0.01)
    empty = {"object": "list", "data": []}
    server.faults.add(Fault(LIST, 200, body=empty, times=float("inf")))
    refuse(server, requests, after=True)
    time.sleep(0.2)
    for _ in range(2):
        with pytest.raises(SubmissionUncertain, match="Unprocessable"):
            requests.submit("refused", client=server.client())
    assert len(server.ledger) == 1


def test_an_unreadable_list_proves_nothing_later_either(
    server: local.Server, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_local(monkeypatch, settle=0.01)
    refuse(server, requests)
    time.sleep(0.2)
    server.faults.add(Fault(LIST, 503, times=float("inf")))
    with pytest.raises(SubmissionUncertain, match="incomplete list"):
        requests.submit("refused", client=server.client().with_options(max_retries=0))
    server.faults.clear()
    assert list(server.client().batches.list()) == []


@pytest.mark.parametrize("verb", ["cell", "cancel"])
def test_a_batch_that_was_created_after_all_and_shows_late_is_adopted(
    verb: str, server: local.Server, requests: bf.Requests
) -> None:
    server.faults.add(Fault(LIST, "lag", looks=1))
    refuse(server, requests, after=True)
    if verb == "cell":
        job = requests.submit("refused", client=server.client()).wait()
        assert job.counts == {"ok": 3}
    else:
        job = job_of(server).cancel()
    assert [batch.id for batch in job.batches] == [b.id for b in server.client().batches.list()]
    assert len(server.ledger) <= 1


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500])
def test_a_request_that_may_still_be_processed_is_not_a_rejection(
    status: int, server: local.Server, requests: bf.Requests
) -> None:
    server.faults.add(Fault(CREATE, status, form="detail"))
    with pytest.raises(SubmissionUncertain):
        requests.submit("lost", client=server.client())
    assert bf.job("lost").status == "uncertain"
