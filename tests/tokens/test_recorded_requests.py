"""Recorded requests and the API's input token counts."""

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
    """Differences of the API's counts from the computed ones."""
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
    errors = differences(recorded, kind)
    missed = {source: difference for source, difference in errors.items() if difference}
    assert errors
    assert len(missed) <= 0.05 * len(errors), missed


def test_counts_called_exact_are_exact(recorded: list[dict[str, Any]]) -> None:
    wrong = []
    for one in recorded:
        body = {"model": one["model"], **one["request"]}
        count = count_tokens(body, endpoint=one["endpoint"])
        if count.exact and count.tokens != one["observed_input_tokens"]:
            wrong.append((one["source"], count.tokens, one["observed_input_tokens"]))
    assert wrong == []


def test_a_schema_is_counted_as_the_api_counts_it(recorded: list[dict[str, Any]]) -> None:
    errors = differences(recorded, "json_schema")
    assert len(errors) >= 9
    assert set(errors.values()) == {0}, errors


def test_nine_in_ten_requests_with_tools_are_counted_as_the_api_counts_them(
    recorded: list[dict[str, Any]],
) -> None:
    errors = differences(recorded, "tools")
    assert sum(difference == 0 for difference in errors.values()) >= 0.9 * len(errors)
    observed = sum(one["observed_input_tokens"] for one in recorded if one["kind"] == "tools")
    assert abs(sum(errors.values())) <= 0.005 * observed


def test_every_recorded_count_is_within_the_stated_error(
    recorded: list[dict[str, Any]],
) -> None:
    outside = []
    for one in recorded:
        body = {"model": one["model"], **one["request"]}
        count = count_tokens(body, endpoint=one["endpoint"])
        off = one["observed_input_tokens"] - count.tokens
        if off < -count.fewer or (count.more is not None and off > count.more):
            outside.append((one["source"], off, count))
    assert outside == []
