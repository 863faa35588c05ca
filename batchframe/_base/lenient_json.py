"""A lenient JSON reader, for servers whose output strict readers reject.

Values that JSON, strings or columns cannot hold are replaced, so that the rest of the document
survives: NaN, infinities and numbers of more than 30 digits become null, and lone surrogates become
U+FFFD.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

_MOST_DIGITS: Final = 30
# Matches one escape at a time from the left, so that an escaped backslash never begins one. A
# surrogate pair is matched before lone surrogates.
_ESCAPE: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\."
)
_HALF: Final = len(r"\ud83d")


def loads(raw: bytes) -> Any:
    r"""Parse JSON leniently.

    Raises
    ------
    ValueError
        If the input is not JSON, not UTF-8, or nested too deeply.

    Examples
    --------
    >>> loads(b'{"text": "a\\ud83d", "logprob": -Infinity}')
    {'text': 'a\ufffd', 'logprob': None}
    """
    text = _ESCAPE.sub(_replace_lone_half, raw.decode())
    try:
        return json.loads(text, parse_int=_integer, parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def repair_json(raw: bytes) -> bytes:
    """Return strict JSON of the same value; raises as :func:`loads` does."""
    return msgspec.json.encode(loads(raw))


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a JSON object unchanged, and anything else as an empty dict."""
    return value if isinstance(value, Mapping) else {}


def objects_in(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects of a JSON array; an empty list for anything else."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _replace_lone_half(escape: re.Match[str]) -> str:
    return r"\ufffd" if len(escape[0]) == _HALF else escape[0]


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else None
