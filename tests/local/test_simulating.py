from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchframe.local._answers import dice, schema, simulated
from tests.support.examples import examples

REPO = Path(__file__).parents[2]
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def judge() -> Any:
    """Import jsonschema without its URL grammar, which loads slowly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "rfc3987_syntax", None)
        return importlib.import_module("jsonschema")


def answer(endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
    return simulated.simulate(endpoint, {"model": "m", **body}, created=0, count_tokens=lambda _: 1)


def chat(text: str = "Hello?", **body: Any) -> dict[str, Any]:
    return answer(CHAT, {"messages": [{"role": "user", "content": text}], **body})


def schema_format(schema: dict[str, Any], *, strict: bool = False) -> dict[str, Any]:
    inner = {"name": "answer", "schema": schema, "strict": strict}
    return {"type": "json_schema", "json_schema": inner}


BODIES = [
    (CHAT, {"messages": [{"role": "user", "content": "Hi"}]}),
    (CHAT, {"messages": [{"role": "user", "content": "Hi"}], "response_format": schema_format({})}),
    (
        CHAT,
        {
            "messages": [{"role": "user", "content": "Hi"}],
            "response_format": schema_format({"type": "string", "pattern": r"^[^@\s]+\W$"}),
        },
    ),
    ("/v1/responses", {"input": "Hi"}),
    ("/v1/completions", {"prompt": ["Hi", "there"]}),
    ("/v1/embeddings", {"input": ["Hi", "there"], "dimensions": 4}),
    ("/v1/moderations", {"input": "Hi"}),
]


@pytest.mark.parametrize(("endpoint", "body"), BODIES)
def test_every_answer_says_that_it_is_simulated(endpoint: str, body: dict[str, Any]) -> None:
    assert answer(endpoint, body)["batchframe_simulated"] is True


def test_simulated_text_says_so_in_its_first_words() -> None:
    message = chat()["choices"][0]["message"]["content"]
    assert message.startswith("[simulated, no model]")
    assert chat()["system_fingerprint"] == "simulated"


def test_the_same_request_has_the_same_answer_in_every_process() -> None:
    program = (
        "import json, sys\n"
        "from tests.local.test_simulating import answer\n"
        "for endpoint, body in json.load(sys.stdin):\n"
        "    print(json.dumps(answer(endpoint, body)))\n"
    )
    there = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPO,
        input=json.dumps(BODIES),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [answer(endpoint, body) for endpoint, body in BODIES]
    assert [json.loads(line) for line in there.stdout.splitlines()] == answers


def test_the_answer_does_not_depend_on_the_order_of_keys() -> None:
    body = {"a": 1, "b": 2}
    assert chat(metadata=body) == chat(metadata=dict(reversed(body.items())))
    assert chat("One")["choices"] != chat("Two")["choices"]


def test_several_choices_differ() -> None:
    contents = {choice["message"]["content"] for choice in chat(n=3)["choices"]}
    assert len(contents) == 3


def test_an_answer_over_the_output_limit_is_cut_and_says_so() -> None:
    completion = chat(max_completion_tokens=2)
    assert completion["choices"][0]["finish_reason"] == "length"
    assert completion["usage"]["completion_tokens"] == 2
    response = answer("/v1/responses", {"input": "Hi", "max_output_tokens": 2})
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}


def test_json_object_requires_the_word_json_as_openai_does() -> None:
    options = {"response_format": {"type": "json_object"}}
    content = chat("As JSON, please", **options)["choices"][0]["message"]["content"]
    assert json.loads(content)["simulated"] is True
    with pytest.raises(simulated.Problem, match="must contain the word 'json'"):
        chat("Hello?", **options)


def test_an_embedding_has_unit_length_and_the_requested_dimensions() -> None:
    response = answer("/v1/embeddings", {"input": ["Hi", "there", "Hi"], "dimensions": 16})
    vectors = [each["embedding"] for each in response["data"]]
    assert [len(vector) for vector in vectors] == [16, 16, 16]
    assert sum(x * x for x in vectors[0]) == pytest.approx(1.0, abs=1e-4)
    assert vectors[0] == vectors[2] != vectors[1]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "object", "properties": {}}, "additionalProperties"),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "required": [],
                "additionalProperties": False,
            },
            "'required' is required",
        ),
        ({"$ref": "#/$defs/Nothing"}, "cannot be resolved"),
        ({"$ref": "https://example.com/schema"}, "outside"),
    ],
)
def test_a_schema_that_strict_mode_rejects_fails_the_request(
    schema: dict[str, Any], reason: str
) -> None:
    with pytest.raises(simulated.Problem, match=reason) as excinfo:
        chat(response_format=schema_format(schema, strict=True))
    assert excinfo.value.status_code == 400
    assert excinfo.value.body["error"]["code"] == "invalid_json_schema"


def test_a_schema_that_contains_only_itself_is_an_error() -> None:
    recursive = {
        "$ref": "#/$defs/Node",
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {"next": {"$ref": "#/$defs/Node"}},
                "required": ["next"],
            }
        },
    }
    with pytest.raises(schema.SchemaError, match="no finite instance"):
        schema.Sampler(recursive)


TREE: dict[str, Any] = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "label": {"enum": ["a", "b"]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
                "parent": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                "kind": {"$ref": "#/$defs/Kind"},
            },
            "required": ["label", "children", "parent", "kind"],
            "additionalProperties": False,
        },
        "Kind": {
            "anyOf": [
                {"const": 3},
                {"type": ["integer", "null"], "minimum": 5, "maximum": 6},
                {"type": "array", "items": {"$ref": "#"}, "minItems": 1, "maxItems": 2},
            ]
        },
    },
}


@given(st.binary(min_size=8, max_size=8))
def test_a_recursive_schema_is_obeyed_and_terminates(judge: Any, seed: bytes) -> None:
    judge.validate(schema.Sampler(TREE).sample(dice.Dice(seed)), TREE)


SCALARS = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.builds(lambda values: {"enum": values}, st.lists(st.text(max_size=5), min_size=1)),
    st.builds(
        lambda low, width: {"type": "integer", "minimum": low, "maximum": low + width},
        st.integers(-(10**20), 10**20),
        st.integers(0, 10**12),
    ),
    st.builds(
        lambda low, width, step: {
            "type": "integer",
            "exclusiveMinimum": low,
            "exclusiveMaximum": low + width + 2 * step,
            "multipleOf": step,
        },
        st.integers(-100, 100),
        st.integers(0, 100),
        st.integers(1, 9),
    ),
    st.builds(
        lambda low, width: {
            "type": "number",
            "exclusiveMinimum": low,
            "exclusiveMaximum": low + width,
        },
        st.integers(-1000, 1000),
        st.integers(1, 1000),
    ),
    st.builds(
        lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more},
        st.integers(0, 40),
        st.integers(0, 40),
    ),
    st.sampled_from(
        [
            {"type": "string", "format": name}
            for name in ("date", "time", "date-time", "email", "uuid", "ipv4", "ipv6", "duration")
        ]
    ),
    st.sampled_from(
        [
            {"type": "string", "pattern": pattern}
            for pattern in (
                r"^[A-Z]{3}$",
                r"^\d{4}-\d{2}$",
                r"^(cat|dog)s?$",
                r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
                r"^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$",
                r"^#[0-9a-fA-F]{6}\Z",
                r"(\w)\1",
                r".+",
                r"^\d{120}$",
                r"^[a-z]{1,150}$",
            )
        ]
    ),
)


def strict_object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.dictionaries(st.text(max_size=8), inner, max_size=4).map(strict_object),
        st.builds(
            lambda items, low, more: {
                "type": "array",
                "items": items,
                "minItems": low,
                "maxItems": low + more,
            },
            inner,
            st.integers(0, 3),
            st.integers(0, 3),
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
        st.lists(inner, min_size=1, max_size=2).map(
            lambda items: {
                "type": "array",
                "prefixItems": items,
                "minItems": len(items),
                "maxItems": len(items),
            }
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=examples(300))
@given(SCHEMAS, st.binary(min_size=8, max_size=8))
def test_an_instance_is_valid_whatever_the_schema(
    judge: Any, json_schema: dict[str, Any], seed: bytes
) -> None:
    instance = schema.Sampler(json_schema).sample(dice.Dice(seed))
    validator = judge.Draft202012Validator
    validator(json_schema, format_checker=validator.FORMAT_CHECKER).validate(instance)


@pytest.mark.parametrize("endpoint", [CHAT, "/v1/responses"])
def test_the_schema_of_the_request_is_obeyed(endpoint: str, judge: Any) -> None:
    schema = strict_object({"label": {"enum": ["positive", "negative"]}})
    if endpoint == CHAT:
        response = chat(response_format=schema_format(schema, strict=True))
        text = response["choices"][0]["message"]["content"]
    else:
        form = {"type": "json_schema", "name": "a", "strict": True, "schema": schema}
        response = answer(endpoint, {"input": "Hi", "text": {"format": form}})
        text = response["output"][0]["content"][0]["text"]
    judge.validate(json.loads(text), schema)


@settings(max_examples=examples(50))
@given(st.integers(1, 10**30), st.binary(min_size=8, max_size=8))
def test_dice_stay_below_their_limit(limit: int, seed: bytes) -> None:
    thrown = dice.Dice(seed)
    assert all(0 <= thrown.below(limit) < limit for _ in range(20))
