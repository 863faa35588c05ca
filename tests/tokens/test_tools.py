from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe import TokenCount, count_tokens
from batchframe._tokens.tools import namespace

HELLO = [{"role": "user", "content": "Say hello"}]
ADDRESS = {
    "type": "object",
    "properties": {
        "street": {"type": "string", "description": "With the number"},
        "zip": {"type": "integer"},
    },
    "required": ["street"],
}


@pytest.fixture(autouse=True)
def _exact_engine() -> None:
    pytest.importorskip("splintr")


def written(properties: dict[str, Any], *required: str, **more: Any) -> list[str]:
    parameters = {"type": "object", "properties": properties, "required": list(required), **more}
    lines = namespace([{"name": "f", "parameters": parameters}]).splitlines()
    return lines[3:-3]


def test_a_function_without_parameters_takes_nothing() -> None:
    function = {"name": "look", "description": "Look out\nof the window"}
    assert namespace([function]).splitlines() == [
        "namespace functions {",
        "",
        "// Look out",
        "// of the window",
        "type look = () => any;",
        "",
        "} // namespace functions",
    ]


def test_a_property_that_is_not_required_is_optional() -> None:
    number = {"type": "number"}
    assert written({"a": number, "b": number}, "a") == ["a: number,", "b?: number,"]


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "integer"}, "number"),
        ({"type": "boolean"}, "boolean"),
        ({"type": "null"}, "null"),
        ({"enum": ["C", "F"]}, '"C" | "F"'),
        ({"type": "integer", "enum": [1, 2]}, "1 | 2"),
        ({"const": "x"}, '"x"'),
        ({"type": "array"}, "any[]"),
        ({"type": "array", "items": {"type": "array", "items": {"type": "string"}}}, "string[][]"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "string | number"),
        ({}, "any"),
        ({"$ref": "#/$defs/nowhere"}, "any"),
    ],
)
def test_types_are_written_as_typescript(schema: dict[str, Any], kind: str) -> None:
    assert written({"x": schema}, "x") == [f"x: {kind},"]


def test_nested_objects_references_descriptions_and_defaults_are_shown() -> None:
    properties = {
        "to": {"$ref": "#/$defs/Address"},
        "note": {"type": "string", "title": "Note", "default": ""},
    }
    assert written(properties, "to", **{"$defs": {"Address": ADDRESS}}) == [
        "to: {",
        "// With the number",
        "street: string,",
        "zip?: number,",
        "},",
        "// Note",
        'note?: string, // default: ""',
    ]


def test_a_recursive_schema_terminates() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert "any" in namespace([{"name": "f", "parameters": node}])
    loop = {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"$ref": "#/$defs/A"}}}
    assert "a?: any," in namespace([{"name": "f", "parameters": loop}])


@pytest.mark.parametrize("malformed", [None, "text", 7, {"type": "function"}, {"function": "no"}])
def test_a_malformed_tool_is_not_counted_and_noted_as_unbounded(malformed: Any) -> None:
    count = chat(tools=[malformed])
    assert (count.tokens, count.more) == (chat().tokens, None)
    assert any("not published" in note for note in count.notes)


def chat(model: str = "gpt-4o", **body: Any) -> TokenCount:
    return count_tokens({"model": model, "messages": HELLO, **body})


def tool(**function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "look", "parameters": ADDRESS, **function}}


def added(model: str = "gpt-4o", **body: Any) -> int:
    """Count what tools add to a chat."""
    bare = {key: value for key, value in body.items() if key == "messages"}
    return chat(model, **body).tokens - chat(model, **bare).tokens


def test_all_formats_of_a_function_cost_the_same() -> None:
    function = {"name": "look", "description": "Look out", "parameters": ADDRESS}
    nested = chat(tools=[{"type": "function", "function": function}])
    assert chat(functions=[function]).tokens == nested.tokens
    flat = {"model": "gpt-4.1", "input": "Say hello", "tools": [{"type": "function", **function}]}
    # Recorded: -3 on /v1/responses, -1 + 4 in a chat without a system message.
    assert count_tokens(flat, endpoint="/v1/responses").tokens == nested.tokens - 6


def test_tools_share_the_system_message() -> None:
    messages = [{"role": "system", "content": "Be brief."}, *HELLO]
    assert added(tools=[tool()], messages=messages) == added(tools=[tool()]) - 4


