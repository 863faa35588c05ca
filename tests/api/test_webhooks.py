"""Webhook events: accepted only with a valid signature."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import re
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe.errors import ClientError, ServiceError, SubmissionUncertain, WebhookError
from batchframe.local import Fault, Server

KEY = b"twenty-four secret bytes"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


def event(batch_id: Any, kind: str = "batch.completed") -> bytes:
    payload = {"id": "evt_1", "object": "event", "type": kind, "created_at": int(time.time())}
    return json.dumps({**payload, "data": {"id": batch_id}}).encode()


def signed(body: bytes, key: bytes = KEY, at: float = 0.0) -> dict[str, str]:
    """Sign a body as Standard Webhooks specifies."""
    when = str(int(time.time() + at))
    content = b".".join([b"wh_1", when.encode(), body])
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": "wh_1",
        "webhook-timestamp": when,
        "webhook-signature": f"v1,{signature}",
    }


def submitted(server: Server, name: str = "hooked", *texts: str) -> bf.Job:
    frame = pd.DataFrame({"text": list(texts or ("a", "b"))})
    job = frame.bf.requests("{{ text }}", model="gpt-4.1").submit(name, client=server.client())
    while server.client().batches.retrieve(job.batches[0].id).status != "completed":
        time.sleep(0.01)
    return job


@pytest.mark.parametrize("kind", ["completed", "failed", "expired", "cancelled"])
def test_a_signed_event_finds_the_job_and_downloads_its_answers(server: Server, kind: str) -> None:
    submitted(server, "another", "c")
    job = submitted(server)
    body = event(job.batches[0].id, f"batch.{kind}")
    updated = bf.on_webhook(body, signed(body), secret=SECRET, client=server.client())
    assert updated is not None
    assert updated.id == job.id
    assert updated.done
    assert updated.results()["bf_status"].tolist() == ["ok", "ok"]
    # A repeated event is harmless.
    again = bf.on_webhook(body, signed(body), secret=SECRET, client=server.client())
    assert again is not None
    assert again.counts == {"ok": 2}


def test_the_secret_and_the_client_may_come_from_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", SECRET)
    job = submitted(server)
    body = event(job.batches[0].id)
    updated = bf.on_webhook(body.decode(), signed(body))
    assert updated is not None
    assert updated.done


@pytest.mark.parametrize(
    "form",
    [
        lambda headers: {name.title(): value for name, value in headers.items()},
        lambda headers: {name.upper(): value for name, value in headers.items()},
        lambda headers: [(name.encode(), value.encode()) for name, value in headers.items()],
        lambda headers: list({**headers, "accept": "*/*"}.items()),
    ],
)
def test_headers_of_every_framework_are_accepted(server: Server, form: Any) -> None:
    body = event("batch_of_somebody_else")
    assert bf.on_webhook(body, form(signed(body)), secret=SECRET, client=server.client()) is None


@pytest.mark.parametrize("kind", ["response.completed", "fine_tuning.job.succeeded", "batchy", ""])
def test_an_event_about_something_else_returns_none(kind: str) -> None:
    body = event("batch_1", kind)
    assert bf.on_webhook(body, signed(body), secret=SECRET) is None


def test_a_batch_of_another_program_returns_none(server: Server) -> None:
    submitted(server)
    body = event("batch_of_somebody_else")
    assert bf.on_webhook(body, signed(body), secret=SECRET, client=server.client()) is None


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        (lambda _: {}, "not signed"),
        (lambda headers: {**headers, "webhook-signature": "v1,AAAA"}, "does not match"),
        (lambda headers: {**headers, "webhook-signature": "v1,é"}, "not signed"),
        (lambda headers: {**headers, "webhook-signature": ""}, "not signed"),
        (lambda headers: {**headers, "webhook-id": "wh_2"}, "does not match"),
        (lambda headers: {**headers, "webhook-timestamp": "soon"}, "timestamp"),
        (lambda headers: {**headers, "webhook-timestamp": "9" * 5000}, "timestamp"),
        (
            lambda headers: {name: headers[name] for name in headers if name != "webhook-id"},
            "webhook-id",
        ),
    ],
)
def test_a_request_without_a_valid_signature_is_refused(change: Any, fragment: str) -> None:
    body = event("batch_1")
    with pytest.raises(WebhookError, match=fragment):
        bf.on_webhook(body, change(signed(body)), secret=SECRET)


@pytest.mark.parametrize("at", [-301.0, 310.0])
def test_an_old_event_is_refused_although_it_is_signed(at: float) -> None:
    body = event("batch_1")
    with pytest.raises(WebhookError, match=r"too (old|new)"):
        bf.on_webhook(body, signed(body, at=at), secret=SECRET)


def test_a_body_that_was_changed_is_refused() -> None:
    body = event("batch_1")
    with pytest.raises(WebhookError, match="does not match"):
        bf.on_webhook(body.replace(b"batch_1", b"batch_2"), signed(body), secret=SECRET)


@pytest.mark.parametrize(
    ("secret", "key"),
    [("", b""), ("whsec_", b""), ("whsec_!!!", b""), ("whsec_AAAA", b"\0\0\0"), ("short", b"short"),
     (f"{SECRET}\n", KEY), (7, KEY)],
)  # fmt: skip
def test_a_secret_that_anyone_could_guess_is_refused(secret: Any, key: bytes) -> None:
    body = event("batch_1")
    with pytest.raises(WebhookError, match="secret: invalid"):
        bf.on_webhook(body, signed(body, key), secret=secret)


def test_without_a_secret_no_event_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_WEBHOOK_SECRET", raising=False)
    body = event("batch_1")
    with pytest.raises(WebhookError, match="secret: missing"):
        bf.on_webhook(body, signed(body))


@pytest.mark.parametrize("body", [{"type": "batch.completed"}, None, 7])
def test_a_parsed_body_is_refused(body: Any) -> None:
    with pytest.raises(WebhookError, match=re.escape("await request.body()")):
        bf.on_webhook(body, {}, secret=SECRET)


@pytest.mark.parametrize("headers", [None, 7, ["webhook-id"], "webhook-id: 1"])
def test_invalid_headers_are_refused(headers: Any) -> None:
    with pytest.raises(WebhookError):
        bf.on_webhook(b"{}", headers, secret=SECRET)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"7", b"{", b"\xff", b"{}", b'{"type": "batch.completed"}',
     b'{"type": "batch.completed", "data": null}', b"[" * 100_000,
     event(None), event(7), event(""), event("a\nb"), event(["batch_1"])],
)  # fmt: skip
def test_any_signed_body_is_refused_or_returns_none(body: bytes) -> None:
    with contextlib.suppress(WebhookError):
        assert bf.on_webhook(body, signed(body), secret=SECRET) is None


def test_the_right_one_of_several_clients_is_used(server: Server) -> None:
    with batchframe.local.serve() as other:
        theirs, mine = submitted(other, "theirs"), submitted(server, "mine")
        clients = [other.client(), server.client()]
        for job in (theirs, mine):
            body = event(job.batches[0].id)
            updated = bf.on_webhook(body, signed(body), secret=SECRET, client=clients)
            assert updated is not None
            assert (updated.id, updated.done) == (job.id, True)
        body = event(mine.batches[0].id)
        with pytest.raises(ClientError, match="none of the clients belongs to the account"):
            bf.on_webhook(body, signed(body), secret=SECRET, client=other.client())


def test_a_service_error_is_raised_so_that_the_event_is_posted_again(server: Server) -> None:
    job = submitted(server)
    body = event(job.batches[0].id)
    server.faults.add(Fault("GET /v1/batches/{id}", 503, times=20))
    client = server.client().with_options(max_retries=0)
    with pytest.raises(ServiceError):
        bf.on_webhook(body, signed(body), secret=SECRET, client=client)
    server.faults.clear()
    updated = bf.on_webhook(body, signed(body), secret=SECRET, client=client)
    assert updated is not None
    assert updated.done


def test_a_batch_that_ended_before_it_was_recorded_is_adopted(server: Server) -> None:
    server.faults.add(Fault("POST /v1/batches", "reset", after=True))
    server.faults.add(Fault("GET /v1/batches", "lag", seconds=60))
    requests = pd.DataFrame({"text": ["a"]}).bf.requests("{{ text }}", model="gpt-4.1")
    client = server.client().with_options(max_retries=0)
    with pytest.raises(SubmissionUncertain):
        requests.submit("early", client=client)
    server.faults.clear()
    while not server.ledger:
        time.sleep(0.01)
    body = event(server.ledger[0].batch_id)
    updated = bf.on_webhook(body, signed(body), secret=SECRET, client=client)
    assert updated is not None
    assert updated.wait().counts == {"ok": 1}
    foreign = event("batch_of_somebody_else")
    assert bf.on_webhook(foreign, signed(foreign), secret=SECRET, client=client) is None
    assert len(server.ledger) == 1


def test_the_example_in_the_document_runs(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", SECRET)
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own page
    job = submitted(server)
    body = event(job.batches[0].id)
    with caplog.at_level("INFO"):
        assert asyncio.run(posted(names["app"], body, signed(body))) == 200
    assert job.done
    assert "hooked" in caplog.text
    assert asyncio.run(posted(names["app"], body, signed(body, b"another secret of theirs"))) == 400


async def posted(app: Any, body: bytes, headers: dict[str, str]) -> int:
    """Post to an ASGI application and return the HTTP status."""
    scope = {
        "type": "http", "method": "POST", "path": "/openai", "raw_path": b"/openai",
        "query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    responses: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        responses.append(message)

    await app(scope, receive, send)
    return int(responses[0]["status"])
