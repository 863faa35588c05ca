"""Estimate the output tokens of one answer: low, expected and high.

Low and high come from the output schema if it is bounded, else from the request's own limit, else
from the spread of earlier answers; expected comes from earlier answers, else from the schema.
Otherwise they are unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from batchframe._base.ranges import Range
from batchframe._base.safe_text import OUTPUT, parameter_step
from batchframe._display import plural
from batchframe._endpoints import OutputLimit, endpoint_of
from batchframe._models.names import base_model, reasons_elsewhere
from batchframe._models.rules import is_known
from batchframe._output import answer_bounds
from batchframe._recipe.recipe import Recipe
from batchframe._tokens.counter import token_counter

_EXPECTED: Final = "Expected output:"
FEWEST: Final = 10
"""Minimum number of answers for an interval."""
_LARGEST_LOG: Final = 100.0
_ONE_OR_MORE: Final[Range[Fraction]] = Range(Fraction(1), None, None)
_IMAGE: Final = "Output tokens per image: {:,}, plus any text that the model writes."
_UNKNOWN_IMAGE: Final = (
    "Output tokens per image of {}: unknown for this size and quality. Submit a few rows first."
)
_NARROW: Final = "The output range is the 95% interval of earlier answers, not a bound."
_MAY_REASON: Final = "{} may also bill reasoning tokens as output."
_COMPACT: Final = "The upper bound assumes compact JSON."


@dataclass(frozen=True)
class Experience:
    """Output tokens of earlier answers to the same prompt and model.

    Attributes
    ----------
    answers, jobs
        The number of answers, and of their jobs.
    mean, spread, longest
        The mean, standard deviation and maximum of their output tokens, including reasoning.
    log_mean, log_spread
        The mean and standard deviation of the logarithms of these tokens, or None; answer lengths
        are usually right-skewed.
    pilot
        Whether these jobs were pilots.
    """

    answers: int
    jobs: int
    mean: float
    spread: float
    longest: int
    log_mean: float | None = None
    log_spread: float | None = None
    pilot: bool = False

    def interval(self, requests: int) -> tuple[float, float] | None:
        """Return the 95% interval of the mean of further answers.

        None with fewer than ten earlier answers. This is the prediction interval of a normal mean
        with Student's t (Geisser, Predictive Inference, 1993), its quantile expanded in 1 / n. It
        is widened to the interval of a log-normal mean (Cox's method, Zhou and Gao, Statistics in
        Medicine, 1997), since the normal interval undercovers for skewed lengths. The log-normal
        mean is capped at the longest answer observed. In simulations the coverage is 95% for both
        distributions from 20 answers on. Rare long answers absent from the sample are not covered.

        Examples
        --------
        >>> low, high = Experience(20, 1, mean=100.0, spread=10.0, longest=120).interval(1_000)
        >>> round(low, 1), round(high, 1)
        (95.3, 104.7)
        """
        if self.answers < FEWEST:
            return None
        t, inverse = _student_t(self.answers - 1), 1 / max(requests, 1)
        half_width = t * self.spread * math.sqrt(1 / self.answers + inverse)
        low, high = max(0.0, self.mean - half_width), self.mean + half_width
        if self.log_mean is None or not self.log_spread:
            return low, high
        variance = self.log_spread**2
        middle = self.log_mean + variance / 2
        margin = t * math.sqrt(variance / self.answers + variance**2 / (2 * (self.answers - 1)))
        # The mean of a few further answers varies around the overall mean.
        deviation = t * self.spread * math.sqrt(inverse)
        below = self.mean - math.exp(min(middle - margin, _LARGEST_LOG))
        above = math.exp(min(middle + margin, _LARGEST_LOG)) - self.mean
        log_normal = (
            self.mean - math.hypot(max(below, 0.0), deviation),
            min(self.mean + math.hypot(max(above, 0.0), deviation), max(self.longest, high)),
        )
        return max(min(low, log_normal[0]), 0.0), max(high, log_normal[1])

    def likely(self, requests: int) -> tuple[float, float] | None:
        """Return the interval, widened for answers absent from the sample.

        None with fewer than ten earlier answers. After n identical answers, a share of up to 3 / n
        of all answers may differ at 95% confidence (the rule of three, Hanley and Lippman-Hand,
        JAMA, 1983). Such an answer is assumed to have no tokens, or the longest observed length on
        top of the mean.

        Examples
        --------
        >>> Experience(20, 1, mean=100.0, spread=0.0, longest=100).likely(1_000)
        (85.0, 115.0)
        """
        interval = self.interval(requests)
        if interval is None:
            return None
        share = 3 / self.answers
        low, high = self.mean * (1 - share), self.mean + share * max(self.longest, 1)
        return min(interval[0], low), max(interval[1], high)


def _student_t(freedom: int) -> float:
    """Return Student's t for 95%."""
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


