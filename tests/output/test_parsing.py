"""Answers become typed columns; invalid ones become errors of their rows."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from batchframe._output import OutputSpec, output_spec, parse_answers


class Address(BaseModel):
    city: str
    country: Literal["DE", "FR"] | None


class Node(BaseModel):
    value: int
    next: Node | None


class Everything(BaseModel):
    label: Literal["a", "b", "c"]
    stars: Literal[1, 2, 3]
    count: int = Field(ge=0)
    share: float
    sure: bool
    why: str | None
    address: Address
    second: Address | None
    tags: list[str]
    homes: list[Address]
    grid: list[list[int]] | None
    code: int | str | None
    chain: Node | None


FULL: dict[str, Any] = {
    "label": "b",
    "stars": 3,
    "count": 7,
    "share": 1,
    "sure": True,
    "why": "because",
    "address": {"city": "Köln", "country": "DE"},
    "second": {"city": "Lyon", "country": None},
    "tags": ["x", "y"],
    "homes": [{"city": "Bonn", "country": "DE"}, {"city": "Nice", "country": None}],
    "grid": [[1, 2], [], [3]],
    "code": "A1",
    "chain": {"value": 1, "next": {"value": 2, "next": None}},
}
SPARSE = FULL | {
    "why": None,
    "second": None,
    "tags": [],
    "homes": [],
    "grid": None,
    "code": None,
    "chain": None,
}
SPEC = output_spec(Everything)


def columns(spec: OutputSpec, *texts: str | None) -> dict[str, list[Any]]:
    parsed = parse_answers(spec, texts)
    assert parsed.errors.to_pylist() == [None] * len(texts)
    return parsed.columns.to_pydict()


def error(spec: OutputSpec, text: str | None) -> str:
    parsed = parse_answers(spec, ["ok" if spec.schema is None else text, text])
    assert all(column[1].as_py() is None for column in parsed.columns.columns)
    (why,) = parsed.errors[1:].to_pylist()
    assert isinstance(why, str)
    return why


def test_every_field_arrives_in_its_column() -> None:
    assert columns(SPEC, json.dumps(FULL), json.dumps(SPARSE, indent=2)) == {
        "label": ["b", "b"],
        "stars": [3, 3],
        "count": [7, 7],
        "share": [1.0, 1.0],
        "sure": [True, True],
        "why": ["because", None],
        "address.city": ["Köln", "Köln"],
        "address.country": ["DE", "DE"],
        "second.city": ["Lyon", None],
        "second.country": [None, None],
        "tags": [["x", "y"], []],
        "homes": [FULL["homes"], []],
        "grid": [[[1, 2], [], [3]], None],
        "code": ['"A1"', None],
        "chain": ['{"value": 1, "next": {"value": 2, "next": null}}', None],
    }


def test_each_kind_has_its_arrow_type_even_without_rows() -> None:
    text, labels = pa.large_string(), pa.dictionary(pa.int32(), pa.string())
    home = pa.struct([("city", text), ("country", pa.string())])
    expected = {
        "label": labels,
        "stars": pa.dictionary(pa.int32(), pa.int64()),
        "count": pa.int64(),
        "share": pa.float64(),
        "sure": pa.bool_(),
        "why": text,
        "address.city": text,
        "address.country": labels,
        "second.city": text,
        "second.country": labels,
        "tags": pa.list_(text),
        "homes": pa.list_(home),
        "grid": pa.list_(pa.list_(pa.int64())),
        "code": text,
        "chain": text,
    }
    for texts in ([], [json.dumps(FULL)], [None], ["garbage"], pa.chunked_array([], pa.string())):
        schema = parse_answers(SPEC, texts).columns.schema
        assert dict(zip(schema.names, schema.types, strict=True)) == expected


def test_a_category_has_all_levels_in_the_order_of_the_spec() -> None:
    parsed = parse_answers(output_spec(["z", "y", "x"]), ['{"label":"x"}', None])
    column = parsed.columns["label"].combine_chunks()
    assert column.dictionary.to_pylist() == ["z", "y", "x"]
    assert column.to_pylist() == ["x", None]


@pytest.mark.parametrize(
    "make", [list, tuple, pa.array, lambda t: pa.chunked_array([t[:1], t[1:]])]
)
def test_texts_may_be_a_sequence_or_arrow(make: Any) -> None:
    parsed = parse_answers(output_spec(int), make(['{"response":1}', None, '{"response":2}']))
    assert parsed.columns["response"].to_pylist() == [1, None, 2]
    assert parsed.errors.to_pylist() == [None, "there is no answer", None]


def test_many_blocks_are_one_table() -> None:
    texts = [f'{{"response":{i}}}' for i in range(70_000)]
    texts[69_999] = "no"
    parsed = parse_answers(output_spec(int), texts)
    assert parsed.columns["response"].to_pylist() == [*range(69_999), None]
    assert parsed.errors.null_count == 69_999


def test_a_text_answer_passes_through_unchanged() -> None:
    texts = [" Hello\n", '{"a": 1}', "```json\n1\n```", "\u2028"]
    assert columns(output_spec(None), *texts[:3]) == {"response": texts[:3]}


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "the answer is empty"),
        (" \n\t", "the answer is empty"),
        (None, "there is no answer"),
        ("half a pair: \ud83d", "the answer has a lone surrogate (invalid Unicode)"),
    ],
)
def test_an_invalid_text_answer_has_a_reason(text: str | None, fragment: str) -> None:
    assert error(output_spec(None), text) == fragment


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"label": "meh"}, "Invalid enum value 'meh' at `label`"),
        ({"stars": 4}, "Invalid enum value 4 at `stars`"),
        ({"stars": "3"}, "Expected `int`, got `str` at `stars`"),
        ({"count": -1}, "Expected `int` >= 0 at `count`"),
        ({"count": 2**63}, "at `count`"),
        ({"count": 1.5}, "Expected `int`, got `float` at `count`"),
        ({"count": True}, "Expected `int`, got `bool` at `count`"),
        ({"share": "0.5"}, "Expected `float`, got `str` at `share`"),
        ({"sure": "true"}, "Expected `bool`, got `str` at `sure`"),
        ({"why": 3}, "at `why`"),
        ({"address": None}, "Expected `object`, got `null` at `address`"),
        ({"address": {"city": "x"}}, "missing required field `country` at `address`"),
        ({"second": {"city": 1, "country": None}}, "at `second.city`"),
        ({"tags": ["x", 1]}, "Expected `str`, got `int` at `tags[1]`"),
        ({"homes": [{"city": "x", "country": "UK"}]}, "'UK' at `homes[0].country`"),
        ({"more": 1}, "Object contains unknown field `more`"),
        ({"code": 1.5}, "Expected integer or string or null at `code`"),
        ({"chain": {"value": "x", "next": None}}, "Expected integer at `chain.value`"),
        ({"chain": {"value": 1}}, "missing required field `next` at `chain`"),
        ({"chain": {"value": 1, "next": None, "x": 1}}, "unknown field `x` at `chain`"),
    ],
)
def test_an_invalid_field_has_a_reason_and_a_path(change: Any, fragment: str) -> None:
    assert fragment in error(SPEC, json.dumps(FULL | change))


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"address": FULL["address"] | {"zip": "50667"}},
        {"homes": [{"city": "Bonn", "country": "DE", "zip": None}]},
        {"chain": {"value": 1, "next": {"value": 2, "next": None, "x": []}}},
    ],
)
def test_unknown_fields_are_ignored_only_when_asked(change: Any) -> None:
    text = json.dumps(FULL | change)
    assert "unknown field" in error(SPEC, text)
    parsed = parse_answers(SPEC, [text], lenient=True)
    assert parsed.errors.to_pylist() == [None]
    assert parsed.columns["label"].to_pylist() == ["b"]
    assert parsed.columns["address.city"].to_pylist() == ["Köln"]


def test_a_lenient_spec_still_checks_the_fields_that_it_knows() -> None:
    texts = [json.dumps(FULL | change) for change in ({"label": "meh", "x": 1}, {"count": -1})]
    texts.append(json.dumps({key: FULL[key] for key in FULL if key != "sure"}))
    assert parse_answers(SPEC, texts, lenient=True).errors.null_count == 0


def test_a_missing_field_is_named() -> None:
    text = json.dumps({key: value for key, value in FULL.items() if key != "sure"})
    assert error(SPEC, text) == "Object missing required field `sure`"


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "the answer is empty"),
        ("  ", "the answer is empty"),
        ("The label is a.", "the answer is not JSON"),
        ('{"response":', "the JSON ends too early"),
        ('{"response":1', "the JSON ends too early"),
        ('{"response":NaN}', "not JSON"),
        ('{"response":Infinity}', "not JSON"),
        ('{"response":1e999}', "out of range"),
        ('{"response":' + "9" * 5_000 + "}", "out of range"),
        ("[" * 100_000, "Expected `object`, got `array`"),
        ('{"response":' + "[" * 100_000, "got `array`"),
        ('{"response":1} and so on', "not JSON"),
        ('{"response":"\ud83d"}', "lone surrogate"),
        ("1", "Expected `object`, got `int`"),
        ("null", "Expected `object`, got `null`"),
        ("```json\n{}\n```", "missing required field `response`"),
    ],
)
def test_an_answer_that_is_not_the_requested_json_says_so(text: str, fragment: str) -> None:
    assert fragment in error(output_spec(float), text)


def test_a_lone_surrogate_escape_is_an_error_in_its_row() -> None:
    half = r'{"response":"\ud83d?"}'
    assert error(output_spec(str), half) == "the answer has a lone surrogate (invalid Unicode)"
    assert error(output_spec(str), r'{"response":"\ud83d\ude00') == "the JSON ends too early"
    assert columns(output_spec(str), r'{"response":"\ud83d\ude00"}') == {"response": ["😀"]}


@pytest.mark.parametrize("output", [int | str | list[int], Node])
def test_deep_json_in_a_union_is_an_error_in_its_row(output: Any) -> None:
    spec = output_spec(output)
    deep = "[" * 50_000 + "]" * 50_000
    assert error(spec, f'{{"response":{deep}}}' if output is not Node else deep)
    links = '{"value":1,"next":' * 30_000 + "null" + "}" * 30_000
    assert error(output_spec(Node), links) == "the JSON is nested too deeply"


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"label":"b"}\n```',
        '```\n{"label":"b"}\n```',
        '  ```json{"label":"b"}```\n',
        '```json\r\n{"label": "b"}\r\n```',
    ],
)
def test_a_code_fence_around_the_json_is_removed(text: str) -> None:
    assert columns(output_spec(["a", "b"]), text) == {"label": ["b"]}


def test_fenced_unions_are_checked_too() -> None:
    assert "Expected integer or string" in error(
        output_spec(int | str), '```\n{"response":[]}\n```'
    )


def test_the_last_of_repeated_keys_counts() -> None:
    assert columns(output_spec(int), '{"response":1,"response":2}') == {"response": [2]}


def test_an_error_has_a_bounded_length_and_keeps_its_path() -> None:
    why = error(output_spec(["a"]), json.dumps({"label": "x" * 100_000}))
    assert len(why) < 300
    assert why.endswith("at `label`")
    assert len(error(output_spec(["a"]), json.dumps({"y" * 100_000: 1}))) < 300
    assert len(error(output_spec(int | str), json.dumps({"response": {"y" * 999: 1}}))) < 300


@pytest.mark.parametrize(
    ("output", "good", "bad"),
    [
        (Annotated[int, Field(ge=1, le=5)], [1, 5], [0, 6]),
        (Annotated[int, Field(gt=1, lt=5)], [2, 4], [1, 5]),
        (Annotated[int, Field(multiple_of=5)], [0, -5, 10], [7]),
        (Annotated[float, Field(gt=0, le=1)], [0.1, 1, 1.0], [0, 1.1]),
        (Annotated[float, Field(multiple_of=0.01)], [0.07, 0.29], []),
        (Annotated[str, Field(min_length=2, max_length=3)], ["ab", "äöü"], ["a", "abcd"]),
        (Annotated[str, Field(pattern="^[A-Z]{2}$")], ["AB"], ["ab", "ABC"]),
        (Annotated[list[int], Field(min_length=1, max_length=2)], [[1], [1, 2]], [[], [1, 2, 3]]),
        (Annotated[int, Field(ge=1)] | bool, [1, True], [0]),
        (Annotated[float, Field(le=0.1)] | str, [0.1, "x"], [0.2]),
        (Annotated[str, Field(max_length=1)] | int, ["a", 1], ["ab"]),
        (Annotated[str, Field(pattern="^a")] | int, ["ab"], ["b"]),
        (Annotated[list[int], Field(max_length=1)] | int, [[1]], [[1, 2], ["x"]]),
        (Annotated[int, Field(multiple_of=2)] | str, [4], [3]),
        (Literal["a"] | bool, ["a", True], ["b"]),
        ({"type": "string", "pattern": r"^\p{L}+$"}, ["é"], []),
        ({"type": ["integer", "null"]}, [1, None], ["x"]),
        ({"type": "integer", "minimum": -(10**30), "maximum": 10**30}, [2**63 - 1], [2**63]),
    ],
)
def test_constraints_are_checked_in_answers(output: Any, good: list[Any], bad: list[Any]) -> None:
    spec = output_spec(output)
    texts = [json.dumps({"response": value}) for value in [*good, *bad]]
    errors = parse_answers(spec, texts).errors
    assert [why is None for why in errors.to_pylist()] == [True] * len(good) + [False] * len(bad)


def test_properties_may_have_any_name() -> None:
    names = ["class", "full name", "a.b", "é", "f0", "__init__", "", "self"]
    schema = {"type": "object", "properties": {name: {"type": "integer"} for name in names}}
    values = {name: i for i, name in enumerate(names)}
    assert columns(output_spec(schema), json.dumps(values)) == {n: [i] for n, i in values.items()}


def test_a_stored_spec_parses_alike_for_any_key_order() -> None:
    stored = msgspec.convert(
        json.loads(json.dumps(msgspec.to_builtins(SPEC), sort_keys=True)), OutputSpec
    )
    texts = [json.dumps(FULL), json.dumps(SPARSE), "no", None]
    ours, theirs = parse_answers(SPEC, texts), parse_answers(stored, texts)
    assert theirs.columns.equals(ours.columns)
    assert theirs.errors.equals(ours.errors)


def test_the_column_has_the_name_that_the_user_gave() -> None:
    assert columns(output_spec(["a"], name="stance"), '{"label":"a"}') == {"stance": ["a"]}


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(list(FULL)) | st.text(), inner),
)
garbage = st.one_of(
    st.text(),
    st.text(alphabet='{}[]":,truefalsn0123456789.eE+-\\u` \n'),
    st.text(st.characters(categories=["Cs", "Ll"])),
    json_like.map(json.dumps),
    st.tuples(st.just(json.dumps(FULL)), st.integers(0, 400), st.text(max_size=3)).map(
        lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] + 1 :]
    ),
)


@given(st.lists(garbage, max_size=5))
def test_no_text_raises_and_each_gives_a_row_or_an_error(texts: list[str]) -> None:
    for spec in (SPEC, output_spec(["a"]), output_spec(Node), output_spec(None)):
        parsed = parse_answers(spec, texts)
        assert len(parsed.errors) == parsed.columns.num_rows == len(texts)
        for i, why in enumerate(parsed.errors.to_pylist()):
            if why is not None:
                assert 0 < len(why) < 300
                assert all(column[i].as_py() is None for column in parsed.columns.columns)
