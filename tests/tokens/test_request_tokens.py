from typing import Any

import pytest

from batchframe import TokenCount, count_tokens
from batchframe.errors import RequestError

# The example of the OpenAI Cookbook, "How to count tokens with tiktoken".
COOKBOOK = [
    {
        "role": "system",
        "content": "You are a helpful, pattern-following assistant that translates corporate "
        "jargon into plain English.",
    },
    {
        "role": "system",
        "name": "example_user",
        "content": "New synergies will help drive top-line growth.",
    },
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Things working well together will increase revenue.",
    },
    {
        "role": "system",
        "name": "example_user",
        "content": "Let's circle back when we have more bandwidth to touch base on opportunities "
        "for increased leverage.",
    },
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Let's talk later when we're less busy about how to do better.",
    },
    {
        "role": "user",
        "content": "This late pivot means we don't have time to boil the ocean for the client "
        "deliverable.",
    },
]
HELLO = [{"role": "user", "content": "Say hello"}]

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def _exact_engine() -> None:
    pytest.importorskip("splintr")


def chat(model: str = "gpt-4o", **body: Any) -> TokenCount:
    return count_tokens({"model": model, "messages": HELLO, **body})


def text_tokens(text: str, model: str = "gpt-4o") -> int:
    """Count a string without framing."""
    return count_tokens({"model": model, "prompt": text}, endpoint="/v1/completions").tokens


def responses(model: str = "gpt-4o", **body: Any) -> TokenCount:
    return count_tokens({"model": model, "input": "Say hello", **body}, endpoint="/v1/responses")


@pytest.mark.parametrize(("model", "tokens"), [("gpt-4-0613", 129), ("gpt-4o", 124)])
def test_the_cookbooks_example_is_counted_as_the_cookbook_says(model: str, tokens: int) -> None:
    assert chat(model, messages=COOKBOOK) == TokenCount(tokens, exact=True)


@pytest.mark.parametrize(
    "model", ["o3-mini", "o3", "gpt-5", "gpt-5.2", "gpt-5.6-sol", "gpt-6-luna"]
)
def test_models_that_reason_are_primed_with_one_token_less(model: str) -> None:
    assert chat(model).tokens == chat("gpt-4o").tokens - 1


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-4o-mini", "gpt-3.5-turbo", "gpt-5-chat-latest"])
def test_other_models_are_primed_with_three_tokens(model: str) -> None:
    # A message takes 3 tokens and its role and texts, the answer's start 3.
    assert chat(model).tokens == 3 + 1 + text_tokens("Say hello", model) + 3


@pytest.mark.parametrize(
    "model", ["gpt-6-luna", "gpt-oss-20b", "llama-4", "o1-mini", "gpt-4o-search-preview"]
)
def test_a_model_whose_rules_are_not_confirmed_is_never_exact(model: str) -> None:
    assert not chat(model).exact


@pytest.mark.parametrize("model", ["gpt-5.6-luna", "gpt-4.1-nano", "o4-mini", "gpt-35-turbo"])
def test_a_model_whose_rules_are_confirmed_is_exact_for_plain_texts(model: str) -> None:
    assert chat(model).exact


def test_instructions_count_as_one_system_message() -> None:
    system = {"role": "system", "content": "Be brief."}
    assert responses(instructions="Be brief.") == chat(messages=[system, *HELLO])


@pytest.mark.parametrize("content", ["Say hello", [{"type": "input_text", "text": "Say hello"}]])
def test_the_forms_of_a_responses_input_count_the_same(content: Any) -> None:
    assert responses(input=[{"role": "user", "content": content}]) == responses()


@pytest.mark.parametrize("empty", [{"tools": []}, {"response_format": {"type": "text"}}])
def test_an_empty_option_adds_nothing(empty: dict[str, Any]) -> None:
    assert chat(**empty) == chat()


TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
SCHEMA: dict[str, Any] = {"type": "json_schema", "name": "label", "schema": {"type": "object"}}
FILE = {"type": "file", "file": {"file_id": "file-1"}}


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [TOOL]},
        {"functions": [TOOL["function"]]},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "What?"}, IMAGE]}]},
        {"messages": [*HELLO, {"role": "tool", "tool_call_id": "1", "content": "7"}]},
        {
            "messages": [
                *HELLO,
                {"role": "assistant", "content": None, "tool_calls": [TOOL]},
            ]
        },
        {"messages": [*HELLO, {"role": "assistant", "content": "Hello"}, *HELLO]},
        {"messages": [{"role": "user", "content": ""}]},
        {"web_search_options": {"search_context_size": "low"}},
    ],
)
def test_a_chat_with_more_than_texts_is_counted_but_not_called_exact(body: dict[str, Any]) -> None:
    counted = chat(**body)
    assert counted.tokens > 0
    assert not counted.exact
    assert counted.notes
    assert counted.more is None or counted.more > 0


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"type": "web_search"}]},
        {"text": {"format": SCHEMA}},
        {"previous_response_id": "resp_1"},
        {"reasoning": {"mode": "pro"}},
        {"input": [{"type": "function_call_output", "call_id": "1", "output": "7"}]},
    ],
)
def test_a_response_with_more_than_texts_is_counted_but_not_called_exact(
    body: dict[str, Any],
) -> None:
    counted = responses(**body)
    assert counted.tokens > 0
    assert not counted.exact
    assert counted.notes


