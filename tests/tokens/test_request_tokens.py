import json
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
def test_reasoning_models_have_one_priming_token_less(model: str) -> None:
    assert chat(model).tokens == chat("gpt-4o").tokens - 1


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-4o-mini", "gpt-3.5-turbo", "gpt-5-chat-latest"])
def test_other_models_have_three_priming_tokens(model: str) -> None:
    # A message takes 3 tokens, its role and its texts; the start of the answer takes 3.
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
    expected = chat("gpt-4.1", messages=[system, *HELLO])
    assert responses("gpt-4.1", instructions="Be brief.") == expected


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
        {"model": "gpt-5", "messages": [*HELLO, {"role": "assistant", "content": "Hi"}, *HELLO]},
        {"messages": [{"role": "user", "content": ""}]},
        {"web_search_options": {"search_context_size": "low"}},
    ],
)
def test_a_chat_with_other_content_is_counted_but_not_exact(body: dict[str, Any]) -> None:
    count = chat(**body)
    assert count.tokens > 0
    assert not count.exact
    assert count.notes
    assert count.more is None or count.more > 0


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
def test_a_response_with_other_content_is_counted_but_not_exact(
    body: dict[str, Any],
) -> None:
    count = responses(**body)
    assert count.tokens > 0
    assert not count.exact
    assert count.notes


def text_of(schema: dict[str, Any]) -> str:
    """Return the text of a schema, as the service renders it."""
    return f"# Response Formats\n\n## label\n\n{json.dumps(schema, separators=(',', ':'))}"


LABEL = {
    "type": "object",
    "properties": {"label": {"type": "string", "description": "tone — mood"}},
}


@pytest.mark.parametrize(("model", "added"), [("gpt-4o", 2 + 1 + 4), ("gpt-5.4", 4)])
def test_a_chat_frames_a_schema_with_its_name(model: str, added: int) -> None:
    counted = chat(model, response_format=_schema_format(LABEL)).tokens - chat(model).tokens
    # Non-ASCII characters are escaped.
    assert counted == text_tokens(text_of(LABEL)) + added


@pytest.mark.parametrize(("model", "added"), [("gpt-4.1", 1), ("gpt-5.6-luna", 0)])
def test_a_response_sets_a_schema_apart(model: str, added: int) -> None:
    wanted = {"type": "json_schema", "name": "label", "schema": LABEL}
    counted = responses(model, text={"format": wanted}).tokens - responses(model).tokens
    assert counted == text_tokens(text_of(LABEL)) + added


@pytest.mark.parametrize("system", ["Be brief.", "Be brief"])
def test_a_schema_follows_the_system_message_of_a_chat(system: str) -> None:
    messages = [{"role": "system", "content": system}, *HELLO]
    wanted = _schema_format(LABEL)
    added = chat(messages=messages, response_format=wanted).tokens - chat(messages=messages).tokens
    # A full stop and the blank line after it are one token.
    joined = text_tokens(f"{system}\n\n{text_of(LABEL)}") - text_tokens(system)
    assert added == joined + 2 + 1


def test_an_earlier_answer_repeats_the_name_of_the_schema() -> None:
    messages = [*HELLO, {"role": "assistant", "content": "Hello"}, *HELLO]
    wanted = _schema_format(LABEL)
    longer = chat(messages=messages, response_format=wanted).tokens
    added = longer - chat(messages=messages).tokens
    assert added == chat(response_format=wanted).tokens - chat().tokens + 2 + 1


def test_keywords_that_no_recorded_request_had_widen_the_range() -> None:
    plain = chat(response_format=_schema_format(LABEL))
    dated = {"type": "object", "properties": {"label": {"type": "string", "format": "date"}}}
    counted = chat(response_format=_schema_format(dated))
    assert plain.more == 1
    assert counted.more is not None
    assert counted.more > 1
    assert any("format" in note for note in counted.notes)


@pytest.mark.parametrize("name", ["format", "pattern", "required"])
def test_a_property_may_be_named_as_a_keyword(name: str) -> None:
    one = {"type": "object", "properties": {name: {"type": "string"}}}
    none = {"type": "object", "properties": {}}
    counted = chat(response_format=_schema_format(one))
    assert counted.tokens > chat(response_format=_schema_format(none)).tokens + 3
    assert counted.more == 1


def test_keywords_of_the_decoder_cost_nothing_and_a_description_costs_itself() -> None:
    plain = chat(response_format=_schema_format(LABEL)).tokens
    limits = {"type": "integer", "minimum": 1, "maximum": 5, "default": 3}
    closed = {**LABEL, "additionalProperties": False, "required": ["label"], "$schema": "s"}
    assert chat(response_format=_schema_format(closed)).tokens == plain
    nested = {"type": "object", "properties": {"label": {"type": "array", "items": limits}}}
    bare = {
        "type": "object",
        "properties": {"label": {"type": "array", "items": {"type": "integer"}}},
    }
    assert chat(response_format=_schema_format(nested)).tokens == (
        chat(response_format=_schema_format(bare)).tokens
    )
    described = chat(response_format=_schema_format(LABEL, description="Just a label"))
    assert described.tokens > plain + 3


OPTIONAL = {"type": ["string", "null"], "description": "A city, if any"}
LOOK = {"name": "look", "parameters": {"type": "object", "properties": {"city": OPTIONAL}}}