@pytest.mark.parametrize(
    ("model", "tokens"), [("gpt-5.2", 85 - 1 - 3), ("gpt-5.6-luna", 85 - 1 - 3), ("o3-mini", 1)]
)
def test_reasoning_models_frame_functions_differently(model: str, tokens: int) -> None:
    assert added(model, tools=[tool()]) - added(tools=[tool()]) == tokens


def test_a_function_without_a_description_takes_one_token_less_where_models_reason() -> None:
    comment = added(tools=[tool(description="Look out")]) - added(tools=[tool()])
    described = added("gpt-5", tools=[tool(description="Look out")])
    assert described - added("gpt-5", tools=[tool()]) == comment + 1


def test_an_object_whose_first_property_has_no_comment_takes_one_token_less() -> None:
    plain = {"type": "object", "properties": {"zip": {"type": "integer"}}}
    titled = {"type": "object", "properties": {"zip": {"type": "integer", "title": "Zip"}}}
    first, second = (tool(parameters=parameters) for parameters in (plain, titled))
    texts = [count_prompt(namespace([item["function"]])) for item in (first, second)]
    assert added(tools=[second]) - added(tools=[first]) == texts[1] - texts[0] + 1


def count_prompt(text: str) -> int:
    body = {"model": "gpt-4o", "prompt": text}
    return count_tokens(body, endpoint="/v1/completions").tokens


def test_a_function_that_must_be_called_costs_its_address() -> None:
    choice = {"type": "function", "function": {"name": "look"}}
    forced = added(tools=[tool()], tool_choice=choice) - added(tools=[tool()])
    assert forced == count_prompt(" to=functions.look") + 4
    assert added("gpt-5", tools=[tool()], tool_choice=choice) == added("gpt-5", tools=[tool()])


def test_on_responses_the_only_function_that_must_be_called_costs_its_address() -> None:
    flat = {"type": "function", "name": "look", "parameters": ADDRESS}
    body = {"model": "gpt-4.1", "input": "Say hello", "tools": [flat]}
    plain = count_tokens(body, endpoint="/v1/responses").tokens
    required = count_tokens({**body, "tool_choice": "required"}, endpoint="/v1/responses").tokens
    assert required - plain == count_prompt(" to=functions.look") + 4


def test_objects_in_arrays_and_behind_references_have_their_comments_before_them() -> None:
    house = {**ADDRESS, "title": "House", "description": "Where it stands"}
    properties = {
        "all": {"type": "array", "items": house},
        "one": {"$ref": "#/$defs/House"},
        "here": house,
    }
    body = ["{", "// With the number", "street: string,", "zip?: number,", "}"]
    assert written(properties, "all", "one", "here", **{"$defs": {"House": house}}) == [
        "all: Array<",
        "// House",
        "//",
        "// Where it stands",
        *body,
        ">,",
        "one: // House",
        "//",
        "// Where it stands",
        *body[:-1],
        "},",
        "// House",
        "//",
        "// Where it stands",
        "here: {",
        *body[1:-1],
        "},",
    ]


def test_comments_are_stripped_line_by_line() -> None:
    look = {"name": "look", "description": "\n  Look out\n\n    of the window  \n"}
    assert namespace([look]).splitlines()[2:5] == ["// Look out", "//", "// of the window"]
    assert namespace([{"name": "look", "description": " \n"}]).splitlines()[2].startswith("type")


def test_an_empty_comment_separates_title_and_description() -> None:
    note = {"type": "string", "title": "Note", "description": "What to say"}
    assert written({"note": note}, "note") == ["// Note", "//", "// What to say", "note: string,"]


def test_definitions_that_contain_each_other_end_soon() -> None:
    tree = {
        "type": "object",
        "properties": {"l": {"$ref": "#/$defs/T"}, "r": {"$ref": "#/$defs/T"}},
    }
    root = {"type": "object", "properties": {"tree": {"$ref": "#/$defs/T"}}, "$defs": {"T": tree}}
    assert namespace([{"name": "f", "parameters": root}]).count("any") == 2 + 1


def test_unexplained_differences_widen_the_range() -> None:
    note = {"type": ["string", "null"], "description": "What to tell the neighbors about it"}
    either = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    plain = chat(tools=[tool()])
    for properties in ({"note": note}, {"note": either}):
        parameters = {"type": "object", "properties": properties}
        wide = chat(tools=[tool(parameters=parameters)])
        assert wide.more is not None
        assert plain.more is not None
        assert wide.fewer + wide.more >= plain.fewer + plain.more + 10


