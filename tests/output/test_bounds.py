"""The shortest and the longest answer, for the price."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from batchframe._output import output_spec, parse_answers, shortest_and_longest


class Verdict(BaseModel):
    label: Literal["positive", "negative"]
    sure: bool
    note: Literal["x"] | None


class Node(BaseModel):
    value: bool
    next: Node | None


class Endless(BaseModel):
    value: bool
    next: Endless


class Free(BaseModel):
    why: str
    tags: list[str]


def test_labels_have_the_shortest_the_longest_and_every_one() -> None:
    bounds = shortest_and_longest(output_spec(["mixed", "positive", "no"]))
    assert bounds.shortest == '{"label":"no"}'
    assert bounds.longest == '{"label":"positive"}'
    assert bounds.typical == ('{"label":"mixed"}', '{"label":"positive"}', '{"label":"no"}')


def test_text_has_no_bounds() -> None:
    bounds = shortest_and_longest(output_spec(None))
    assert (bounds.shortest, bounds.longest, bounds.typical) == (None, None, ())


@pytest.mark.parametrize(
    ("output", "shortest", "longest"),
    [
        (bool, "true", "false"),
        (int, "0", "-9223372036854775808"),
        (float, "0", "-1.7976931348623157e+308"),
        (Annotated[int, Field(ge=1, le=100)], "1", "100"),
        (Annotated[int, Field(gt=9, lt=1_000)], "10", "999"),
        (Annotated[int, Field(ge=-12, le=-3)], "-3", "-12"),
        (Annotated[int, Field(ge=7, multiple_of=5, le=104)], "10", "100"),
        (Annotated[float, Field(gt=0, lt=1)], "0.1", "0.9999999999999999"),
        (Annotated[float, Field(ge=0.25, le=0.5)], "0.3", "0.4999999999999993"),
        (Annotated[float, Field(ge=0, le=10, multiple_of=0.25)], "0", "8.25"),
        (Annotated[float, Field(ge=3, le=3)], "3", "3"),
        (str, '""', None),
        (Annotated[str, Field(min_length=3, max_length=9)], '"the"', '"the quick"'),
        (list[int], "[]", None),
        (Annotated[list[bool], Field(min_length=1, max_length=3)], "[true]", "[false,false,false]"),
        (Annotated[list[str], Field(max_length=3)], "[]", None),
        (Literal["long label"] | None, "null", '"long label"'),
        (Literal["a"] | bool, '"a"', "false"),
        ({"type": "string", "format": "date"}, '"2026-01-01"', '"2026-01-01"'),
        ({"type": "string", "format": "email"}, '"a@b"', None),
        ({"enum": ["é", '"']}, '"é"', r'"\""'),
    ],
)
def test_each_kind_has_its_bounds(output: Any, shortest: str, longest: str | None) -> None:
    bounds = shortest_and_longest(output_spec(output))
    (key,) = (output_spec(output).schema or {})["properties"]
    assert bounds.shortest == f'{{"{key}":{shortest}}}'
    assert bounds.longest == (None if longest is None else f'{{"{key}":{longest}}}')


def test_an_object_is_written_compact_in_the_order_of_its_fields() -> None:
    bounds = shortest_and_longest(output_spec(Verdict))
    assert bounds.shortest == '{"label":"positive","sure":true,"note":"x"}'
    assert bounds.longest == '{"label":"positive","sure":false,"note":null}'
    assert len(bounds.typical) == 2 * 2 * 2


def test_one_unbounded_field_leaves_the_whole_unbounded() -> None:
    bounds = shortest_and_longest(output_spec(Free))
    assert bounds.shortest == '{"why":"","tags":[]}'
    assert bounds.longest is None
    assert bounds.typical == ()


def test_recursion_has_a_shortest_answer_where_it_can_end() -> None:
    bounds = shortest_and_longest(output_spec(Node))
    assert bounds.shortest == '{"value":true,"next":null}'
    assert bounds.longest is None
    assert shortest_and_longest(output_spec(Endless)).shortest is None


def test_small_ranges_of_whole_numbers_are_typical() -> None:
    stars = Annotated[int, Field(ge=1, le=5)]
    assert len(shortest_and_longest(output_spec(stars)).typical) == 5
    assert shortest_and_longest(output_spec(Annotated[int, Field(ge=0, le=1_000)])).typical == ()
    assert len(shortest_and_longest(output_spec([str(i) for i in range(1_000)])).typical) == 1_000


def test_a_bound_longer_than_any_output_is_no_bound() -> None:
    long = Annotated[str, Field(max_length=10**12)]
    many = Annotated[list[Annotated[str, Field(max_length=1_000)]], Field(max_length=10**6)]
    for output in (long, many):
        assert shortest_and_longest(output_spec(output)).longest is None


@pytest.mark.parametrize("output", [Verdict, ["a", "b"], Node, Free, int, float, bool])
def test_bounds_and_typical_answers_obey_the_spec(output: Any) -> None:
    spec = output_spec(output)
    bounds = shortest_and_longest(spec)
    texts = [text for text in (bounds.shortest, bounds.longest, *bounds.typical) if text]
    assert parse_answers(spec, texts).errors.null_count == len(texts)
    assert all(len(text) >= len(bounds.shortest or "") for text in texts)
    assert all(json.loads(text) is not None for text in texts)
