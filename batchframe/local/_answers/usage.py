"""Token usage of an answer, and token counts of a request.

The server counts input tokens with the function that estimates them, so that a local run verifies
the estimate.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from batchframe._base.errors import RequestError
from batchframe._tokens.bodies import count_chat, count_responses, count_texts
from batchframe._tokens.counter import TokenCount
from batchframe.local._objects import Usage


def usage_of(body: dict[str, Any]) -> Usage:
    """Return the usage in a response body of any endpoint.

    Examples
    --------
    >>> usage_of({"usage": {"prompt_tokens": 7, "completion_tokens": 2}}).total_tokens
    9
    """
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    input_, output_ = ("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")
    return Usage.of(
        _number(usage, *input_),
        _detail(usage, "cached_tokens", *input_),
        _number(usage, *output_),
        _detail(usage, "reasoning_tokens", *output_),
    )


def count_input_tokens(body: dict[str, Any]) -> int:
    """Count a request's input tokens as an estimate does, or approximate them.

    Examples
    --------
    >>> count_input_tokens({"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hi"}]})
    8
    >>> count_input_tokens({"model": "gpt-4.1", "input": "Hi"})
    8
    """
    # The body may be malformed; validation rejects it elsewhere.
    with suppress(RequestError, AttributeError, TypeError, KeyError, ValueError):
        return _count(body).tokens
    return text_tokens(str(body))


def _count(body: dict[str, Any]) -> TokenCount:
    """Count the input tokens; the fields of the body indicate its endpoint."""
    if isinstance(body.get("messages"), list):
        return count_chat(body)
    if body.get("input") is None:
        return count_texts(body, "prompt", "/v1/completions")
    if str(body.get("model")).startswith("text-embedding"):
        return count_texts(body, "input", "/v1/embeddings")
    return count_responses(body)


def inputs_of(value: Any) -> list[Any]:
    """Return the inputs of an embedding request; a list of token ids is one.

    Examples
    --------
    >>> inputs_of("one"), inputs_of(["one", "two"]), inputs_of([101, 102])
    (['one'], ['one', 'two'], [[101, 102]])
    """
    if isinstance(value, list) and value and not isinstance(value[0], int):
        return value
    return [value]


def text_tokens(text: str) -> int:
    """Approximate the tokens of a string as a quarter of its characters."""
    return -(-len(text) // 4)


def _number(usage: dict[str, Any], *names: str) -> int:
    return next((usage[name] for name in names if isinstance(usage.get(name), int)), 0)


def _detail(usage: dict[str, Any], name: str, *sides: str) -> int:
    details = (usage.get(f"{side}_details") for side in sides)
    return next((_number(detail, name) for detail in details if isinstance(detail, dict)), 0)
