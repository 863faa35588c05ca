"""litellm: files, batches, plain, streamed and typed answers, embeddings."""

from __future__ import annotations

import json
import time

import litellm
from pydantic import BaseModel

MODEL = "openai/gpt-4.1"
MESSAGES = [{"role": "user", "content": "It boils fast."}]
OPENAI = {"custom_llm_provider": "openai"}


class Review(BaseModel):
    label: str
    stars: int


def ended(batch):
    while batch.status not in {"completed", "failed", "cancelled", "expired"}:
        time.sleep(0.1)
        batch = litellm.retrieve_batch(batch_id=batch.id, **OPENAI)
    return batch


def submit(name, content):
    file = litellm.create_file(file=(name, content), purpose="batch", **OPENAI)
    batch = litellm.create_batch(
        completion_window="24h",
        endpoint="/v1/chat/completions",
        input_file_id=file.id,
        metadata={"from": "litellm"},
        **OPENAI,
    )
    return file, batch


body = {"model": "gpt-4.1", "messages": MESSAGES}
lines = [
    {"custom_id": str(n), "method": "POST", "url": "/v1/chat/completions", "body": body}
    for n in range(3)
]
content = "".join(json.dumps(line) + "\n" for line in lines).encode()

file, batch = submit("input.jsonl", content)
batch = ended(batch)
assert (batch.status, batch.request_counts.completed) == ("completed", 3), batch
results = litellm.file_content(file_id=batch.output_file_id, **OPENAI).content
answers = {(line := json.loads(text))["custom_id"]: line for text in results.splitlines()}
assert set(answers) == {"0", "1", "2"}
assert batch.id in {one.id for one in litellm.list_batches(**OPENAI).data}
assert litellm.file_retrieve(file_id=file.id, **OPENAI).bytes == len(content)
assert file.id in {one.id for one in litellm.file_list(**OPENAI)}
assert litellm.file_delete(file_id=file.id, **OPENAI).deleted

_, batch = submit("input.jsonl", content)
litellm.cancel_batch(batch_id=batch.id, **OPENAI)
assert ended(batch).status == "cancelled"

plain = litellm.completion(MODEL, MESSAGES).choices[0].message.content
chunks = litellm.completion(MODEL, MESSAGES, stream=True)
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == plain
structured = litellm.completion(MODEL, MESSAGES, response_format=Review)
Review.model_validate_json(structured.choices[0].message.content)
kinds = {event.type for event in litellm.responses(model=MODEL, input="Hello?", stream=True)}
assert "response.completed" in kinds, kinds
vectors = litellm.embedding("openai/text-embedding-3-small", ["one", "two"]).data
assert [len(vector["embedding"]) for vector in vectors] == [1536, 1536]

for feature in (
    *("upload", "create", "wait", "content", "list", "cancel", "delete"),
    *("structured", "streaming", "embeddings"),
):
    print(feature)
