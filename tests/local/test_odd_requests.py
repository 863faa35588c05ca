"""An unusual request fails only its own line."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

import batchframe.local

ODD: list[dict[str, Any]] = [
    {"input": "x", "dimensions": 2_000_000_000},
    {"input": "x", "dimensions": -1},
    {"input": "x", "dimensions": "many"},
    {"input": [[1, 2], ["a"], None]},
]


@pytest.mark.parametrize("request_body", ODD, ids=str)
def test_an_odd_embedding_request_is_one_line_in_the_error_file_at_most(
    request_body: dict[str, Any],
) -> None:
    bodies = [{"input": "good"}, request_body, {"input": "good too"}]
    lines = [
        {
            "custom_id": f"r{n}",
            "method": "POST",
            "url": "/v1/embeddings",
            "body": {"model": "text-embedding-3-small", **body},
        }
        for n, body in enumerate(bodies)
    ]
    with batchframe.local.serve() as server:
        client = server.client()
        content = "\n".join(map(json.dumps, lines)).encode()
        file = client.files.create(file=("odd.jsonl", content), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h"
        )
        while batch.status not in {"completed", "failed"}:
            batch = client.batches.retrieve(batch.id)
        assert batch.status == "completed"
        assert batch.request_counts is not None
        assert batch.request_counts.completed >= 2


def test_an_odd_realtime_request_is_refused() -> None:
    with batchframe.local.serve() as server, pytest.raises(openai.BadRequestError):
        server.client().embeddings.create(model="m", input="x", dimensions=2_000_000_000)
