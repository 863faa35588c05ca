"""Tools that the service runs itself have fees, and what they find is read: nothing bounds that."""

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
    words = {"model": "gpt-5.6-luna", "endpoint": RESPONSES, "max_output_tokens": 50, **more}
    return pd.DataFrame({"t": ["a", "b"]}).bf.requests("{{ t }}", tools=tools, **words)


def notes_on_tools(requests: bf.Requests) -> list[str]:
    return [note for note in requests.estimate().notes if "Hosted tools" in note]


@pytest.mark.parametrize("kind", ["web_search", "file_search", "code_interpreter", "mcp", "new"])
def test_the_high_end_is_not_known_and_the_note_says_why(kind: str) -> None:
    known = ask([{"type": kind}]).estimate()
    for cost in (known.cost, known.standard_cost, known.flex_cost, known.priority_cost):
        assert cost is not None
        assert cost.low > 0
        assert cost.high is None
    assert known.input_tokens.high is None
    (note,) = notes_on_tools(ask([{"type": kind}]))
    assert kind in note
    assert "billed per call" in note
    assert not known.exact


def test_the_fees_that_are_known_are_named_with_their_source() -> None:
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
def test_tools_that_the_caller_runs_have_no_fee(body: dict[str, Any]) -> None:
    asked = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1", **body)
    assert notes_on_tools(asked) == []


def test_functions_alone_leave_a_bound() -> None:
    known = ask([LOOK]).estimate()
    assert known.cost is not None
    assert known.cost.high is not None


def test_max_cost_is_refused_for_the_right_reason() -> None:
    with pytest.raises(CostError, match=r"the input .* has no upper bound"):
        ask([{"type": "web_search"}]).submit(
            max_cost=Decimal(100), client=openai.OpenAI(api_key="sk-none")
        )


def test_a_comparison_says_it_too() -> None:
    costs = ask([{"type": "web_search"}]).compare(["gpt-5.6-luna", "gpt-5.2"])
    assert costs["high"].isna().all()
    assert costs["note"].str.contains("web_search").all()
