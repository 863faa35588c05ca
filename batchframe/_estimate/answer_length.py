"""Estimate the output tokens of one answer: low, expected and high.

The upper bound is the request's own limit. Without one, on a service that enforces the schema, it
is the longest answer of the schema or a refusal, with the framing that the service adds. Otherwise
only earlier answers give a likely maximum. The expected number comes from earlier answers, else
from the schema and recorded reasoning. Without any of these, it is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from batchframe._base.lenient_json import as_mapping
from batchframe._base.ranges import Range
from batchframe._base.safe_text import OUTPUT, NextStep, parameter_step
from batchframe._display import plural
from batchframe._endpoints import OutputLimit, endpoint_of
from batchframe._estimate.history import FEWEST, Experience
from batchframe._estimate.learning import NOTHING, Learned
from batchframe._models.names import base_model, reasons_elsewhere
from batchframe._models.rules import is_known
from batchframe._output import answer_bounds
from batchframe._recipe.recipe import Recipe
from batchframe._tokens.counter import token_counter
from batchframe._tokens.output import (
    Framing,
    longest_refusal,
    reasoning_prior,
    schema_framing,
    text_framing,
)

_EXPECTED: Final = "Expected output:"
_IMAGE: Final = "Output tokens per image: {:,}, plus any text that the model writes."
_UNKNOWN_IMAGE: Final = (
    "Output tokens per image of {}: unknown for this size and quality. Submit a few rows first."
)
_NARROW: Final = "The output range is likely, not a bound: it comes from earlier answers."
_MAY_REASON: Final = "{} may also bill reasoning tokens as output."
_PILOT: Final = NextStep("plan.pilot()", "`batchframe pilot`")


@dataclass(frozen=True)
class AnswerLength:
    """The output tokens per request.

    Attributes
    ----------
    mean
        The exact average per request; high is None if neither a bound nor a likely maximum is
        known.
    unbounded_reasoning
        Whether reasoning tokens have no upper bound.
    notes
        The basis of the estimate.
    bounded
        Whether high is a bound; False if it is unknown, or a likely maximum from earlier answers.
    """

    mean: Range[Fraction]
    unbounded_reasoning: bool
    notes: tuple[str, ...]
    bounded: bool = True

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


@dataclass(frozen=True)
class _Answer:
    """The bounds of one answer, from its schema, limit and framing.

    Attributes
    ----------
    ends
        The bounds; high is None if unbounded.
    reasons
        Whether reasoning tokens may be billed.
    limit
        The request's own limit.
    framing
        The tokens that the service adds to the answer.
    may_call
        Whether the answer may be a tool call.
    enforced
        Whether the service enforces the output schema.
    """

    ends: Range[Fraction]
    reasons: bool
    limit: int | None
    framing: Framing
    may_call: bool
    enforced: bool


def answer_length(
    recipe: Recipe,
    before: Experience | None = None,
    requests: int = 1,
    *,
    narrow: bool = False,
    enforced: bool = True,
    learned: Learned = NOTHING,
) -> AnswerLength:
    """Estimate the output tokens of one request.

    Parameters
    ----------
    before
        Earlier answers to the same prompt and model.
    requests
        The number of requests to send; the mean of many varies less than one answer.
    narrow
        Whether to return the 95% interval of `before`, within the bounds.
    enforced
        Whether the service enforces the output schema.
    learned
        How the bills of finished jobs differ from the counts.

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
    if endpoint.max_output_tokens(body) == 0:
        return NO_ANSWER  # vectors and moderation results have no output tokens
    if endpoint.answer_kind == "file":
        return _image_length(recipe, before, requests, narrow=narrow)
    answer = _bounds(recipe, body, learned, enforced=enforced)
    ends, bounded = answer.ends, answer.ends.high is not None
    notes = list(_notes(recipe, answer, before))
    if before is None and ends.expected is not None:
        notes += learned.answer_notes
    if before is not None:
        notes.append(_experience_note(before, requests, reasons=answer.reasons))
        has_interval = before.answers >= FEWEST
        if has_interval and (narrow or not bounded):
            notes.append(_NARROW if bounded else interval_note(endpoint.output_limit))
        elif ends.high is not None and before.longest > ends.high:
            notes.append(_refuted_note(before, ends.high))
        ends = _apply_experience(ends, before, requests, narrow=narrow)
        bounded = bounded and not (narrow and has_interval)
    unbounded_reasoning = answer.reasons and answer.limit is None
    return AnswerLength(ends, unbounded_reasoning, tuple(notes), bounded)


