"""X8: the key is sent encrypted and only to the client's server."""

from __future__ import annotations

import contextlib
import gzip
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import pytest

import batchframe as bf
import batchframe.local
from tests.support.proxy import Handler

KEY = "sk-CANARY-0123456789abcdef"
FAR = [
    "http://api.openai.com/v1", "http://192.0.2.1/v1", "http://gateway.internal:4000/v1",
    "http://127.0.0.1.example.com/v1", "http://localhost.example.com/v1", "http://[2001:db8::1]/v1",
    "http://0x7f.example/v1",
]  # fmt: skip
NEAR = ["http://127.0.0.1:8000/v1", "http://localhost:8000/v1", "http://[::1]:8000/v1"]


def client_of(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key=KEY)


@pytest.mark.parametrize("url", FAR)
def test_x8_plain_http_to_another_machine_is_refused(url: str, requests: bf.Requests) -> None:
    with pytest.raises(bf.errors.ClientError, match="https://") as excinfo:
        requests.submit(client=client_of(url), max_cost=0)
    assert url.replace("http:", "https:") in str(excinfo.value)
    assert "BATCHFRAME_ALLOW_INSECURE=1" in str(excinfo.value)


@pytest.mark.parametrize("url", [*NEAR, "https://api.openai.com/v1", "https://192.0.2.1/v1"])
def test_x8_this_machine_and_https_are_accepted(url: str, requests: bf.Requests) -> None:
    with pytest.raises(bf.errors.CostError):
        requests.submit(client=client_of(url), max_cost=0)


@pytest.mark.parametrize(
    ("consent", "taken"), [("1", True), ("yes", True), ("0", False), ("", False)]
)
def test_x8_plain_http_is_accepted_if_allowed(
    consent: str, taken: bool, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHFRAME_ALLOW_INSECURE", consent)
    with pytest.raises(bf.errors.CostError if taken else bf.errors.ClientError):
        requests.submit(client=client_of(FAR[0]), max_cost=0)


def test_x8_plain_http_from_the_environment_is_refused(
    requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", FAR[1])
    with pytest.raises(bf.errors.ClientError, match="https://"):
        requests.submit()


@dataclass
class OtherHost:
    """A server on another host, and the requests it received."""

    port: int = 0
    heard: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def other_host() -> Iterator[OtherHost]:
    other_host = OtherHost()

    class Answer(BaseHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

        def do_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            other_host.heard.append({name.lower(): value for name, value in self.headers.items()})
            body = b'{"object": "list", "data": [], "has_more": false}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = do_any  # noqa: N815 - names required by http.server

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    other_host.port = listening.server_port
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield other_host
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def sends_away(other_host: OtherHost, proxy: Any, monkeypatch: pytest.MonkeyPatch) -> OtherHost:
    """Let the proxy send every chosen request to another host."""

    def answer(self: Any, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if status in {301, 302, 307, 308}:
            self.send_header("Location", f"http://localhost:{other_host.port}{self.path}")
        self.end_headers()
        self.wfile.write(content)

    monkeypatch.setattr(Handler, "answer", answer)
    assert proxy
    return other_host


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("route", ["GET /batches", "POST /files", "GET /content"])
def test_x8_a_redirect_does_not_take_the_key_to_another_host(
    route: str, status: int, proxy: Any, requests: bf.Requests, sends_away: OtherHost
) -> None:
    method, path = route.split()
    proxy.fail(method, path, "redirect", status=status, times=9)
    try:
        requests.submit(client=proxy.client(key=KEY)).wait(timeout=3)
    except bf.errors.BatchframeError as reason:
        assert KEY not in str(reason)  # noqa: PT017
    assert sends_away.heard
    for headers in sends_away.heard:
        assert KEY not in str(headers)
        assert "authorization" not in headers


@pytest.mark.parametrize("status", [307, 308])
def test_x8_a_create_follows_no_redirect(
    status: int, proxy: Any, requests: bf.Requests, sends_away: OtherHost,
    server: batchframe.local.Server,
) -> None:  # fmt: skip
    proxy.fail("POST", "/batches", "redirect", status=status)
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit(client=proxy.client(key=KEY))
    assert sends_away.heard == []
    assert server.ledger == []


def refresh_until_it_ends(job: bf.Job) -> None:
    while not job.refresh().done:
        time.sleep(0.05)


@pytest.mark.parametrize("how", ["a bomb", "without an end"])
def test_x9_a_download_larger_than_stated_is_refused_and_retried_later(
    how: str, proxy: Any, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:

    pass_on = Handler.answer
    swollen = gzip.compress(bytes(50_000_000)) if how == "a bomb" else bytes(20_000_000)
    job = requests.submit("kept", client=proxy.client(timeout=20))

    def answer(self: Any, status: int, kind: str, content: bytes) -> None:
        if not self.path.endswith("/content"):
            pass_on(self, status, kind, content)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        if how == "a bomb":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(swollen)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may disconnect, as it should
            self.wfile.write(swollen)

    with monkeypatch.context() as patch:
        patch.setattr(Handler, "answer", answer)
        with pytest.raises(bf.errors.ServiceError):
            refresh_until_it_ends(job)
    assert not (job.folder / "output-000.jsonl").exists()
    assert job.counts == {"pending": 3}
    assert job.refresh().counts == {"ok": 3}
