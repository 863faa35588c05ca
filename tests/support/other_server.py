"""An imitation of servers that speak the Batch API in their own way."""

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

Asked = list[tuple[str, str]]
Reply = tuple[int, bytes] | tuple[int, bytes, str]
Act = Callable[["Handler"], None]

USUAL = {
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


def answer_all(asked: Asked) -> bytes:
    return jsonl(*[good(*one) for one in asked])


@dataclass
class Imitation:
    """What the server says of its one batch and its files, and what it was asked.

    Attributes
    ----------
    batch
        What is otherwise than usual in the batch object, once it was created; or a function of
        the number of the look.
    files
        The result files, made from what was asked.
    replies
        What a path answers instead, one after the other; the last stays. A function does as it
        likes with the connection.
    """

    url: str = ""
    batch: Any = field(default_factory=dict)
    files: dict[str, Callable[[Asked], bytes]] = field(
        default_factory=lambda: {"file-out": answer_all}
    )
    replies: dict[tuple[str, str], list[Reply | Act]] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)
    asked: Asked = field(default_factory=list)
    uploaded: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def client(self, **how: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="any", **how)

    def reply(self, method: str, path: str, *replies: Reply | Act) -> None:
        self.replies[method, f"/v1{path}"] = list(replies)

    def looks(self, path: str) -> int:
        return self.seen.count(("GET", f"/v1{path}"))

    def described(self) -> dict[str, Any]:
        usual = {**USUAL, "status": "completed", "output_file_id": "file-out"}
        odd = self.batch(self.looks("/batches/batch_1")) if callable(self.batch) else self.batch
        return {**usual, **odd}

    def content(self, file_id: str) -> bytes | None:
        return self.files[file_id](self.asked) if file_id in self.files else None


class Handler(BaseHTTPRequestHandler):
    """Answers as told, else as a server would that does as OpenAI does."""

    protocol_version = "HTTP/1.1"
    imitation: Imitation

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        self.imitation.seen.append((self.command, path))
        told = self.imitation.replies.get((self.command, path))
        if told:
            reply = told.pop(0) if len(told) > 1 else told[0]
            if callable(reply):
                reply(self)
            else:
                self.answer(*reply)
        elif (self.command, path) == ("POST", "/v1/files"):
            self.take(body)
        else:
            self.answer(*self.usual(path))

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - the names http.server asks for

    def take(self, body: bytes) -> None:
        boundary = body.partition(b"\r\n")[0]
        part = next(one for one in body.split(boundary) if b'name="file"' in one)
        lines = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        requests = [json.loads(line) for line in lines.splitlines()]
        self.imitation.asked = [
            (one["custom_id"], one["body"]["messages"][-1]["content"]) for one in requests
        ]
        self.imitation.uploaded = len(lines)
        self.answer(200, json.dumps({"id": "file-in", "bytes": len(lines)}).encode())

    def usual(self, path: str) -> tuple[int, bytes]:
        if path == "/v1/batches":
            listed = {"object": "list", "data": [], "has_more": False}
            created = {**USUAL, "status": "validating"}
            return 200, json.dumps(created if self.command == "POST" else listed).encode()
        if path == "/v1/batches/batch_1":
            return 200, json.dumps(self.imitation.described()).encode()
        found = re.fullmatch(r"/v1/files/([^/]+)(/content)?", path)
        content = found and self.imitation.content(found[1])
        if found is None or content is None:
            return 404, b'{"detail":"Not Found"}'
        about = {"id": found[1], "object": "file", "bytes": len(content)}
        return 200, content if found[2] else json.dumps(about).encode()

    def answer(self, status: int, content: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away: that is what these tests are about."""


@pytest.fixture
def imitation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Imitation]:
    """Serve one job in a way that a test may change, with short waits."""
    change_local(monkeypatch, first_poll=0.01, last_poll=0.05)
    monkeypatch.setattr("batchframe._services.openai_client._MIN_TIMEOUT", 0.3)
    made = Imitation()
    listening = QuietServer(("127.0.0.1", 0), type("Made", (Handler,), {"imitation": made}))
    made.url = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    made.over.set()
    listening.shutdown()
    listening.server_close()


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
