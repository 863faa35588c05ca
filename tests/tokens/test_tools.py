from typing import Any

import pytest

from batchframe import TokenCount, count_tokens
from batchframe._tokens.tools import namespace

pytestmark = pytest.mark.filterwarnings("error")
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
    look = {"name": "look", "description": "Look out\nof the window"}
    assert namespace([look]).splitlines() == [
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


def test_a_schema_that_holds_itself_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert "any" in namespace([{"name": "f", "parameters": node}])
    loop = {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"$ref": "#/$defs/A"}}}
    assert "a?: any," in namespace([{"name": "f", "parameters": loop}])


@pytest.mark.parametrize("odd", [None, "text", 7, {"type": "function"}, {"function": "no"}])
def test_a_tool_of_an_odd_shape_is_not_counted_and_said_to_be_unbounded(odd: Any) -> None:
    found = chat(tools=[odd])
    assert (found.tokens, found.more) == (chat().tokens, None)
    assert any("not published" in note for note in found.notes)


def chat(model: str = "gpt-4o", **body: Any) -> TokenCount:
    return count_tokens({"model": model, "messages": HELLO, **body})


def test_the_shapes_of_one_function_cost_the_same() -> None:
    function = {"name": "look", "description": "Look out", "parameters": ADDRESS}
    nested = chat(tools=[{"type": "function", "function": function}])
    assert chat(functions=[function]).tokens == nested.tokens
    flat = {"model": "gpt-4o", "input": "Say hello", "tools": [{"type": "function", **function}]}
    # Recorded: two tokens fewer on /v1/responses.
    assert count_tokens(flat, endpoint="/v1/responses").tokens == nested.tokens - 2


def test_tools_share_the_system_message() -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": ADDRESS}}
    system = {"role": "system", "content": "Be brief"}
    alone = chat(tools=[tool]).tokens - chat().tokens
    shared = chat(messages=[system, *HELLO], tools=[tool]).tokens
    assert shared - chat(messages=[system, *HELLO]).tokens == alone - 4 + 1


def test_models_that_reason_are_told_where_calls_go() -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": ADDRESS}}
    added = chat("gpt-5.2", tools=[tool]).tokens - chat("gpt-5.2").tokens
    assert added - (chat(tools=[tool]).tokens - chat().tokens) == 15


def test_a_call_counts_its_name_twice() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [*HELLO, {"role": "assistant", "content": None, "tool_calls": [call]}]
    counted = chat(messages=messages)
    assert counted.tokens - chat().tokens == 3 + 1 + 2 * 1 + 1 + 4
    assert any("within 5 tokens" in note for note in counted.notes)
