"""The local server bills by its own table, not by the estimate's."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from pydantic import BaseModel, Field

import batchframe.local

TEXTS = [f"It was a good and long day, number {n}, was it not?" for n in range(4)]
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"


class Item(BaseModel):
    """A line of an invoice."""

    name: str = Field(description="Name of the item", max_length=20)
    price: float
    kind: Literal["goods", "service"]


class Invoice(BaseModel):
    """An invoice with nested items."""

    items: list[Item] = Field(max_length=2)
    paid: bool


def look_up(endpoint: str) -> dict[str, Any]:
    function = {
        "name": "look_up",
        "description": "Look up a word.",
        "parameters": {
            "type": "object",
            "properties": {"word": {"type": "string", "description": "The word"}},
            "required": ["word"],
        },
    }
    choice: dict[str, Any] = {"type": "function", "name": "look_up"}
    if endpoint == RESPONSES:
        return {"tools": [{"type": "function", **function}], "tool_choice": choice}
    choice = {"type": "function", "function": {"name": "look_up"}}
    return {"tools": [{"type": "function", "function": function}], "tool_choice": choice}


def options(kind: str, endpoint: str) -> dict[str, Any]:
    limit = "max_output_tokens" if endpoint == RESPONSES else "max_completion_tokens"
    if kind == "call":
        return {**look_up(endpoint), limit: 400}
    output = {"labels": ["positive", "negative"], "nested": Invoice, "text": None}[kind]
    return {"output": output, limit: 400}


@pytest.mark.parametrize("system", [None, "You sort reviews."])
@pytest.mark.parametrize("kind", ["labels", "nested", "text", "call"])
@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
@pytest.mark.parametrize("model", ["gpt-4.1-mini", "gpt-5", "gpt-5.4-mini", "gpt-5.6-luna"])
def test_a_local_run_is_billed_within_the_estimated_range(
    model: str, endpoint: str, kind: str, system: str | None
) -> None:
    if kind == "call" and endpoint == CHAT and model.startswith("gpt-5."):
        pytest.skip("these models take no tools beside reasoning on chat")
    requests = pd.DataFrame({"text": TEXTS}).bf.requests(
        "Review: {{ text }}",
        model=model,
        endpoint=endpoint,
        system=system,
        **options(kind, endpoint),
    )
    estimate = requests.estimate()
    with batchframe.local.serve() as server:
        job = requests.submit("local run", client=server.client()).wait()
    assert estimate.input_tokens.high is not None
    assert estimate.input_tokens.low <= job.usage.input_tokens <= estimate.input_tokens.high
    assert estimate.output_tokens.high is not None
    assert estimate.output_tokens.low <= job.usage.output_tokens <= estimate.output_tokens.high
    assert not any("outside the estimated range" in note for note in job.report().notes)


BREAKING = """
import pandas as pd
import importlib
import batchframe.local

importlib.import_module("batchframe._tokens.{module}")._FILE = {table!r}
frame = pd.DataFrame({{"text": ["a good day", "a bad day"]}})
requests = frame.bf.requests("{{{{ text }}}}", model="gpt-4.1", output=["positive", "negative"])
with batchframe.local.serve() as server:
    job = requests.submit("local run", client=server.client()).wait()
print(*job.report().notes, sep="\\n")
"""


def notes_of(module: str, table: Path) -> str:
    code = BREAKING.format(module=module, table=str(table))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout


@pytest.mark.parametrize(
    ("rule", "broken", "end"),
    [
        ("{ message = 3,", "{ message = 1,", "(above "),
        ("{ message = 3,", "{ message = 9,", "(below "),
        ("{ bare = 4,", "{ bare = 40,", "(below "),
    ],
)
def test_a_broken_counting_rule_is_contradicted_by_a_local_run(
    tmp_path: Path, rule: str, broken: str, end: str
) -> None:
    table = (resources.files("batchframe") / "_tokens" / "framing.toml").read_text("utf-8")
    assert rule in table
    for name, content in (("true.toml", table), ("broken.toml", table.replace(rule, broken))):
        tmp_path.joinpath(name).write_text(content, encoding="utf-8")
    assert "outside the estimated range" not in notes_of("framing", tmp_path / "true.toml")
    assert end in notes_of("framing", tmp_path / "broken.toml")
