"""Token usage: reading it out of an answer, and approximating it where nobody counts.

Comes in: request and response bodies. Goes out: `Usage`. Must not know who answered. The tokens of
a chat are counted by the very function that estimates them, so a rehearsal proves the estimate.
"""

from __future__ import annotations

from typing import Any

from batchframe._base.errors import RequestError
from batchframe._tokens.bodies import count_tokens
from batchframe.local._objects import Usage


def usage_of(body: dict[str, Any]) -> Usage:
    """Return the usage that a response body states, in whichever endpoint's words.

    Examples
    --------
    >>> usage_of({"usage": {"prompt_tokens": 7, "completion_tokens": 2}}).total_tokens
    9
    """
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    read, made = ("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")
    return Usage.of(
        _number(usage, *read),
        _detail(usage, "cached_tokens", *read),
        _number(usage, *made),
        _detail(usage, "reasoning_tokens", *made),
    )


def count_input_tokens(body: dict[str, Any]) -> int:
    """Count a request's input tokens as batchframe estimates them; approximate what it cannot.

    Examples
    --------
    >>> count_input_tokens({"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hi"}]})
    8
    >>> count_input_tokens({"model": "gpt-4.1", "input": "Hi"})
    8
    """
    endpoint = _endpoint_of(body)
    if endpoint is None:
        return approximate_tokens(body)
    try:
        return count_tokens(body, endpoint=endpoint).tokens
    except (RequestError, AttributeError, TypeError, KeyError, ValueError):
        # A server may be sent anything; what is no request is refused elsewhere.
        return approximate_tokens(body)


def _endpoint_of(body: dict[str, Any]) -> str | None:
    """Tell by its fields what a body is of."""
    if isinstance(body.get("messages"), list):
        return "/v1/chat/completions"
    if body.get("input") is not None:
        embeds = str(body.get("model")).startswith("text-embedding")
        return "/v1/embeddings" if embeds else "/v1/responses"
    return None if body.get("prompt") is None else "/v1/completions"


def approximate_tokens(body: dict[str, Any]) -> int:
    """Approximate a request's input tokens as a quarter of the characters of its texts.

    Examples
    --------
    >>> approximate_tokens({"model": "m", "input": "twelve chars"})
    3
    """
    parts = (body.get(name) for name in ("messages", "input", "instructions", "prompt"))
    return max(1, sum(map(_characters, parts)) // 4)


def text_tokens(text: str) -> int:
    """Approximate the tokens of a text as a quarter of its characters, rounded up."""
    return -(-len(text) // 4)


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_characters, value))
    if isinstance(value, dict):
        # An image's data URL is no text.
        return sum(_characters(value.get(name)) for name in ("content", "text", "input_text"))
    return 0


def _number(usage: dict[str, Any], *names: str) -> int:
    return next((usage[name] for name in names if isinstance(usage.get(name), int)), 0)


def _detail(usage: dict[str, Any], name: str, *sides: str) -> int:
    details = (usage.get(f"{side}_details") for side in sides)
    return next((_number(each, name) for each in details if isinstance(each, dict)), 0)