@dataclass(frozen=True)
class AnswerLength:
    """The output tokens per request.

    Attributes
    ----------
    mean
        The exact average per request. Its upper bound excludes unbounded reasoning tokens.
    unbounded_reasoning
        Whether reasoning tokens may be added without an upper bound.
    notes
        The basis of the estimate.
    """

    mean: Range[Fraction]
    unbounded_reasoning: bool
    notes: tuple[str, ...]

    @property
    def tokens(self) -> Range[int]:
        """The tokens of one request, as integers."""
        return self.of(1)

    def of(self, requests: int) -> Range[int]:
        """Return the total tokens of several requests, rounded once.

        Examples
        --------
        >>> half = Fraction(1, 2)
        >>> AnswerLength(Range(half, 3 * half, 5 * half), False, ()).of(1_000)
        Range(low=500, expected=1500, high=2500)
        """
        low, middle, high = self.mean.low, self.mean.expected, self.mean.high
        return Range(
            math.floor(low * requests),
            None if middle is None else round(middle * requests),
            None if high is None else math.ceil(high * requests),
        )


NO_ANSWER: Final = AnswerLength(Range.exactly(Fraction(0)), unbounded_reasoning=False, notes=())
"""For requests that are not sent, or whose answers have no output tokens."""


def answer_length(
    recipe: Recipe, before: Experience | None = None, requests: int = 1, *, narrow: bool = False
) -> AnswerLength:
    """Estimate the output tokens of one request.

    Parameters
    ----------
    before
        Earlier answers to the same prompt and model.
    requests
        The number of requests to send; the mean of many varies less than one answer.
    narrow
        Whether to return the 95% interval of `before` instead of the bounds.

    Examples
    --------
    >>> from batchframe._output import output_spec
    >>> recipe = Recipe.checked(
    ...     endpoint="/v1/chat/completions", model="gpt-4.1", prompt="{{ t }}", system=None,
    ...     output=output_spec(["yes", "perhaps"], None), on_missing="raise", dedupe=True, body={},
    ... )
    >>> tokens = answer_length(recipe).tokens
    >>> 0 < tokens.low <= tokens.expected <= tokens.high
    True
    """
    endpoint = endpoint_of(recipe.endpoint)
    body = {"model": recipe.model, **recipe.body}
    limit = endpoint.max_output_tokens(body)
    if limit == 0:
        return NO_ANSWER  # vectors and moderation results have no output tokens
    if endpoint.answer_kind == "file":
        return _image_length(recipe, before, requests, narrow=narrow)
    output_limit = endpoint.output_limit
    spec = _bounds_of_spec(recipe)
    may_call = bool(body.get("tools")) and body.get("tool_choice") != "none"
    # A tool call may replace the answer, and its arguments are unbounded.
    answer = _ONE_OR_MORE if may_call else spec
    reasons = endpoint.may_reason(body) or reasons_elsewhere(recipe.model)
    if limit is not None:
        answer = _apply_limit(answer, Fraction(limit), reasons=reasons)
    is_unbounded = reasons and limit is None
    notes = [reasoning_note(output_limit)] if is_unbounded else []
    if limit is None and not reasons and not is_known(base_model(recipe.model)):
        notes.append(_MAY_REASON.format(recipe.model) + _limit_hint(output_limit))
    if before is not None:
        notes.append(_experience_note(before, requests, reasons=reasons))
        if before.answers >= FEWEST and (narrow or answer.high is None):
            notes.append(interval_note(output_limit) if answer.high is None else _NARROW)
        answer = _apply_experience(answer, before, requests, limit, narrow=narrow)
    if may_call:
        notes.append(_calls_note(output_limit))
    elif answer.high is None:
        notes.append(_unbounded_note(output_limit))
    elif answer.high == spec.high and recipe.output.schema is not None:
        notes.append(_COMPACT)
    return AnswerLength(answer, is_unbounded, tuple(notes))


