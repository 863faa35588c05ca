"""A local server, its openai client, and short input files."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from batchframe import local
from tests.support.other_server import fake_server
from tests.support.proxy import proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import openai
    from openai.types import Batch

__all__ = ["fake_server", "proxy"]

CHAT = "/v1/chat/completions"


@pytest.fixture
def client(server: local.Server) -> Iterator[openai.OpenAI]:
    with server.client() as client:
        yield client.with_options(max_retries=0)


def chat(text: str = "Hello?", **body: Any) -> dict[str, Any]:
    return {"model": "gpt-5.6-luna", "messages": [{"role": "user", "content": text}], **body}


def line(custom_id: str, body: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    request = {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body or chat()}
    return request | changes


class BatchClient:
    """An openai client with the calls that tests share."""

    def __init__(self, client: openai.OpenAI) -> None:
        self.client = client

    def upload(self, content: bytes | list[Any], name: str = "input.jsonl") -> str:
        """Upload an input file and return its id."""
        if isinstance(content, list):
            content = b"".join(json.dumps(each).encode() + b"\n" for each in content)
        return self.client.files.create(file=(name, content), purpose="batch").id

    def submit(self, content: bytes | list[Any], endpoint: Any = CHAT, **options: Any) -> Batch:
        """Upload an input file and create a batch."""
        return self.client.batches.create(
            input_file_id=self.upload(content),
            endpoint=endpoint,
            completion_window="24h",
            **options,
        )

    def until(self, batch: Batch, reached: Callable[[Batch], bool]) -> Batch:
        """Poll until a condition holds for the batch."""
        deadline = time.monotonic() + 60
        while not reached(batch):
            assert time.monotonic() < deadline, f"still {batch.status}: {batch.request_counts}"
            time.sleep(0.005)
            batch = self.client.batches.retrieve(batch.id)
        return batch

    def ended(self, batch: Batch) -> Batch:
        """Poll until the batch has ended."""
        ends = {"failed", "completed", "expired", "cancelled"}
        return self.until(batch, lambda batch: batch.status in ends)

    def run(self, content: bytes | list[Any], endpoint: Any = CHAT) -> Batch:
        """Submit an input file and wait for the batch to end."""
        return self.ended(self.submit(content, endpoint))

    def read(self, file_id: str | None) -> list[dict[str, Any]]:
        """Return the lines of a result file."""
        assert file_id
        content = self.client.files.content(file_id).content
        return [json.loads(line) for line in content.split(b"\n") if line]

    def answers(self, batch: Batch) -> dict[str, dict[str, Any]]:
        """Return the lines of the output file by custom_id."""
        return {each["custom_id"]: each for each in self.read(batch.output_file_id)}


@pytest.fixture
def batch_client(client: openai.OpenAI) -> BatchClient:
    return BatchClient(client)


@pytest.fixture
def new_batch_client() -> Iterator[Callable[[local.Server], BatchClient]]:
    clients: list[openai.OpenAI] = []

    def make(server: local.Server) -> BatchClient:
        clients.append(server.client())
        return BatchClient(clients[-1].with_options(max_retries=0))

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def make_line() -> Callable[..., dict[str, Any]]:
    return line


@pytest.fixture
def make_lines() -> Callable[[int], list[dict[str, Any]]]:
    return lambda count: [line(f"row-{n}", chat(f"Text {n}?")) for n in range(count)]
