"""The shortest and the longest answer that a spec allows, for the price of the answers.

In: a spec. Out: JSON texts, compact as models write them.
Must not know: tokens, prices, answer texts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from batchframe._output._nodes import NULL, Node, alternatives
from batchframe._output._numbers import (
    integer_range,
    longest_integer,
    longest_number,
    shortest_integer,
    shortest_number,
    whole_step,
)
from batchframe._output._spec import OutputSpec

MOST_TYPICAL: Final = 1_000
# Beyond any model's output limit, a bound is no bound.
_MOST_CHARACTERS: Final = 1_000_000
_PROSE: Final = "the quick brown fox jumps over the lazy dog and "
_FORMATS: Final = {
    "date": ("2026-01-01", "2026-01-01"),
    "time": ("00:00:00Z", "23:59:59.999999+00:00"),
    "date-time": ("2026-01-01T00:00:00Z", "2026-01-01T23:59:59.999999+00:00"),
    "duration": ("P1D", "P999Y11M30DT23H59M59S"),
    "email": ("a@b", None),
    "hostname": ("a", None),
    "ipv4": ("0.0.0.0", "255.255.255.255"),  # noqa: S104 - a text to measure, not to listen on
    "ipv6": ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "uuid": ("00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000000"),
}


@dataclass(frozen=True)
class AnswerBounds:
    """How short and how long an answer can be.

    Attributes
    ----------
    shortest
        An answer of the fewest characters; None for a text answer.
    longest
        An answer of the most characters; None where nothing bounds it (a text without maxLength, a
        list without maxItems, recursion).
    typical
        Every possible answer, where there are at most 1,000 (labels, flags, small ranges of whole
        numbers); else empty.
    """

    shortest: str | None
    longest: str | None
    typical: tuple[str, ...]


def shortest_and_longest(spec: OutputSpec) -> AnswerBounds:
    """Write the shortest and the longest answer that a spec allows.

    A whole number without bounds counts as one of 64 bits (20 characters), a number without bounds
    as one of 24 characters. A pattern is not taken into account. Long texts are filled with
    English words, about four characters a token.

    Examples
    --------
    >>> from batchframe._output import output_spec
    >>> bounds = shortest_and_longest(output_spec(["yes", "perhaps"]))
    >>> bounds.shortest, bounds.longest
    ('{"label":"yes"}', '{"label":"perhaps"}')
    >>> len(bounds.typical)
    2
    """
    schema = spec.schema
    if schema is None:
        return AnswerBounds(None, None, ())
    return AnswerBounds(
        _shortest(schema, schema, frozenset()),
        _longest(schema, schema, frozenset()),
        tuple(_every(schema, schema, frozenset()) or ()),
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _object(node: Node, parts: Iterable[str]) -> str:
    keys = map(_json, node["properties"])
    return "{" + ",".join(f"{k}:{part}" for k, part in zip(keys, parts, strict=True)) + "}"


def _shortest(node: Node, root: Node, inside: frozenset[str]) -> str | None:
    """Write the shortest; None for what only ends by recursion without end."""
    texts = [
        _shortest_of_one(one.node, root, one.inside)
        for one in alternatives(node, root, inside)
        if one.node is not None
    ]
    return min((text for text in texts if text is not None), key=len, default=None)


def _shortest_of_one(node: Node, root: Node, inside: frozenset[str]) -> str | None:
    kind = node["type"]
    if kind == "object":
        parts = [_shortest(part, root, inside) for part in node["properties"].values()]
        written = [part for part in parts if part is not None]
        return _object(node, written) if len(written) == len(parts) else None
    if kind == "array":
        count = node.get("minItems", 0)
        item = _shortest(node["items"], root, inside) if count else ""
        return None if item is None else f"[{','.join([item] * count)}]"
    if (choices := _choices(node)) is not None:
        return min(choices, key=len)
    if kind == "string":
        known = _FORMATS.get(node.get("format", ""), ("", None))[0]
        return _json(known if "format" in node else _prose(node.get("minLength", 0)))
    return shortest_integer(node) if kind == "integer" else shortest_number(node)


def _longest(node: Node, root: Node, inside: frozenset[str]) -> str | None:
    """Write the longest; None for what has no bound."""
    found = list(alternatives(node, root, inside))
    texts = [one.node and _longest_of_one(one.node, root, one.inside) for one in found]
    bounded = [text for text in texts if isinstance(text, str)]
    return max(bounded, key=len) if len(bounded) == len(found) else None


def _longest_of_one(node: Node, root: Node, inside: frozenset[str]) -> str | None:
    kind = node["type"]
    if kind == "object":
        parts = [_longest(part, root, inside) for part in node["properties"].values()]
        written = [part for part in parts if part is not None]
        whole = len(written) == len(parts) and sum(map(len, written)) <= _MOST_CHARACTERS
        return _object(node, written) if whole else None
    if kind == "array":
        return _longest_list(node, root, inside)
    if (choices := _choices(node)) is not None:
        return max(choices, key=len)
    if kind == "string":
        return _longest_text(node)
    return longest_integer(node) if kind == "integer" else longest_number(node)


def _longest_list(node: Node, root: Node, inside: frozenset[str]) -> str | None:
    count = node.get("maxItems")
    if count is None:
        return None
    item = _longest(node["items"], root, inside) if count else ""
    if item is None or len(item) * count > _MOST_CHARACTERS:
        return None
    return f"[{','.join([item] * count)}]"


def _longest_text(node: Node) -> str | None:
    known = _FORMATS.get(node.get("format", ""), ("", None))[1]
    if known is not None:
        return _json(known)
    most = node.get("maxLength")
    return None if most is None or most > _MOST_CHARACTERS else _json(_prose(most))


def _prose(length: int) -> str:
    return (_PROSE * (length // len(_PROSE) + 1))[:length]


def _choices(node: Node) -> list[str] | None:
    """Write every value of a node that lists them."""
    if node["type"] == NULL:
        return ["null"]
    if node["type"] == "boolean":
        return ["true", "false"]
    if "enum" in node or "const" in node:
        values: Sequence[Any] = node.get("enum") or [node["const"]]
        return [_json(value) for value in values]
    return None


def _every(node: Node, root: Node, inside: frozenset[str]) -> list[str] | None:
    """Write every answer there can be, in order; None where there are too many."""
    texts: list[str] = []
    for one in alternatives(node, root, inside):
        some = one.node and _every_of_one(one.node, root, one.inside)
        if not some or len(texts) + len(some) > MOST_TYPICAL:
            return None
        texts += some
    return texts


def _every_of_one(node: Node, root: Node, inside: frozenset[str]) -> list[str] | None:
    if (choices := _choices(node)) is not None:
        return choices
    if node["type"] == "integer":
        low, high = integer_range(node)
        numbers = range(low, high + 1, whole_step(node) or 1)
        return list(map(str, numbers)) if (high - low) < MOST_TYPICAL else None
    if node["type"] != "object":
        return None
    parts = [_every(part, root, inside) for part in node["properties"].values()]
    written = [part for part in parts if part is not None]
    if len(written) < len(parts) or math.prod(map(len, written)) > MOST_TYPICAL:
        return None
    return [_object(node, answer) for answer in itertools.product(*written)]
