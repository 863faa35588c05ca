"""Answer lengths: bounds, coverage of intervals, and limits."""

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


def recipe_of(output: Any = None, model: str = "gpt-4.1", **body: Any) -> Any:
    """Return the recipe of a request."""
    frame = pd.DataFrame({"t": ["a"]})
    return frame.bf.requests("{{ t }}", model=model, output=output, **body)._table.recipe


def notes_of(length: Any) -> str:
    return " ".join(length.notes)


def test_an_output_spec_does_not_bound_a_tool_call() -> None:
    free = answer_length.answer_length(recipe_of(LABELS, tools=[TOOL]))
    assert free.tokens.high is None
    assert "tool call" in notes_of(free)
    assert (
        answer_length.answer_length(
            recipe_of(LABELS, tools=[TOOL], max_completion_tokens=9)
        ).tokens.high
        == 9
    )
    none = answer_length.answer_length(recipe_of(LABELS, tools=[TOOL], tool_choice="none"))
    assert none.bounded
    assert not free.bounded


def test_a_bounded_text_counts_four_tokens_a_character() -> None:
    schema = {"type": "string", "maxLength": 200}
    length = answer_length.answer_length(recipe_of(schema))
    assert length.tokens.high is not None
    assert length.tokens.high > 800


@pytest.mark.parametrize("longest", [0, 1, 100, 5_000])
@pytest.mark.parametrize("narrow", [True, False])
def test_identical_answers_still_leave_a_range(longest: int, *, narrow: bool) -> None:
    alike = answer_length.Experience(20, 1, mean=float(longest), spread=0.0, longest=longest)
    span = answer_length.answer_length(recipe_of(), alike, 1_000_000, narrow=narrow).tokens
    assert span.high is not None
    assert span.low <= longest < span.high
    if longest > 1:
        assert span.low < longest


def test_more_earlier_answers_give_a_smaller_range() -> None:
    many = answer_length.Experience(2_000, 1, mean=100.0, spread=0.0, longest=100)
    highs = [
        answer_length.answer_length(recipe_of(), experience, 1_000).tokens.high or 0
        for experience in (ALIKE, many)
    ]
    assert highs == [115, 101]


def table(rows: int, **body: Any) -> Any:
    frame = pd.DataFrame({"t": [f"{row} {'word ' * (row % 7)}" for row in range(rows)]})
    return frame.bf.requests("{{ t }}", model="gpt-4.1", **body)._table


def held(rows: int, limit: Decimal, before: answer_length.Experience | None, **body: Any) -> None:
    these = table(rows, **body)
    input_tokens = counting.count_input(these)
    estimate = pricing.estimate(these, input_tokens, before=before)
    budget.refuse_above(limit, estimate, these, input_tokens, on_unbounded="warn")


def test_a_likely_limit_is_labeled_as_such() -> None:
    with pytest.warns(IntervalWarning, match="max_completion_tokens"):
        held(100, Decimal(5), ALIKE)
    held(100, Decimal(5), ALIKE, max_completion_tokens=200)
    held(100, Decimal(5), ALIKE, output=LABELS)


@pytest.mark.parametrize("part", ["0.9", "0.5", "0.1"])
def test_after_a_pilot_the_stated_number_of_rows_fits(part: str) -> None:
    experience = answer_length.Experience(12, 1, mean=300.0, spread=250.0, longest=1_500)
    these = table(200)
    estimate = pricing.estimate(these, counting.count_input(these), before=experience).cost
    assert estimate is not None
    assert estimate.high is not None
    limit = estimate.high * Decimal(part)
    with pytest.raises(CostError) as excinfo:
        held(200, limit, experience)
    named = re.search(r"df\.head\((\d+)\)", str(excinfo.value))
    assert named is not None
    with pytest.warns(IntervalWarning):
        held(int(named[1]), limit, experience)


