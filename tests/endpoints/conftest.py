"""Shared fixtures of the endpoint tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from tests.support.result_files import read_answers

COLUMNS = {
    "status", "error", "text", "finish_reason", "input_tokens", "output_tokens", "cached_tokens",
    "reasoning_tokens", "cache_write_tokens", "tool_calls", "reasoning", "vector",
}  # fmt: skip
IDS = ["bf1-01234567-0000000-0123456789"]


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str, Any], dict[str, Any]]:
    """Return a function that parses a response body."""

    def of(path: str, body: Any) -> dict[str, Any]:
        response = {"status_code": 200, "request_id": "r", "body": body}
        line = {"id": "batch_req_1", "custom_id": IDS[0], "response": response, "error": None}
        file = tmp_path / "output-000.jsonl"
        file.write_text(json.dumps(line) + "\n", encoding="utf-8")
        [answer] = read_answers([file], IDS, path)
        assert set(answer) == COLUMNS
        return answer

    return of


@pytest.fixture
def joined() -> Callable[..., pd.DataFrame]:
    """Return a function that joins one row answered with a response body."""

    def of(body: Any, **options: Any) -> pd.DataFrame:
        frame = pd.DataFrame({"text": ["a"]})
        with batchframe.local.serve(answer=lambda _: body) as server:
            requests = frame.bf.requests(**{"prompt": "{{ text }}", "model": "gpt-4.1", **options})
            job = requests.submit(client=server.client()).wait()
        return bf.join(frame, job, details=True)

    return of
