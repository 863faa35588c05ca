"""How long answers may be, and what a limit is held against."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from batchframe._estimate.answer_length import AnswerLength, Experience, answer_length
from batchframe._estimate.budget import refuse_above
from batchframe._estimate.counting import count_input
from batchframe._estimate.pricing import estimate
from batchframe._output import output_spec
from batchframe._recipe.recipe import Recipe
from batchframe._requests.table import RequestTable
from batchframe._services.provider_table import profile_of
from batchframe.errors import CostError, IntervalWarning

LABELS = ["good", "bad"]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
ALIKE = Experience(20, 1, mean=100.0, spread=0.0, longest=100)


def asked(output: Any = None, model: str = "gpt-4.1", **body: Any) -> Recipe:
    return Recipe.checked(
        endpoint="/v1/chat/completions", model=model, prompt="{{ t }}", system=None,
        output=output_spec(output), on_missing="raise", dedupe=True, body=body,
    )  # fmt: skip


def told(length: AnswerLength) -> str:
    return " ".join(length.notes)


def test_a_call_of_a_tool_is_bounded_by_no_output_spec() -> None:
    free = answer_length(asked(LABELS, tools=[TOOL]))
    assert free.tokens.high is None
    assert "call of a tool" in told(free)
    assert answer_length(asked(LABELS, tools=[TOOL], max_completion_tokens=9)).tokens.high == 9
    none = answer_length(asked(LABELS, tools=[TOOL], tool_choice="none"))
    assert none == answer_length(asked(LABELS))


def test_a_bounded_text_says_how_it_is_counted() -> None:
    schema = {"type": "string", "maxLength": 200}
    known = answer_length(asked(schema))
    assert known.tokens.high is not None
    assert known.tokens.high > 800
    assert "four tokens" in told(known)
    assert "four tokens" not in told(answer_length(asked(LABELS)))


@pytest.mark.parametrize("longest", [0, 1, 100, 5_000])
@pytest.mark.parametrize("narrow", [True, False])
def test_answers_that_were_all_alike_leave_a_range(longest: int, *, narrow: bool) -> None:
    alike = Experience(20, 1, mean=float(longest), spread=0.0, longest=longest)
    known = answer_length(asked(), alike, 1_000_000, narrow=narrow).tokens
    assert known.high is not None
    assert known.low <= longest < known.high
    if longest > 1:
        assert known.low < longest


def test_more_answers_seen_leave_a_smaller_range() -> None:
    many = Experience(2_000, 1, mean=100.0, spread=0.0, longest=100)
    highs = [answer_length(asked(), seen, 1_000).tokens.high or 0 for seen in (ALIKE, many)]
    assert highs == [115, 101]


def table(rows: int, **body: Any) -> RequestTable:
    frame = pd.DataFrame({"t": [f"{row} {'word ' * (row % 7)}" for row in range(rows)]})
    return frame.bf.requests("{{ t }}", model="gpt-4.1", **body)._table


def held(rows: int, limit: Decimal, before: Experience | None, **body: Any) -> None:
    these = table(rows, **body)
    read = count_input(these)
    refuse_above(limit, estimate(these, read, before=before), these, read)


def test_a_limit_that_holds_only_likely_is_said_to() -> None:
    with pytest.warns(IntervalWarning, match="max_completion_tokens"):
        held(100, Decimal(5), ALIKE)
    held(100, Decimal(5), ALIKE, max_completion_tokens=200)
    held(100, Decimal(5), ALIKE, output=LABELS)


@pytest.mark.parametrize("part", ["0.9", "0.5", "0.1"])
def test_the_rows_said_to_fit_fit_after_a_pilot_too(part: str) -> None:
    seen = Experience(12, 1, mean=300.0, spread=250.0, longest=1_500)
    these = table(200)
    known = estimate(these, count_input(these), before=seen).cost
    assert known is not None
    assert known.high is not None
    limit = known.high * Decimal(part)
    with pytest.raises(CostError) as caught:
        held(200, limit, seen)
    named = re.search(r"df\.head\((\d+)\)", str(caught.value))
    assert named is not None
    with pytest.warns(IntervalWarning):
        held(int(named[1]), limit, seen)


def test_reasoning_of_other_makers_is_spoken_of() -> None:
    for model in ("deepseek-r1", "gpt-oss-120b", "Qwen/QwQ-32B", "kimi-k2-thinking"):
        assert answer_length(asked(LABELS, model)).unbounded_reasoning
    unknown = answer_length(asked(LABELS, "some-model"))
    assert not unknown.unbounded_reasoning
    assert "not known here" in told(unknown)
    for known in (asked(LABELS), asked(LABELS, "some-model", max_completion_tokens=9)):
        assert "not known here" not in told(answer_length(known))


def test_the_doubt_about_an_unpublished_tokenizer_is_in_the_range() -> None:
    these = pd.DataFrame({"t": ["word " * 1_000]}).bf.requests(
        "{{ t }}", model="gpt-6-luna", output=LABELS
    )
    read = these.estimate().input_tokens
    assert read.high is not None
    assert read.low < 0.98 * read.expected < read.expected < 1.02 * read.expected < read.high
    length = answer_length(asked(LABELS, "gpt-6-luna")).tokens
    assert length.expected is not None
    assert length.high is not None
    assert length.low < length.expected < length.high


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        ("https://acme.openai.azure.com/openai/v1", "a deployment may be called otherwise"),
        ("https://gateway.example.com/v1", "No batch price is known"),
        ("http://127.0.0.1:8000/v1", "rehearsal"),
        ("https://api.openai.com/v1", None),
    ],
)
def test_whose_prices_these_are_is_said(base_url: str, words: str | None) -> None:
    these = table(2, output=LABELS)
    read = count_input(these)
    whose = profile_of(base_url)
    notes = " ".join(estimate(these, read, base_url=base_url, provider=whose).notes)
    assert words is None or words in notes
    assert ("OpenAI's own prices" in notes) == (words == "rehearsal")
    given = {"input": 1, "output": 2}
    mine = estimate(these, read, base_url=base_url, provider=whose, prices=given)
    assert words is None or words not in " ".join(mine.notes)
