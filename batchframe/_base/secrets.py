"""Text from a service → the same text without a key in it.

Must not know: where the text comes from, or where it goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# What OpenAI's keys look like, whole or masked ("sk-pr***1234", "sk-...1234", "sk-ab…cd"). Not
# the end of a word: a disk-image is no key.
_KEY: Final = re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_*.…•-]{3,}[A-Za-z0-9_*•-]")
_SHORTEST: Final = 8


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