def test_possible_reasoning_of_unknown_models_is_noted() -> None:
    for model in ("deepseek-r1", "gpt-oss-120b", "Qwen/QwQ-32B", "kimi-k2-thinking"):
        assert answer_length.answer_length(recipe_of(LABELS, model)).unbounded_reasoning
    unknown = answer_length.answer_length(recipe_of(LABELS, "some-model"))
    assert not unknown.unbounded_reasoning
    assert "may also bill reasoning" in notes_of(unknown)
    for requests in (recipe_of(LABELS), recipe_of(LABELS, "some-model", max_completion_tokens=9)):
        assert "may also bill reasoning" not in notes_of(answer_length.answer_length(requests))


def test_the_doubt_about_an_unpublished_tokenizer_is_in_the_range() -> None:
    these = pd.DataFrame({"t": ["word " * 1_000]}).bf.requests(
        "{{ t }}", model="gpt-6-luna", output=LABELS, reasoning_effort="none"
    )
    estimate = these.estimate().input_tokens
    assert estimate.high is not None
    assert (
        estimate.low
        < 0.98 * estimate.expected
        < estimate.expected
        < 1.02 * estimate.expected
        < estimate.high
    )
    length = answer_length.answer_length(
        recipe_of(LABELS, "gpt-6-luna", reasoning_effort="none")
    ).tokens
    assert length.expected is not None
    assert length.high is not None
    assert length.low < length.expected < length.high


@pytest.mark.parametrize(
    ("base_url", "fragment"),
    [
        (
            "https://acme.openai.azure.com/openai/v1",
            "by one price book alone; your deployment may run another model",
        ),
        ("https://gateway.example.com/v1", "The batch price of gpt-4.1"),
        ("http://127.0.0.1:8000/v1", "Local run"),
        ("https://api.openai.com/v1", None),
    ],
)
def test_the_source_of_the_prices_is_noted(base_url: str, fragment: str | None) -> None:
    frame = pd.DataFrame({"t": ["a", "b"]})
    these = frame.bf.requests("{{ t }}", model="gpt-4.1", output=LABELS)
    client = openai.OpenAI(base_url=base_url, api_key="sk-none")
    notes = " ".join(these.estimate(client=client).notes)
    assert fragment is None or fragment in notes
    assert ("those of OpenAI" in notes) == (fragment == "Local run")
    mine = these.estimate(client=client, prices={"input": 1, "output": 2})
    assert fragment is None or fragment not in " ".join(mine.notes)


Draw = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]

SHAPES: dict[str, Draw] = {
    "even": lambda rng, n: rng.normal(200, 60, n),
    "skewed": lambda rng, n: rng.lognormal(5, 0.5, n),
    "heavy": lambda rng, n: rng.lognormal(5, 1, n),
    "heavier": lambda rng, n: rng.lognormal(5, 1.5, n),
    "falling": lambda rng, n: rng.exponential(200, n),
}


def covered(draw: Draw, answers: int, rest: int, times: int = 1_000) -> float:
    """Return how often the interval contains the mean of the other answers."""
    rng = np.random.default_rng(20_261_121)
    hits = 0
    for _ in range(times):
        sample, others = (
            np.maximum(np.rint(draw(rng, n)), 1).astype(np.int64) for n in (answers, rest)
        )
        low, high = history._experience_of(sample, 1).likely(rest) or (0.0, 0.0)
        hits += low <= others.mean() <= high
    return hits / times


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("answers", [20, 60])
def test_the_interval_has_its_stated_coverage_for_skewed_answers(shape: str, answers: int) -> None:
    # 95%, minus the random deviation of this number of trials.
    assert covered(SHAPES[shape], answers, rest=500) > 0.93


def test_students_interval_alone_would_have_lower_coverage() -> None:
    rng = np.random.default_rng(1)
    lengths = np.rint(rng.lognormal(5, 1.5, 20)).astype(np.int64)
    experience = history._experience_of(lengths, 1)
    plain = answer_length.Experience(20, 1, experience.mean, experience.spread, experience.longest)
    wide, narrow = experience.interval(500), plain.interval(500)
    assert wide is not None
    assert narrow is not None
    assert wide[1] > narrow[1]
    # The interval does not exceed the longest answer seen.
    assert wide[1] <= max(experience.longest, narrow[1])