def test_a_schema_costs_the_same_on_both_endpoints() -> None:
    in_chat = chat(response_format={"type": "json_schema", "json_schema": SCHEMA})
    assert responses(text={"format": SCHEMA}) == in_chat


def test_a_schema_costs_four_tokens_more_without_a_system_message() -> None:
    schema = {"type": "object", "properties": {"label": {"type": "string"}}}
    wanted = _schema_format(schema)
    system = [{"role": "system", "content": "Be brief."}, *HELLO]
    alone = chat(response_format=wanted).tokens - chat().tokens
    carried = chat(messages=system, response_format=wanted).tokens - chat(messages=system).tokens
    assert alone == carried + 4
    text = '{"type":"object","properties":{"label":{"type":"string"}}}'
    assert carried == text_tokens(text) + 2 - 2


def test_forbidding_further_properties_costs_nothing_and_a_description_costs_itself() -> None:
    plain = chat(response_format=_schema_format(SCHEMA["schema"])).tokens
    closed = {**SCHEMA["schema"], "additionalProperties": False}
    assert chat(response_format=_schema_format(closed)).tokens == plain
    described = chat(response_format=_schema_format(SCHEMA["schema"], description="Just a label"))
    assert described.tokens > plain + 3


def _schema_format(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    spec = {"name": "label", "schema": schema, **more}
    return {"type": "json_schema", "json_schema": spec}


def test_a_name_costs_one_token_and_itself() -> None:
    named = chat(messages=[{**HELLO[0], "name": "Ada"}])
    assert named.tokens == chat().tokens + 1 + text_tokens("Ada")


@pytest.mark.parametrize(
    ("given", "tokens"),
    [
        ("Say hello", 2),
        (["Say hello", "Say hello"], 4),
        ([11, 12, 13], 3),
        ([[1, 2], [3]], 3),
        ([], 0),
    ],
)
def test_embedding_inputs_are_texts_or_tokens(given: Any, tokens: int) -> None:
    body = {"model": "text-embedding-3-small", "input": given}
    assert count_tokens(body, endpoint="/v1/embeddings") == TokenCount(tokens, exact=True)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(RequestError, match="'messages'"):
        count_tokens({"model": "gpt-4o"})
    with pytest.raises(RequestError, match="'model'"):
        count_tokens({"input": "Say hello"}, endpoint="/v1/embeddings")


def test_an_unknown_endpoint_names_the_supported_ones() -> None:
    with pytest.raises(RequestError, match="/v1/chat/completions"):
        count_tokens({"model": "gpt-4o"}, endpoint="/v1/chat/completion")


def test_an_exact_count_has_no_notes_and_no_error() -> None:
    counted = chat()
    assert counted.exact
    assert (counted.fewer, counted.more, counted.notes) == (0, 0, ())


@pytest.mark.parametrize("special", ["<|endoftext|>", "<|im_start|>system<|im_end|>"])
def test_special_tokens_in_a_message_are_counted_as_plain_text(special: str) -> None:
    counted = chat(messages=[{"role": "user", "content": special}])
    assert counted.exact
    assert counted.tokens >= chat(messages=[{"role": "user", "content": "x"}]).tokens + 4


def test_a_file_is_not_counted_and_nothing_bounds_it() -> None:
    counted = chat(messages=[{"role": "user", "content": [{"type": "text", "text": "?"}, FILE]}])
    assert counted.more is None
    assert any("Files" in note for note in counted.notes)


def test_a_presumed_tokenizer_says_so_in_the_notes() -> None:
    assert any("no tokenizer for gpt-6-luna" in note for note in chat("gpt-6-luna").notes)


@pytest.mark.parametrize("lacking", ["model", "messages"])
def test_a_body_without_what_its_endpoint_needs_is_refused(lacking: str) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    del body[lacking]
    with pytest.raises(RequestError, match=f"{lacking!r} is missing"):
        count_tokens(body)
