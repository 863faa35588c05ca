"""Hosted tools have fees, and their results are unbounded input."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import openai
import pandas as pd
import pytest

import batchframe as bf
from batchframe.errors import CostError

RESPONSES = "/v1/responses"
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


def ask(tools: list[dict[str, Any]], **more: Any) -> bf.Requests:
    options = {"model": "gpt-5.6-luna", "endpoint": RESPONSES, "max_output_tokens": 50, **more}
    return pd.DataFrame({"t": ["a", "b"]}).bf.requests("{{ t }}", tools=tools, **options)


def notes_on_tools(requests: bf.Requests) -> list[str]:
    return [note for note in requests.estimate().notes if "Hosted tools" in note]


@pytest.mark.parametrize("kind", ["web_search", "file_search", "code_interpreter", "mcp", "new"])
def test_hosted_tools_have_no_upper_bound_and_a_note_says_why(kind: str) -> None:
    estimate = ask([{"type": kind}]).estimate()
    for cost in (estimate.cost, estimate.standard_cost, estimate.flex_cost, estimate.priority_cost):
        assert cost is not None
        assert cost.low > 0
        assert cost.high is None
    assert estimate.input_tokens.high is None
    (note,) = notes_on_tools(ask([{"type": kind}]))
    assert kind in note
    assert "billed per call" in note
    assert not estimate.exact


def test_known_fees_are_noted_with_their_source() -> None:
    (search,) = notes_on_tools(ask([{"type": "web_search"}]))
    assert "$10 per 1,000 calls (genai-prices" in search
    (program,) = notes_on_tools(ask([{"type": "code_interpreter"}]))
    assert "code_interpreter: unknown" in program


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tools": None},
        {"tools": [{"type": "function", "function": {"name": "look"}}]},
        {"tools": [LOOK], "endpoint": RESPONSES, "max_output_tokens": 50},
        {"tools": [{"type": "custom", "name": "run"}]},
        {"tools": [{"type": "web_search"}], "tool_choice": "none"},
        {"web_search_options": None},
    ],
)
def test_tools_run_by_the_caller_have_no_fee(body: dict[str, Any]) -> None:
    requests = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1", **body)
    assert notes_on_tools(requests) == []


def test_functions_alone_keep_an_upper_bound() -> None:
    estimate = ask([LOOK]).estimate()
    assert estimate.cost is not None
    assert estimate.cost.high is not None


def test_a_search_model_calls_a_hosted_tool_by_itself() -> None:
    frame = pd.DataFrame({"t": ["a"]})
    requests = frame.bf.requests("{{ t }}", model="gpt-4o-search-preview", max_tokens=50)
    cost = requests.estimate().cost
    assert cost is not None
    assert cost.high is None
    assert "billed per call" in " ".join(notes_on_tools(requests))


def test_max_cost_is_refused_for_the_right_reason() -> None:
    with pytest.raises(CostError, match=r"the input .* has no upper bound"):
        ask([{"type": "web_search"}]).submit(
            max_cost=Decimal(100), client=openai.OpenAI(api_key="sk-none")
        )


def test_compare_notes_it_too() -> None:
    costs = ask([{"type": "web_search"}]).compare(["gpt-5.6-luna", "gpt-5.2"])
    assert costs["high"].isna().all()
    assert costs["note"].str.contains("web_search").all()
