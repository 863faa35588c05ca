"""WordPiece tokens of lower-cased BERT models.

The package ``tokenizers`` would do the same; it brings 35 MB of other packages.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib.resources import files
from typing import Final

_CONTEXT: Final = 256
_LONGEST_WORD: Final = 100
_ASCII_SYMBOLS: Final = frozenset("$+<=>^`|~")
# The blocks of Chinese characters, each of which BERT treats as a word.
_CHINESE: Final = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


def encode(text: str) -> list[int]:
    """Return the token ids of a string, with the markers of start and end."""
    ids = _vocabulary()
    tokens = [token for word in split_words(text) for token in _pieces(word, ids)]
    return [ids["[CLS]"], *tokens[: _CONTEXT - 2], ids["[SEP]"]]


def split_words(text: str) -> list[str]:
    """Split a string into words without accents and single punctuation marks."""
    decomposed = unicodedata.normalize("NFD", "".join(map(_clean, text)))
    bare = "".join(c for c in decomposed if unicodedata.category(c) != "Mn").lower()
    return "".join(f" {c} " if _stands_alone(c) else c for c in bare).split()


def _clean(character: str) -> str:
    if character in "\t\n\r":
        return " "
    is_control = character == "\ufffd" or unicodedata.category(character) in {
        "Cc",
        "Cf",
        "Co",
        "Cs",
    }
    return "" if is_control else character


def _stands_alone(character: str) -> bool:
    return (
        unicodedata.category(character)[0] == "P"
        or character in _ASCII_SYMBOLS
        or any(first <= ord(character) <= last for first, last in _CHINESE)
    )


def _pieces(word: str, ids: dict[str, int]) -> list[int]:
    """Split a word into the longest pieces that the vocabulary has."""
    pieces: list[int] = []
    start = 0
    while start < len(word) <= _LONGEST_WORD:
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            if (piece := ids.get(prefix + word[start:end])) is not None:
                pieces.append(piece)
                start = end
                break
        else:
            break
    return pieces if start == len(word) else [ids["[UNK]"]]


@cache
def _vocabulary() -> dict[str, int]:
    text = files(__package__).joinpath("vocab.txt").read_text(encoding="utf-8")
    return {token: number for number, token in enumerate(text.split("\n"))}
