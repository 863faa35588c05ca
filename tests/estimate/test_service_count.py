"""Input tokens compared with the API's own count."""

from typing import Any

import numpy as np
import openai
import pandas as pd
import pytest

import batchframe
import batchframe.local
from batchframe import count_tokens
from batchframe._estimate import counting, service_count
from batchframe.errors import RequestError, ServiceError
from batchframe.local import Fault

FRAME = pd.DataFrame({"text": [f"review number {i} " * (i % 7 + 1) for i in range(60)]})


@pytest.fixture(autouse=True)
def _exact_engine() -> None:
    pytest.importorskip("splintr")


def requests() -> Any:
    return FRAME.bf.requests("Rate: {{ text }}", model="gpt-4.1")


def read(*tokens: int) -> counting.InputTokens:
    counts = np.array(tokens)
    return counting.InputTokens(counts, counts, counts, exact=True, notes=("first",))


def test_an_equal_count_of_the_api_changes_only_the_notes() -> None:
    with batchframe.local.serve() as server:
        checked = requests().estimate(check=True, client=server.client())
        assert not server.ledger
    plain = requests().estimate()
    assert checked.exact
    assert checked.input_tokens == plain.input_tokens
    assert "the same input tokens for 20 random requests" in " ".join(checked.notes)


def test_a_constant_difference_is_added_to_every_request() -> None:
    def seven_more(body: dict[str, Any]) -> int:
        return count_tokens(body, endpoint="/v1/responses").tokens + 7

    with batchframe.local.serve(count_tokens=seven_more) as server:
        checked = requests().estimate(check=True, client=server.client())
    plain = requests().estimate()
    assert checked.input_tokens.expected == plain.input_tokens.expected + 7 * 60
    assert not checked.exact
    assert "+7 tokens per request" in " ".join(checked.notes)


def test_another_difference_is_a_ratio_and_widens_the_range() -> None:
    ours, theirs = np.array([10, 20, 30]), np.array([11, 23, 32])
    corrected = service_count.corrected(read(10, 20, 30, 40), ours, theirs)
    assert corrected.total.expected == round(100 * 66 / 60)
    assert corrected.total.low < corrected.total.expected < corrected.total.high
    assert "+10.0%" in corrected.notes[-1]
    assert corrected.notes[0] == "first"


def test_a_few_checked_requests_leave_a_range() -> None:
    ours = np.full(20, 10)
    for theirs in (ours + 2, ours * 2):
        corrected = service_count.corrected(read(*[10] * 1_000), ours, theirs)
        assert corrected.total.low < corrected.total.expected < corrected.total.high
    ratio = service_count.corrected(
        read(*[10, 20] * 500), np.array([10, 20]), np.array([20, 40])
    ).total
    assert ratio.low < ratio.expected < ratio.high


def test_the_sampling_error_stays_in_the_range() -> None:
    tokens = np.array([10, 20])
    sampled = counting.InputTokens(tokens, tokens - 2, tokens + 2, exact=False, notes=(), chance=5)
    corrected = service_count.corrected(sampled, np.array([10, 20]), np.array([12, 22]))
    assert (corrected.total.low, corrected.total.expected, corrected.total.high) == (29, 34, 39)


def test_no_requests_make_no_call() -> None:
    frame = pd.DataFrame({"text": [None]}, dtype=object)
    nothing = frame.bf.requests("{{ text }}", model="gpt-4.1", on_missing="skip")
    unreachable = openai.OpenAI(api_key="sk-x", base_url="http://127.0.0.1:9/v1", max_retries=0)
    assert nothing.estimate(check=True, client=unreachable).input_tokens.expected == 0


def test_an_error_of_the_counting_route_is_raised() -> None:
    with batchframe.local.serve() as server:
        server.faults.add(Fault("POST /v1/responses/input_tokens", 400))
        with pytest.raises(ServiceError, match="HTTP 400"):
            requests().estimate(check=True, client=server.client())


def test_the_local_server_counts_as_estimates_do() -> None:
    body = {"model": "gpt-4.1", "input": "What's the weather like in SF?"}
    with batchframe.local.serve() as server:
        count = server.client().responses.input_tokens.count(**body)
    assert count.input_tokens == 14
    assert count.object == "response.input_tokens"


CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
FUNCTION = {"name": "look", "parameters": {"type": "object"}}


def test_a_chat_body_becomes_a_response_body() -> None:
    body = {
        "model": "gpt-4.1",
        "messages": [
            {"role": "system", "content": "Be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": "https://e.org/a", "detail": "low"}},
                ],
            },
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "7"},
            {"role": "assistant", "content": [{"type": "text", "text": "Seven"}]},
        ],
        "tools": [{"type": "function", "function": FUNCTION}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "reasoning_effort": "low",
        "verbosity": "low",
        "temperature": 0,
        "max_completion_tokens": 5,
    }
    assert service_count.counting_body("/v1/chat/completions", body) == {
        "model": "gpt-4.1",
        "input": [
            {"role": "system", "content": "Be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is it?"},
                    {"type": "input_image", "image_url": "https://e.org/a", "detail": "low"},
                ],
            },
            {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "7"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "Seven"}]},
        ],
        "text": {
            "format": {"type": "json_schema", "name": "n", "schema": {}},
            "verbosity": "low",
        },
        "tools": [{"type": "function", **FUNCTION}],
        "tool_choice": {"type": "function", "name": "look"},
        "reasoning": {"effort": "low"},
    }


def test_the_counting_body_omits_what_the_route_ignores() -> None:
    body = {"model": "m", "input": "Hi", "instructions": "Be brief", "max_output_tokens": 9}
    counting_body = service_count.counting_body("/v1/responses", body)
    assert counting_body == {"model": "m", "input": "Hi", "instructions": "Be brief"}


def test_a_schema_that_chats_frame_otherwise_is_not_corrected() -> None:
    frame = pd.DataFrame({"text": ["good", "bad"]})
    plan = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["positive", "negative"])
    with batchframe.local.serve() as server:
        checked = plan.estimate(check=True, client=server.client())
    assert checked.input_tokens.expected == plan.estimate().input_tokens.expected
    assert any("counts the same input tokens" in note for note in checked.notes)


def test_an_endpoint_that_the_api_cannot_count_is_refused() -> None:
    frame = pd.DataFrame({"text": ["a"]})
    requests = frame.bf.requests(
        "{{ text }}", model="text-embedding-3-small", endpoint="/v1/embeddings"
    )
    with (
        batchframe.local.serve() as server,
        pytest.raises(RequestError, match="without check=True"),
    ):
        requests.estimate(check=True, client=server.client())
