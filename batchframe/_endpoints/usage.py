"""The usage of a response → numbers of tokens.

In: one usage, or a column of them. Out: the numbers in the order of an answer, or columns of them
by name; what is no number of tokens is None in the one and not taken in the other.
Must not know: any one endpoint.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

Tokens: TypeAlias = int | None
_MOST_TOKENS: Final = 2**40

_NUMBER: Final = pa.int64()
_CACHED: Final = pa.struct({"cached_tokens": _NUMBER, "cache_write_tokens": _NUMBER})
_REASONED: Final = pa.struct({"reasoning_tokens": _NUMBER})
CHAT_USAGE: Final = pa.struct(
    {
        "prompt_tokens": _NUMBER,
        "completion_tokens": _NUMBER,
        "prompt_tokens_details": _CACHED,
        "completion_tokens_details": _REASONED,
    }
)
"""The usage that nearly every chat completion states."""

RESPONSES_USAGE: Final = pa.struct(
    {
        "input_tokens": _NUMBER,
        "output_tokens": _NUMBER,
        "input_tokens_details": _CACHED,
        "output_tokens_details": _REASONED,
        "prompt_tokens": _NUMBER,
    }
)
"""The usage that nearly every response states; one with the words of chat completions is odd."""


def token_columns(usage: pa.StructArray) -> tuple[pa.Array, Mapping[str, pa.Array]]:
    """Read usages of one of the types above.

    Returns
    -------
    Which of them are read right, and the tokens of these by name, as :func:`tokens_of` says them.

    Examples
    --------
    >>> fits, tokens = token_columns(
    ...     pa.array([{"prompt_tokens": 7, "completion_tokens": -2}, None], CHAT_USAGE)
    ... )
    >>> fits.to_pylist(), tokens["input_tokens"].to_pylist()
    ([False, True], [7, None])
    """
    read, written, read_details, written_details, *others = usage.flatten()
    cached, to_cache = read_details.flatten()
    [thought] = written_details.flatten()
    fits = pc.or_(pc.is_null(usage), pc.and_(pc.is_valid(read), pc.is_valid(written)))
    columns = {
        "input_tokens": read,
        "output_tokens": written,
        "cached_tokens": cached,
        "reasoning_tokens": thought,
        "cache_write_tokens": to_cache,
    }
    possible = map(_are_possible, columns.values())
    return functools.reduce(pc.and_, [fits, *possible, *map(pc.is_null, others)]), columns


def _are_possible(tokens: pa.Array) -> pa.Array:
    """Tell which can be numbers of tokens, or are not stated."""
    within = pc.and_(pc.greater_equal(tokens, 0), pc.less_equal(tokens, _MOST_TOKENS))
    return pc.fill_null(within, fill_value=True)


def tokens_of(usage: Any) -> tuple[Tokens, Tokens, Tokens, Tokens, Tokens]:
    """Return the input, output, cached, reasoning and cache write tokens, in OpenAI's wordings.

    Examples
    --------
    >>> tokens_of({"prompt_tokens": 7, "completion_tokens": 2})
    (7, 2, None, None, None)
    >>> tokens_of({"input_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}})
    (9, None, None, 4, None)
    >>> tokens_of({"input_tokens": 9, "output_tokens": 2, "prompt_tokens": None})
    (9, 2, None, None, None)
    """
    if not isinstance(usage, dict):
        return None, None, None, None, None
    in_chat_words = usage.get("prompt_tokens") is not None or (
        "completion_tokens" in usage and usage.get("input_tokens") is None
    )
    read, written = ("prompt", "completion") if in_chat_words else ("input", "output")
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
