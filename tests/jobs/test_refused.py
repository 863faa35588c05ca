"""Account problems: each rejection names the fix, and the job resumes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe._services.advice import REFUSALS, advice_on, refusal_of
from batchframe.local import AnswerError


@dataclass(frozen=True)
class Case:
    """A service's error and a part of the advice."""

    status: int
    code: str | None
    message: str
    todo: str


# Worded as in OpenAI's guide to error codes, its Batch guide, Azure's, and public issues.
CASES = {
    "billing hard limit": Case(
        400, "billing_hard_limit_reached", "Billing hard limit has been reached.", "add credit"
    ),
    "quota": Case(
        429, "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
        "add credit",
    ),
    "project's budget": Case(
        429, "project_spend_limit_exceeded", "The project reached its limit.", "raise the limit"
    ),
    "credit is used up": Case(429, "credit_balance_exhausted", "No credit is left.", "add credit"),
    "queue full": Case(
        429, "token_limit_exceeded",
        "Enqueued token limit reached for gpt-4.1 in organization org-1. Limit: 90,000 enqueued "
        "tokens. Please try again once some in_progress batches have been completed.",
        "wait until other batches have ended",
    ),
    "queue full at Azure": Case(
        400, None,
        "The number of enqueued tokens has surpassed the configured limit of 30K for the "
        "deployment 'x'.",
        "wait until other batches have ended",
    ),
    "too fast": Case(
        429, "rate_limit_exceeded", "Rate limit reached for batches.", "wait a few minutes"
    ),
    "another project's key": Case(
        401, "mismatched_project", "OpenAI-Project header should match project for API key.",
        "pass the client that submitted it",
    ),
    "another organization's file": Case(
        403, None,
        "Cannot find file abc, or organization org-1 does not have access to it.",
        "pass the client that submitted it",
    ),
    "no organization": Case(
        401, None, "You must be a member of an organization to use the API.", "another project"
    ),
    "no such model here": Case(
        403, "model_not_found", "Project `proj_1` does not have access to model `gpt-4.1`.",
        "check the model",
    ),
    "model not for batches": Case(
        400, None, "The provided model 'x' is not supported by the Batch API.", "check the model"
    ),
    "endpoint not allowed": Case(
        403, "endpoint_not_supported", "This project may not use it.", "use another endpoint"
    ),
    "endpoint unknown": Case(
        400, "invalid_value",
        "Invalid value for 'endpoint': '/v1/x'. Supported values are: '/v1/embeddings'.",
        "use another endpoint",
    ),
    "zero data retention": Case(
        403, None, "This endpoint is not available to organizations with Zero Data Retention.",
        "use a project without it",
    ),
    "unsupported country": Case(
        403, "unsupported_country_region_territory",
        "Country, region, or territory not supported", "proxy or VPN",
    ),
    "address not allowed": Case(
        401, "ip_not_authorized", "Your IP is not authorized.", "allowlist"
    ),
    "restricted key": Case(
        401, None,
        "You have insufficient permissions for this operation. Missing scopes: api.files.write.",
        "write Files and Batches",
    ),
    "not verified": Case(
        403, None, "Your organization must be verified to use the model `x`.", "owner verifies it"
    ),
    "invalid key": Case(401, "invalid_api_key", "Incorrect API key provided: x.", "create a new"),
    "expired key": Case(401, None, "This API key has expired.", "create a new one"),
    "any other 401": Case(401, None, "No.", "create a new one"),
    "any other 403": Case(403, None, "No.", "another key"),
}  # fmt: skip


def error_body(case: Case) -> str:
    return json.dumps(
        {"error": {"message": case.message, "code": case.code, "type": "insufficient_quota"}}
    )


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchframe._jobs.submission._REJECTED_ATTEMPTS", 1)


# A full queue does not count as a refusal: the input file waits (test_waves.py).
FULL = {"queue full", "queue full at Azure"}


