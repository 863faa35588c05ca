"""Prompt cache writes: priced from gpt-5.6 on, billed as stated."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import batchframe as bf
import batchframe.local

LONG = "word " * 2_000
MILLION = 1_000_000


def answer_of(usage: dict[str, Any]) -> dict[str, Any]:
    choice = {"message": {"content": "yes"}, "finish_reason": "stop"}
    return {"object": "chat.completion", "usage": usage, "choices": [choice]}


def stating(usage: dict[str, Any], **options: Any) -> bf.Job:
    """Return a job of one answer with this usage."""
    endpoint = options.get("endpoint", "/v1/chat/completions")

    def answer(_: dict[str, Any]) -> dict[str, Any]:
        if endpoint == "/v1/responses":
            content = [{"type": "output_text", "text": "yes", "annotations": []}]
            item = {
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": content,
            }
            return {"object": "response", "status": "completed", "usage": usage, "output": [item]}
        return answer_of(usage)

    requests = pd.DataFrame({"t": [LONG]}).bf.requests(
        "{{ t }}", **{"model": "gpt-5.6-luna", **options}
    )
    with batchframe.local.serve(answer=answer) as server:
        return requests.submit("cached", client=server.client()).wait()


CHAT = {
    "prompt_tokens": 2_600,
    "completion_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 2_000, "cache_write_tokens": 400},
}
# The example of OpenAI's prompt caching guide: 2,000 tokens read, 400 written, 200 neither; at
# gpt-5.6-luna's batch prices.
PAID = (200 * Decimal("0.1") + 2_000 * Decimal("0.01") + 400 * Decimal("0.125")) / MILLION + (
    2 * Decimal("0.6") / MILLION
)


def test_cache_writes_are_billed_once_at_their_own_price() -> None:
    job = stating(CHAT)
    assert job.cost == PAID
    assert job.usage.cache_write_tokens == 400
    rows = job.results(details=True)
    assert rows["bf_cost"].tolist() == [PAID]
    assert rows["bf_cache_write_tokens"].tolist() == [400]


def test_cache_writes_are_a_line_of_the_report_with_a_reason() -> None:
    report = stating(CHAT).report()
    names = [line.name for line in report.lines]
    assert names == ["input", "cached input", "cache writes", "output", "total"]
    assert [line.tokens for line in report.lines] == [200, 2_000, 400, 2, 2_602]
    assert report.lines[2].cost == 400 * Decimal("0.125") / MILLION
    assert report.lines[-1].cost == PAID
    assert any("400 input tokens were written to the prompt cache" in n for n in report.notes)


def test_responses_name_cache_writes_differently() -> None:
    usage = {
        "input_tokens": 2_600,
        "output_tokens": 2,
        "input_tokens_details": {"cached_tokens": 2_000, "cache_write_tokens": 400},
    }
    assert stating(usage, endpoint="/v1/responses").cost == PAID


@pytest.mark.parametrize(
    ("details", "cost"),
    [
        ({"cache_write_tokens": 9_999}, 2_600 * Decimal("0.125")),
        ({"cached_tokens": 2_600, "cache_write_tokens": 2_600}, 2_600 * Decimal("0.01")),
        ({"cache_write_tokens": None}, 2_600 * Decimal("0.1")),
        ({"cache_write_tokens": "400"}, 2_600 * Decimal("0.1")),
        ({"cache_write_tokens": -5}, 2_600 * Decimal("0.1")),
    ],
)
def test_impossible_usage_is_never_billed_twice(details: dict[str, Any], cost: Decimal) -> None:
    job = stating({**CHAT, "completion_tokens": 0, "prompt_tokens_details": details})
    assert job.cost == cost / MILLION


def test_without_a_write_price_a_cache_write_costs_the_input_rate() -> None:
    usage = {**CHAT, "prompt_tokens_details": {"cache_write_tokens": 400}}
    job = stating(usage, model="gpt-4.1")
    assert job.cost == (2_600 * Decimal(1) + 2 * Decimal(4)) / MILLION
    assert any("priced as other input" in note for note in job.report().notes)


def test_user_prices_may_include_cache_writes() -> None:
    requests = pd.DataFrame({"t": [LONG]}).bf.requests(
        "{{ t }}", model="m", max_completion_tokens=9
    )
    mine = {"input": 1, "cache_write": 2, "output": 0}
    cost = requests.estimate(prices=mine).cost
    assert cost is not None
    assert cost.high is not None
    assert cost.high >= 2 * (cost.expected or 0)


def test_the_upper_bound_assumes_cache_writes_of_long_prompts() -> None:
    def estimate_of(model: str, text: str) -> bf.Estimate:
        frame = pd.DataFrame({"t": [text]})
        return frame.bf.requests("{{ t }}", model=model, max_completion_tokens=9).estimate()

    long, short, before = (
        estimate_of("gpt-5.6-luna", LONG),
        estimate_of("gpt-5.6-luna", "a"),
        estimate_of("gpt-5.2", LONG),
    )
    assert long.input_cost is not None
    assert long.input_tokens.high is not None
    assert long.input_cost.high == long.input_tokens.high * Decimal("0.125") / MILLION
    assert long.input_cost.expected == long.input_tokens.expected * Decimal("0.1") / MILLION  # type: ignore[operator]
    assert any("prompt cache writes" in note for note in long.notes)
    for other in (short, before):
        assert other.input_cost is not None
        assert other.input_cost.high == other.input_cost.expected
        assert not any("prompt cache writes" in note for note in other.notes)


def test_a_longer_cache_lifetime_is_noted_as_unpriced() -> None:
    frame = pd.DataFrame({"t": ["a"]})
    for lifetime, there in (("7d", True), ("12h", False), ("30m", False)):
        options = {"ttl": lifetime}
        requests = frame.bf.requests("{{ t }}", model="gpt-5.6-luna", prompt_cache_options=options)
        assert any("7d cost more" in note for note in requests.estimate().notes) == there


def test_answers_of_an_earlier_version_are_read_without_the_column() -> None:
    first, both = (pd.DataFrame({"t": [LONG, "more"][:n]}) for n in (1, 2))
    with batchframe.local.serve(answer=lambda _: answer_of(CHAT)) as server:
        client = server.client()
        for name, frame in (("first", first), ("both", both)):
            requests = frame.bf.requests("{{ t }}", model="gpt-5.6-luna")
            requests.submit(name, client=client).wait()
        assert len(server.ledger) == 2
    reused_file = bf.job("both").folder / "reused.parquet"
    pq.write_table(pq.read_table(reused_file).drop_columns("cache_write_tokens"), reused_file)
    (reused_file.parent / "answers.parquet").unlink()  # built from reused answers and its own
    rows = bf.job("both").results(details=True)["bf_cache_write_tokens"]
    assert rows.isna().tolist() == [True, False]
    own = bf.job("first").folder / "answers.parquet"
    pq.write_table(pq.read_table(own).drop_columns("cache_write_tokens"), own)
    assert bf.job("first").cost == PAID
