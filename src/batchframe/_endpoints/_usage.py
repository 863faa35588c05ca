"""The usage of a response → numbers of tokens.

Must not know: any one endpoint.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

Tokens: TypeAlias = int | None
_MOST_TOKENS: Final = 2**40


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