def _bounds(
    recipe: Recipe, body: Mapping[str, Any], learned: Learned, *, enforced: bool
) -> _Answer:
    """Bound the tokens of an answer by its limit, or else its schema."""
    endpoint = endpoint_of(recipe.endpoint)
    limit = endpoint.max_output_tokens(body)
    reasons = endpoint.may_reason(body) or reasons_elsewhere(recipe.model)
    reasoning = _expected_reasoning(recipe.model, body) if reasons else Fraction(0)
    has_tools, may_call = bool(body.get("tools")), _may_call(body)
    framing = text_framing(recipe.model, recipe.endpoint, tools=has_tools, reasons=bool(reasoning))
    content: Range[Fraction] = Range(Fraction(1), None, None)
    if recipe.output.schema is not None:
        framing = schema_framing(
            recipe.model, recipe.endpoint, recipe.output.schema_name, tools=has_tools,
            reasons=bool(reasoning),
        )  # fmt: skip
        content = _bounds_of_spec(recipe)
    framing = replace(framing, tokens=learned.correct_framing(framing.tokens))
    ends = content + framing.tokens
    ends = replace(ends, low=max(ends.low, Fraction(1)))
    if may_call:
        # A tool call may replace the answer, and its arguments are unbounded.
        ends = Range(Fraction(1), None, None)
    expected = None if ends.expected is None or reasoning is None else ends.expected + reasoning
    high = ends.high if enforced and not reasons else None
    ends = Range(ends.low, expected, high)
    if limit is not None:
        ends = Range(ends.low, ends.expected, None).map(lambda tokens: min(tokens, Fraction(limit)))
        ends = Range(ends.low, ends.expected, Fraction(limit))
    return _Answer(ends, reasons, limit, framing, may_call, enforced)


def _may_call(body: Mapping[str, Any]) -> bool:
    return bool(body.get("tools")) and body.get("tool_choice") != "none"


def _expected_reasoning(model: str, body: Mapping[str, Any]) -> Fraction | None:
    """Return the mean reasoning tokens in recorded requests, if known."""
    effort = body.get("reasoning_effort") or as_mapping(body.get("reasoning")).get("effort")
    prior = None if effort else reasoning_prior(model)
    return None if prior is None else Fraction(prior.mean)


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
    bounded = answer.high is not None and not narrow
    if before is not None:
        notes.append(_experience_note(before, requests, reasons=False))
        if before.answers >= FEWEST:
            notes.append(interval_note(endpoint.output_limit))
        answer = _apply_experience(answer, before, requests, narrow=narrow)
    return AnswerLength(answer, unbounded_reasoning=False, notes=tuple(notes), bounded=bounded)


def _bounds_of_spec(recipe: Recipe) -> Range[Fraction]:
    """Return the bounds of the output schema or a refusal, without framing."""
    counter = token_counter(recipe.model)
    bounds, error = answer_bounds(recipe.output, counter.count), counter.relative_error
    low, high = max(math.floor(bounds.low * (1 - error)), 1), None
    if bounds.high is not None:
        longest = math.ceil(bounds.high * (1 + error))
        high = Fraction(max(longest, longest_refusal()))
    return Range(Fraction(low), bounds.expected, high)


def _apply_experience(
    ends: Range[Fraction], before: Experience, requests: int, *, narrow: bool
) -> Range[Fraction]:
    """Expect the mean of earlier answers; widen bounds they exceeded."""
    mean, interval = Fraction(before.mean), before.likely(requests)
    # An answer outside the bounds refutes them.
    low = min(ends.low, mean)
    high = None if ends.high is None else max(ends.high, Fraction(before.longest))
    if interval is None or not (narrow or high is None):
        return Range(low, mean, high)
    likely_low, likely_high = map(Fraction, interval)
    likely_high = likely_high if high is None else min(likely_high, high)
    return Range(max(low, likely_low) if narrow else low, mean, likely_high)


