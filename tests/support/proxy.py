"""A proxy to the local server that loses, breaks and delays responses."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import openai
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from tests.support.profiles import change_local

OPENAI_ERROR = '{"error": {"message": "No.", "type": "invalid_request_error", "code": "no"}}'

# The client's view of the fault. None closes the connection.
ANSWERS: dict[str, tuple[int, str, str] | None] = {
    "reset": None,
    "end of file": None,
    "cut": None,
    "hang": None,
    "500": (500, "application/json", OPENAI_ERROR),
    "503 plain": (503, "text/plain", "upstream connect error"),
    "408": (408, "application/json", OPENAI_ERROR),
    "409": (409, "application/json", OPENAI_ERROR),
    "404 of a proxy": (404, "text/html", "<html>not found</html>"),
    "422 of FastAPI": (422, "application/json", '{"detail": [{"msg": "field required"}]}'),
    "400 refused": (400, "application/json", OPENAI_ERROR),
    "401 refused": (401, "application/json", OPENAI_ERROR),
    "404 refused": (404, "application/json", OPENAI_ERROR),
    "broken JSON": (200, "application/json", '{"id": "batch_'),
    "empty object": (200, "application/json", "{}"),
    "list": (200, "application/json", "[]"),
    "login page": (200, "text/html", "<html>sign in</html>"),
    "redirect": (307, "text/plain", ""),
}


@dataclass
class Fault:
    """A fault, before or after the server has seen the request."""

    method: str
    path: str
    kind: str
    after: bool
    body: str | None = None
    status: int | None = None
    times: int = 1
    skip: int = 0


@dataclass
class Proxy:
    """A proxy with planned faults and recorded calls."""

    upstream: str
    faults: list[Fault] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    hanging: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def client(self, timeout: float = 1.0, key: str = "local") -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key=key, timeout=timeout)

    def fail(self, method: str, path: str, kind: str, **options: object) -> None:
        self.faults.append(Fault(method, path, kind, **{"after": False, **options}))  # type: ignore[arg-type]

    def creates(self) -> int:
        return self.calls.count(("POST", "/v1/batches"))

    def next_fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.method == method and path.endswith(fault.path) and fault.times > 0:
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None


class Handler(BaseHTTPRequestHandler):
    """Forwards a request, unless a fault is due."""

    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass

    def handle_any(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.proxy.calls.append((self.command, path))
        if (self.command, path) == ("POST", "/v1/batches"):
            self.proxy.keys.append(self.headers.get("Idempotency-Key"))
        fault = self.proxy.next_fault(self.command, path)
        if fault is None:
            self.answer(*self.forward(body))
            return
        if fault.after:
            self.forward(body)
        self.go_wrong(fault)

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - names required by http.server

    def forward(self, body: bytes) -> tuple[int, str, bytes]:
        to = urlsplit(self.proxy.upstream)
        connection = http.client.HTTPConnection(to.hostname or "", to.port, timeout=30)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, response.headers.get("Content-Type", ""), content

    def answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if status == HTTPStatus.TEMPORARY_REDIRECT:
            self.send_header("Location", self.path)
        self.end_headers()
        self.wfile.write(content)

    def go_wrong(self, fault: Fault) -> None:
        answer = ANSWERS[fault.kind]
        if answer is not None:
            status, kind, body = answer
            body = body if fault.body is None else fault.body
            self.answer(fault.status or status, kind, body.encode())
            return
        if fault.kind == "hang":
            self.proxy.hanging.set()
            threading.Event().wait(3)
        if fault.kind == "cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
        if fault.kind == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def finish(self) -> None:
        if self.connection.fileno() != -1:
            super().finish()


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect."""


@pytest.fixture
def proxy(server: batchframe.local.Server) -> Iterator[Proxy]:
    new_proxy = Proxy(upstream=server.url)
    listening = QuietServer(("127.0.0.1", 0), type("Made", (Handler,), {"proxy": new_proxy}))
    new_proxy.url = f"http://127.0.0.1:{listening.server_port}/v1"
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield new_proxy
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def one_request_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit input files to one request each."""
    change_local(monkeypatch, max_requests=1)


@pytest.fixture
def requests() -> bf.Requests:
    frame = pd.DataFrame({"text": ["a", "b", "c"]})
    return frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
