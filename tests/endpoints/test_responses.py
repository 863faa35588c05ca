"""``/v1/responses``: instructions and input in, output items out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pandas as pd
import pytest
from openai.types.responses import Response, response_create_params

import batchframe as bf
import batchframe.local
from batchframe.errors import OutputSpecError, RequestError

PATH = "/v1/responses"
FRAME = pd.DataFrame({"text": ["a", "b"], "who": ["Ann", "Bo"]})

# Of the OpenAI API reference and openai 3.54.0 (types/responses), as /v1/responses answers.
MESSAGE = {
    "type": "message",
    "id": "msg_67ccd2bf17f0819081ff3bb2cf6508e6",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Under the moon.", "annotations": []}],
}
REASONING = {
    "type": "reasoning",
    "id": "rs_6820f383d7c08191846711c5df8233bc",
    "summary": [
        {"type": "summary_text", "text": "First this."},
        {"type": "summary_text", "text": "Then that."},
    ],
    "encrypted_content": "gAAAA",
}
CALL = {
    "type": "function_call",
    "id": "fc_12345xyz",
    "call_id": "call_12345xyz",
    "name": "get_weather",
    "arguments": '{"location":"Paris, France"}',
    "status": "completed",
}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}}
USAGE = {
    "input_tokens": 36,
    "input_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 0},
    "output_tokens": 87,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 123,
}


def response(*output: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {
        "id": "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
        "object": "response",
        "created_at": 1741476542,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": "gpt-4.1-2025-04-14",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": USAGE,
        "metadata": {},
        **options,
    }


def message(*parts: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {**MESSAGE, "content": list(parts), **options}


def text(value: str) -> dict[str, Any]:
    return {"type": "output_text", "text": value, "annotations": []}


def body(**options: Any) -> dict[str, Any]:
    """Return the body of the first request."""
    options = {"prompt": "{{ text }}", "model": "gpt-5.6-luna", "endpoint": PATH, **options}
    request_body: dict[str, Any] = FRAME.bf.requests(**options).preview(1)[0]["body"]
    return request_body


@pytest.mark.parametrize("output", [(MESSAGE,), (REASONING, SEARCH, MESSAGE), (CALL,)])
def test_the_shapes_are_those_of_the_openai_package(output: tuple[dict[str, Any], ...]) -> None:
    items = [{**item, "action": {"type": "search", "query": "q"}} for item in output]
    assert Response.model_validate(response(*items)).usage is not None


def test_a_template_is_the_input_and_a_system_template_the_instructions() -> None:
    assert body(system="You serve {{ who }}.") == {
        "model": "gpt-5.6-luna",
        "instructions": "You serve Ann.",
        "input": "a",
    }


def test_messages_are_the_input_list() -> None:
    prompt = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Rate: {{ text }}"}]},
    ]
    assert body(prompt=prompt)["input"] == [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Rate: a"}]},
    ]


def test_a_function_may_return_a_string_or_messages() -> None:
    assert body(prompt=lambda row: f"Rate: {row['text']}", system="Short.") == {
        "model": "gpt-5.6-luna",
        "instructions": "Short.",
        "input": "Rate: a",
    }
    messages = [{"role": "user", "content": "a"}]
    assert body(prompt=lambda row: [{"role": "user", "content": row["text"]}])["input"] == messages


def test_an_output_spec_is_merged_with_other_text_settings() -> None:
    request_body = body(output=["+", "-"], text={"verbosity": "low"}, max_output_tokens=99)
    assert request_body["max_output_tokens"] == 99
    assert request_body["text"]["verbosity"] == "low"
    form = request_body["text"]["format"]
    assert (form["type"], form["name"], form["strict"]) == ("json_schema", "label", True)
    assert form["schema"]["properties"]["label"]["enum"] == ["+", "-"]


NOT_PASSED = {
    "model", "input", "instructions", "prompt", "service_tier", "stream_options",
    "background", "background_options",
}  # fmt: skip


PARAMETERS = set(response_create_params.ResponseCreateParamsBase.__annotations__)


@pytest.mark.parametrize("name", sorted(PARAMETERS - NOT_PASSED))
def test_a_parameter_of_the_openai_package_is_passed_unchanged(name: str) -> None:
    number = name in {"max_output_tokens", "temperature", "top_logprobs", "top_p"}
    value = 1 if number else {"a": 1}
    assert body(**{name: value})[name] == value


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"max_completion_tokens": 9}, "max_output_tokens=..."),
        ({"max_tokens": 9}, "max_output_tokens=..."),
        ({"reasoning_effort": "low"}, 'reasoning={"effort": "low"}'),
        ({"verbosity": "low"}, 'text={"verbosity": "low"}'),
        ({"instructions": "Be brief."}, "system=..."),
        ({"output": ["a"], "text": {"format": {"type": "text"}}}, 'remove "format"'),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, '"name": ...'),
    ],
)
def test_parameters_that_would_fail_every_row_are_refused_at_once(
    options: dict[str, Any], fragment: str
) -> None:
    with pytest.raises(RequestError) as excinfo:
        body(**options)
    assert fragment in str(excinfo.value)


Read = Callable[[str, Any], dict[str, Any]]


@pytest.mark.parametrize(
    ("response_body", "status", "answer_text", "fragment"),
    [
        (response(MESSAGE), "ok", "Under the moon.", None),
        (response(REASONING, SEARCH, MESSAGE), "ok", "Under the moon.", None),
        (response(message(text("Under "), text("the moon."))), "ok", "Under the moon.", None),
        (
            response(message(text("Let me see."), phase="commentary"),
                     message(text("7"), phase="final_answer")),
            "ok", "7", None,
        ),
        (response(message(text("Hm."), phase="commentary")), "ok", "Hm.", None),
        (response(CALL), "ok", None, None),
        (
            response(message({"type": "refusal", "refusal": "I can't."})),
            "refused", None, "the model refused: I can't.",
        ),
        (
            response(MESSAGE, status="incomplete",
                     incomplete_details={"reason": "content_filter"}),
            "refused", "Under the moon.", "content filter",
        ),
        (
            response(MESSAGE, status="incomplete",
                     incomplete_details={"reason": "max_output_tokens"}),
            "truncated", "Under the moon.", "raise max_output_tokens",
        ),
        (
            response(status="incomplete", incomplete_details={"reason": "max_messages"}),
            "truncated", None, "max_messages",
        ),
        (
            response(status="failed", error={"code": "invalid_prompt", "message": "Not so."}),
            "failed", None, "invalid_prompt: Not so.",
        ),
        (response(status="failed"), "failed", None, "no reason"),
        (response(status="cancelled"), "failed", None, "cancelled"),
        (response(status="queued"), "invalid", None, "omit background="),
        (response(), "invalid", None, "no text"),
        (response(SEARCH), "invalid", None, "no text"),
        ({"object": "response"}, "invalid", None, "is not one of /v1/responses"),
        ({"output": "text"}, "invalid", None, "is not one of /v1/responses"),
        (None, "invalid", None, "is not one of /v1/responses"),
        (
            response({**MESSAGE, "content": [7, None]}, {"type": "reasoning", "summary": 3}, {}),
            "invalid", None, "no text",
        ),
    ],
)  # fmt: skip
def test_every_way_a_response_can_end_has_its_status(
    response_body: Any, status: str, answer_text: str | None, fragment: str | None, read: Read
) -> None:
    answer = read(PATH, response_body)
    assert (answer["status"], answer["text"]) == (status, answer_text)
    assert fragment in answer["error"] if fragment else answer["error"] is None


def test_usage_and_reasoning_are_read(read: Read) -> None:
    answer = read(PATH, response(REASONING, MESSAGE))
    names = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
    assert [answer[name] for name in names] == [36, 87, 12, 64]
    assert answer["reasoning"] == "First this.\n\nThen that."
    assert answer["finish_reason"] == "completed"


@pytest.mark.parametrize("usage", [None, 7, {}, {"input_tokens": -1}, {"input_tokens": True}])
def test_a_malformed_usage_does_not_affect_the_answer(usage: Any, read: Read) -> None:
    answer = read(PATH, response(MESSAGE, usage=usage))
    assert (answer["status"], answer["input_tokens"]) == ("ok", None)


def test_reasoning_is_in_the_details(joined: Callable[..., pd.DataFrame]) -> None:
    row = joined(response(REASONING, MESSAGE), endpoint=PATH).loc[0]
    assert row["response"] == "Under the moon."
    assert row["bf_reasoning"] == "First this.\n\nThen that."
    assert row["bf_reasoning_tokens"] == 64
    assert row["bf_finish_reason"] == "completed"


def test_a_text_that_breaks_the_schema_is_invalid(joined: Callable[..., pd.DataFrame]) -> None:
    row = joined(response(MESSAGE), endpoint=PATH, output=["a"]).loc[0]
    assert row["bf_status"] == "invalid"
    assert row["bf_raw"] == "Under the moon."


def test_the_estimate_knows_the_limits_of_this_endpoint() -> None:
    options = {"model": "gpt-5.6-luna", "endpoint": PATH}
    free = FRAME.bf.requests("{{ text }}", **options).estimate()
    bound = FRAME.bf.requests("{{ text }}", max_output_tokens=10, **options).estimate()
    thoughtless = FRAME.bf.requests(
        "{{ text }}", reasoning={"effort": "none"}, **options
    ).estimate()
    assert free.output_tokens.high is None
    assert bound.output_tokens.high == 20
    assert any(note.startswith("Reasoning") for note in free.notes)
    assert not any(note.startswith("Reasoning") for note in thoughtless.notes)
    assert free.input_tokens == FRAME.bf.requests("{{ text }}", model="gpt-5.6-luna").estimate(
    ).input_tokens  # fmt: skip


def test_the_genuine_client_reads_what_the_local_server_answers(
    server: batchframe.local.Server,
) -> None:
    client = server.client()
    request_body = body(system="Be brief.", output=["+", "-"], max_output_tokens=50)
    answer = client.responses.create(**request_body)
    assert answer.output_text in {'{"label":"+"}', '{"label":"-"}'}
    Response.model_validate(answer.model_dump(by_alias=True))
    with pytest.raises(openai.BadRequestError, match="input"):
        client.responses.create(model="gpt-5.6-luna", instructions="only")


def test_duplicate_answer_columns_are_refused() -> None:
    tool = {"type": "function", "name": "f", "parameters": {}}
    with pytest.raises(OutputSpecError, match="tool_name"):
        body(output=str, name="tool_name", tools=[tool])


def test_the_card_shows_instructions_and_input() -> None:
    requests = FRAME.bf.requests(
        "{{ text }}", model="gpt-5.6-luna", endpoint=PATH, system="You serve {{ who }}."
    )
    assert "You serve Ann." in repr(requests)
    assert bf.requests(FRAME, "{{ text }}", model="m", endpoint=PATH).endpoint == PATH