def rests_on_answers(notes: Iterable[str]) -> bool:
    """Return whether the notes mention earlier answers."""
    return any(note.startswith(_EXPECTED) for note in notes)


def _notes(recipe: Recipe, answer: _Answer, before: Experience | None) -> Iterator[str]:
    """Yield the notes on the bound of an answer, or on how to bound it."""
    output_limit = endpoint_of(recipe.endpoint).limit_for(recipe.model)
    unbounded_reasoning = answer.reasons and answer.limit is None
    if unbounded_reasoning:
        yield _reasoning_note(output_limit)
    if answer.reasons and before is None:
        yield _prior_note(recipe)
    if answer.limit is not None:
        return
    if not answer.reasons and not is_known(base_model(recipe.model)):
        yield _MAY_REASON.format(recipe.model) + _limit_hint(output_limit)
    if answer.may_call:
        yield _calls_note(output_limit)
    elif answer.ends.high is not None:
        yield _assumption_note(answer)
    elif not unbounded_reasoning:
        yield _unbounded_note(output_limit, enforced=answer.enforced)


def _assumption_note(answer: _Answer) -> str:
    added = "" if answer.framing.recordings else ", and the framing of similar models"
    return (
        f"The upper bound of {int(answer.ends.high or 0):,} output tokens per request assumes "
        f"compact JSON, or a refusal of at most {longest_refusal()} tokens{added}."
    )


def _refuted_note(before: Experience, high: Fraction | None) -> str:
    return (
        f"An earlier answer took {before.longest:,} output tokens, above the bound of "
        f"{int(high or 0):,} that the schema implies; the maximum is raised to that answer."
    )


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


def _prior_note(recipe: Recipe) -> str:
    """Build the note on expected reasoning, or on how to measure it."""
    body = {"model": recipe.model, **recipe.body}
    prior = reasoning_prior(recipe.model)
    if prior is None or _expected_reasoning(recipe.model, body) is None:
        return f"Expected reasoning of {recipe.model}: unknown; measure it with " + _PILOT + "."
    typical = f"{prior.mean:,} tokens per request" if prior.mean else "none unless an effort is set"
    return (
        f"Expected reasoning of {recipe.model}: {typical}, the mean of {prior.recordings} recorded "
        "requests, not a bound."
    )


def _reasoning_note(output_limit: OutputLimit) -> str:
    """Build the note on unbounded reasoning, with the parameter to set."""
    note = "Reasoning tokens are billed as output and have no upper bound." + _limit_hint(
        output_limit
    )
    if output_limit.disable_reasoning:
        note += " To disable them: " + parameter_step(output_limit.disable_reasoning) + "."
    return note


def interval_note(output_limit: OutputLimit) -> str:
    """Build the note on a likely maximum, with the parameter to set."""
    note = "The upper output value is likely, not a bound: it comes from earlier answers."
    return note + _limit_hint(output_limit)


def _limit_hint(output_limit: OutputLimit) -> str:
    if not output_limit.parameter:
        return ""
    return " To limit them: " + parameter_step(f"{output_limit.parameter}=") + "."


def _unbounded_note(output_limit: OutputLimit, *, enforced: bool) -> str:
    note = "The length of answers has no upper bound."
    if not enforced:
        note = "The length of answers has no upper bound: this service may not enforce a schema."
    if not output_limit.parameter:
        return note
    labels = ", or " + OUTPUT + " with labels" if enforced else ""
    return note + " To limit it: " + parameter_step(f"{output_limit.parameter}=") + labels + "."


def _calls_note(output_limit: OutputLimit) -> str:
    note = "An answer may be a tool call, whose arguments have no upper bound"
    if not output_limit.parameter:
        return f"{note}."
    return note + " but " + parameter_step(f"{output_limit.parameter}=") + "."
