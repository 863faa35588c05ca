"""Output tokens that the service bills for an answer, from recorded usage.

The service bills an answer's text and some tokens of framing, which depend on the model, the
endpoint and the kind of the answer. ``output.toml`` has them, with their source.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

from batchframe._base.lenient_json import as_mapping, objects_in
from batchframe._base.ranges import Range
from batchframe._models.names import base_model
from batchframe._tokens.calls import full_name
from batchframe._tokens.counter import TokenCount, token_counter

Body = Mapping[str, Any]
Kind = Literal["text", "schema", "call", "calls"]
_NOTHING: Final = Range.exactly(Fraction(0))
_UNRECORDED: Final = "The tokens that the service adds to an answer are not known for this model."
_UNSEEN: Final = "Items of an answer besides text and function calls are not counted."
_REASONING: Final = "Reasoning tokens are not included."


@dataclass(frozen=True)
class Framing:
    """Tokens of an answer beyond its text; None as upper bound if unknown.

    Attributes
    ----------
    tokens
        The least recorded, the expected number, and one more than the most recorded.
    recordings
        The number of recorded answers of this kind; 0 if assumed from similar models.
    """

    tokens: Range[Fraction]
    recordings: int


@dataclass(frozen=True)
class ReasoningPrior:
    """Mean reasoning tokens in recorded requests that set no effort."""

    mean: int
    recordings: int


def text_framing(model: str, endpoint: str, *, tools: bool, reasons: bool = False) -> Framing:
    """Return the framing of a text answer.

    Parameters
    ----------
    tools
        Whether the request has functions.
    reasons
        Whether reasoning is expected before the answer.

    Examples
    --------
    >>> text_framing("gpt-5.6-luna", "/v1/responses", tools=False).tokens
    Range(low=Fraction(4, 1), expected=Fraction(4, 1), high=Fraction(7, 1))
    """
    row = _row("text", model, endpoint, tools=tools)
    if row is None:
        return Framing(Range(Fraction(0), Fraction(0), None), 0)
    mean = row["reasoned"] if reasons and "reasoned" in row else row["mean"]
    high = row["high"] + _table()["margin"]
    return Framing(Range(Fraction(row["low"]), Fraction(mean), Fraction(high)), row["n"])


def schema_framing(
    model: str, endpoint: str, name: str, *, tools: bool = False, reasons: bool = False
) -> Framing:
    """Return the framing of an answer to a JSON schema of this name.

    Examples
    --------
    >>> schema_framing("gpt-5.4", "/v1/responses", "label").tokens
    Range(low=Fraction(7, 1), expected=Fraction(7, 1), high=Fraction(10, 1))
    """
    text = text_framing(model, endpoint, tools=tools, reasons=reasons)
    row = _row("schema", model, endpoint, tools=tools)
    extra = _NOTHING if row is None else _extra(row, model, [name])
    return Framing(text.tokens + extra, 0 if row is None else min(text.recordings, row["n"]))


def longest_refusal() -> int:
    """Return the tokens of the longest recorded refusal, without framing."""
    return int(_table()["refusal"]["tokens"])


def reasoning_prior(model: str) -> ReasoningPrior | None:
    """Return the mean reasoning tokens of recorded requests without an effort.

    None if too few were recorded.

    Examples
    --------
    >>> reasoning_prior("gpt-5-mini")
    ReasoningPrior(mean=179, recordings=109)
    >>> reasoning_prior("gpt-5.6-luna") is None
    True
    """
    row = _row("reasoning", model)
    return None if row is None else ReasoningPrior(row["mean"], row["n"])


def count_answer(body: Body, endpoint: str, answer: str | Mapping[str, Any]) -> TokenCount:
    """Count the output tokens billed for an answer, without reasoning.

    Examples
    --------
    >>> count_answer({"model": "gpt-4o"}, "/v1/chat/completions", "Hi!")
    TokenCount(tokens=2, exact=False)
    """
    model = str(body["model"])
    message = {"content": answer} if isinstance(answer, str) else answer
    texts = [str(message[key]) for key in ("content", "refusal") if message.get(key)]
    calls = objects_in(message.get("tool_calls"))
    calls = [as_mapping(call.get("function", call)) for call in calls]
    names = [full_name(call) for call in calls]
    counter = token_counter(model)
    content = [*texts, *names, *(str(call.get("arguments") or "") for call in calls)]
    tokens = int(sum(counter.count(content)))
    framing = _framing_of(body, endpoint, names, with_text=bool(texts)).tokens
    expected = round(framing.expected or 0)
    margin = int(tokens * counter.relative_error)
    more = None if framing.high is None else int(framing.high) - expected + margin
    notes = [_REASONING] if more is not None else [_UNRECORDED]
    if not all(names):
        more, notes = None, [_UNSEEN]
    fewer = min(expected - int(framing.low) + margin, tokens + expected)
    return TokenCount(
        tokens=max(tokens + expected, 0), exact=False, fewer=fewer, more=more, notes=tuple(notes)
    )


def _framing_of(body: Body, endpoint: str, names: Sequence[str], *, with_text: bool) -> Framing:
    """Return the framing of an answer with these calls."""
    model = str(body["model"])
    has_tools = bool(body.get("tools") or body.get("functions"))
    form = _format_of(body)
    if not names and form.get("type") == "json_schema":
        return schema_framing(model, endpoint, str(form.get("name") or ""), tools=has_tools)
    text = text_framing(model, endpoint, tools=has_tools and not names)
    if not names:
        return text
    choice = body.get("tool_choice")
    is_forced = isinstance(choice, Mapping) and len(names) == 1
    row = _row("call" if len(names) == 1 else "calls", model, endpoint, forced=is_forced)
    if row is None:
        return Framing(Range(Fraction(0), Fraction(0), None), 0)
    tokens = text.tokens + _extra(row, model, names)
    if with_text:
        tokens += _range(_table()["beside_calls"])
    return Framing(tokens, row["n"])


def _format_of(body: Body) -> Mapping[str, Any]:
    """Return the answer format, in the terms of responses."""
    form = as_mapping(body.get("response_format") or as_mapping(body.get("text")).get("format"))
    return {**form, **as_mapping(form.get("json_schema"))}


def _extra(row: Mapping[str, Any], model: str, names: Sequence[str]) -> Range[Fraction]:
    """Return the tokens of a row, with those of names and calls."""
    added = row.get("each", 0) * len(names)
    if row.get("names"):
        added += row["names"] * int(sum(token_counter(model).count(list(names))))
    return _range(row).map(lambda tokens: tokens + added)


def _range(row: Mapping[str, Any]) -> Range[Fraction]:
    return Range(*(Fraction(row[key]) for key in ("low", "mean", "high")))


def _row(kind: str, model: str, endpoint: str = "", **features: bool) -> Mapping[str, Any] | None:
    """Return the first row that matches a model, an endpoint and features."""
    criteria = {"endpoint": endpoint, **features}
    rows: list[Mapping[str, Any]] = _table()[kind]
    fitting = (
        row
        for row in rows
        if all(row.get(name, value) == value for name, value in criteria.items())
        and re.match(row["models"], base_model(model))
    )
    return next(fitting, None)


@cache
def _table() -> dict[str, Any]:
    text = (files(__package__) / "output.toml").read_text(encoding="utf-8")
    return tomllib.loads(text, parse_float=Decimal)
