"""Split constant text off templates, so its tokens are counted once.

The split is exact: in o200k_base and cl100k_base no match of the pre-tokenization pattern contains
a letter followed by a space, so every string is split there in any context; the pattern has no
lookbehind, so the rest is tokenized as if it were separate. Byte pairs merge only within a match.
The patterns are those of OpenAI's tiktoken; the tests compare each split with the whole string.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from batchframe._recipe.template import Cell, Placeholder, Template

CUTTABLE: Final = frozenset({"o200k_base", "cl100k_base"})
"""The encodings for which the split is exact."""

_BOUNDARY: Final = re.compile(r"(?<=[A-Za-z])(?= )")
# A split between two cells adds a string, which costs about as much as these many characters.
_WORTH_SPLITTING: Final = 200


@dataclass(frozen=True)
class Division:
    """A template split into constants and templates counted per row."""

    constants: tuple[str, ...]
    pieces: tuple[Template, ...]


def divide(template: Template) -> Division:
    """Split the constant text off a template that has cells.

    Examples
    --------
    >>> from batchframe._recipe.template import bind, parse
    >>> division = divide(bind(parse("Rate this review: {{ text }}. Be brief"), ["text"]))
    >>> division.constants
    ('Rate this', ' brief')
    >>> division.pieces[0].parts
    (' review: ', Cell(column=0, form='text'), '. Be')
    """
    constants: list[str] = []
    pieces: list[list[str | Placeholder | Cell]] = [[]]
    last = len(template.parts) - 1
    for position, part in enumerate(template.parts):
        if not isinstance(part, str):
            pieces[-1].append(part)
            continue
        start, end = _constant_span(part, is_first=position == 0, is_last=position == last)
        constants.append(part[start:end])
        pieces[-1].append(part[:start])
        if start < end and 0 < position < last:
            pieces.append([])
        pieces[-1].append(part[end:])
    nonempty = (tuple(part for part in piece if part) for piece in pieces)
    templates = (Template(template.source, parts) for parts in nonempty if parts)
    return Division(tuple(filter(None, constants)), tuple(templates))


def _constant_span(text: str, *, is_first: bool, is_last: bool) -> tuple[int, int]:
    """Return the span of a literal that tokenizes the same in all rows."""
    cuts = [match.start() for match in _BOUNDARY.finditer(text)]
    if not cuts or (is_first and is_last):
        return 0, 0
    start = 0 if is_first else cuts[0]
    end = len(text) if is_last else cuts[-1]
    is_worth = is_first or is_last or end - start >= _WORTH_SPLITTING
    return (start, end) if is_worth else (0, 0)
