"""Values of ``output=``, and their schemas and columns."""

from __future__ import annotations

import dataclasses
import enum
import json
import re
from typing import Annotated, Any, Literal

import msgspec
import pandas as pd
import pytest
from pydantic import BaseModel, Field, RootModel
from typing_extensions import TypedDict

from batchframe.errors import OutputSpecError


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Stars(enum.IntEnum):
    ONE = 1
    TWO = 2


class Address(BaseModel):
    city: str
    zip: str | None = None


class Person(BaseModel):
    name: str
    mood: Mood = Mood.GOOD
    address: Address = Field(description="where they live")
    second: Address | None = None
    tags: list[str]
    homes: list[Address]
    code: int | str
    weight: float
    adult: bool


class Movie(TypedDict, total=False):
    title: str
    year: int


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class Tree(BaseModel):
    value: int
    children: list[Tree]


class Forest(BaseModel):
    first: Tree


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: int


class Pet(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


def spec_of(output: object, **options: Any) -> Any:
    """Return the output spec of `output=`."""
    frame = pd.DataFrame({"t": ["a"]})
    return frame.bf.requests("{{ t }}", model="m", output=output, **options)._table.recipe.output


def columns(spec: Any) -> dict[str, str]:
    return {field.name: field.kind for field in spec.fields}


def test_none_is_one_text_column() -> None:
    spec = spec_of(None)
    assert spec.schema is None
    assert [(f.name, f.path, f.kind) for f in spec.fields] == [("response", (), "string")]


@pytest.mark.parametrize(
    ("output", "levels"),
    [
        (["b", "a"], ("b", "a")),
        (("b", "a"), ("b", "a")),
        (Literal["b", "a"], ("b", "a")),
        ([3, 1, 2], (3, 1, 2)),
        (list(Mood), ("good", "bad")),
        (Mood, ("good", "bad")),
        (Stars, (1, 2)),
        (Mood | None, ("good", "bad")),
        (Literal["a", None], ("a",)),  # noqa: PYI061 - as users write it
        (["a", None], ("a",)),
        ({"enum": ["x", "y"]}, ("x", "y")),
        (RootModel[Literal["a", "b"]], ("a", "b")),
    ],
)
def test_labels_make_one_category_with_all_levels_in_order(output: object, levels: object) -> None:
    (field,) = spec_of(output).fields
    assert (field.name, field.path, field.kind) == ("label", ("label",), "category")
    assert field.levels == levels


def test_labels_are_sent_as_an_enum_in_an_object() -> None:
    spec = spec_of(["yes", "no"])
    assert spec.schema == {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": ["yes", "no"]}},
        "required": ["label"],
        "additionalProperties": False,
    }


def test_a_list_a_tuple_and_a_literal_make_the_same_request() -> None:
    wire = [json.dumps(spec_of(o).schema) for o in (["a"], ("a",), Literal["a"])]
    assert len(set(wire)) == 1


def test_a_model_makes_a_column_per_field_and_nested_objects_are_flattened() -> None:
    assert columns(spec_of(Person)) == {
        "name": "string",
        "mood": "category",
        "address.city": "string",
        "address.zip": "string",
        "second.city": "string",
        "second.zip": "string",
        "tags": "list",
        "homes": "list",
        "code": "json",
        "weight": "number",
        "adult": "boolean",
    }


def test_objects_flatten_to_any_depth() -> None:
    leaf = {"type": "object", "properties": {"c": {"type": "integer"}}}
    middle = {"type": "object", "properties": {"b": leaf}}
    (field,) = spec_of({"type": "object", "properties": {"a": middle}}).fields
    assert (field.name, field.path) == ("a.b.c", ("a", "b", "c"))


def test_fields_with_defaults_become_required() -> None:
    schema = spec_of(Movie).schema
    assert schema is not None
    assert schema["required"] == ["title", "year"]


@pytest.mark.parametrize(
    ("output", "name"), [(Person, "Person"), (Movie, "Movie"), (Point, "Point")]
)
def test_the_schema_is_named_after_the_class(output: object, name: str) -> None:
    assert spec_of(output).schema_name == name


@pytest.mark.parametrize("title", ["Größe & Maß", "x" * 100, "Box[int]", "", "   ", "§", "a.b"])
def test_the_schema_name_is_always_valid_at_openai(title: str) -> None:
    schema = {"type": "object", "title": title, "properties": {"a": {"type": "string"}}}
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", spec_of(schema).schema_name)


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        (int, "integer"),
        (float, "number"),
        (bool, "boolean"),
        (str, "string"),
        (int | None, "integer"),
        (int | float, "number"),
        (list[str], "list"),
        (list[list[float]], "list"),
        (tuple[int, ...], "list"),
        (Annotated[int, Field(ge=1, le=5)], "integer"),
        (int | str, "json"),
        (Cat | Dog, "json"),
        (list[int | str], "json"),
        ([True, False], "boolean"),
        (RootModel[list[int]], "list"),
        ({"type": "string"}, "string"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer"),
    ],
)
def test_a_type_that_is_not_an_object_is_wrapped_as_response(output: object, kind: str) -> None:
    spec = spec_of(output)
    assert columns(spec) == {"response": kind}
    assert spec.schema is not None
    assert spec.schema["type"] == "object"


def test_recursive_fields_are_json_strings() -> None:
    assert columns(spec_of(Tree)) == {"value": "integer", "children": "json"}
    assert columns(spec_of(Forest)) == {"first": "json"}


def test_a_tagged_union_is_sent_as_any_of() -> None:
    schema = spec_of(Pet).schema
    assert schema is not None
    assert "oneOf" not in json.dumps(schema)
    assert len(schema["properties"]["pet"]["anyOf"]) == 2


def test_literals_in_a_union_are_one_category() -> None:
    (field,) = spec_of(Literal["a", "b"] | Literal["c"]).fields  # noqa: PYI030 - two on purpose
    assert field.levels == ("a", "b", "c")


@pytest.mark.parametrize("output", [None, ["a", "b"], int, {"type": "string"}])
def test_name_renames_the_single_column_and_leaves_the_request_alone(output: object) -> None:
    spec = spec_of(output, name="stance")
    assert [field.name for field in spec.fields] == ["stance"]
    assert spec.schema == spec_of(output).schema


def test_name_for_several_columns_suggests_prefix() -> None:
    with pytest.raises(OutputSpecError, match=r"prefix='p_'"):
        spec_of(Movie, name="p")


@pytest.mark.parametrize(
    "output", [None, ["a", "b"], [2, 1], Person, Movie, Point, Tree, Pet, list[str], int | None]
)
def test_a_spec_round_trips_through_json(output: object) -> None:
    spec = spec_of(output)
    stored = msgspec.json.decode(msgspec.json.encode(spec), type=type(spec))
    stored.check_fields()
    assert stored == spec
    assert list(stored.schema or {}) == list(spec.schema or {})


def test_later_changes_by_the_user_do_not_affect_the_spec() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}}
    before = json.dumps(schema)
    spec = spec_of(schema)
    assert json.dumps(schema) == before
    schema["properties"]["a"]["enum"].append("z")  # type: ignore[index]
    assert spec == spec_of(json.loads(before))


def test_the_order_of_the_fields_is_the_order_on_the_wire() -> None:
    schema = spec_of(Person).schema
    assert schema is not None
    assert list(schema["properties"]) == list(Person.model_fields)
