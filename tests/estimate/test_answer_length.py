"""How long answers may be, how often an interval holds, and what a limit is held against."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import openai
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe._estimate import answer_length, budget, counting, history, pricing
from batchframe.errors import CostError, IntervalWarning

LABELS = ["good", "bad"]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
ALIKE = answer_length.Experience(20, 1, mean=100.0, spread=0.0, longest=100)


def asked(output: Any = None, model: str = "gpt-4.1", **body: Any) -> Any:
    """Return the recipe of a request."""
    frame = pd.DataFrame({"t": ["a"]})
    return frame.bf.requests("{{ t }}", model=model, output=output, **body)._table.recipe


def told(length: Any) -> str:
    return " ".join(length.notes)


def test_a_call_of_a_tool_is_bounded_by_no_output_spec() -> None:
    free = answer_length.answer_length(asked(LABELS, tools=[TOOL]))
    assert free.tokens.high is None
    assert "tool call" in told(free)
    assert (
        answer_length.answer_length(
            asked(LABELS, tools=[TOOL], max_completion_tokens=9)
        ).tokens.high
        == 9
    )
    none = answer_length.answer_length(asked(LABELS, tools=[TOOL], tool_choice="none"))
    assert none == answer_length.answer_length(asked(LABELS))


def test_a_bounded_text_counts_four_tokens_a_character() -> None:
    schema = {"type": "string", "maxLength": 200}
    known = answer_length.answer_length(asked(schema))
    assert known.tokens.high is not None
    assert known.tokens.high > 800


@pytest.mark.parametrize("longest", [0, 1, 100, 5_000])
@pytest.mark.parametrize("narrow", [True, False])
def test_answers_that_were_all_alike_leave_a_range(longest: int, *, narrow: bool) -> None:
    alike = answer_length.Experience(20, 1, mean=float(longest), spread=0.0, longest=longest)
    known = answer_length.answer_length(asked(), alike, 1_000_000, narrow=narrow).tokens
    assert known.high is not None
    assert known.low <= longest < known.high
    if longest > 1:
        assert known.low < longest


def test_more_answers_seen_leave_a_smaller_range() -> None:
    many = answer_length.Experience(2_000, 1, mean=100.0, spread=0.0, longest=100)
    highs = [
        answer_length.answer_length(asked(), seen, 1_000).tokens.high or 0 for seen in (ALIKE, many)
    ]
    assert highs == [115, 101]


def table(rows: int, **body: Any) -> Any:
    frame = pd.DataFrame({"t": [f"{row} {'word ' * (row % 7)}" for row in range(rows)]})
    return frame.bf.requests("{{ t }}", model="gpt-4.1", **body)._table


def held(rows: int, limit: Decimal, before: answer_length.Experience | None, **body: Any) -> None:
    these = table(rows, **body)
    read = counting.count_input(these)
    budget.refuse_above(limit, pricing.estimate(these, read, before=before), these, read)


def test_a_limit_that_holds_only_likely_is_said_to() -> None:
    with pytest.warns(IntervalWarning, match="max_completion_tokens"):
        held(100, Decimal(5), ALIKE)
    held(100, Decimal(5), ALIKE, max_completion_tokens=200)
    held(100, Decimal(5), ALIKE, output=LABELS)


@pytest.mark.parametrize("part", ["0.9", "0.5", "0.1"])
def test_the_rows_said_to_fit_fit_after_a_pilot_too(part: str) -> None:
    seen = answer_length.Experience(12, 1, mean=300.0, spread=250.0, longest=1_500)
    these = table(200)
    known = pricing.estimate(these, counting.count_input(these), before=seen).cost
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
        assert answer_length.answer_length(asked(LABELS, model)).unbounded_reasoning
    unknown = answer_length.answer_length(asked(LABELS, "some-model"))
    assert not unknown.unbounded_reasoning
    assert "may also bill reasoning" in told(unknown)
    for known in (asked(LABELS), asked(LABELS, "some-model", max_completion_tokens=9)):
        assert "may also bill reasoning" not in told(answer_length.answer_length(known))


def test_the_doubt_about_an_unpublished_tokenizer_is_in_the_range() -> None:
    these = pd.DataFrame({"t": ["word " * 1_000]}).bf.requests(
        "{{ t }}", model="gpt-6-luna", output=LABELS
    )
    read = these.estimate().input_tokens
    assert read.high is not None
    assert read.low < 0.98 * read.expected < read.expected < 1.02 * read.expected < read.high
    length = answer_length.answer_length(asked(LABELS, "gpt-6-luna")).tokens
    assert length.expected is not None
    assert length.high is not None
    assert length.low < length.expected < length.high


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        ("https://acme.openai.azure.com/openai/v1", "your deployment may run another model"),
        ("https://gateway.example.com/v1", "The batch price of gpt-4.1"),
        ("http://127.0.0.1:8000/v1", "Local run"),
        ("https://api.openai.com/v1", None),
    ],
)
def test_whose_prices_these_are_is_said(base_url: str, words: str | None) -> None:
    frame = pd.DataFrame({"t": ["a", "b"]})
    these = frame.bf.requests("{{ t }}", model="gpt-4.1", output=LABELS)
    client = openai.OpenAI(base_url=base_url, api_key="sk-none")
    notes = " ".join(these.estimate(client=client).notes)
    assert words is None or words in notes
    assert ("those of OpenAI" in notes) == (words == "Local run")
    mine = these.estimate(client=client, prices={"input": 1, "output": 2})
    assert words is None or words not in " ".join(mine.notes)


Draw = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]

SHAPES: dict[str, Draw] = {
    "even": lambda rng, n: rng.normal(200, 60, n),
    "skewed": lambda rng, n: rng.lognormal(5, 0.5, n),
    "heavy": lambda rng, n: rng.lognormal(5, 1, n),
    "heavier": lambda rng, n: rng.lognormal(5, 1.5, n),
    "falling": lambda rng, n: rng.exponential(200, n),
}


def covered(draw: Draw, answers: int, rest: int, times: int = 1_000) -> float:
    """Say how often the mean of the rest lies in the interval of the answers seen."""
    rng = np.random.default_rng(20_261_121)
    held = 0
    for _ in range(times):
        seen, others = (
            np.maximum(np.rint(draw(rng, n)), 1).astype(np.int64) for n in (answers, rest)
        )
        low, high = history._experience_of(seen, 1).likely(rest) or (0.0, 0.0)
        held += low <= others.mean() <= high
    return held / times


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("answers", [20, 60])
def test_the_interval_holds_as_often_as_it_says_for_skewed_answers_too(
    shape: str, answers: int
) -> None:
    # 95 % less what chance leaves in so many tries.
    assert covered(SHAPES[shape], answers, rest=500) > 0.93


def test_the_interval_of_students_alone_would_hold_less_often() -> None:
    rng = np.random.default_rng(1)
    seen = np.rint(rng.lognormal(5, 1.5, 20)).astype(np.int64)
    told = history._experience_of(seen, 1)
    plain = answer_length.Experience(20, 1, told.mean, told.spread, told.longest)
    wide, narrow = told.interval(500), plain.interval(500)
    assert wide is not None
    assert narrow is not None
    assert wide[1] > narrow[1]
    # A mean above all that was seen is not believed in.
    assert wide[1] <= max(told.longest, narrow[1])


def test_a_few_more_answers_stray_further_than_many() -> None:
    told = history._experience_of(np.array([5, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560]), 1)
    few, many = told.interval(2), told.interval(100_000)
    assert few is not None
    assert many is not None
    assert few[0] <= many[0] <= told.mean <= many[1] <= few[1]


def test_a_note_says_what_no_interval_knows() -> None:
    seen = history._experience_of(np.full(20, 100), 1)
    told = " ".join(answer_length.answer_length(asked(), seen, 100).notes)
    assert "95% interval" in told
    assert "without rare long answers" in told


def test_a_mean_between_whole_numbers_is_rounded_once_and_not_for_each_request() -> None:
    seen = answer_length.Experience(20, 1, mean=1.5, spread=0.6, longest=3)
    length = answer_length.answer_length(asked(), seen, 1_000)
    assert length.mean.expected == Fraction(3, 2)
    assert length.of(1_000).expected == 1_500
    table = pd.DataFrame({"t": range(1_001)}).bf.requests("{{ t }}", model="gpt-4.1")._table
    read = counting.count_input(table)
    known = pricing.estimate(table, read, before=seen)
    assert known.output_tokens.expected == 1_502
    assert known.cost is not None
    assert known.input_cost is not None
    assert known.cost.expected is not None
    answers = known.cost.expected - (known.input_cost.expected or 0)
    assert answers == 1_502 * Decimal("0.000004")


def test_the_mean_of_the_labels_is_exact_and_between_its_ends() -> None:
    length = answer_length.answer_length(asked(["yes", "no", "it depends"]))
    low, middle, high = length.mean.low, length.mean.expected, length.mean.high
    assert middle is not None
    assert high is not None
    assert middle.denominator == 3
    assert low < middle < high
    assert length.of(3).expected == 3 * middle


@pytest.mark.parametrize("output", [["yes", "no"], bool])
def test_what_a_high_end_of_json_assumes_is_said(output: object) -> None:
    (note,) = answer_length.answer_length(asked(output)).notes
    assert "compact JSON" in note


@pytest.mark.parametrize("narrow", [True, False])
def test_no_range_passes_the_limit_of_the_request(*, narrow: bool) -> None:
    recipe = asked(max_completion_tokens=200)
    seen = answer_length.Experience(12, 1, mean=150.0, spread=60.0, longest=200)
    length = answer_length.answer_length(recipe, seen, 100, narrow=narrow)
    assert length.tokens.high == 200
    told = " ".join(length.notes)
    assert ("not a bound" in told) == narrow
    assert "To limit them" not in told


def pilot_then(rest: str, n: int) -> str:
    """Ask other rows first, then a pilot of these, and give the note of what is expected."""
    lengths = {"other": "word " * 50, "these": "word " * 10}
    with batchframe.local.serve(
        answer=lambda b: lengths[b["messages"][0]["content"][:5]]
    ) as server:
        client = server.client()

        def ask(kind: str) -> bf.Requests:
            frame = pd.DataFrame({"t": [f"{kind} {row}" for row in range(30)]})
            return frame.bf.requests("{{ t }}", model="gpt-4.1", max_completion_tokens=100)

        ask("other").submit(client=client).wait()
        pilot = ask("these").pilot(n, client=client)
        if rest == "job":
            ask("these").submit(client=client).wait()
            again = pd.DataFrame({"t": ["these, new"]})
            known = again.bf.requests(
                "{{ t }}", model="gpt-4.1", max_completion_tokens=100
            ).estimate(client=client)
            return " ".join(known.notes)
    return " ".join(pilot.estimate.notes)


def test_a_pilot_of_these_rows_counts_before_earlier_jobs_until_a_job_follows() -> None:
    assert "the mean of 12 answers in 1 pilot" in pilot_then("nothing", 12)
    assert "the mean of 33 answers in 2 earlier jobs" in pilot_then("nothing", 3)
    assert "the mean of 60 answers in 3 earlier jobs" in pilot_then("job", 12)


@pytest.mark.parametrize(
    ("answers", "t"), [(10, 2.262), (20, 2.093), (30, 2.045), (100, 1.984), (10_000, 1.960)]
)
def test_the_interval_is_students(answers: int, t: float) -> None:
    known = answer_length.Experience(answers, 1, mean=1000.0, spread=100.0, longest=2000)
    low, high = known.interval(10**9) or (0, 0)
    assert (high - low) / 2 == pytest.approx(t * 100 / answers**0.5, rel=2e-3)
    assert answer_length.Experience(9, 1, 1.0, 1.0, 2).interval(5) is None
