"""The same rows, asked of several models: what each would cost."""

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


def test_each_model_costs_what_an_estimate_of_its_own_says() -> None:
    models = ["gpt-4.1", "gpt-5.6-luna", "gpt-3.5-turbo", "gpt-6-luna"]
    costs = ask().compare(models, tiers=["batch", "standard", "flex", "priority"])
    assert costs.index.tolist() == [
        (model, tier) for model in models for tier in ("batch", "standard", "flex", "priority")
    ]
    for model in models:
        own = ask(model).estimate()
        ranges = (own.cost, own.standard_cost, own.flex_cost, own.priority_cost)
        for tier, known in zip(("batch", "standard", "flex", "priority"), ranges, strict=True):
            row = costs.loc[(model, tier)]
            found = tuple(row[["low", "expected", "high"]])
            assert found == ((None,) * 3 if known is None else
                             (known.low, known.expected, known.high))  # fmt: skip
            assert row["input_tokens"] == own.input_tokens.expected
    # The tokenizer of each model counts.
    assert costs.loc[("gpt-3.5-turbo", "batch")]["input_tokens"] != costs["input_tokens"].iloc[0]


def test_an_unknown_model_has_no_price_and_given_prices_give_it_one() -> None:
    costs = ask().compare(["my-model"], prices={"my-model": {"input": "1", "output": "2"}})
    assert isinstance(costs["high"]["my-model", "batch"], Decimal)
    assert costs["high"]["my-model", "standard"] is None
    assert "Unknown standard price." in costs["note"]["my-model", "standard"]


def test_a_model_that_writes_no_answers_is_shown_without_a_price() -> None:
    costs = ask().compare("text-embedding-3-small")
    assert costs["low"].tolist() == [None, None]


def test_what_a_model_would_refuse_is_said_beside_its_cost() -> None:
    costs = ask(temperature=0).compare(["gpt-4.1", "gpt-5.6-luna", "gpt-4.1-nano"])
    notes = costs["note"].xs("batch", level="tier")
    assert "Rejects" not in notes["gpt-4.1"]
    assert "Rejects temperature=." in notes["gpt-5.6-luna"]
    assert "Excludes reasoning tokens." in notes["gpt-5.6-luna"]
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
def test_prompts_of_every_kind_are_counted_anew(prompt: Any) -> None:
    costs = ask(prompt=prompt).compare(["gpt-3.5-turbo"])
    own = ask("gpt-3.5-turbo", prompt).estimate()
    assert costs["input_tokens"].iloc[0] == own.input_tokens.expected
    assert costs["high"].iloc[0] == own.cost.high  # type: ignore[union-attr]


def test_requests_that_a_job_left_unanswered_are_compared_too() -> None:
    with batchframe.local.serve(answer=lambda _: {"label": "?"}) as server:
        job = ask().submit(client=server.client()).wait()
    again = job.unanswered(also=["invalid"])
    costs = again.compare(["gpt-3.5-turbo", "gpt-4.1"])
    assert costs["input_tokens"].tolist()[::2] == [
        ask(model).estimate().input_tokens.expected for model in ("gpt-3.5-turbo", "gpt-4.1")
    ]


def test_what_cannot_be_compared_is_refused_in_words() -> None:
    with pytest.raises(RequestError, match="not the name of a model"):
        ask().compare([""])
    with pytest.raises(CostError, match="unknown price tier 'scale'"):
        ask().compare(["gpt-4.1"], tiers=["scale"])  # type: ignore[list-item]
    assert ask().compare([]).empty


def test_nothing_to_ask_costs_nothing() -> None:
    costs = FRAME.iloc[3:].bf.requests("{{ text }}", model="gpt-4.1", output=["+"],
                                       on_missing="skip").compare(["gpt-5.6-luna"])  # fmt: skip
    assert costs["high"].tolist() == [0, 0]


def test_prices_that_would_be_ignored_are_refused() -> None:
    with pytest.raises(CostError, match=r'keyed by model.*prices=\{"gpt-4.1": \{"input"'):
        ask().compare(["gpt-4.1"], prices={"input": 1, "output": 2})  # type: ignore[dict-item]
    with pytest.raises(CostError, match=r"Did you mean 'gpt-4\.1'"):
        ask().compare(["gpt-4.1"], prices={"gpt-4.l": {"input": 1, "output": 2}})
