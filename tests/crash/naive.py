"""A careful script without batchframe: it stores ids in a file.

The table compares it with batchframe, to show what the protocol is for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai

INPUT = b"".join(
    json.dumps(
        {
            "custom_id": str(number),
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "gpt-4.1", "messages": [{"role": "user", "content": text}]},
        }
    ).encode()
    + b"\n"
    for number, text in enumerate(["good kettle", "bad lamp", "good lamp"])
)


def run(
    client: openai.OpenAI, name: str, home: Path, reach: Callable[[str], None]
) -> dict[str, Any]:
    """Upload, create and wait; a recorded step is not repeated."""
    if name == "naive-0":
        client = client.with_options(max_retries=0)
    notes = Notes(home / "notes.json")
    reach("start")
    if "file" not in notes:
        reach("before upload")
        file = client.files.create(file=("input.jsonl", INPUT), purpose="batch")
        reach("after upload")
        notes["file"] = file.id
        reach("after file noted")
    if "batch" not in notes:
        batch = client.batches.create(
            input_file_id=notes["file"], endpoint="/v1/chat/completions", completion_window="24h"
        )
        reach("after create")
        notes["batch"] = batch.id
    reach("end")
    if notes["batch"] is None:
        return {"end": "done", "statuses": [], "labels": [], "batches": [None]}
    while client.batches.retrieve(notes["batch"]).status != "completed":
        time.sleep(0.02)
    statuses, labels = ["ok"] * 3, ["+", "-", "+"]
    return {"end": "done", "statuses": statuses, "labels": labels, "batches": [notes["batch"]]}


class Notes(dict[str, Any]):
    """A dict stored in a file."""

    def __init__(self, path: Path) -> None:
        super().__init__(json.loads(path.read_text()) if path.exists() else {})
        self._path = path

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self))
