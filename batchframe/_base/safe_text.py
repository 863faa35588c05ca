"""Text with control and deceptive characters escaped and keys redacted, safe to show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# Joiners and other marks without a width stay: they shape letters and emoji.
_HIDDEN: Final = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # controls
    "\u2028\u2029"  # separators of lines and paragraphs
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # turn the reading direction
    "\U000e0000-\U000e007f"  # tags, which can spell out words that nobody sees
    "\ud800-\udfff"  # halves of surrogate pairs
    "]"
)
# What OpenAI's keys look like, whole or masked ("sk-pr***1234", "sk-...1234", "sk-ab…cd"). Not
# the end of a word: a disk-image is no key.
_KEY: Final = re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_*.…•-]{3,}[A-Za-z0-9_*•-]")
_SHORTEST: Final = 8


def visible(text: str) -> str:
    r"""Show control characters and those that turn the reading direction as escapes.

    Examples
    --------
    >>> visible("a\x07b\u202ec")
    'a\\x07b\\u202ec'
    """
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_lines(text: str) -> str:
    r"""Do the same to each line, and keep the lines.

    Examples
    --------
    >>> visible_lines("a\x07\nb")
    'a\\x07\nb'
    """
    return "\n".join(map(visible, text.split("\n")))


def redacted(text: str, keys: Iterable[str] = ()) -> str:
    """Take out `keys`, and whatever looks like a key of OpenAI's, whole or masked.

    Parameters
    ----------
    keys
        Keys that are known, whatever they look like. A word of fewer than 8 characters is none:
        local servers take any, and "local" stands in many sentences.

    Examples
    --------
    >>> redacted("Incorrect API key provided: sk-pr***1234. See your disk-image.")
    'Incorrect API key provided: sk-…. See your disk-image.'
    >>> redacted("Token 0a1b2c3d4e was refused", ["0a1b2c3d4e"])
    'Token … was refused'
    """
    for key in keys:
        if len(key) >= _SHORTEST:
            text = text.replace(key, "…")
    return _KEY.sub("sk-…", text)
