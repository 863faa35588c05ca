"""Text that shows what it holds: control characters and those that deceive, as escapes.

In and out: text. Must not know: who reads it.
"""

from __future__ import annotations

import re
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
