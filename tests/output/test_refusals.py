"""Schemas that strict mode rejects are refused at once, with path and fix."""

from __future__ import annotations

import decimal
import enum
import pathlib
from typing import Any, Literal

import pandas as pd
import pytest
from pydantic import AnyUrl, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from batchframe.errors import OutputSpecError


def spec_of(output: object, **options: Any) -> Any:
    """Return the output spec of `output=`."""
    frame = pd.DataFrame({"t": ["a"]})
    return frame.bf.requests("{{ t }}", model="m", output=output, **options)._table.recipe.output


class Counts(BaseModel):
    per_word: dict[str, int]


class Review(BaseModel):
    counts: Counts


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Nothing(BaseModel):
    pass


class Empty(enum.Enum):
    pass


class Mixed(enum.Enum):
    A = "a"
    B = 1


class Half(enum.Enum):
    A = 0.5


class Pairs(BaseModel):
    pairs: list[tuple[int, str]]


class Anything(BaseModel):
    items: list[Any]


class Tagged(BaseModel):
    tags: set[str]


class Link(BaseModel):
    url: AnyUrl


class Password(BaseModel):
    word: str = Field(json_schema_extra={"pattern": r"^(?=.*\d).+$"})


def of(node: dict[str, Any]) -> dict[str, Any]:
    return {"title": "T", "type": "object", "properties": {"a": node}}


