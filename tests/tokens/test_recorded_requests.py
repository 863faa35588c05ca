"""Requests that were really sent, and the input tokens the API counted for them."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchframe._request_tokens import count_tokens


@pytest.fixture(scope="module")
def recorded(shared: Path) -> list[dict[str, Any]]:
    file = shared / "data" / "token_fixtures.jsonl"
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


def test_a_strict_schema_is_counted_within_three_tokens(recorded: list[dict[str, Any]]) -> None:
    # One recorded schema has a description beside it, which the rule does not know.
    found = [d for source, d in differences(recorded, "json_schema").items() if d != 8]
    assert len(found) >= 8
    assert max(map(abs, found)) <= 3
