"""Recorded requests with the input tokens that the service billed."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batchframe._models.names import base_model

_FAMILIES: Final = (
    (r"gpt-3\.5|gpt-4(?!o|\.)", "gpt-3.5, gpt-4"),
    (r"gpt-4o", "gpt-4o"),
    (r"gpt-4\.", "gpt-4.1"),
    (r"o\d", "o-series"),
    (r"gpt-5(?!\.)", "gpt-5"),
    (r"gpt-5\.", "gpt-5.x"),
)


@dataclass(frozen=True)
class Recording:
    """A request that was sent, and the input tokens that were billed."""

    kind: str
    endpoint: str
    family: str
    owner: str
    body: Mapping[str, Any]
    billed: int


def shared_data() -> Path:
    """Return the folder of the shared data."""
    repository = Path(__file__).parents[1]
    return Path(os.environ.get("BATCHFRAME_SHARED", repository.parent / "shared")) / "data"


def recordings(file: Path) -> list[Recording]:
    """Read the recorded requests."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [_recording(json.loads(line)) for line in lines]


def family_of(model: str) -> str:
    """Return the name of a model's family in the tables."""
    name = base_model(model)
    return next((family for pattern, family in _FAMILIES if re.match(pattern, name)), "other")


def _recording(line: Mapping[str, Any]) -> Recording:
    model, usage, endpoint = line["model"], line["usage"], line["endpoint"]
    stored = endpoint == "/v1/responses" and "prompt" in line["request"]
    return Recording(
        kind="stored prompt" if stored else line["kind"],
        endpoint=endpoint,
        family=family_of(model),
        owner=line["source"].split("/")[0],
        body={"model": model, **line["request"]},
        billed=usage.get("prompt_tokens") or usage["input_tokens"],
    )
