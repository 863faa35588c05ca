"""Accounts without credit: during a job, or in one of two projects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
from batchframe.local import AnswerError, Fault, Server, serve
from tests.support.profiles import change_local

CREATE, RETRIEVE = "POST /v1/batches", "GET /v1/batches/{id}"
MESSAGES = {
    "insufficient_quota": "You exceeded your current quota, please check your plan and billing.",
    "billing_hard_limit_reached": "Billing hard limit has been reached.",
    "project_spend_limit_exceeded": "The project reached its limit.",
}
CODES = ("insufficient_quota", "billing_hard_limit_reached")
ROWS = 6


def refusal(code: str) -> dict[str, Any]:
    return {"error": {"message": MESSAGES[code], "type": code, "code": code}}


def failed(code: str) -> Any:
    """Let a batch fail before it runs, as for an account without credit."""

    def change(body: bytes) -> bytes:
        errors = {"object": "list", "data": [refusal(code)["error"]]}
        changes = {"status": "failed", "errors": errors, "output_file_id": None}
        return json.dumps({**json.loads(body), **changes}).encode()

    return change


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({"text": [f"review {number}" for number in range(ROWS)]})


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, max_requests=2, first_poll=0.01, last_poll=0.05, settle=0.1)


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as server:
        yield server


def ask(frame: pd.DataFrame) -> bf.Requests:
    return frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])


def requests_billed(server: Server) -> int:
    return sum(batch.requests for batch in server.ledger)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("status", [400, 429])
def test_a_job_goes_on_after_a_top_up(
    code: str, status: int, frame: pd.DataFrame, server: Server
) -> None:
    server.faults.add(Fault(CREATE, status, body=refusal(code), skip=1, times=99))
    with pytest.raises(bf.errors.SubmissionError, match=r"2 of 3.*\n.*add credit"):
        ask(frame).submit("dry", client=server.client())
    job = bf.job("dry", client=server.client())
    assert [batch.input_file_id is None for batch in job.batches] == [False]
    # Still dry: the same words again, and nothing more is sent.
    with pytest.raises(bf.errors.SubmissionError, match="add credit"):
        job.resume()
    server.faults.clear()
    assert ask(frame).submit("dry", client=server.client()).wait(60).counts == {"ok": ROWS}
    assert frame.bf.join(job)["label"].notna().all()
    assert requests_billed(server) == ROWS


@pytest.mark.parametrize("code", CODES)
def test_rows_that_failed_without_credit_are_sent_again(code: str, frame: pd.DataFrame) -> None:
    credit = [3]

    def answer(_: dict[str, Any]) -> dict[str, str]:
        if not credit[0]:
            raise AnswerError(429, MESSAGES[code], code=code)
        credit[0] -= 1
        return {"label": "+"}

    with serve(answer) as server:
        job = ask(frame).submit("dry", client=server.client()).wait(60)
        assert job.counts == {"ok": 3, "failed": 3}
        assert "add credit" in repr(job)
        credit[0] = 100
        again = job.unanswered().submit(client=server.client()).wait(60)
        assert again.counts == {"ok": 3}
        assert frame.bf.join(job, again)["bf_status"].tolist() == ["ok"] * ROWS
        assert requests_billed(server) == ROWS


@pytest.mark.parametrize("code", CODES)
def test_a_batch_that_failed_without_credit_is_sent_again(
    code: str, frame: pd.DataFrame, server: Server
) -> None:
    server.pause()
    job = ask(frame.head(2)).submit("dry", client=server.client())
    server.client().batches.cancel(job.batches[0].id)
    server.faults.add(Fault(RETRIEVE, rewrite=failed(code)))
    job.refresh()
    server.resume()
    assert (job.status, job.counts) == ("failed", {"failed": 2})
    assert "add credit" in repr(job)
    again = job.unanswered().submit(client=server.client()).wait(60)
    assert again.counts == {"ok": 2}
    assert requests_billed(server) == 2


def test_the_hard_limit_of_one_project_is_not_that_of_another(
    frame: pd.DataFrame, server: Server
) -> None:
    first = server.client().with_options(project="proj_1")
    second = server.client().with_options(project="proj_2")
    no = refusal("project_spend_limit_exceeded")
    server.faults.add(Fault(CREATE, 429, body=no, skip=1, times=99))
    with pytest.raises(bf.errors.SubmissionError, match="organization or project"):
        ask(frame).submit("limited", client=first)
    server.faults.clear()
    # The other project's key does not see the batch that the first one created.
    server.faults.add(Fault(RETRIEVE, 404))
    with pytest.raises(bf.errors.SentElsewhere, match="does not see its batch"):
        ask(frame).submit("limited", client=second)
    job = bf.job("limited", client=first).cancel().wait(60)
    assert job.counts == {"ok": 2, "cancelled": 4}
    again = job.unanswered().submit(client=second).wait(60)
    assert again.counts == {"ok": 4}
    assert frame.bf.join(job, again)["bf_status"].tolist() == ["ok"] * ROWS
    assert requests_billed(server) == ROWS


def test_a_job_that_was_refused_whole_is_sent_by_another_project(
    frame: pd.DataFrame, server: Server
) -> None:
    first = server.client().with_options(project="proj_1")
    second = server.client().with_options(project="proj_2")
    server.faults.add(Fault(CREATE, 429, body=refusal("billing_hard_limit_reached"), times=99))
    with pytest.raises(bf.errors.SubmissionError, match="add credit"):
        ask(frame).submit("limited", client=first)
    server.faults.clear()
    with pytest.warns(bf.errors.NamesakeWarning):
        job = ask(frame).submit("limited", client=second)
    assert job.wait(60).counts == {"ok": ROWS}
    assert requests_billed(server) == ROWS
