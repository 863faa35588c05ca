"""Lower and upper bounds on the tokens of an answer, for its price.

An answer is laid out as pieces: fixed text, labels to choose from, and spans with known bounds
only. OpenAI's tokenizers first split strings into words and runs of punctuation (tiktoken,
`pat_str` of cl100k_base and o200k_base), so a label that begins and ends in a letter or digit has
the same count as on its own, and the longest labels make the longest answer. Where a span meets a
run of punctuation the split is unknown: each byte then counts as one token for the upper bound, and
the run as none for the lower bound. A byte never takes more than one token.
"""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from batchframe._output.numbers import (
    LONGEST_NUMBER,
    integer_range,
    longest_integer,
    longest_number,
    whole_step,
)
from batchframe._output.schema import NULL, Alternative, Node, alternatives
from batchframe._output.spec import OutputSpec

MOST_TYPICAL: Final = 1_000
TOKENS_A_CHARACTER: Final = 4
"""A character has at most four bytes; escapes of control characters take at most as many tokens."""
# A bound beyond every model's output limit is useless.
_MOST_TOKENS: Final = 1_000_000
_LONGEST_TOKEN: Final = 128
"""Bytes of the longest token of o200k_base and cl100k_base: a run of spaces."""
_QUOTES: Final = 2
_CONSTANTS: Final = ("true", "false", "null")
_BEFORE: Final = ("", ",", "[", ":")
"""Characters that may join a constant into one word."""
# The maximum length of a format, and whether it always has a letter or digit.
_FORMATS: Final = {
    "date": (len("2026-01-01"), True),
    "time": (len("23:59:59.999999999+00:00"), True),
    "date-time": (len("2026-01-01T23:59:59.999999999+00:00"), True),
    "duration": (len("P999Y11M30DT23H59M59.999999999S"), True),
    "ipv4": (len("255.255.255.255"), True),
    "ipv6": (len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"), False),
    "uuid": (len("00000000-0000-4000-8000-000000000000"), True),
    "email": (None, True),
    "hostname": (None, True),
}

Count: TypeAlias = Callable[[Sequence[str]], "npt.NDArray[np.int64] | Sequence[int]"]


@dataclass(frozen=True)
class AnswerBounds:
    """Bounds on an answer's tokens, as compact JSON without extra escapes.

    Attributes
    ----------
    low
        Lower bound; 1 for a text answer.
    expected
        The exact mean over all possible answers, if there are at most 1,000 (labels, booleans,
        small ranges of integers); else None.
    high
        Upper bound; None if unbounded (a string without maxLength, a list without maxItems,
        recursion).
    with_texts
        Whether the upper bound includes strings of bounded length.
    """

    low: int
    expected: Fraction | None
    high: int | None
    with_texts: bool = False


@dataclass(frozen=True)
class _Labels:
    """Quoted JSON strings, each beginning and ending in a letter or digit."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class _Span:
    """A range of tokens: low is None if infinite, high if unbounded."""

    low: int | None
    high: int | None


_Pieces: TypeAlias = list[str | _Labels | _Span]
_ENDLESS: Final = _Span(None, None)


def answer_bounds(spec: OutputSpec, count: Count) -> AnswerBounds:
    """Compute bounds on the tokens of the answers that a spec allows.

    An unbounded integer counts as 64 bits (20 characters), any other number as 24 characters, the
    maximum of a 64-bit float. Patterns are ignored. A character of a bounded string counts as four
    tokens, the maximum of any script.

    Parameters
    ----------
    count
        Counts the tokens of each string.

    Examples
    --------
    >>> from batchframe._output import output_spec
    >>> answer_bounds(output_spec(["yes", "perhaps"]), lambda texts: list(map(len, texts)))
    AnswerBounds(low=15, expected=Fraction(17, 1), high=19, with_texts=False)
    """
    schema = spec.schema
    if schema is None:
        return AnswerBounds(1, None, None)
    if answers := _all_answers(schema, schema, frozenset()):
        counts = np.asarray(count(answers))
        mean = Fraction(int(counts.sum()), len(counts))
        return AnswerBounds(int(counts.min()), mean, int(counts.max()))
    layout = _Layout(schema, count)
    ends = layout.ends(layout.pieces(schema, frozenset()), alone=True)
    high = None if ends.high is None or ends.high > _MOST_TOKENS else ends.high
    return AnswerBounds(max(ends.low or 1, 1), None, high, layout.with_texts and high is not None)


class _Layout:
    """The layout of a schema's answers as pieces, with their token counts."""

    def __init__(self, root: Node, count: Count) -> None:
        self._root = root
        self._count = count
        self.with_texts = False

    def pieces(self, node: Node, references: frozenset[str]) -> _Pieces:
        """Lay out a node; alternatives of different shape become one span."""
        layouts = [
            self._pieces_of_one(alternative)
            for alternative in alternatives(node, self._root, references)
        ]
        if len(layouts) == 1:
            return layouts[0]
        labels = [piece.texts for [piece, *_] in layouts if isinstance(piece, _Labels)]
        if len(labels) == len(layouts):
            return [_Labels(tuple(itertools.chain.from_iterable(labels)))]
        return [_merge_spans([self.ends(pieces) for pieces in layouts])]

    def _pieces_of_one(self, alternative: Alternative) -> _Pieces:
        node = alternative.node
        if node is None:
            return [_ENDLESS]
        kind = node["type"]
        if kind == "object":
            return self._object(node, alternative.references)
        if kind == "array":
            return [self._list(node, alternative.references)]
        if (choices := _choices(node)) is not None:
            return [self._choice(choices)]
        if kind == "string":
            return [self._text(node)]
        return [_Span(1, _longest_number(node))]

    def _object(self, node: Node, references: frozenset[str]) -> _Pieces:
        pieces: _Pieces = []
        for key, part in node["properties"].items():
            sign = "," if pieces else "{"
            pieces += [f"{sign}{_json(key)}:", *self.pieces(part, references)]
        return [*pieces, "}"]

    def _list(self, node: Node, references: frozenset[str]) -> _Span:
        least, most = node.get("minItems", 0), node.get("maxItems")
        item = self.ends(self.pieces(node["items"], references)) if most != 0 else _Span(0, 0)
        low = 0 if not least else None if item.low is None else item.low * least
        if most is None or item.high is None:
            return _Span(low, None)
        return _Span(low, len("[]") + most * (item.high + len(",")))

    def _choice(self, texts: Sequence[str]) -> _Span | _Labels:
        if all(map(_is_word, texts)):
            return _Labels(tuple(texts))
        return _merge_spans([self._span_of(text) for text in texts])

    def _span_of(self, text: str) -> _Span:
        if text in _CONSTANTS:
            return _Span(1, int(max(self._count([before + text for before in _BEFORE]))))
        return _Span(0 if text.startswith('"') else 1, _bytes(text))

    def _text(self, node: Node) -> _Span:
        length, has_word = _FORMATS.get(node.get("format", ""), (None, False))
        least, most = node.get("minLength", 0), node.get("maxLength")
        low = max(int(has_word), least // _LONGEST_TOKEN)
        if length is not None:
            return _Span(low, length + _QUOTES)
        if most is None:
            return _Span(low, None)
        self.with_texts = True
        return _Span(low, most * TOKENS_A_CHARACTER + _QUOTES)

    def ends(self, pieces: _Pieces, *, alone: bool = False) -> _Span:
        """Return the lower and the upper bound.

        Parameters
        ----------
        alone
            Whether this is the entire answer; otherwise its context is unknown.
        """
        spans = [piece for piece in pieces if isinstance(piece, _Span)]
        lows, highs = [span.low for span in spans], [span.high for span in spans]
        low = high = None
        if None not in lows:
            low = sum(filter(None, lows)) + self._fixed(pieces, alone=alone, upper=False)
        if None not in highs:
            high = sum(filter(None, highs)) + self._fixed(pieces, alone=alone, upper=True)
        return _Span(low, high)

    def _fixed(self, pieces: _Pieces, *, alone: bool, upper: bool) -> int:
        """Count the fixed text between spans."""
        texts = [""]
        for piece in pieces:
            if isinstance(piece, _Span):
                texts.append("")
            elif isinstance(piece, _Labels):
                texts[-1] += self._extreme_label(piece, longest=upper)
            else:
                texts[-1] += piece
        last = len(texts) - 1
        cores = [
            _strip_punctuation(text, cut_left=not alone or at > 0, cut_right=not alone or at < last)
            for at, text in enumerate(texts)
        ]
        signs = sum(map(_bytes, texts)) - sum(map(_bytes, cores))
        return int(sum(self._count(cores))) + (signs if upper else 0)

    def _extreme_label(self, labels: _Labels, *, longest: bool) -> str:
        counts = np.asarray(self._count([text[1:-1] for text in labels.texts]))
        return labels.texts[int(counts.argmax() if longest else counts.argmin())]


def _merge_spans(spans: Sequence[_Span]) -> _Span:
    """Span all alternatives; infinite ones are ignored."""
    lows = [span.low for span in spans if span.low is not None]
    highs = [span.high for span in spans if span.high is not None]
    return _Span(min(lows, default=None), max(highs) if len(highs) == len(spans) else None)


def _strip_punctuation(text: str, *, cut_left: bool, cut_right: bool) -> str:
    """Strip punctuation that may join a run with the neighboring text."""
    positions = [at for at, sign in enumerate(text) if _is_word_character(sign)]
    if not (cut_left or cut_right):
        return text
    if not positions:
        return ""
    start, end = positions[0] if cut_left else 0, positions[-1] + 1 if cut_right else len(text)
    # A space may begin a word and a mark belongs to the word before it, so the split is unknown.
    neighbors = text[start - 1 : start] + text[end : end + 1]
    if any(sign.isspace() or unicodedata.category(sign)[0] == "M" for sign in neighbors):
        return ""
    return text[start:end]


def _is_word_character(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "LN"


def _is_word(text: str) -> bool:
    if text[0] != '"' or len(text) <= _QUOTES:
        return False
    return _is_word_character(text[1]) and _is_word_character(text[-2])


def _bytes(text: str) -> int:
    return len(text.encode())


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _longest_number(node: Node) -> int:
    if node["type"] == "integer":
        return len(longest_integer(node))
    longest = len(longest_number(node))
    return longest if node.get("multipleOf") is not None else max(longest, len(LONGEST_NUMBER))


def _choices(node: Node) -> list[str] | None:
    """Format every value of a node that enumerates its values."""
    if node["type"] == NULL:
        return ["null"]
    if node["type"] == "boolean":
        return ["true", "false"]
    if "enum" in node or "const" in node:
        values: Sequence[Any] = node.get("enum") or [node["const"]]
        return [_json(value) for value in values]
    return None


def _all_answers(node: Node, root: Node, references: frozenset[str]) -> list[str] | None:
    """Format every possible answer in order; None if there are too many."""
    texts: list[str] = []
    for alternative in alternatives(node, root, references):
        answers = alternative.node and _all_answers_of_node(
            alternative.node, root, alternative.references
        )
        if not answers or len(texts) + len(answers) > MOST_TYPICAL:
            return None
        texts += answers
    return texts


def _all_answers_of_node(node: Node, root: Node, references: frozenset[str]) -> list[str] | None:
    if (choices := _choices(node)) is not None:
        return choices
    if node["type"] == "integer":
        low, high = integer_range(node)
        numbers = range(low, high + 1, whole_step(node) or 1)
        return list(map(str, numbers)) if (high - low) < MOST_TYPICAL else None
    if node["type"] != "object":
        return None
    fields = []
    for name, part in node["properties"].items():
        if (answers := _all_answers(part, root, references)) is None:
            return None
        fields.append([f"{_json(name)}:{answer}" for answer in answers])
    if math.prod(map(len, fields)) > MOST_TYPICAL:
        return None
    return ["{" + ",".join(answer) + "}" for answer in itertools.product(*fields)]
