"""Reading and editing of a job's folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import batchframe as bf


def read_manifest(job: bf.Job) -> dict[str, Any]:
    """Read the manifest of a job as plain JSON."""
    manifest: dict[str, Any] = json.loads((job.folder / "manifest.json").read_text("utf-8"))
    return manifest


def edit_manifest(job: bf.Job, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest of a job."""
    manifest = read_manifest(job)
    change(manifest)
    (job.folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def add_event(job: bf.Job, event: dict[str, Any]) -> None:
    """Append an event of the job's only input file."""
    with (job.folder / "journal.jsonl").open("ab") as file:
        file.write(json.dumps({"shard": 0, **event}).encode() + b"\n")


def read_journal(job: bf.Job) -> list[dict[str, Any]]:
    """Read the events of a job, in order."""
    lines = (job.folder / "journal.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]
