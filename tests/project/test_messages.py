"""Every sentence that batchframe says when it refuses, on one page for review."""

from __future__ import annotations

import inspect
import textwrap
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from batchframe import errors

PAGE = Path(__file__).parent / "messages.md"

SAMPLES: dict[str, Any] = {
    "name": "txet",
    "near": ["text"],
    "columns": ["id", "text"],
    "source": "Rate {{ }}",
    "prompt": 7,
    "form": "upper",
    "on_missing": "empty",
    "position": 3,
    "positions": [3, 8],
    "label": "r-4",
    "labels": ["r-4", "r-9"],
    "reasons": ["column 'text' is missing", "column 'text' is missing"],
    "reason": "ConnectError: connection refused",
    "column": "text",
    "why": "it cannot be read",
    "names": ["label"],
    "remedy": "Rename it.",
    "count": 2,
    "rows": 10,
    "had": 12,
    "row": 3,
    "path": "jobs/0a1b",
    "known": ["/v1/chat/completions"],
    "words": ["low", "medium", "high"],
    "what": "a list of them",
    "answers": "its answers are vectors, in the column embedding",
    "key": "function",
    "bound": "max_completion_tokens",
    "spelling": "max_output_tokens=...",
    "size": 200_000_001,
    "limit": Decimal("2.00"),
    "service": "OpenAI",
    "frame": [1, 2],
    "amount": "two dollars",
    "model": "my-model",
    "low": Decimal("1.10"),
    "expected": Decimal("1.90"),
    "high": Decimal("2.40"),
    "client": object(),
    "base_url": "http://example.com/v1",
    "job": "sentiment",
    "address": "s3://bucket/rows",
    "batch": "batch_1",
    "jobs": {"sentiment": 1200},
    "recorded": "https://api.openai.com/v1",
    "given": "http://127.0.0.1:8000/v1",
    "part": 1,
    "parts": 3,
    "status": 400,
    "code": "billing_hard_limit_reached",
    "message": "Billing hard limit has been reached.",
    "list_was_complete": True,
    "request_id": "req_1",
    "sent": 2000,
    "stored": 1000,
    "file_id": "file-1",
    "got": 100,
    "whole": 200,
    "job_id": "../../etc",
    "version": 9,
    "seconds": 60.0,
    "trouble": "The service could not be reached: no route.",
    "batches": ["batch_1", "batch_2"],
    "word": "text",
    "before": "tone",
    "differs": ["prompt", "model"],
    "system": 7,
    "output": "positive",
    "kind": "set",
    "call": "sorted(...)",
    "value": "ten",
    "keys": ["type", "enum"],
    "keyword": "uniqueItems",
    "wanted": "a number",
    "pattern": "(?=a)b",
    "reference": "#/$defs/Tone",
    "most": 1000,
    "field": "messages",
    "endpoint": "/v1/chat/completions",
    "tier": "batch",
    "folder": "server-state",
    "batch_id": "batch_1",
    "written": "{text}",
    "tiers": {"flex": "the batch price", "scale": "bought in advance"},
    "meaning": "the batch price for single requests",
    "instead": "leave it out",
    "some": True,
    "on": "2026-10-23",
    "successor": "gpt-5.6-luna",
    "tokens": 140_000,
    "window": 128_000,
    "fitting": 7,
    "tried": False,
    "number": 28,
    "mode": 0o777,
    "chosen": "~nosuchuser/x",
    "owner": 1001,
    "advice": "The account may spend no more: add credit.",
    "example": "temperature=0",
    "first": ["label"],
    "second": ["reason"],
    "option": "seconds",
    "verb": "evaluate",
    "cells": [1, 2],
    "kinds": ["numbers"],
    "others": ["texts"],
    "predicted": "label",
    "how": "as a list of requests in one call",
    "service_key": "groq",
}


def constructors() -> list[tuple[type, str, Any]]:
    """List every named constructor of every exception and warning."""
    return [
        (kind, name, getattr(kind, name))
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, Exception)
        for name, member in vars(kind).items()
        if isinstance(member, classmethod)
    ]


def sample(name: str, parameter: inspect.Parameter) -> Any:
    if name == "reason" and "BaseException" in str(parameter.annotation):
        return ValueError("no such word")
    return OVERRIDES.get((name, str(parameter.annotation)), SAMPLES.get(name))


OVERRIDES: dict[tuple[str, str], Any] = {
    ("limit", "int"): 200_000_000,
    ("first", "tuple[int, object]"): (3, "r-4"),
    ("second", "tuple[int, object]"): (8, "r-9"),
    ("message", "object"): {"role": "user"},
    ("on_missing", "object"): 7,
    ("model", "object"): 4.1,
    ("columns", "object"): "label",
    ("first", "object"): "stars",
    ("first", "str"): "rows/a.parquet",
    ("second", "str"): "rows/b.parquet",
    ("second", "object"): "label",
    ("status", "object"): "bf_status",
    ("row", "tuple[int, object]"): (3, "r-4"),
    ("word", "object"): "failed",
}


def page() -> str:
    parts = [f"# Every sentence of batchframe.errors\n\n{INTRODUCTION}\n"]
    for kind, name, make in constructors():
        parameters = inspect.signature(make).parameters
        unknown = [p for p in parameters if sample(p, parameters[p]) is None]
        assert not unknown, f"{kind.__name__}.{name}: give samples for {unknown}"
        told = make(**{p: sample(p, parameters[p]) for p in parameters})
        body = textwrap.indent(str(told), "    ")
        parts.append(f"## {kind.__name__}.{name}\n\n{body}\n")
    return "\n".join(parts)


INTRODUCTION = (
    "Made by `tests/project/test_messages.py` from sample values; read it as prose. Each says "
    "what, where, and\nthe next step."
)


def test_every_sentence_is_as_it_was_reviewed(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--update-texts"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_sentence_is_used_somewhere() -> None:
    package = Path(inspect.getfile(errors)).parent
    code = "\n".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    unused = [
        f"{kind.__name__}.{name}"
        for kind, name, _ in constructors()
        if f"{kind.__name__}.{name}(" not in code
    ]
    assert not unused
