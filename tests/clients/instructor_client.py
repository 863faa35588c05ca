"""instructor's BatchProcessor: typed results, cancel, and a typed stream."""

from __future__ import annotations

import time

import instructor
from instructor.batch import BatchProcessor
from pydantic import BaseModel


class Review(BaseModel):
    label: str
    stars: int


def wait(batch_id: str) -> str:
    while (status := processor.get_batch_status(batch_id)["status"]) not in {
        "completed",
        "cancelled",
        "failed",
    }:
        time.sleep(0.1)
    return status


processor = BatchProcessor("openai/gpt-4.1", Review)
messages = [[{"role": "user", "content": text}] for text in ("It boils fast.", "It leaks.")]

for file in (
    processor.create_batch_from_messages(messages),
    processor.create_batch_from_messages(messages, file_path="requests.jsonl"),
):
    batch_id = processor.submit_batch(file, metadata={"from": "instructor"})
    assert wait(batch_id) == "completed"
    results = processor.get_results(batch_id, file_path="results.jsonl")
    assert sorted(result.custom_id for result in results) == ["request-0", "request-1"]
    assert all(isinstance(result.result, Review) for result in results), results
assert batch_id in {job.id for job in processor.list_batches()}

cancelled = processor.submit_batch(processor.create_batch_from_messages(messages))
assert processor.cancel_batch(cancelled)["status"] == "cancelling"
assert wait(cancelled) == "cancelled"

client = instructor.from_provider("openai/gpt-4.1", mode=instructor.Mode.JSON_SCHEMA)
assert isinstance(client.create(messages=messages[0], response_model=Review), Review)
*_, last = client.create_partial(messages=messages[0], response_model=Review)
assert isinstance(last.stars, int), last

for feature in ("upload", "create", "wait", "content", "list", "cancel", "structured", "streaming"):
    print(feature)
