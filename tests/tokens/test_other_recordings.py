"""Recorded requests (test cassettes of pydantic-ai, MIT license)."""

from __future__ import annotations

from typing import Any

import pytest

from batchframe import count_tokens

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
NONE = {"additionalProperties": False, "properties": {}, "type": "object"}
CITY = {
    "additionalProperties": False,
    "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
    "required": ["city", "country"],
    "type": "object",
}
NAMED = {
    "description": "A city and its country.",
    "name": "CityLocation",
    "schema": CITY,
    "strict": True,
}
WHERE = {"description": "", "name": "get_user_country", "parameters": NONE}
FINAL = {
    "description": "The final response which ends this conversation",
    "name": "final_result",
    "parameters": CITY,
    "strict": True,
}
WARMTH = {
    "description": "",
    "name": "get_temperature",
    "parameters": {**CITY, "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": True,
}
WEATHER = {
    "description": "Get the weather for a location",
    "name": "get_weather",
    "parameters": {**NONE, "properties": {"location": {"type": "string"}}},
    "strict": False,
    "type": "function",
}


def text_message(text: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text}


def function(spec: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": spec}


def called(name: str, arguments: str, result: str) -> list[dict[str, Any]]:
    calls = [{"id": "call_1", **function({"name": name, "arguments": arguments})}]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    return [message, {"role": "tool", "tool_call_id": "call_1", "content": result}]


LARGEST = text_message("What is the largest city in the user country?")
TOKYO = [
    text_message("You are a helpful assistant.", "system"),
    text_message("What is the temperature in Tokyo?"),
]
COUNTRY = called("get_user_country", "{}", "Mexico")
STRICT = {
    "model": "gpt-4o",
    "response_format": {"type": "json_schema", "json_schema": NAMED},
    "tools": [function(WHERE)],
}
TWO = {"model": "gpt-4o", "tools": [function(WHERE), function(FINAL)], "tool_choice": "required"}
MINI = {"model": "gpt-4.1-mini", "tools": [function(WARMTH)]}
FLAT = {
    "model": "gpt-4o",
    "text": {"format": {"type": "json_schema", **NAMED}},
    "tools": [{**WHERE, "description": None, "strict": False, "type": "function"}],
}
FRANCE = text_message("What is the capital of France? Answer in one word.")

RECORDED: list[tuple[str, dict[str, Any], int]] = [
    (CHAT, {**STRICT, "messages": [LARGEST]}, 79),
    (CHAT, {**STRICT, "messages": [LARGEST, *COUNTRY]}, 100),
    (CHAT, {**TWO, "messages": [LARGEST]}, 68),
    (CHAT, {**TWO, "messages": [LARGEST, *COUNTRY]}, 89),
    (CHAT, {**MINI, "messages": TOKYO}, 50),
    (
        CHAT,
        {**MINI, "messages": [*TOKYO, *called("get_temperature", '{"city":"Tokyo"}', "20.0")]},
        75,
    ),
    (RESPONSES, {**FLAT, "input": [LARGEST]}, 73),
    (
        RESPONSES,
        {
            "model": "gpt-4.1-mini",
            "input": [text_message("What is the weather in Paris?")],
            "tools": [WEATHER],
            "tool_choice": "required",
        },
        51,
    ),
    (RESPONSES, {"model": "gpt-5.6-sol", "input": [FRANCE], "reasoning": {"effort": "none"}}, 18),
]


@pytest.mark.parametrize(("endpoint", "body", "tokens"), RECORDED)
def test_the_apis_count_is_within_the_stated_error(
    endpoint: str, body: dict[str, Any], tokens: int
) -> None:
    pytest.importorskip("splintr")
    count = count_tokens(body, endpoint=endpoint)
    off = tokens - count.tokens
    assert -count.fewer <= off <= (count.more or 0)
    assert not count.exact or off == 0


def test_together_they_are_within_five_per_cent() -> None:
    pytest.importorskip("splintr")
    ours = [count_tokens(body, endpoint=endpoint).tokens for endpoint, body, _ in RECORDED]
    theirs = [tokens for _, _, tokens in RECORDED]
    assert abs(sum(ours) - sum(theirs)) <= 0.05 * sum(theirs)
    # With tools, the schema is in the message of the tools.
    assert ours[0] == 79
