"""The server's tokenizer: splintr-rs, tiktoken, or characters / 4."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Final

_DOWNLOAD_SECONDS: Final = 30.0
_CHARACTERS_PER_TOKEN: Final = 4
# A longer string takes minutes if it has no spaces; no model reads one.
_LONGEST: Final = 1_000_000
SHORT: Final = 4_000
"""Characters of a string whose tokens are remembered: at most 16 MB in all."""

_Encode = Callable[[str], Sequence[int]]


def count(text: str, encoding: str) -> int:
    """Return the tokens of a string in an encoding.

    Examples
    --------
    >>> count("Say hello", "o200k_base")
    2
    """
    # The lines of a batch share their system message, their names and their labels.
    return _count(text, encoding) if len(text) > SHORT else _remembered(text, encoding)


def _count(text: str, encoding: str) -> int:
    encode = _encoder(encoding)
    if encode is None or len(text) > _LONGEST:
        return -(-len(text) // _CHARACTERS_PER_TOKEN)
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return len(encode(text))


_remembered = functools.lru_cache(maxsize=1024)(_count)


def truncated(text: str, limit: int, encoding: str) -> str:
    """Truncate a string to a maximum number of tokens.

    Examples
    --------
    >>> truncated("one two three four", 2, "o200k_base")
    'one two'
    """
    shortest, longest = 0, len(text)
    if count(text, encoding) <= limit:
        return text
    while shortest < longest:
        middle = (shortest + longest + 1) // 2
        if count(text[:middle], encoding) <= limit:
            shortest = middle
        else:
            longest = middle - 1
    return text[:shortest]


@functools.cache
def _encoder(encoding: str) -> _Encode | None:
    try:
        from splintr import Tokenizer  # noqa: PLC0415 - optional, and slow to load

        encode: _Encode = Tokenizer.from_pretrained(encoding).encode_ordinary
    except (ImportError, LookupError, ValueError):
        return _tiktoken(encoding)
    return encode


def _tiktoken(encoding: str) -> _Encode | None:
    """Load tiktoken's vocabulary, which may be a download without a timeout."""
    loaded: queue.SimpleQueue[_Encode | None] = queue.SimpleQueue()

    def load() -> None:
        try:
            import tiktoken  # noqa: PLC0415 - slow to load

            loaded.put(tiktoken.get_encoding(encoding).encode_ordinary)
        except Exception:  # noqa: BLE001 - any network or cache error means "not available"
            loaded.put(None)

    threading.Thread(target=load, daemon=True).start()
    try:
        return loaded.get(timeout=_DOWNLOAD_SECONDS)
    except queue.Empty:
        return None
