"""Tools: sent with requests; tool calls as columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pandas as pd
import pydantic
import pytest
from openai.types.chat import ChatCompletion

import batchframe as bf
import batchframe.local
from batchframe.errors import OutputSpecError, RequestError

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
FRAME = pd.DataFrame({"text": ["a", "b", "c"]})


class Weather(pydantic.BaseModel):
    """Get the weather of a place."""

    place: str
    celsius: bool


CHAT_TOOL: Any = openai.pydantic_function_tool(Weather)
TOOLS: dict[str, Any] = {
    CHAT: CHAT_TOOL,
    # As openai.pydantic_responses_function_tool makes it, which openai 2 does not have.
    RESPONSES: {"type": "function", **CHAT_TOOL["function"]},
}
Joined = Callable[..., pd.DataFrame]


def chat(message: dict[str, Any], reason: str = "tool_calls") -> dict[str, Any]:
    """Return a ChatCompletion (OpenAI function calling guide, openai 3.54.0)."""
    return {
        "id": "chatcmpl-abc123",
        "object": "chat.completion",
        "created": 1699896916,
        "model": "gpt-4.1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "refusal": None, **message},
                "logprobs": None,
                "finish_reason": reason,
            }
        ],
        "usage": {"prompt_tokens": 82, "completion_tokens": 17, "total_tokens": 99},
    }


def call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}


def response(*items: dict[str, Any]) -> dict[str, Any]:
    return {"object": "response", "status": "completed", "output": list(items)}


def item(name: str, arguments: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": "call_1", "name": name, "arguments": arguments}


PARIS, ROME = '{"place": "Paris"}', '{"place":"Rome"}'


def test_the_shape_is_that_of_the_openai_package() -> None:
    assert ChatCompletion.model_validate(chat({"tool_calls": [call("w", PARIS)]}))


@pytest.mark.parametrize(
    ("body", "endpoint"),
    [
        (chat({"tool_calls": [call("weather", PARIS)]}), CHAT),
        (chat({"tool_calls": [call("weather", PARIS)]}, "stop"), CHAT),
        (chat({"function_call": {"name": "weather", "arguments": PARIS}}, "function_call"), CHAT),
        (response(item("weather", PARIS)), RESPONSES),
    ],
)
def test_one_call_is_its_name_and_its_arguments(body: Any, endpoint: str, joined: Joined) -> None:
    row = joined(body, endpoint=endpoint, tools=[TOOLS[endpoint]]).loc[0]
    assert row["bf_status"] == "ok"
    assert (row["tool_name"], row["tool_arguments"]) == ("weather", PARIS)
    assert pd.isna(row["response"])
    assert pd.isna(row["bf_error"])
    assert "weather" in row["bf_raw"]


@pytest.mark.parametrize(
    ("body", "endpoint"),
    [
        (chat({"tool_calls": [call("weather", PARIS), call("time", ROME)]}), CHAT),
        (response(item("weather", PARIS), item("time", ROME)), RESPONSES),
    ],
)
def test_several_calls_are_two_ordered_lists(body: Any, endpoint: str, joined: Joined) -> None:
    row = joined(body, endpoint=endpoint, tools=[TOOLS[endpoint]]).loc[0]
    assert json.loads(row["tool_name"]) == ["weather", "time"]
    assert json.loads(row["tool_arguments"]) == [{"place": "Paris"}, {"place": "Rome"}]


@pytest.mark.parametrize(
    ("body", "endpoint"),
    [
        (chat({"tool_calls": [{"id": "c", "type": "custom",
                               "custom": {"name": "sql", "input": 'select "a"'}}]}), CHAT),
        (response({"type": "custom_tool_call", "name": "sql", "input": 'select "a"'}), RESPONSES),
    ],
)  # fmt: skip
def test_the_input_of_a_custom_tool_is_a_json_string(
    body: Any, endpoint: str, joined: Joined
) -> None:
    tool = {"type": "custom", "name": "sql", "custom": {"name": "sql"}}
    row = joined(body, endpoint=endpoint, tools=[tool]).loc[0]
    assert (row["tool_name"], json.loads(row["tool_arguments"])) == ("sql", 'select "a"')


def test_a_text_answer_with_tools_stays_a_text(joined: Joined) -> None:
    body = chat({"content": "Which place?"}, "stop")
    row = joined(body, tools=[TOOLS[CHAT]]).loc[0]
    assert row["response"] == "Which place?"
    assert row[["tool_name", "tool_arguments", "bf_error"]].isna().all()


def test_an_answer_with_a_call_needs_no_valid_output(joined: Joined) -> None:
    body = chat({"content": "", "tool_calls": [call("weather", "{}")]})
    row = joined(body, tools=[TOOLS[CHAT]], output=["+", "-"]).loc[0]
    assert (row["bf_status"], row["tool_arguments"]) == ("ok", "{}")
    assert pd.isna(row["label"])


def test_arguments_that_are_not_json_are_invalid(joined: Joined) -> None:
    body = chat({"tool_calls": [call("weather", '{"place": ')]})
    row = joined(body, tools=[TOOLS[CHAT]]).loc[0]
    assert row["bf_status"] == "invalid"
    assert "'weather' are not JSON" in row["bf_error"]
    assert row[["tool_name", "tool_arguments"]].isna().all()
    assert "place" in row["bf_raw"]


def test_a_call_without_arguments_has_an_empty_object(joined: Joined) -> None:
    body = response({"type": "function_call", "name": "now"})
    row = joined(body, endpoint=RESPONSES, tools=[TOOLS[RESPONSES]]).loc[0]
    assert (row["tool_name"], row["tool_arguments"]) == ("now", "{}")


def test_a_call_without_tools_is_invalid(joined: Joined) -> None:
    row = joined(chat({"tool_calls": [call("weather", PARIS)]})).loc[0]
    assert row["bf_status"] == "invalid"


@pytest.mark.parametrize(
    "calls", [[], "text", [7], [{"type": "function"}], [{"function": {"arguments": "{}"}}]]
)
def test_malformed_calls_are_invalid(calls: Any, joined: Joined) -> None:
    row = joined(chat({"tool_calls": calls}), tools=[TOOLS[CHAT]]).loc[0]
    assert (row["bf_status"], pd.isna(row["tool_name"])) == ("invalid", True)


def test_a_call_that_was_cut_off_is_truncated(joined: Joined) -> None:
    body = chat({"tool_calls": [call("weather", '{"pl')]}, "length")
    assert joined(body, tools=[TOOLS[CHAT]]).loc[0, "bf_status"] == "truncated"


def test_reasoning_text_is_in_the_details(joined: Joined) -> None:
    body = chat({"content": "7", "reasoning_content": "3 + 4"}, "stop")
    assert joined(body).loc[0, "bf_reasoning"] == "3 + 4"


def test_only_jobs_with_callable_tools_have_call_columns() -> None:
    search = [{"type": "web_search"}]
    options = {"model": "gpt-5.6-luna", "endpoint": RESPONSES}
    for tools, there in ((search, False), ([*search, TOOLS[RESPONSES]], True)):
        requests = FRAME.assign(tool_name=1)
        if there:
            with pytest.raises(bf.errors.ColumnError, match="tool_name"):
                requests.bf.requests("{{ text }}", tools=tools, **options)
        else:
            assert len(requests.bf.requests("{{ text }}", tools=tools, **options)) == 3


def test_tools_in_the_format_of_the_other_endpoint_are_refused() -> None:
    for endpoint, other in ((CHAT, RESPONSES), (RESPONSES, CHAT)):
        with pytest.raises(RequestError, match="not in the format of"):
            FRAME.bf.requests("{{ text }}", model="m", endpoint=endpoint, tools=[TOOLS[other]])


def test_an_answer_column_cannot_be_named_like_a_call_column() -> None:
    with pytest.raises(OutputSpecError, match="tool_arguments"):
        FRAME.bf.requests("{{ text }}", model="m", name="tool_arguments", tools=[TOOLS[CHAT]])


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
@pytest.mark.parametrize("choice", ["required", "Weather"])
def test_the_local_server_calls_a_required_tool(
    endpoint: str, choice: str, server: batchframe.local.Server
) -> None:
    named = {CHAT: {"type": "function", "function": {"name": "Weather"}},
             RESPONSES: {"type": "function", "name": "Weather"}}  # fmt: skip
    requests = FRAME.bf.requests(
        "{{ text }}",
        model="gpt-5.6-luna",
        endpoint=endpoint,
        tools=[TOOLS[endpoint]],
        tool_choice=choice if choice == "required" else named[endpoint],
        **({"reasoning_effort": "none"} if endpoint == CHAT else {"reasoning": {"effort": "low"}}),
    )
    job = requests.submit(client=server.client()).wait()
    results = job.results(details=True)
    assert results["tool_name"].tolist() == ["Weather"] * 3
    for arguments in results["tool_arguments"]:
        Weather.model_validate_json(arguments)
    client = server.client()
    body = requests.preview(1)[0]["body"]
    if endpoint == CHAT:
        completion = client.chat.completions.create(**body)
        ChatCompletion.model_validate(completion.model_dump())
        assert completion.choices[0].finish_reason == (
            "tool_calls" if choice == "required" else "stop"
        )
    else:
        assert client.responses.create(**body).output[0].type == "function_call"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "no"}}])
def test_the_local_server_rejects_an_unknown_tool(
    choice: Any, server: batchframe.local.Server
) -> None:
    message: Any = [{"role": "user", "content": "Hi"}]
    tools = [] if choice == "required" else [TOOLS[CHAT]]
    with pytest.raises(openai.BadRequestError, match=r"tool_choice|not found"):
        server.client().chat.completions.create(
            model="m", messages=message, tools=tools, tool_choice=choice
        )