def _image_length(
    recipe: Recipe, before: Experience | None, requests: int, *, narrow: bool
) -> AnswerLength:
    """Estimate the tokens of an image from its size and quality."""
    endpoint = endpoint_of(recipe.endpoint)
    tokens = endpoint.output_tokens({"model": recipe.model, **recipe.body})
    answer: Range[Fraction] = Range(Fraction(0), None, None)
    notes = [_UNKNOWN_IMAGE.format(recipe.model)]
    if tokens is not None:
        answer = tokens.map(Fraction)
        notes = [_IMAGE.format(tokens.low)]
    if before is not None:
        notes.append(_experience_note(before, requests, reasons=False))
        if before.answers >= FEWEST:
            notes.append(interval_note(endpoint.output_limit))
        answer = _apply_experience(answer, before, requests, None, narrow=narrow)
    return AnswerLength(answer, unbounded_reasoning=False, notes=tuple(notes))


def _bounds_of_spec(recipe: Recipe) -> Range[Fraction]:
    """Return the bounds of the output schema, wider without a tokenizer."""
    counter = token_counter(recipe.model)
    bounds, error = answer_bounds(recipe.output, counter.count), counter.relative_error
    low = max(math.floor(bounds.low * (1 - error)), 1)
    high = None if bounds.high is None else Fraction(math.ceil(bounds.high * (1 + error)))
    return Range(Fraction(low), bounds.expected, high)


def _apply_limit(answer: Range[Fraction], limit: Fraction, *, reasons: bool) -> Range[Fraction]:
    """Apply the request's token limit, which includes reasoning tokens."""
    high = limit if reasons or answer.high is None else answer.high
    return replace(answer, high=high).map(lambda tokens: min(tokens, limit))


def _apply_experience(
    answer: Range[Fraction], before: Experience, requests: int, limit: int | None, *, narrow: bool
) -> Range[Fraction]:
    """Expect the mean of earlier answers; widen bounds they exceeded."""
    mean, interval = Fraction(before.mean), before.likely(requests)
    if interval is None or not (narrow or answer.high is None):
        high = None if answer.high is None else max(answer.high, Fraction(before.longest))
        return Range(min(answer.low, mean), mean, high)
    low, high = map(Fraction, interval)
    if limit is not None:
        high = max(mean, min(high, Fraction(limit)))
    return Range(low if narrow else min(answer.low, mean), mean, high)


def rests_on_answers(notes: Iterable[str]) -> bool:
    """Return whether the notes mention earlier answers."""
    return any(note.startswith(_EXPECTED) for note in notes)


def _experience_note(before: Experience, requests: int, *, reasons: bool) -> str:
    jobs = plural(before.jobs, "pilot" if before.pilot else "earlier job")
    reasoning = " (including reasoning)" if reasons else ""
    interval_text = ""
    if (interval := before.likely(requests)) is not None:
        interval_text = (
            f" 95% interval of the mean of {requests:,}: {interval[0]:,.1f} to {interval[1]:,.1f}, "
            "without rare long answers."
        )
    answers = f"{plural(before.answers, 'answer')} in {jobs} (longest: {before.longest:,})"
    return (
        f"{_EXPECTED} {before.mean:,.1f} tokens per request{reasoning}, the mean of {answers}."
        f"{interval_text}"
    )


def reasoning_note(output_limit: OutputLimit) -> str:
    """Build the note on unbounded reasoning, with the parameter to set."""
    note = "Reasoning tokens are billed as output and have no upper bound." + _limit_hint(
        output_limit
    )
    if output_limit.disable_reasoning:
        note += " To disable them: " + parameter_step(output_limit.disable_reasoning) + "."
    return note


def interval_note(output_limit: OutputLimit) -> str:
    """Build the note on a likely upper end, with the parameter to set."""
    note = "The upper output value is likely, not a bound: it comes from earlier answers."
    return note + _limit_hint(output_limit)


def _limit_hint(output_limit: OutputLimit) -> str:
    if not output_limit.parameter:
        return ""
    return " To limit them: " + parameter_step(f"{output_limit.parameter}=") + "."


def _unbounded_note(output_limit: OutputLimit) -> str:
    note = "The length of answers has no upper bound."
    if not output_limit.parameter:
        return note
    limit = parameter_step(f"{output_limit.parameter}=")
    return note + " To limit it: " + limit + ", or " + OUTPUT + " with labels."


def _calls_note(output_limit: OutputLimit) -> str:
    note = "An answer may be a tool call, whose arguments have no upper bound"
    if not output_limit.parameter:
        return f"{note}."
    return note + " but " + parameter_step(f"{output_limit.parameter}=") + "."
