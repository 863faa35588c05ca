"""Comparison of the cost of the same rows across models."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe.errors import CostError, RequestError

FRAME = pd.DataFrame({"text": ["a", "größer als 12345", "a", None]})


def ask(model: str = "gpt-4.1", prompt: Any = "Rate: {{ text }}", **more: Any) -> bf.Requests:
    options = {"output": ["+", "-"], "on_missing": "skip", **more}
    return FRAME.bf.requests(prompt, model=model, **options)


def test_each_model_costs_as_much_as_in_its_own_estimate() -> None:
    models = ["gpt-4.1", "gpt-5.6-luna", "gpt-3.5-turbo", "gpt-6-luna"]
    costs = ask().compare(models, tiers=["batch", "standard", "flex", "priority"])
    assert costs.index.tolist() == [
        (model, tier) for model in models for tier in ("batch", "standard", "flex", "priority")
    ]
    for model in models:
        own = ask(model).estimate()
        ranges = (own.cost, own.standard_cost, own.flex_cost, own.priority_cost)
        for tier, span in zip(("batch", "standard", "flex", "priority"), ranges, strict=True):
            row = costs.loc[(model, tier)]
            actual = tuple(row[["low", "expected", "high"]])
            assert actual == ((None,) * 3 if span is None else
                             (span.low, span.expected, span.high))  # fmt: skip
            assert row["input_tokens"] == own.input_tokens.expected
    # The tokenizer of each model counts.
    assert costs.loc[("gpt-3.5-turbo", "batch")]["input_tokens"] != costs["input_tokens"].iloc[0]


def test_an_unknown_model_has_no_price_and_given_prices_give_it_one() -> None:
    costs = ask().compare(["my-model"], prices={"my-model": {"input": "1", "output": "2"}})
    assert isinstance(costs["high"]["my-model", "batch"], Decimal)
    assert costs["high"]["my-model", "standard"] is None
    assert "Unknown standard price." in costs["note"]["my-model", "standard"]


def test_background_windows_are_compared_with_the_tiers_and_note_their_promises() -> None:
    tiers = ["batch", "background_8h", "background_2h", "standard"]
    costs = ask(max_completion_tokens=5).compare(["gpt-6-luna", "my-model"], tiers=tiers)
    luna = costs.loc["gpt-6-luna"]
    assert luna["high"]["background_8h"] == luna["high"]["standard"] * Decimal("0.6")
    assert luna["low"]["background_2h"] == luna["low"]["standard"] * Decimal("0.7")
    assert luna["high"].is_monotonic_increasing
    assert [note.partition(",")[0] for note in luna["note"][tiers[:3]]] == [
        "Within 24 hours", "Within 8 hours", "Within 2 hours",
    ]  # fmt: skip
    assert luna["note"]["standard"].startswith("At once.")
    assert costs["high"]["my-model", "background_8h"] is None
    assert "At once" not in ask().compare(["gpt-6-luna"])["note"].iloc[1]
    groq = ask().compare(["gpt-6-luna"], tiers=tiers, provider="groq")
    assert groq["high"].isna().all()


def test_a_model_without_an_output_price_is_shown_without_a_cost() -> None:
    costs = ask().compare("text-embedding-3-small")
    assert costs["low"].tolist() == [None, None]


def test_parameters_that_a_model_rejects_are_shown_with_its_cost() -> None:
    costs = ask(temperature=0).compare(["gpt-4.1", "gpt-5.6-luna", "gpt-4.1-nano"])
    notes = costs["note"].xs("batch", level="tier")
    assert "Rejects" not in notes["gpt-4.1"]
    assert "Rejects temperature=." in notes["gpt-5.6-luna"]
    assert "Reasoning has no upper bound." in notes["gpt-5.6-luna"]
    assert "shut gpt-4.1-nano down" in notes["gpt-4.1-nano"]
    off = ask(reasoning_effort="none", model="gpt-5.6-luna", temperature=0)
    assert "Rejects" not in off.compare(["gpt-6-luna"])["note"].iloc[0]
    assert "Rejects reasoning_effort=." in off.compare(["gpt-4.1"])["note"].iloc[0]


@pytest.mark.parametrize(
    "prompt",
    [
        [{"role": "system", "content": "S"}, {"role": "user", "content": "{{ text }}!"}],
        lambda row: f"Rate {row['text']}" if isinstance(row["text"], str) else None,
    ],
    ids=["messages", "function"],
)
def test_prompts_of_every_kind_are_counted_for_each_model(prompt: Any) -> None:
    costs = ask(prompt=prompt).compare(["gpt-3.5-turbo"])
    own = ask("gpt-3.5-turbo", prompt).estimate()
    assert costs["input_tokens"].iloc[0] == own.input_tokens.expected
    assert costs["high"].iloc[0] == own.cost.high  # type: ignore[union-attr]


def test_unanswered_requests_can_be_compared() -> None:
    with batchframe.local.serve(answer=lambda _: {"label": "?"}) as server:
        job = ask().submit(client=server.client()).wait()
    again = job.unanswered(also=["invalid"])
    costs = again.compare(["gpt-3.5-turbo", "gpt-4.1"])
    assert costs["input_tokens"].tolist()[::2] == [
        ask(model).estimate().input_tokens.expected for model in ("gpt-3.5-turbo", "gpt-4.1")
    ]


def test_arguments_that_cannot_be_compared_raise_a_clear_error() -> None:
    with pytest.raises(RequestError, match="not the name of a model"):
        ask().compare([""])
    with pytest.raises(CostError, match="unknown price tier 'scale'"):
        ask().compare(["gpt-4.1"], tiers=["scale"])  # type: ignore[list-item]
    assert ask().compare([]).empty


def test_no_requests_cost_nothing() -> None:
    costs = FRAME.iloc[3:].bf.requests("{{ text }}", model="gpt-4.1", output=["+"],
                                       on_missing="skip").compare(["gpt-5.6-luna"])  # fmt: skip
    assert costs["high"].tolist() == [0, 0]


def test_prices_that_would_not_be_used_are_refused() -> None:
    with pytest.raises(CostError, match=r'keyed by model.*prices=\{"gpt-4.1": \{"input"'):
        ask().compare(["gpt-4.1"], prices={"input": 1, "output": 2})  # type: ignore[dict-item]
    with pytest.raises(CostError, match=r"Did you mean 'gpt-4\.1'"):
        ask().compare(["gpt-4.1"], prices={"gpt-4.l": {"input": 1, "output": 2}})
