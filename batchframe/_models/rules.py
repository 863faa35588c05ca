"""Known rejections of models and the Batch API, from ``rules.toml``.

Rules apply to OpenAI's models by OpenAI's names; other models have none. They are checked before
anything is sent.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, Final

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import (
    ParameterWarning,
    RequestError,
    allow_hint,
    format_list,
    shorten,
    warn_user,
)
from batchframe._base.safe_text import NextStep, parameter_step, requests_step
from batchframe._models.names import base_model, is_reasoning

MODEL: Final = "model"
CONTEXT_WINDOW: Final = "context_window"
"""Values of ``allow=`` besides body parameters."""
_OF_BOTH: Final = frozenset({"temperature", "top_p", "reasoning_effort"})
"""Parameters whose rules apply to both endpoints."""
_EFFORT_NONE: Final = 'reasoning={"effort": "none"}'
_LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
"""Output parameters that models of every provider have."""


def is_known(model: str) -> bool:
    """Return whether there are rules for a model.

    Examples
    --------
    >>> [is_known(m) for m in ("gpt-5.6-luna", "ft:gpt-4o:acme::1", "openai/gpt-4o", "llama")]
    [True, True, False, False]
    """
    # A path in the name means a gateway, which may translate parameters.
    return "/" not in model and re.match(load_rules()["known"], base_model(model)) is not None


def check_parameters(
    model: str, endpoint: str, body: Mapping[str, Any], allow: Collection[str]
) -> None:
    """Raise for parameters that this model or a batch is known to reject.

    Parameters
    ----------
    allow
        Names of parameters to send anyway.

    Raises
    ------
    RequestError
        For a parameter or value that would be rejected, or a misspelled name.

    Warns
    -----
    ParameterWarning
        For a parameter unknown to OpenAI.
    """
    for name in _LIMITS:
        if name not in allow and body.get(name) is not None:
            _check_number(name, body[name], {"low": 1, "whole": True})
    if not is_known(model):
        return
    for name, value in body.items():
        if name in allow:
            continue
        if name == "service_tier":
            _check_tier(value)
        if (rule := _rule_against(name, model, endpoint, body)) is not None:
            instead = rule["instead"]
            if accepts_no_reasoning(model):
                instead += rule.get("or_none", "")
            if endpoint == EndpointPath.RESPONSES:
                instead = instead.replace('reasoning_effort="none"', _EFFORT_NONE)
            with_value = f" ({shorten(repr(value), 60)})" if "values" in rule else ""
            raise RequestError(
                f"{name}: rejected by {model}{with_value}, so every request would fail "
                f"({citation(rule)}).",
                next_step="Fix: " + _format_advice(instead) + ". " + allow_hint(name),
            )
        _check_value(_chat_name(name, endpoint), _chat_effort(endpoint, body), name)
        _check_name(name, endpoint)


def check_endpoint(model: str, endpoint: str, allow: Collection[str]) -> None:
    """Raise if a model does not match the endpoint.

    Raises
    ------
    RequestError
        For an embedding or moderation model at another endpoint, or any other model at theirs. The
        message names the right endpoint, or a model of the endpoint.

    Examples
    --------
    >>> check_endpoint("text-embedding-3-small", "/v1/embeddings", ())
    >>> check_endpoint("text-embedding-3-small", "/v1/chat/completions", ())
    Traceback (most recent call last):
        ...
    batchframe.errors.RequestError: model: text-embedding-3-small is not supported by ...
    """
    if MODEL in allow or not is_known(model):
        return
    for own in load_rules()["own_models"]:
        is_one = re.match(own["models"], base_model(model)) is not None
        if is_one and endpoint != own["endpoint"]:
            instead = f'endpoint="{own["endpoint"]}"'
        elif endpoint == own["endpoint"] and not is_one:
            instead = f'model="{own["such_as"]}"'
        else:
            continue
        raise RequestError(
            f"model: {model} is not supported by {endpoint}, so every request would fail "
            f"({citation(own)}). Fix: {instead}.",
            next_step=allow_hint("model"),
        )


def refused_parameters(model: str, endpoint: str, body: Mapping[str, Any]) -> list[str]:
    """Return the body parameters that a model is known to reject.

    Examples
    --------
    >>> chat = "/v1/chat/completions"
    >>> refused_parameters("gpt-5.6-luna", chat, {"temperature": 0, "seed": 1})
    ['temperature']
    >>> refused_parameters("gpt-5.6-luna", chat, {"temperature": 0, "reasoning_effort": "none"})
    []
    """
    if not is_known(model):
        return []
    return [name for name in body if _rule_against(name, model, endpoint, body) is not None]


def accepts_no_reasoning(model: str) -> bool:
    """Return whether a model is not known to reject the effort "none".

    Examples
    --------
    >>> [accepts_no_reasoning(m) for m in ("gpt-6-luna", "gpt-6.2-sol", "my-model")]
    [True, False, True]
    """
    return "reasoning_effort" not in refused_parameters(
        model, EndpointPath.CHAT, {"reasoning_effort": "none"}
    )


def _rule_against(
    name: str, model: str, endpoint: str, body: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    if endpoint not in {EndpointPath.CHAT, EndpointPath.RESPONSES}:
        return None
    name, body = _chat_name(name, endpoint), _chat_effort(endpoint, body)
    if endpoint == EndpointPath.RESPONSES and name not in _OF_BOTH:
        return None
    rules: list[Mapping[str, Any]] = load_rules()["parameter"]
    against = (rule for rule in rules if rule["name"] == name and _refuses(rule, model, body))
    return next(against, None)


def _chat_name(name: str, endpoint: str) -> str:
    in_responses = endpoint == EndpointPath.RESPONSES and name == "reasoning"
    return "reasoning_effort" if in_responses else name


def _chat_effort(endpoint: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Convert the reasoning effort of responses to the chat parameter."""
    reasoning = body.get("reasoning")
    if endpoint != EndpointPath.RESPONSES or not isinstance(reasoning, Mapping):
        return body
    return {**body, "reasoning_effort": reasoning.get("effort")}


