"""How often the interval of a pilot holds the mean of the rest, and what is rounded where."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe._estimate.answer_length import Experience, answer_length
from batchframe._estimate.counting import count_input
from batchframe._estimate.history import _experience_of
from batchframe._estimate.pricing import estimate
from batchframe._output import output_spec
from batchframe._recipe.recipe import Recipe

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
        low, high = _experience_of(seen, 1).likely(rest) or (0.0, 0.0)
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
    told = _experience_of(seen, 1)
    plain = Experience(20, 1, told.mean, told.spread, told.longest)
    wide, narrow = told.interval(500), plain.interval(500)
    assert wide is not None
    assert narrow is not None
    assert wide[1] > narrow[1]
    # A mean above all that was seen is not believed in.
    assert wide[1] <= max(told.longest, narrow[1])


def test_a_few_more_answers_stray_further_than_many() -> None:
    told = _experience_of(np.array([5, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560]), 1)
    few, many = told.interval(2), told.interval(100_000)
    assert few is not None
    assert many is not None
    assert few[0] <= many[0] <= told.mean <= many[1] <= few[1]


def test_a_note_says_what_no_interval_knows() -> None:
    seen = _experience_of(np.full(20, 100), 1)
    told = " ".join(answer_length(asked(None), seen, 100).notes)
    assert "95 % confidence" in told
    assert "rare and long" in told


def asked(output: object) -> Recipe:
    return Recipe.checked(
        endpoint="/v1/chat/completions", model="gpt-4.1", prompt="{{ t }}", system=None,
        output=output_spec(output), on_missing="raise", dedupe=True, body={},
    )  # fmt: skip


def test_a_mean_between_whole_numbers_is_rounded_once_and_not_for_each_request() -> None:
    seen = Experience(20, 1, mean=1.5, spread=0.6, longest=3)
    length = answer_length(asked(None), seen, 1_000)
    assert length.mean.expected == Fraction(3, 2)
    assert length.of(1_000).expected == 1_500
    table = pd.DataFrame({"t": range(1_001)}).bf.requests("{{ t }}", model="gpt-4.1")._table
    read = count_input(table)
    known = estimate(table, read, before=seen)
    assert known.output_tokens.expected == 1_502
    assert known.cost is not None
    assert known.input_cost is not None
    assert known.cost.expected is not None
    answers = known.cost.expected - (known.input_cost.expected or 0)
    assert answers == 1_502 * Decimal("0.000004")


def test_the_mean_of_the_labels_is_exact_and_between_its_ends() -> None:
    length = answer_length(asked(["yes", "no", "it depends"]))
    low, middle, high = length.mean.low, length.mean.expected, length.mean.high
    assert middle is not None
    assert high is not None
    assert middle.denominator == 3
    assert low < middle < high
    assert length.of(3).expected == 3 * middle


@pytest.mark.parametrize("output", [["yes", "no"], bool])
def test_what_a_high_end_of_json_assumes_is_said(output: object) -> None:
    (note,) = answer_length(asked(output)).notes
    assert "compact JSON" in note
    assert "white space" in note


@pytest.mark.parametrize("narrow", [True, False])
def test_no_range_passes_the_limit_of_the_request(*, narrow: bool) -> None:
    recipe = Recipe.checked(
        endpoint="/v1/chat/completions", model="gpt-4.1", prompt="{{ t }}", system=None,
        output=output_spec(None), on_missing="raise", dedupe=True,
        body={"max_completion_tokens": 200},
    )  # fmt: skip
    seen = Experience(12, 1, mean=150.0, spread=60.0, longest=200)
    length = answer_length(recipe, seen, 100, narrow=narrow)
    assert length.tokens.high == 200
    told = " ".join(length.notes)
    assert ("likely, and no bound" in told) == narrow
    assert "Bound them with" not in told


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
    assert "the mean of 12 answers of a pilot" in pilot_then("nothing", 12)
    assert "the mean of 33 answers of 2 earlier jobs" in pilot_then("nothing", 3)
    assert "the mean of 60 answers of 3 earlier jobs" in pilot_then("job", 12)