@pytest.mark.parametrize(
    ("output", "fragments"),
    [
        ([], ["output: no labels", 'output=["positive", "negative"]']),
        (["a", "b", "a"], ["duplicate labels ('a')", "dict.fromkeys"]),
        (["a", 1], ["all strings or all 64-bit integers", "'a', 1"]),
        ([1.5], ["1.5", "str(label)"]),
        ([2**70], ["64-bit integers"]),
        ([None, "a", 1], ["all strings or all 64-bit integers"]),
        (Mixed, ["Mixed: labels must be all strings"]),
        (Half, ["0.5"]),
        (Empty, ["Empty: no labels"]),
        ({"a", "b"}, ["not a list of labels (set)", "sorted(labels)"]),
        ("positive", ["not a list of labels", 'output=["positive", "negative"]']),
        (3, ["not convertible to a JSON schema (3)", "a list of labels"]),
        (print, ["not convertible to a JSON schema"]),
        (["a" * 60] * 2, ["duplicate labels"]),
        ([str(i) for i in range(1_001)], ["1,001 labels", "at most 1,000"]),
        (["x" * 60 + str(i) for i in range(251)], ["an enum of 251 labels", "at most 15,000"]),
        (Review, ["Counts.per_word", "list[Pair]"]),
        (dict[str, int], ["dict has unknown keys", "named fields"]),
        (Loose, ["Loose has unknown keys", "extra='allow'"]),
        (Nothing, ["Nothing: an object without fields"]),
        (Any, ["no type"]),
        (list, ["list[]: no type", "list[str]"]),
        (Anything, ["Anything.items[]: no type"]),
        (Pairs, ["Pairs.pairs[]: strict mode rejects 'prefixItems'", "named fields"]),
        (Tagged, ["Tagged.tags: strict mode rejects 'uniqueItems'", "list[...]"]),
        (Link, ["Link.url", "'uri'", "use str"]),
        (pathlib.Path, ["'path'"]),
        (bytes, ["'binary'"]),
        (Password, ["Password.word", "lookaround"]),
        (Literal[True], ["only one value (True)"]),
        ({}, ["no type"]),
        ({"positive": "happy", "negative": "sad"}, ["no type"]),
        ({"type": "json_schema", "json_schema": {}}, ['["json_schema"]["schema"]']),
        ({"type": "json_schema", "name": "x", "schema": {}}, ['response_format["schema"]']),
        (of({"type": "object"}), ["T.a has unknown keys"]),
        (of({"type": "text"}), ["T.a: invalid type ('text')", "'string'"]),
        (of({"type": "array"}), ["T.a[]: no type"]),
        (
            of({"type": "string", "not": {"const": "x"}}),
            ["T.a: strict mode rejects 'not'", "say"],
        ),
        (of({"allOf": [{"type": "string"}, {"type": "string"}]}), ["'allOf'", "one model"]),
        (of({"type": "string", "maxLenght": 3}), ["'maxLenght'", "omit it"]),
        (of({"type": "string", "if": {}}), ["'if'", "anyOf"]),
        (of({"type": "string", "nullable": True}), ["'nullable'", "str | None"]),
        (of({"type": "array", "items": {"type": "string"}, "contains": {}}), ["'contains'"]),
        (of({"$ref": "#/$defs/X"}), ["T.a: missing definition ('#/$defs/X')"]),
        (of({"$ref": "https://example.org/x.json"}), ["missing definition"]),
        (of({"anyOf": [{"type": "string"}], "type": "string"}), ["'anyOf' and 'type'"]),
        (of({"anyOf": []}), ["no type"]),
        (of({"type": "integer", "minimum": "1"}), ["'minimum' is not a finite number ('1')"]),
        (of({"type": "number", "maximum": float("nan")}), ["'maximum' is not a finite number"]),
        (of({"type": "integer", "multipleOf": 0}), ["'multipleOf' is not above 0 (0)"]),
        (of({"type": "string", "maxLength": -1}), ["'maxLength' is not an int of at least"]),
        (of({"type": "string", "pattern": 3}), ["'pattern' is not a string (3)"]),
        (of({"enum": "abc"}), ["'enum' is not a list ('abc')"]),
        (of({"type": "object", "properties": ["x"]}), ["'properties' is not an object (['x'])"]),
        ({"type": "object", "properties": {'a"b': {"type": "string"}}}, ["without quotes"]),
        (
            {"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "string"}]},
            ["'#' must refer to an object", "'#/$defs/NAME'"],
        ),
        (
            of({"type": "object", "properties": {"b": {"type": "string"}}})
            | {
                "properties": {
                    "a.b": {"type": "string"},
                    "a": {"type": "object", "properties": {"b": {"type": "string"}}},
                }
            },
            ["both be named 'a.b'", "rename"],
        ),
        (of({"type": "string", "title": "\ud800"}), ["not convertible to a JSON schema"]),
    ],
)
def test_an_error_names_the_path_and_the_fix(output: object, fragments: list[str]) -> None:
    with pytest.raises(OutputSpecError) as refusal:
        spec_of(output)
    for word in fragments:
        assert word in str(refusal.value)
    assert len(str(refusal.value)) < 800


def test_labels_in_an_array_raise_an_error_that_suggests_a_list() -> None:
    class Array:
        def tolist(self) -> list[str]:
            return ["a"]

    with pytest.raises(OutputSpecError, match=r"output=labels\.tolist\(\)"):
        spec_of(Array())


@pytest.mark.parametrize("name", ["", "  ", 3])
def test_a_column_name_must_be_a_string(name: Any) -> None:
    with pytest.raises(OutputSpecError, match="not a column name"):
        spec_of(["a"], name=name)


def nested(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        node = {"type": "object", "properties": {"a": node}}
    return node


def test_ten_levels_are_accepted_and_eleven_are_not() -> None:
    assert len(spec_of(nested(10)).fields[0].path) == 10
    with pytest.raises(OutputSpecError, match="at most 10 levels"):
        spec_of(nested(11))


def test_levels_count_through_references() -> None:
    names = [f"D{i}" for i in range(10)]
    definitions: dict[str, Any] = {
        name: {"type": "object", "properties": {"a": {"$ref": f"#/$defs/{after}"}}}
        for name, after in zip(names, [*names[1:], "End"], strict=True)
    }
    definitions["End"] = {"type": "string"}
    root = {"type": "object", "properties": {"a": {"$ref": "#/$defs/D0"}}, "$defs": definitions}
    with pytest.raises(OutputSpecError, match="at most 10 levels"):
        spec_of(root)


def test_five_thousand_fields_are_accepted_and_one_more_is_not() -> None:
    def wide(count: int) -> dict[str, Any]:
        names = {f"f{i}": {"type": "boolean"} for i in range(count)}
        return {"type": "object", "properties": names}

    assert len(spec_of(wide(5_000)).fields) == 5_000
    with pytest.raises(OutputSpecError, match="5,001 answer fields"):
        spec_of(wide(5_001))


def test_names_and_labels_have_a_limit_together() -> None:
    schema = {"type": "object", "properties": {"n" * 120_001: {"type": "string"}}}
    with pytest.raises(OutputSpecError, match="at most 120,000"):
        spec_of(schema)


def test_a_thousand_labels_are_accepted() -> None:
    assert len(spec_of([str(i) for i in range(1_000)]).fields[0].levels or ()) == 1_000


def test_a_decimal_is_a_union_of_number_and_string() -> None:
    assert spec_of(decimal.Decimal).fields[0].kind == "json"


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (
            {"label": Literal["a", "b"], "n": int},
            "TypedDict('Answer', {'label': Literal['a', 'b'], 'n': int})",
        ),
        ({"label": ["a", "b"]}, "{'label': Literal['a', 'b']}"),
        ({"parts": list[str]}, "{'parts': list[str]}"),
        ({"type": Literal["a"], "n": int}, "{'type': Literal['a'], 'n': int}"),
    ],
)
def test_a_dict_of_types_is_not_a_schema_and_the_typed_dict_is_shown(
    output: object, shown: str
) -> None:
    with pytest.raises(OutputSpecError, match="a dict is read as a JSON schema") as excinfo:
        spec_of(output)
    assert shown in str(excinfo.value)
    typed = TypedDict("Answer", {"label": Literal["a", "b"], "n": int})  # noqa: UP013 - as the message shows
    assert [field.name for field in spec_of(typed).fields] == ["label", "n"]