def _check_value(name: str, body: Mapping[str, Any], parameter: str) -> None:
    """Raise for a number out of range, or an unknown enum value."""
    value, words = body.get(name), load_rules()["word"].get(name)
    if value is None:
        return
    if name in load_rules()["number"]:
        _check_number(name, value, load_rules()["number"][name])
    if words is not None and value not in words:
        near = difflib.get_close_matches(str(value), words, n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        raise RequestError(
            f"{parameter}: not one of {format_list(words)} ({shorten(repr(value), 60)}); the "
            f"service would reject every request. {guess}".rstrip(),
            next_step=allow_hint(parameter),
        )


def _check_number(name: str, value: Any, ends: Mapping[str, Any]) -> None:
    kinds, kind = ((int,), "an int") if ends.get("whole") else ((int, float), "a number")
    low, high = ends["low"], ends.get("high")
    if type(value) in kinds and value >= low and (high is None or value <= high):
        return
    limits = f"of at least {low}" if high is None else f"from {low} to {high}"
    raise RequestError(
        f"{name}: not {kind} {limits} ({shorten(repr(value), 60)}); the service would reject every "
        "request."
    )


def _refuses(rule: Mapping[str, Any], model: str, body: Mapping[str, Any]) -> bool:
    value = body.get(rule["name"])
    if value is None or _is_member(value, rule.get("harmless", [])):
        return False
    if "values" in rule and value not in rule["values"]:
        return False
    if rule.get("without_reasoning") and not _reasons(model, body):
        return False
    if "models" in rule and not re.match(rule["models"], base_model(model)):
        return False
    return "family" not in rule or is_reasoning(model) == (rule["family"] == "reasoning")


def _is_member(value: Any, harmless: list[Any]) -> bool:
    # True equals 1 in Python, but not in JSON.
    return any(
        value == constant and isinstance(value, bool) == isinstance(constant, bool)
        for constant in harmless
    )


def _reasons(model: str, body: Mapping[str, Any]) -> bool:
    effort = body.get("reasoning_effort")
    if effort is None:
        return (
            re.match(load_rules()["no_reasoning_by_default"]["models"], base_model(model)) is None
        )
    return bool(effort != "none")


def _check_tier(value: Any) -> None:
    tier = load_rules()["service_tiers"].get(value) if isinstance(value, str) else None
    if isinstance(tier, Mapping) and tier["refused"]:
        raise RequestError(
            f"service_tier: not needed in a batch ({value!r}); batches are billed at the batch "
            "price. Fix: omit it.",
            next_step=allow_hint("service_tier"),
        )


def _format_advice(instead: str) -> NextStep:
    """Format a rule's advice, with parameters worded for a shell, too."""
    shell = instead
    for code in (
        'reasoning_effort="none"', "max_completion_tokens=", 'endpoint="/v1/responses"'
    ):  # fmt: skip
        shell = shell.replace(code, parameter_step(code).shell)
    return NextStep(instead, shell)


def background_discount(window: str) -> Decimal:
    """Return the discount of a background response on the standard price.

    Examples
    --------
    >>> background_discount("background_8h")
    Decimal('0.4')
    """
    return Decimal(load_rules()["background_discounts"][window])


def promise(tier: str) -> str:
    """Return the promise of a tier or a window, as text."""
    return str(load_rules()["promises"][tier])


def checked_on() -> date:
    """Return the day on which the table was last compared with its sources."""
    return date.fromisoformat(str(load_rules()["checked"]))


def is_parameter(name: str) -> bool:
    """Return whether any OpenAI endpoint has a body parameter of this name."""
    return any(name in entry["names"] for entry in load_rules()["known_parameters"].values())


def _check_name(name: str, endpoint: str) -> None:
    parameters = load_rules()["known_parameters"].get(endpoint)
    if parameters is None or name in parameters["names"]:
        return
    if endpoint != EndpointPath.CHAT and is_parameter(name):
        return  # a name of another endpoint is reported by this endpoint's own checks
    if near := difflib.get_close_matches(name, parameters["names"], n=1, cutoff=0.8):
        raise RequestError(
            f"{name}: not a parameter of {endpoint}. Did you mean {near[0]}=?",
            next_step=allow_hint(name),
        )
    warn_user(
        ParameterWarning(
            f"{name}: not a known parameter of {endpoint} ({citation(parameters)}); it is sent "
            "anyway, and OpenAI may reject every request. To silence: "
            + requests_step(f'allow=["{name}"]')
            + "."
        )
    )


def not_in_batch(model: str) -> bool:
    """Return whether a model is unavailable in OpenAI's Batch API.

    Examples
    --------
    >>> not_in_batch("gpt-5.3-chat-latest"), not_in_batch("gpt-5.6-luna")
    (True, False)
    """
    return re.search(load_rules()["not_in_batch"]["anywhere"], base_model(model)) is not None


def context_window(model: str) -> int | None:
    """Return the context window of a model in tokens, or None if unknown.

    Examples
    --------
    >>> context_window("gpt-4.1-mini"), context_window("gpt-4o"), context_window("my-model")
    (1047576, 128000, None)
    """
    if not is_known(model):
        return None
    windows = load_rules()["context_window"]
    fitting = (row["tokens"] for row in windows if re.match(row["models"], base_model(model)))
    return next(fitting, None)


def citation(rule: Mapping[str, Any]) -> str:
    """Return the source and the date of a line of the table."""
    return f"{rule['source']}, {rule['as_of']}"


@cache
def load_rules() -> dict[str, Any]:
    """Return the whole table."""
    return tomllib.loads((files(__package__) / "rules.toml").read_text(encoding="utf-8"))
