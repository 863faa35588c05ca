"""openai-batch: chats and embeddings, submitted and downloaded."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from openai_batch import Batch
from openai_batch.providers import openai_provider

PROVIDER = replace(
    openai_provider,
    base_url=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
)
CHATS = [
    {"model": "gpt-4.1", "messages": [{"role": "user", "content": text}]}
    for text in ("It boils fast.", "It leaks.")
]
SCHEMA = {
    "type": "object",
    "properties": {"stars": {"type": "integer"}},
    "required": ["stars"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "r", "strict": True, "schema": SCHEMA}}
EMBEDDINGS = [{"model": "text-embedding-3-small", "input": text} for text in ("one", "two")]


def run(name: str, requests: list[dict]) -> list[dict]:
    with Batch(f"{name}.jsonl", f"{name}-output.jsonl", provider=PROVIDER) as batch:
        for request in requests:
            batch.add_to_batch(**request)
        result, output, errors = batch.submit_wait_download(interval=0.1)
    assert (result.status, errors) == ("completed", None), result
    lines = [json.loads(line) for line in Path(output).read_text("utf-8").splitlines()]
    assert sorted(line["custom_id"] for line in lines) == ["line-1", "line-2"]
    return [line["response"]["body"] for line in lines]


def contents(bodies: list[dict]) -> list[str]:
    return [body["choices"][0]["message"]["content"] for body in bodies]


assert all(text.startswith("[simulated") for text in contents(run("chats", CHATS)))
structured = run("structured", [{**chat, "response_format": FORMAT} for chat in CHATS])
assert all(set(json.loads(text)) == {"stars"} for text in contents(structured))
for body in run("embeddings", EMBEDDINGS):
    assert len(body["data"][0]["embedding"]) == 1536

for feature in ("upload", "create", "wait", "content", "structured", "embeddings"):
    print(feature)
