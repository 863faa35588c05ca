"""A recipe → how many output tokens one answer takes: low, expected, high, and why.

In: a recipe and what earlier jobs were answered. Out: a frozen :class:`AnswerLength`.
Must not know: rows, prices, files, the network.

Low and high come from the output spec where it bounds them, else from the request's own limit;
expected comes from earlier answers, else from the spec. What nothing tells stays unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from batchframe._endpoints import endpoint_of
from batchframe._output import shortest_and_longest
from batchframe._range import Range
from batchframe._recipe import Recipe
from batchframe._tokens import token_counter


@dataclass(frozen=True)
class Experience:
    """What the same question to the same model was answered before.

    Attributes
    ----------
    answers, jobs
        How many answers, of how many jobs.
    median, longest
        Of their output tokens, those of reasoning among them.
    """

    answers: int
    jobs: int
    median: int
    longest: int


@dataclass(frozen=True)
class AnswerLength:
    """The output tokens of one request.

    Attributes
    ----------
    tokens
        Those of reasoning are not in its high end where nothing bounds them.
    unbounded_reasoning
        Whether reasoning tokens may come on top of it.
    notes
        What it rests on, in words.
    """

    tokens: Range[int]
    unbounded_reasoning: bool
    notes: tuple[str, ...]


def answer_length(recipe: Recipe, before: Experience | None = None) -> AnswerLength:
    """Bound the output tokens of one request.

    Examples
    --------
    >>> from batchframe._output import output_spec
    >>> recipe = Recipe.checked(
    ...     endpoint="/v1/chat/completions", model="gpt-4.1", prompt="{{ t }}", system=None,
    ...     output=output_spec(["yes", "perhaps"], None), on_missing="raise", dedupe=True, body={},
    ... )
    >>> known = answer_length(recipe).tokens
    >>> 0 < known.low <= known.expected <= known.high
    True
    """
    endpoint = endpoint_of(recipe.endpoint)
    body = {"model": recipe.model, **recipe.body}
    answer, limit = _by_spec(recipe), endpoint.output_limit(body)
    reasons = endpoint.may_reason(body)
    if limit is not None:
        # Reasoning counts against the limit and may use it up.
        longest = limit if reasons or answer.high is None else min(answer.high, limit)
        answer = Range(answer.low, answer.expected, longest).map(lambda tokens: min(tokens, limit))
    unbounded = reasons and limit is None
    notes = [REASONING] if unbounded else []
    if before is not None:
        answer = _with_experience(answer, before)
        notes.append(_experience_in_words(before, reasons=reasons))
    if answer.high is None:
        notes.append(_UNBOUNDED)
    return AnswerLength(answer, unbounded, tuple(notes))


def _by_spec(recipe: Recipe) -> Range[int]:
    bounds, counter = shortest_and_longest(recipe.output), token_counter(recipe.model)
    typical = counter.count(bounds.typical) if bounds.typical else None
    low = 1 if bounds.shortest is None else counter.count_one(bounds.shortest)
    high = None if bounds.longest is None else counter.count_one(bounds.longest)
    if typical is None:
        return Range(low, None, high)
    mean = int(np.ceil(typical.mean()))
    return Range(int(typical.min()), mean, int(max(typical.max(), high or 0)))


def _with_experience(answer: Range[int], before: Experience) -> Range[int]:
    """Expect what was seen; a bound that was seen to be passed, by reasoning, is widened."""
    high = None if answer.high is None else max(answer.high, before.longest)
    return Range(min(answer.low, before.median), before.median, high)


def _experience_in_words(before: Experience, *, reasons: bool) -> str:
    jobs = "an earlier job" if before.jobs == 1 else f"{before.jobs:,} earlier jobs"
    thoughts = ", those of reasoning among them" if reasons else ""
    return (
        f"Expected output: {before.median:,} tokens a request{thoughts}, the median of "
        f"{before.answers:,} answers of {jobs} with this prompt and model; the longest took "
        f"{before.longest:,}."
    )


NO_ANSWER: Final = AnswerLength(Range.exactly(0), unbounded_reasoning=False, notes=())
"""Where nothing is sent nothing is unknown."""

REASONING: Final = (
    "Reasoning tokens are billed as output and are not bounded by anything: nobody can know them "
    "before. Bound them with max_completion_tokens=, or switch them off with "
    'reasoning_effort="none".'
)
_UNBOUNDED: Final = (
    "Nothing bounds the length of an answer, so the high end is not known. Bound it with "
    "max_completion_tokens=, or with an output= of labels."
)