@pytest.mark.parametrize("name", [name for name in CASES if name not in FULL])
def test_a_rejected_create_names_the_fix_and_resumes_after_it(
    name: str, proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    case = CASES[name]
    proxy.fail("POST", "/batches", "400 refused", status=case.status, body=error_body(case))
    with pytest.raises(bf.errors.SubmissionError) as excinfo:
        requests.submit("refused", client=proxy.client())
    message = str(excinfo.value)
    fragments = [
        case.todo, case.message, f"HTTP {case.status}", "nothing is billed",
        "bf.job('refused').resume()",
    ]  # fmt: skip
    assert [fragment for fragment in fragments if fragment not in message] == []
    assert server.ledger == []
    assert bf.job("refused").status == "submitting"
    job = bf.job("refused", client=proxy.client()).resume().wait()
    assert job.counts == {"ok": 3}
    assert requests.submit("refused", client=proxy.client()).id == job.id
    assert len(server.ledger) == 1


@pytest.mark.parametrize("name", sorted(FULL))
def test_a_full_queue_is_on_the_card_with_the_next_step(
    name: str, proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    case = CASES[name]
    proxy.fail("POST", "/batches", "400 refused", status=case.status, body=error_body(case))
    job = requests.submit("full", client=proxy.client())
    assert job.status == "queued"
    assert case.message[:40] in repr(job)
    assert job.wait().counts == {"ok": 3}
    assert len(server.ledger) == 1


@pytest.mark.parametrize("name", ["invalid key", "restricted key", "unsupported country", "quota"])
def test_a_rejected_upload_names_the_fix_and_resumes_after_it(
    name: str, proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    case = CASES[name]
    proxy.fail("POST", "/files", "400 refused", status=case.status, body=error_body(case), times=9)
    with pytest.raises(bf.errors.ServiceError) as excinfo:
        requests.submit("refused", client=proxy.client().with_options(max_retries=0))
    fragments = [case.todo, case.message, "run the cell again"]
    assert [fragment for fragment in fragments if fragment not in str(excinfo.value)] == []
    proxy.faults.clear()
    assert requests.submit("refused", client=proxy.client()).wait().counts == {"ok": 3}
    assert len(server.ledger) == 1


@pytest.mark.parametrize("name", ["no such model here", "another organization's file"])
def test_a_batch_that_fails_later_names_the_fix(
    name: str, proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    case = CASES[name]
    server.pause()
    job = requests.submit("failed", client=proxy.client())
    batch = server.client().batches.list().data[0].to_dict()
    errors = {"data": [{"code": case.code, "message": case.message, "line": None}]}
    body = json.dumps({**batch, "status": "failed", "errors": errors})
    proxy.fail("GET", batch["id"], "500", status=200, body=body, times=9)
    job.wait()
    assert job.counts == {"failed": 3}
    assert case.message[:60] in job.results()["bf_error"][0]
    for rendered in (repr(job), job._repr_html_()):
        assert case.todo in rendered
        assert ").unanswered()" in rendered
    again = job.unanswered()
    assert len(again) == 3


def test_rows_that_failed_without_credit_name_the_reason_and_can_be_sent_again() -> None:
    case = CASES["quota"]
    dry = AnswerError(case.status, case.message, code=case.code)
    replies: list[Any] = ["+", dry, dry]
    frame = pd.DataFrame({"text": ["a", "b", "c"]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1")
    with batchframe.local.serve(answer=lambda _: replies.pop(0)) as server:
        job = requests.submit("dry", client=server.client()).wait()
        assert job.counts == {"ok": 1, "failed": 2}
        failed = job.results().query("bf_status == 'failed'")["bf_error"]
        assert failed.str.contains("insufficient_quota").all()
        card = repr(job)
        assert "2 requests failed: HTTP 429, insufficient_quota" in card
        assert case.todo in card
        assert "again = bf.job('dry').unanswered().submit" in card
        replies += ["+", "-"]
        again = job.unanswered().submit(client=server.client()).wait()
        assert frame.bf.join(job, again)["bf_status"].tolist() == ["ok"] * 3
        assert [batch.requests for batch in server.ledger] == [1, 2]


def test_a_rate_limit_is_retried_and_missing_credit_is_not(
    proxy: Any, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchframe._jobs.submission._REJECTED_ATTEMPTS", 4)
    for name in ("quota", "project's budget", "credit is used up"):
        creates = proxy.creates()
        proxy.fail("POST", "/batches", "400 refused", status=429, body=error_body(CASES[name]))
        with pytest.raises(bf.errors.SubmissionError):
            requests.submit(client=proxy.client())
        assert proxy.creates() == creates + 1
    creates = proxy.creates()
    proxy.fail("POST", "/batches", "400 refused", status=429, body=error_body(CASES["too fast"]))
    assert requests.submit(client=proxy.client()).wait().counts == {"ok": 3}
    assert proxy.creates() == creates + 2


def test_every_cause_has_a_source_and_advice() -> None:
    codes = [code for refusal in REFUSALS for code in refusal.codes]
    assert len(codes) == len(set(codes))
    for refusal in REFUSALS:
        assert refusal.source
        assert refusal.advice.endswith(".")
        assert all(phrase == phrase.lower() for phrase in refusal.phrases)
        assert refusal.codes or refusal.phrases


@pytest.mark.parametrize(
    "message",
    ["HTTP 400, context_length_exceeded: too long", "the batch expired", "", "HTTP 500: x"],
)
def test_an_unknown_cause_has_no_advice(message: str) -> None:
    assert advice_on(message) == ""
    assert refusal_of(None, message) is None
