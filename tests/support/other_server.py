"""A fake server with unusual Batch API responses."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import openai
import pandas as pd
import pytest

import batchframe as bf
from tests.support.profiles import change_local

Prompts = list[tuple[str, str]]
Reply = tuple[int, bytes] | tuple[int, bytes, str]
Action = Callable[["Handler"], None]

DEFAULT_BATCH = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
    "input_file_id": "file-in",
    "created_at": 1_763_700_000,
}


def good(custom_id: str, prompt: str) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": f"to {prompt}"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 2}
    body = {"object": "chat.completion", "choices": [choice], "usage": usage}
    return {"custom_id": custom_id, "response": {"status_code": 200, "body": body}, "error": None}


def jsonl(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def answer_all(prompts: Prompts) -> bytes:
    return jsonl(*[good(*one) for one in prompts])


@dataclass
class FakeServer:
    """A server with one batch, whose responses a test can change.

    Attributes
    ----------
    batch
        Fields of the batch object that differ from the usual ones; or a function that returns
        them, given the number of the poll.
    files
        The result files, built from the requests.
    replies
        Replies by path, used one after the other; the last one repeats. A function may handle
        the connection itself.
    """

    url: str = ""
    batch: Any = field(default_factory=dict)
    files: dict[str, Callable[[Prompts], bytes]] = field(
        default_factory=lambda: {"file-out": answer_all}
    )
    replies: dict[tuple[str, str], list[Reply | Action]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    prompts: Prompts = field(default_factory=list)
    uploaded: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def client(self, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="any", **options)

    def reply(self, method: str, path: str, *replies: Reply | Action) -> None:
        self.replies[method, f"/v1{path}"] = list(replies)

    def count_gets(self, path: str) -> int:
        return self.calls.count(("GET", f"/v1{path}"))

    def batch_object(self) -> dict[str, Any]:
        default = {**DEFAULT_BATCH, "status": "completed", "output_file_id": "file-out"}
        changes = (
            self.batch(self.count_gets("/batches/batch_1")) if callable(self.batch) else self.batch
        )
        return {**default, **changes}

    def content(self, file_id: str) -> bytes | None:
        return self.files[file_id](self.prompts) if file_id in self.files else None


class Handler(BaseHTTPRequestHandler):
    """Gives the configured reply, or that of OpenAI."""

    protocol_version = "HTTP/1.1"
    fake_server: FakeServer

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        self.fake_server.calls.append((self.command, path))
        replies = self.fake_server.replies.get((self.command, path))
        if replies:
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
            if callable(reply):
                reply(self)
            else:
                self.answer(*reply)
        elif (self.command, path) == ("POST", "/v1/files"):
            self.receive_upload(body)
        else:
            self.answer(*self.default_reply(path))

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - names required by http.server

    def receive_upload(self, body: bytes) -> None:
        boundary = body.partition(b"\r\n")[0]
        part = next(one for one in body.split(boundary) if b'name="file"' in one)
        lines = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        requests = [json.loads(line) for line in lines.splitlines()]
        self.fake_server.prompts = [
            (one["custom_id"], one["body"]["messages"][-1]["content"]) for one in requests
        ]
        self.fake_server.uploaded = len(lines)
        created = DEFAULT_BATCH["created_at"]
        file = {"id": "file-in", "bytes": len(lines), "created_at": created}
        self.answer(200, json.dumps(file).encode())

    def default_reply(self, path: str) -> tuple[int, bytes]:
        if path == "/v1/batches":
            batch_list = {"object": "list", "data": [], "has_more": False}
            created = {**DEFAULT_BATCH, "status": "validating"}
            return 200, json.dumps(created if self.command == "POST" else batch_list).encode()
        if path == "/v1/files":
            return 200, b'{"object": "list", "data": [], "has_more": false}'
        if path == "/v1/batches/batch_1":
            return 200, json.dumps(self.fake_server.batch_object()).encode()
        match = re.fullmatch(r"/v1/files/([^/]+)(/content)?", path)
        content = match and self.fake_server.content(match[1])
        if match is None or content is None:
            return 404, b'{"detail":"Not Found"}'
        metadata = {"id": match[1], "object": "file", "bytes": len(content)}
        return 200, content if match[2] else json.dumps(metadata).encode()

    def answer(self, status: int, content: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect."""


@pytest.fixture
def fake_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """Serve one job with configurable replies and short waits."""
    change_local(monkeypatch, first_poll=0.01, last_poll=0.05)
    monkeypatch.setattr("batchframe._services.openai_client._MIN_TIMEOUT", 0.3)
    server = FakeServer()
    http_server = QuietServer(
        ("127.0.0.1", 0), type("FakeHandler", (Handler,), {"fake_server": server})
    )
    server.url = f"http://127.0.0.1:{http_server.server_port}"
    thread = threading.Thread(target=http_server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.stopped.set()
    http_server.shutdown()
    http_server.server_close()


@pytest.fixture
def requests() -> bf.Requests:
    frame = pd.DataFrame({"text": ["a", "b", "c"]})
    return frame.bf.requests("{{ text }}", model="any-model")


@pytest.fixture
def texts() -> Callable[[bf.Job], list[str | None]]:
    def of(job: bf.Job) -> list[str | None]:
        answers = job.results()["response"]
        return [
            None if missing else text for text, missing in zip(answers, answers.isna(), strict=True)
        ]

    return of
