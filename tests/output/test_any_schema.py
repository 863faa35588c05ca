"""Properties of random bounded schemas and random answers to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

import batchframe as bf
from batchframe._output import OutputSpec, answer_bounds, output_spec, parse_answers
from tests.support.examples import examples

Pair = tuple[dict[str, Any], Any]
"""A schema, and a strategy of values that obey it."""


def count(texts: Sequence[str]) -> list[int]:
    """Count the tokens of strings as gpt-4o does."""
    bodies = ({"model": "gpt-4o", "prompt": text} for text in texts)
    return [bf.count_tokens(body, endpoint="/v1/completions").tokens for body in bodies]


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
tongues = st.text(st.sampled_from("aZé9 -'中龘кगि👍\u0301"), min_size=1, max_size=12)
# A dot in a name could make duplicate columns, which are refused.
names = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='".\\'), max_size=5
)
int64s = st.integers(-(2**63), 2**63 - 1)


def integers(ends: list[int]) -> Pair:
    low, high = sorted(ends)
    return {"type": "integer", "minimum": low, "maximum": high}, st.integers(low, high)


def numbers(ends: list[float]) -> Pair:
    low, high = sorted(ends)
    values = st.floats(low, high, allow_subnormal=False)
    return {"type": "number", "minimum": low, "maximum": high}, values


def texts(sizes: list[int]) -> Pair:
    low, high = sorted(sizes)
    values = st.text(st.characters(exclude_categories=["Cs"]), min_size=low, max_size=high)
    return {"type": "string", "minLength": low, "maxLength": high}, values


def labels(levels: list[Any]) -> Pair:
    kind = "string" if isinstance(levels[0], str) else "integer"
    return {"type": kind, "enum": levels}, st.sampled_from(levels)


def optional(pair: Pair) -> Pair:
    schema, values = pair
    return {"anyOf": [schema, {"type": "null"}]}, st.none() | values


def lists(pair: Pair) -> Pair:
    schema, values = pair
    return {"type": "array", "items": schema, "maxItems": 3}, st.lists(values, max_size=3)


def objects(parts: dict[str, Pair]) -> Pair:
    schema = {"type": "object", "properties": {name: part[0] for name, part in parts.items()}}
    values = st.fixed_dictionaries({name: part[1] for name, part in parts.items()})
    # Strict answers keep the order of the schema.
    return schema, values.map(lambda fields: {name: fields[name] for name in parts})


def unions(pairs: tuple[Pair, Pair]) -> Pair:
    (first, some), (second, others) = pairs
    return {"anyOf": [first, second]}, some | others


scalars: st.SearchStrategy[Pair] = st.one_of(
    st.just(({"type": "boolean"}, st.booleans())),
    st.lists(int64s, min_size=2, max_size=2).map(integers),
    st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), min_size=2, max_size=2).map(numbers),
    st.lists(st.integers(0, 9), min_size=2, max_size=2).map(texts),
    st.lists(words, min_size=1, max_size=4, unique=True).map(labels),
    st.lists(tongues, min_size=1, max_size=4, unique=True).map(labels),
    st.lists(int64s, min_size=1, max_size=4, unique=True).map(labels),
)
nodes: st.SearchStrategy[Pair] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        inner.map(optional),
        inner.map(lists),
        st.dictionaries(names, inner, min_size=1, max_size=3).map(objects),
        st.tuples(inner, inner).map(unions),
    ),
    max_leaves=6,
)
roots = st.dictionaries(names, nodes, min_size=1, max_size=4).map(objects)


def at(answer: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        answer = None if answer is None else answer[name]
    return answer


def same(column: Any, value: Any, kind: str) -> bool:
    if kind == "json" and column is not None:
        return bool(json.loads(column) == value)
    return bool(column == value)


@settings(max_examples=examples(150))
@given(st.data())
def test_valid_answers_are_returned_in_their_columns(data: st.DataObject) -> None:
    schema, values = data.draw(roots)
    answers = data.draw(st.lists(values, max_size=4))
    spec = output_spec(schema)
    written = [json.dumps(answer, ensure_ascii=data.draw(st.booleans())) for answer in answers]
    parsed = parse_answers(spec, written)
    assert parsed.errors.to_pylist() == [None] * len(answers)
    for field in spec.fields:
        column = parsed.columns[field.name].to_pylist()
        expected = [at(answer, field.path) for answer in answers]
        assert all(same(c, e, field.kind) for c, e in zip(column, expected, strict=True))


many_roots = st.lists(scalars | nodes, min_size=1, max_size=12).map(
    lambda parts: objects({f"field {at}": part for at, part in enumerate(parts)})
)


@settings(max_examples=examples(400))
@given(st.data())
def test_every_compact_answer_takes_tokens_within_the_bounds(data: st.DataObject) -> None:
    schema, values = data.draw(roots | many_roots)
    bounds = answer_bounds(output_spec(schema), count)
    answer = json.dumps(data.draw(values), ensure_ascii=False, separators=(",", ":"))
    assert bounds.high is not None
    assert 1 <= bounds.low <= int(count([answer])[0]) <= bounds.high
    assert bounds.expected is None or bounds.low <= bounds.expected <= bounds.high


@given(roots)
def test_specs_of_any_schema_round_trip_through_json(pair: Pair) -> None:
    spec = output_spec(pair[0])
    assert msgspec.json.decode(msgspec.json.encode(spec), type=OutputSpec) == spec
    assert output_spec(spec.schema) == spec
