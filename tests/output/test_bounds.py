"""Bounds of the tokens of an answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

import batchframe as bf
from batchframe._output import AnswerBounds, answer_bounds, output_spec


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


def count(texts: Sequence[str]) -> list[int]:
    """Count the tokens of strings as gpt-4o does."""
    bodies = ({"model": "gpt-4o", "prompt": text} for text in texts)
    return [bf.count_tokens(body, endpoint="/v1/completions").tokens for body in bodies]


def sizes(texts: Sequence[str]) -> list[int]:
    """Count one token per byte, an upper bound for any tokenizer."""
    return [len(text.encode()) for text in texts]


def field(output: Any) -> tuple[int, int | None]:
    """Return the bounds of a field in bytes, without braces and key."""
    spec = output_spec(output)
    (key,) = (spec.schema or {})["properties"]
    bounds, around = answer_bounds(spec, sizes), len(f'{{"{key}":}}')
    return bounds.low - around, None if bounds.high is None else bounds.high - around


def test_the_tokens_of_every_label_are_counted() -> None:
    bounds = answer_bounds(output_spec(["mixed", "positive", "no"]), sizes)
    assert bounds == AnswerBounds(low=14, expected=17, high=20)


def test_text_has_no_bounds() -> None:
    assert answer_bounds(output_spec(None), sizes) == AnswerBounds(1, None, None)


@pytest.mark.parametrize(
    ("output", "most"),
    [
        (bool, len("false")),
        (int, len("-9223372036854775808")),
        (float, len("-1.7976931348623157e+308")),
        (Annotated[int, Field(ge=1, le=100)], len("100")),
        (Annotated[int, Field(ge=7, multiple_of=5, le=104)], len("100")),
        (Annotated[int, Field(ge=-12_000, le=-3)], len("-12000")),
        (Annotated[float, Field(gt=0, lt=1)], len("-1.7976931348623157e+308")),
        (Annotated[float, Field(ge=0, le=10, multiple_of=0.25)], len("8.25")),
        (str, None),
        (Annotated[str, Field(min_length=3, max_length=9)], 4 * 9 + 2),
        (list[int], None),
        (Annotated[list[str], Field(max_length=3)], None),
        ({"type": "string", "format": "uuid"}, 38),
        ({"type": "string", "format": "date"}, 12),
        ({"type": "string", "format": "email"}, None),
        ({"type": "string", "format": "email", "maxLength": 20}, 82),
    ],
)
def test_each_type_has_its_maximum(output: Any, most: int | None) -> None:
    low, high = field(output)
    assert high == most
    assert high is None or low <= high


def test_a_character_may_be_of_any_script() -> None:
    chinese = "鱻龘靐齉爩" * 40
    why = Annotated[str, Field(max_length=200)]
    bounds = answer_bounds(output_spec(why), count)
    assert bounds.high is not None
    assert bounds.with_texts
    for text in (chinese, "𒀀" * 200, "\u001f" * 200, "a" * 200, ""):
        (took,) = count(
            [
                json.dumps(
                    {next(iter((output_spec(why).schema or {})["properties"])): text},
                    ensure_ascii=False,
                    separators=(",", ":"),
                )
            ]
        )
        assert bounds.low <= took <= bounds.high
    assert count([chinese])[0] > 200


def test_many_combinations_keep_low_below_high() -> None:
    # The first is the longest in characters, the others in tokens.
    names = ["internationalization" * 2, "鱻龘", "ok"]
    fields = {f"f{i}": {"type": "string", "enum": names} for i in range(8)}
    bounds = answer_bounds(output_spec({"type": "object", "properties": fields}), count)
    ends = [
        int(count([json.dumps(dict.fromkeys(fields, name), ensure_ascii=False,
                              separators=(",", ":"))])[0])
        for name in names
    ]  # fmt: skip
    assert (bounds.low, bounds.high) == (min(ends), max(ends))


def test_one_unbounded_field_makes_the_object_unbounded() -> None:
    bounds = answer_bounds(output_spec(Free), sizes)
    assert (bounds.expected, bounds.high, bounds.with_texts) == (None, None, False)
    assert 1 < bounds.low <= len('{"why":"","tags":[]}')


def test_recursion_has_a_minimum_and_no_maximum() -> None:
    bounds = answer_bounds(output_spec(Node), sizes)
    assert 1 < bounds.low <= len('{"value":true,"next":null}')
    assert bounds.high is None
    assert answer_bounds(output_spec(Endless), sizes) == AnswerBounds(1, None, None)


def test_the_tokens_of_every_int_in_a_small_range_are_counted() -> None:
    stars = Annotated[int, Field(ge=1, le=5)]
    assert answer_bounds(output_spec(stars), sizes).expected == len('{"response":1}')
    wide = answer_bounds(output_spec(Annotated[int, Field(ge=0, le=1_000)]), sizes)
    assert wide.expected is None
    assert answer_bounds(output_spec([str(i) for i in range(1_000)]), sizes).expected is not None


def test_a_bound_above_any_output_limit_is_ignored() -> None:
    long = Annotated[str, Field(max_length=10**12)]
    many = Annotated[list[Annotated[str, Field(max_length=1_000)]], Field(max_length=10**6)]
    for output in (long, many):
        bounds = answer_bounds(output_spec(output), sizes)
        assert (bounds.high, bounds.with_texts) == (None, False)
