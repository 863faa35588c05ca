"""Strict schemas, compared with those of the openai package."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import enum
import json
import uuid
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import TypedDict

from batchframe._output import output_spec, strict

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Plain(BaseModel):
    """A docstring becomes a description."""

    a: int
    b: str
    c: float
    d: bool


class WithNullDefaults(BaseModel):
    a: int | None = None
    b: Color | None = None


class Constrained(BaseModel):
    stars: int = Field(ge=1, le=5)
    share: float = Field(gt=0, lt=1)
    code: str = Field(pattern="^[A-Z]{3}$")
    short: str = Field(min_length=1, max_length=9)
    tags: list[str] = Field(min_length=1, max_length=3)


class Formats(BaseModel):
    day: dt.date
    moment: dt.datetime
    at: dt.time
    lasted: dt.timedelta
    key: uuid.UUID


class Inner(BaseModel):
    x: int
    y: str | None = None


class Nested(BaseModel):
    inner: Inner
    many: list[Inner]
    maybe: Inner | None = None


class Described(BaseModel):
    inner: Inner = Field(description="a reference with siblings")
    color: Color = Field(description="an enum with siblings")
    twice: Inner = Field(description="again", title="Twice")


class Tree(BaseModel):
    value: int
    left: Tree | None = None
    right: Tree | None = None


class Holder(BaseModel):
    tree: Tree


class Box(BaseModel, Generic[T]):
    content: T


class Choices(BaseModel):
    one: Literal["a"]
    several: Literal["a", "b"]
    numbers: Literal[1, 2]
    union: int | str | list[bool]


class Aliased(BaseModel):
    name: str = Field(alias="full name")


class Typed(TypedDict):
    a: int
    b: Inner


@dataclasses.dataclass
class Data:
    a: int
    b: list[Inner]


CORPUS: list[Any] = [
    Plain, WithNullDefaults, Constrained, Formats, Nested, Described, Tree, Holder, Box[int],
    Box[Inner], Choices, Aliased, Typed, Data,
]  # fmt: skip


def sdk(output: Any) -> dict[str, Any]:
    is_model = isinstance(output, type) and issubclass(output, BaseModel)
    return to_strict_json_schema(output if is_model else TypeAdapter(output))


@pytest.mark.parametrize("output", CORPUS, ids=lambda output: output.__name__)
def test_the_schema_equals_that_of_the_sdk(output: Any) -> None:
    ours = output_spec(output).schema
    assert ours == sdk(output)
    assert ours is not None
    assert list(ours["properties"]) == list(sdk(output)["properties"])


def test_only_defaults_are_removed_beyond_the_sdk() -> None:
    class WithDefault(BaseModel):
        a: int = 3

    theirs = sdk(WithDefault)
    assert theirs["properties"]["a"].pop("default") == 3
    assert output_spec(WithDefault).schema == theirs


def test_a_dict_that_the_sdk_accepts_is_refused() -> None:
    class WithDict(BaseModel):
        a: dict[str, int]

    assert sdk(WithDict)["properties"]["a"]["additionalProperties"] == {"type": "integer"}
    with pytest.raises(ValueError, match=r"WithDict\.a"):
        output_spec(WithDict)


@pytest.mark.parametrize("output", CORPUS, ids=lambda output: output.__name__)
def test_a_strict_schema_is_unchanged(output: Any) -> None:
    once = strict.strict_schema(TypeAdapter(output).json_schema(), "x")
    assert strict.strict_schema(once, "x") == once


@pytest.mark.parametrize("output", CORPUS, ids=lambda output: output.__name__)
def test_the_given_schema_is_never_changed(output: Any) -> None:
    schema = TypeAdapter(output).json_schema()
    before = copy.deepcopy(schema)
    strict.strict_schema(schema, "x")
    assert schema == before


def test_a_single_all_of_is_resolved() -> None:
    node = {"allOf": [{"$ref": "#/$defs/Age"}], "description": "in years"}
    schema = {
        "type": "object",
        "properties": {"age": node},
        "$defs": {"Age": {"type": "integer", "minimum": 0}},
    }
    strict_schema = strict.strict_schema(schema, "x")
    assert strict_schema["properties"]["age"] == {
        "type": "integer",
        "minimum": 0,
        "description": "in years",
    }


def test_a_described_recursive_field_terminates() -> None:
    class Person(BaseModel):
        name: str
        mother: Person | None = None
        model_config = {"title": "Person"}

    class Chain(BaseModel):
        value: Annotated[int, Field(description="of this link")]
        rest: list[Chain] = Field(description="the links behind it")

    assert output_spec(Person).fields[1].kind == "json"
    assert json.dumps(output_spec(Chain).schema).count("the links behind it") == 2


def test_a_described_recursive_reference_is_a_single_any_of() -> None:
    link = {"$ref": "#/$defs/Link", "description": "the next one"}
    schema = {
        "type": "object",
        "properties": {"first": {"$ref": "#/$defs/Link"}},
        "$defs": {
            "Link": {"type": "object", "properties": {"rest": {"type": "array", "items": link}}}
        },
    }
    text = json.dumps(strict.strict_schema(schema, "x"))
    assert '{"anyOf": [{"$ref": "#/$defs/Link"}], "description": "the next one"}' in text


def test_an_optional_choice_is_an_any_of() -> None:
    optional = {"anyOf": [{"type": "string", "enum": ["a", "b"]}, {"type": "null"}]}
    for node in (
        {"enum": ["a", None, "b"]},
        {"type": ["string", "null"], "enum": ["a", "b"]},
        {"type": ["string", "null"], "enum": ["a", "b", None]},
    ):
        assert strict.strict_schema(node, "x") == optional


def test_unenforced_keywords_are_removed_and_descriptions_stay() -> None:
    node = {
        "type": "string",
        "title": "T",
        "description": "D",
        "examples": ["x"],
        "deprecated": True,
        "$comment": "c",
    }
    assert strict.strict_schema(node, "x") == {"type": "string", "title": "T", "description": "D"}
