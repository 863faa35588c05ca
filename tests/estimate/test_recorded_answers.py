"""Counts of recorded answers, compared with their bills."""

from __future__ import annotations

from pathlib import Path

import pytest

import batchframe as bf
from benchmarks._answers import RecordedAnswer, recorded_answers


@pytest.fixture(scope="module")
def answers(shared: Path) -> list[RecordedAnswer]:
    file = shared / "recordings.jsonl.gz"
    if not file.exists():
        pytest.skip("needs the recorded requests of the shared data sets")
    pytest.importorskip("splintr")
    return recorded_answers(file)


def of(answers: list[RecordedAnswer], *kinds: str) -> list[RecordedAnswer]:
    return [one for one in answers if one.cell[0] in kinds]


@pytest.mark.parametrize(
    ("kind", "least", "share"),
    [("text", 700, 0.995), ("schema", 140, 0.995), ("one call", 200, 0.99), ("calls", 20, 0.98)],
)
def test_no_answer_is_billed_above_its_bound(
    answers: list[RecordedAnswer], kind: str, least: int, share: float
) -> None:
    group = of(answers, kind)
    above = [one for one in group if not one.is_bounded]
    assert len(group) >= least
    assert 1 - len(above) / len(group) >= share, above


@pytest.mark.parametrize(
    ("kind", "share"), [("text", 0.995), ("schema", 0.995), ("one call", 0.99)]
)
def test_the_maximum_of_other_owners_bounds_an_owners_answers(
    answers: list[RecordedAnswer], kind: str, share: float
) -> None:
    group = of(answers, kind)
    assert sum(one.is_bounded_by(answers) for one in group) / len(group) >= share


def test_few_answers_are_billed_below_their_lower_bound(answers: list[RecordedAnswer]) -> None:
    group = of(answers, "text", "schema")
    below = [one for one in group if -one.over > one.count.fewer]
    assert len(below) / len(group) <= 0.01, below


def test_schemas_are_counted_as_they_were_billed(answers: list[RecordedAnswer]) -> None:
    group = of(answers, "schema")
    assert abs(sum(one.over for one in group)) / sum(one.billed for one in group) < 0.01


def test_a_structured_answer_of_a_newer_model_is_billed_above_its_text() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "label", "schema": {}}}
    body = {"model": "gpt-5.6-luna", "messages": [], "response_format": form}
    plain = bf.count_tokens({"model": "gpt-4o", "messages": []}, answer='{"label":"good"}')
    framed = bf.count_tokens(body, answer='{"label":"good"}')
    assert framed.tokens >= plain.tokens + 6
    assert framed.more is not None
    call = {"function": {"name": "look", "arguments": "{}"}}
    called = bf.count_tokens({**body, "tools": [call]}, answer={"tool_calls": [call]})
    assert called.tokens > 10
    assert bf.count_tokens(body, answer={"refusal": "I cannot help with that."}).tokens > 6


def test_the_namespace_of_a_called_function_is_billed() -> None:
    body = {"model": "gpt-5.4", "input": [], "tools": [{"type": "function", "name": "look"}]}
    call = {"type": "function_call", "name": "look", "arguments": "{}"}
    plain = bf.count_tokens(body, endpoint="/v1/responses", answer={"tool_calls": [call]})
    inside = {"tool_calls": [{**call, "namespace": "look"}]}
    assert bf.count_tokens(body, endpoint="/v1/responses", answer=inside).tokens > plain.tokens
    assert plain.more is not None


def test_an_item_of_an_answer_that_cannot_be_counted_has_no_high_end() -> None:
    compacted = {"content": "Done.", "tool_calls": [{"encrypted_content": "gAAAA"}]}
    counted = bf.count_tokens({"model": "gpt-4o", "messages": []}, answer=compacted)
    assert counted.more is None
    assert "not counted" in " ".join(counted.notes)
