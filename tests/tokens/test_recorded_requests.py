"""Requests that were really sent, and the input tokens the API counted for them."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchframe import count_tokens


@pytest.fixture(scope="module")
def recorded(shared: Path) -> list[dict[str, Any]]:
    file = shared / "token_fixtures.jsonl"
    if not file.exists():
        pytest.skip("the recorded requests are not on this machine")
    pytest.importorskip("splintr")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def differences(recorded: list[dict[str, Any]], kind: str) -> dict[str, int]:
    """How many more tokens the API counted, by recording."""
    return {
        f"{position} {one['source']}": one["observed_input_tokens"]
        - count_tokens({"model": one["model"], **one["request"]}, endpoint=one["endpoint"]).tokens
        for position, one in enumerate(recorded)
        if one["kind"] == kind
    }


@pytest.mark.parametrize("kind", ["text", "embedding"])
def test_texts_are_counted_as_the_api_counts_them(
    recorded: list[dict[str, Any]], kind: str
) -> None:
    found = differences(recorded, kind)
    missed = {source: difference for source, difference in found.items() if difference}
    assert found
    assert len(missed) <= 0.05 * len(found), missed


def test_whatever_is_called_exact_is_exact(recorded: list[dict[str, Any]]) -> None:
    wrong = []
    for one in recorded:
        body = {"model": one["model"], **one["request"]}
        counted = count_tokens(body, endpoint=one["endpoint"])
        if counted.exact and counted.tokens != one["observed_input_tokens"]:
            wrong.append((one["source"], counted.tokens, one["observed_input_tokens"]))
    assert wrong == []


def test_a_schema_is_counted_within_three_tokens(recorded: list[dict[str, Any]]) -> None:
    found = differences(recorded, "json_schema")
    assert len(found) >= 9
    assert max(map(abs, found.values())) <= 3, found


def test_tools_are_counted_within_five_per_cent_in_total(recorded: list[dict[str, Any]]) -> None:
    off = sum(differences(recorded, "tools").values())
    counted = sum(one["observed_input_tokens"] for one in recorded if one["kind"] == "tools")
    assert abs(off) <= 0.05 * counted


def test_every_recorded_count_lies_within_the_error_that_was_stated(
    recorded: list[dict[str, Any]],
) -> None:
    outside = []
    for one in recorded:
        body = {"model": one["model"], **one["request"]}
        counted = count_tokens(body, endpoint=one["endpoint"])
        off = one["observed_input_tokens"] - counted.tokens
        if off < -counted.fewer or (counted.more is not None and off > counted.more):
            outside.append((one["source"], off, counted))
    assert outside == []