@pytest.mark.parametrize("hosted", ["web_search", "file_search", "code_interpreter"])
def test_a_hosted_tool_has_no_upper_bound(hosted: str) -> None:
    body = {"model": "gpt-4.1", "input": "Say hello", "tools": [{"type": hosted}]}
    assert count_tokens(body, endpoint="/v1/responses").more is None


def call(name: str, arguments: str, number: int = 1) -> dict[str, Any]:
    return {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def result(content: Any, number: int = 1) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": content}


def after(*messages: dict[str, Any], model: str = "gpt-4o") -> int:
    """Count what earlier calls add to a chat."""
    return chat(model, messages=[*HELLO, *messages]).tokens - chat(model).tokens


def asks(*calls: dict[str, Any], content: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


@pytest.mark.parametrize(("model", "frame"), [("gpt-4o", 12), ("o3-mini", 12), ("gpt-5", 18)])
def test_a_call_and_its_result_name_the_function_twice(model: str, frame: int) -> None:
    pair = asks(call("look", '{ "far": true }')), result("Rain")
    texts = ("look", "functions.look", '{"far":true}', "Rain")
    assert after(*pair, model=model) == sum(map(count_prompt, texts)) + frame
    assert after(pair[0], model=model) == after(*pair, model=model) - 4 - count_prompt("Rain")


@pytest.mark.parametrize(("model", "frame"), [("gpt-4o", 20), ("gpt-5", 26)])
def test_calls_in_parallel_are_one_call_and_their_results_one_list(model: str, frame: int) -> None:
    calls = asks(call("look", '{"a": 1}'), call("hear", "{}", 2))
    results = (
        result("3"),
        result([{"type": "text", "text": "It's"}, {"type": "text", "text": " 4"}], 2),
    )
    uses = (
        '{"tool_uses":[{"recipient_name":"functions.look","parameters":{"a":1}},'
        '{"recipient_name":"functions.hear","parameters":{}}]}'
    )
    expected = count_prompt(uses) + count_prompt('["3", "It\'s 4"]') + frame
    assert after(calls, *results, model=model) == expected


def test_a_text_next_to_calls_is_a_separate_message() -> None:
    plain, talking = asks(call("look", "{}")), asks(call("look", "{}"), content="Wait a moment.")
    more = 3 + count_prompt("assistant") + count_prompt("Wait a moment.")
    assert after(talking, result("Rain")) == after(plain, result("Rain")) + more


@pytest.mark.parametrize(("model", "frame", "identified"), [("gpt-4.1", 9, 3), ("gpt-5.4", 18, 0)])
def test_a_call_of_responses_may_cost_more_with_its_id(
    model: str, frame: int, identified: int
) -> None:
    request_item = {"type": "function_call", "call_id": "1", "name": "look", "arguments": "{}"}
    result_item = {"type": "function_call_output", "call_id": "1", "output": "Rain"}
    input_ = [{"role": "user", "content": "Say hello"}]

    def count(*items: dict[str, Any]) -> int:
        body = {"model": model, "input": [*input_, *items]}
        return count_tokens(body, endpoint="/v1/responses").tokens

    texts = ("functions.look", "functions.look", "{}", "Rain")
    assert count(request_item, result_item) - count() == sum(map(count_prompt, texts)) + frame
    assert (
        count({**request_item, "id": "fc_1"}, result_item)
        == count(request_item, result_item) + identified
    )


def test_arguments_that_are_not_json_are_counted_as_they_are() -> None:
    both = asks(call("look", "{ broken"), call("look", "also broken", 2))
    assert after(asks(call("look", "{ broken")), result("x")) > 12
    assert after(both, result("x"), result("y", 2)) > 20


def test_a_result_without_its_call_is_counted_as_a_message() -> None:
    counted = chat(messages=[*HELLO, result("Rain", 7)])
    assert counted.tokens > chat().tokens
    assert not counted.exact


KEYS = ["type", "properties", "items", "anyOf", "enum", "title", "description", "$ref", "required"]
ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.just("\ud800"),
    lambda inside: (
        st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inside, max_size=4)
    ),
    max_leaves=12,
)


@given(ODD, ODD)
def test_functions_and_calls_of_any_shape_are_counted(value: Any, other: Any) -> None:
    unusual = tool(parameters=value, description=other)
    calls = asks(call("look", str(value)), {**call("look", "{}", 2), "function": other})
    assert chat(tools=[unusual, value], messages=[*HELLO, calls, result("7")]).tokens > 0
    schema = {"name": "odd", "schema": value, "description": other}
    assert chat(response_format={"type": "json_schema", "json_schema": schema}).tokens > 0
