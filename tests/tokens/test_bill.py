"""Counts of recorded requests, compared with the billed tokens."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from benchmarks import bill
from benchmarks._fit import sample
from benchmarks._recordings import Recording, recordings


@pytest.fixture(scope="module")
def recorded(shared: Path) -> list[Recording]:
    file = shared / "recordings.jsonl.gz"
    if not file.exists():
        pytest.skip("needs the recorded requests of the shared data sets")
    pytest.importorskip("splintr")
    return recordings(file)


@pytest.fixture(scope="module")
def scored(recorded: list[Recording]) -> list[bill.Scored]:
    return bill.score(recorded)


def of(scored: list[bill.Scored], *kinds: str) -> list[bill.Scored]:
    return [one for one in scored if one.recording.kind in kinds]


def share(scored: list[bill.Scored], most: int) -> float:
    return sum(abs(one.off) <= most for one in scored) / len(scored)


def total(scored: list[bill.Scored]) -> float:
    billed = sum(one.recording.billed for one in scored)
    return abs(sum(one.off for one in scored)) / billed


@pytest.mark.parametrize(
    ("kinds", "exact", "near"),
    [
        (("text",), 0.965, 0.98),
        (("schema",), 0.97, 0.99),
        (("tools", "tools+format"), 0.9, 0.95),
        (("tool history",), 0.85, 0.95),
        (("embeddings",), 1.0, 1.0),
    ],
)
def test_counts_are_what_was_billed(
    scored: list[bill.Scored], kinds: tuple[str, ...], exact: float, near: float
) -> None:
    group = of(scored, *kinds)
    assert share(group, 0) >= exact
    assert share(group, 3) >= near


@pytest.mark.parametrize(
    ("kind", "most"),
    [("text", 0.002), ("schema", 0.001), ("tools", 0.005), ("tool history", 0.005)],
)
def test_totals_are_what_was_billed(scored: list[bill.Scored], kind: str, most: float) -> None:
    # The two states of one snapshot are stated as a range.
    group = [one for one in of(scored, kind) if not one.has_two_states]
    assert total(group) <= most


def test_counts_called_exact_equal_the_bill(scored: list[bill.Scored]) -> None:
    claimed = [one for one in scored if one.count.exact]
    assert share(claimed, 0) >= 0.99
    chats = [one for one in of(scored, "text") if "chat" in one.recording.endpoint]
    assert sum(one.count.exact for one in chats) >= 0.8 * len(chats)


@pytest.mark.parametrize("kind", [*bill.KINDS])
def test_bills_are_within_the_stated_range(scored: list[bill.Scored], kind: str) -> None:
    group = of(scored, kind)
    outside = [one for one in group if not one.is_inside]
    assert len(outside) <= max(0.015 * len(group), 2)


@pytest.mark.parametrize(
    ("kind", "most"), [("text", 0.03), ("schema", 0.03), ("tools", 0.15), ("tool history", 0.15)]
)
def test_the_stated_range_is_narrow(scored: list[bill.Scored], kind: str, most: float) -> None:
    assert statistics.median(one.width for one in of(scored, kind)) <= most


@pytest.mark.parametrize("kind", ["hosted tools", "files/audio", "stored prompt"])
def test_content_outside_the_request_has_no_upper_bound(
    scored: list[bill.Scored], kind: str
) -> None:
    bounded = [one for one in of(scored, kind) if one.count.more is not None]
    assert bounded == []


def test_a_count_shows_which_constants_it_depends_on() -> None:
    pytest.importorskip("splintr")
    wanted = {"name": "label", "schema": {"type": "object", "properties": {}}}
    body = {
        "model": "gpt-4.1",
        "messages": [{"role": "user", "content": "Hi"}],
        "response_format": {"type": "json_schema", "json_schema": wanted},
    }
    one = Recording("schema", "/v1/chat/completions", "gpt-4.1", "owner", body, billed=40)
    before = bill.score([one])
    assert {name: times for (_, name), times in sample(one).features.items()} == {
        "bare": 1,
        "header": 1,
    }
    assert bill.score([one]) == before


@pytest.mark.slow
def test_constants_fitted_to_other_owners_give_the_same(recorded: list[Recording]) -> None:
    held_out = bill.score_held_out(recorded)
    for kind, exact, most in (
        ("schema", 0.97, 0.001), ("tools", 0.88, 0.005), ("tool history", 0.85, 0.005)
    ):  # fmt: skip
        group = of(held_out, kind)
        assert share(group, 0) >= exact
        assert total([one for one in group if not one.has_two_states]) <= most


@pytest.mark.slow
def test_the_page_shows_the_tables(recorded: list[Recording]) -> None:
    page = Path(__file__).parents[2] / "docs" / "accuracy.md"
    assert bill.report(recorded).strip() in page.read_text(encoding="utf-8")
