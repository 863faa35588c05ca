"""The usage of a response → numbers of tokens.

Must not know: any one endpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeAlias

import msgspec

Tokens: TypeAlias = int | None
_MOST_TOKENS: Final = 2**40

_Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=_MOST_TOKENS)]


class _Cached(msgspec.Struct, gc=False):
    cached_tokens: _Number | None = None
    cache_write_tokens: _Number | None = None


class _Reasoned(msgspec.Struct, gc=False):
    reasoning_tokens: _Number | None = None


class ChatUsage(
    msgspec.Struct,
    gc=False,
    rename={
        "read": "prompt_tokens",
        "written": "completion_tokens",
        "read_details": "prompt_tokens_details",
        "written_details": "completion_tokens_details",
    },
):
    """The usage that nearly every chat completion states."""

    read: _Number
    written: _Number
    read_details: _Cached | None = None
    written_details: _Reasoned | None = None


class ResponsesUsage(
    msgspec.Struct,
    gc=False,
    rename={
        "read": "input_tokens",
        "written": "output_tokens",
        "read_details": "input_tokens_details",
        "written_details": "output_tokens_details",
    },
):
    """The usage that nearly every response states."""

    read: _Number
    written: _Number
    read_details: _Cached | None = None
    written_details: _Reasoned | None = None
    prompt_tokens: None = None


def token_columns(
    usages: Sequence[ChatUsage | ResponsesUsage | None],
) -> dict[str, list[Tokens]]:
    """Return the columns of tokens that :func:`tokens_of` would say."""
    cached = [None if one is None else one.read_details for one in usages]
    reasoned = [None if one is None else one.written_details for one in usages]
    return {
        "input_tokens": [None if one is None else one.read for one in usages],
        "output_tokens": [None if one is None else one.written for one in usages],
        "cached_tokens": [None if one is None else one.cached_tokens for one in cached],
        "reasoning_tokens": [None if one is None else one.reasoning_tokens for one in reasoned],
        "cache_write_tokens": [None if one is None else one.cache_write_tokens for one in cached],
    }


def tokens_of(usage: Any) -> tuple[Tokens, Tokens, Tokens, Tokens, Tokens]:
    """Return the input, output, cached, reasoning and cache write tokens, in OpenAI's wordings.

    Examples
    --------
    >>> tokens_of({"prompt_tokens": 7, "completion_tokens": 2})
    (7, 2, None, None, None)
    >>> tokens_of({"input_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}})
    (9, None, None, 4, None)
    """
    if not isinstance(usage, dict):
        return None, None, None, None, None
    read, written = ("prompt", "completion") if "prompt_tokens" in usage else ("input", "output")
    return (
        _tokens(usage.get(f"{read}_tokens")),
        _tokens(usage.get(f"{written}_tokens")),
        _detail(usage.get(f"{read}_tokens_details"), "cached_tokens"),
        _detail(usage.get(f"{written}_tokens_details"), "reasoning_tokens"),
        _detail(usage.get(f"{read}_tokens_details"), "cache_write_tokens"),
    )


def _detail(details: Any, name: str) -> Tokens:
    return _tokens(details.get(name)) if isinstance(details, dict) else None


def _tokens(value: Any) -> Tokens:
    # What is no number of tokens is none: an odd count must not cost the answer beside it.
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None