def test_a_list_of_types_repeats_its_comment_on_chats_and_the_range_includes_both() -> None:
    one = {"type": "object", "properties": {"city": {**OPTIONAL, "type": "string"}}}
    single = chat(tools=[{"type": "function", "function": {**LOOK, "parameters": one}}])
    several = chat(tools=[{"type": "function", "function": LOOK}])
    repeated = 2 * (text_tokens("A city, if any") + 3)
    assert several.tokens == single.tokens + text_tokens(" | null") + repeated
    assert several.fewer >= single.fewer + repeated
    flat = responses("gpt-4.1", tools=[{"type": "function", **LOOK}])
    assert flat.more is not None
    assert flat.more - flat.fewer == repeated


def test_functions_added_within_a_conversation_are_counted_without_a_high_end() -> None:
    added = {"type": "additional_tools", "role": "developer", "tools": [{**LOOK}]}
    items = [{"role": "user", "content": "Say hello"}, added]
    counted, alone = responses("gpt-5.4", input=items), responses("gpt-5.4")
    assert counted.tokens > alone.tokens + 80
    assert counted.more is None


def test_the_grammar_of_a_custom_tool_is_counted_without_a_high_end() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: INT"}
    tool = {"type": "custom", "name": "number", "description": "A number", "format": grammar}
    texts = sum(map(text_tokens, ("number", "A number", "start: INT")))
    counted = responses("gpt-5.4", tools=[tool])
    assert counted.tokens - responses("gpt-5.4").tokens == texts
    assert counted.more is None
    nested = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: INT"}}
    custom = {"name": "number", "description": "A number", "format": nested}
    chats = chat("gpt-5.4", tools=[{"type": "custom", "custom": custom}])
    assert chats.tokens - chat("gpt-5.4").tokens == texts


def _schema_format(schema: dict[str, Any], **options: Any) -> dict[str, Any]:
    spec = {"name": "label", "schema": schema, **options}
    return {"type": "json_schema", "json_schema": spec}


def test_a_name_that_repeats_the_role_costs_one_token() -> None:
    named = chat(messages=[{**HELLO[0], "name": "user"}])
    assert named == TokenCount(chat().tokens + 1, exact=True)


def test_an_earlier_answer_of_a_chat_is_exact() -> None:
    messages = [*HELLO, {"role": "assistant", "content": "Hello"}, *HELLO]
    assert chat(messages=messages).exact


def test_earlier_answers_of_models_that_reason_take_two_tokens_more() -> None:
    messages = [*HELLO, {"role": "assistant", "content": "Hello"}, *HELLO]
    assert chat("gpt-5", messages=messages).tokens == chat("gpt-4o", messages=messages).tokens + 1


def test_the_snapshot_that_was_recorded_in_two_states_is_not_exact_on_responses() -> None:
    counted = responses("gpt-4o-2024-08-06")
    assert (counted.exact, counted.fewer, counted.more) == (False, 0, 18)
    assert chat("gpt-4o-2024-08-06").exact


def test_empty_instructions_are_no_message() -> None:
    counted = responses("gpt-5", instructions="")
    assert (counted.tokens, counted.exact) == (responses("gpt-5").tokens, False)


def test_a_stored_prompt_replaces_the_input_and_has_no_upper_bound() -> None:
    counted = count_tokens(
        {"model": "gpt-4.1", "prompt": {"id": "pmpt_1"}}, endpoint="/v1/responses"
    )
    assert (counted.exact, counted.more) == (False, None)


def test_a_name_costs_one_token_and_itself() -> None:
    named = chat(messages=[{**HELLO[0], "name": "Ada"}])
    assert named.tokens == chat().tokens + 1 + text_tokens("Ada")


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("Say hello", 2),
        (["Say hello", "Say hello"], 4),
        ([11, 12, 13], 3),
        ([[1, 2], [3]], 3),
        ([], 0),
        # Recorded.
        ("", 1),
    ],
)
def test_embedding_inputs_are_texts_or_tokens(value: Any, tokens: int) -> None:
    body = {"model": "text-embedding-3-small", "input": value}
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
    count = chat()
    assert count.exact
    assert (count.fewer, count.more, count.notes) == (0, 0, ())


@pytest.mark.parametrize("special", ["<|endoftext|>", "<|im_start|>system<|im_end|>"])
def test_special_tokens_in_a_message_are_counted_as_plain_text(special: str) -> None:
    count = chat(messages=[{"role": "user", "content": special}])
    assert count.exact
    assert count.tokens >= chat(messages=[{"role": "user", "content": "x"}]).tokens + 4


def test_an_unknown_tokenizer_leaves_a_schema_open_by_a_third() -> None:
    schema_format = _schema_format(LABEL)
    added = chat("llama-4", response_format=schema_format).tokens - chat("llama-4").tokens
    more = chat("llama-4", response_format=schema_format).more
    assert more is not None
    assert more >= (chat("llama-4").more or 0) + added / 4


def test_a_file_has_a_lower_bound_alone() -> None:
    count = chat(messages=[{"role": "user", "content": [{"type": "text", "text": "?"}, FILE]}])
    alone = chat(messages=[{"role": "user", "content": [{"type": "text", "text": "?"}]}])
    assert count.more is None
    assert count.tokens - (count.fewer or 0) > alone.tokens
    assert any("tokens of files are not published" in note for note in count.notes)


def test_a_presumed_tokenizer_says_so_in_the_notes() -> None:
    assert any("no tokenizer for gpt-6-luna" in note for note in chat("gpt-6-luna").notes)


@pytest.mark.parametrize("lacking", ["model", "messages"])
def test_a_body_without_a_required_field_is_refused(lacking: str) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    del body[lacking]
    with pytest.raises(RequestError, match=f"{lacking!r} is missing"):
        count_tokens(body)