def test_the_mean_of_few_answers_varies_more_than_of_many() -> None:
    experience = history._experience_of(
        np.array([5, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560]), 1
    )
    few, many = experience.interval(2), experience.interval(100_000)
    assert few is not None
    assert many is not None
    assert few[0] <= many[0] <= experience.mean <= many[1] <= few[1]


def test_a_note_names_what_no_interval_covers() -> None:
    experience = history._experience_of(np.full(20, 100), 1)
    notes = " ".join(answer_length.answer_length(recipe_of(), experience, 100).notes)
    assert "95% interval" in notes
    assert "without rare long answers" in notes


def test_a_mean_between_whole_numbers_is_rounded_once_and_not_for_each_request() -> None:
    experience = answer_length.Experience(20, 1, mean=1.5, spread=0.6, longest=3)
    length = answer_length.answer_length(recipe_of(), experience, 1_000)
    assert length.mean.expected == Fraction(3, 2)
    assert length.of(1_000).expected == 1_500
    table = pd.DataFrame({"t": range(1_001)}).bf.requests("{{ t }}", model="gpt-4.1")._table
    input_tokens = counting.count_input(table)
    estimate = pricing.estimate(table, input_tokens, before=experience)
    assert estimate.output_tokens.expected == 1_502
    assert estimate.cost is not None
    assert estimate.input_cost is not None
    assert estimate.cost.expected is not None
    answers = estimate.cost.expected - (estimate.input_cost.expected or 0)
    assert answers == 1_502 * Decimal("0.000004")


def test_the_mean_of_the_labels_is_exact_and_within_its_range() -> None:
    length = answer_length.answer_length(recipe_of(["yes", "no", "it depends"]))
    low, middle, high = length.mean.low, length.mean.expected, length.mean.high
    assert middle is not None
    assert high is not None
    # Both contain the same framing.
    of_one = answer_length.answer_length(recipe_of(["yes"])).mean.expected
    assert of_one is not None
    assert (middle - of_one).denominator == 3
    assert low < middle < high
    assert length.of(60).expected == 60 * middle


@pytest.mark.parametrize("output", [["yes", "no"], bool])
def test_the_assumption_of_compact_json_is_noted(output: object) -> None:
    (note,) = answer_length.answer_length(recipe_of(output)).notes
    assert "compact JSON" in note


@pytest.mark.parametrize("narrow", [True, False])
def test_no_range_exceeds_the_limit_of_the_request(*, narrow: bool) -> None:
    recipe = recipe_of(max_completion_tokens=200)
    experience = answer_length.Experience(12, 1, mean=150.0, spread=60.0, longest=200)
    length = answer_length.answer_length(recipe, experience, 100, narrow=narrow)
    assert length.tokens.high == 200
    notes = " ".join(length.notes)
    assert ("not a bound" in notes) == narrow
    assert "To limit them" not in notes


def pilot_then(rest: str, n: int) -> str:
    """Run an earlier job and a pilot; return the note on the expected length."""
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
            estimate = again.bf.requests(
                "{{ t }}", model="gpt-4.1", max_completion_tokens=100
            ).estimate(client=client)
            return " ".join(estimate.notes)
    return " ".join(pilot.estimate.notes)


def test_a_pilot_takes_precedence_over_earlier_jobs_until_a_later_job() -> None:
    assert "the mean of 12 answers in 1 pilot" in pilot_then("nothing", 12)
    assert "the mean of 33 answers in 2 earlier jobs" in pilot_then("nothing", 3)
    assert "the mean of 60 answers in 3 earlier jobs" in pilot_then("job", 12)


@pytest.mark.parametrize(
    ("answers", "t"), [(10, 2.262), (20, 2.093), (30, 2.045), (100, 1.984), (10_000, 1.960)]
)
def test_the_interval_is_students(answers: int, t: float) -> None:
    experience = answer_length.Experience(answers, 1, mean=1000.0, spread=100.0, longest=2000)
    low, high = experience.interval(10**9) or (0, 0)
    assert (high - low) / 2 == pytest.approx(t * 100 / answers**0.5, rel=2e-3)
    assert answer_length.Experience(9, 1, 1.0, 1.0, 2).interval(5) is None
