"""Size limits of output schemas, checked before anything is sent.

Source: OpenAI's Structured Outputs guide, "Supported schemas", as of 2026: up to 5,000 object
properties in total and 10 levels of nesting; up to 120,000 characters in the names of properties
and definitions and in enum and const values; up to 1,000 enum values in total; up to 15,000
characters in an enum of strings with more than 250 values.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

from batchframe._base.errors import OutputSpecError
from batchframe._output.schema import Node, children, resolve

MOST_PROPERTIES: Final = 5_000
MOST_LEVELS: Final = 10
MOST_CHARACTERS: Final = 120_000
MOST_LABELS: Final = 1_000
LONG_ENUM: Final = 250
MOST_LONG_ENUM_CHARACTERS: Final = 15_000


def check_limits(schema: Node, name: str) -> None:
    """Raise ``OutputSpecError`` if a schema exceeds the service's limits."""
    nodes = list(_nodes(schema))
    enums = [node["enum"] for node in nodes if "enum" in node]
    names = [name for n in nodes for name in chain(n.get("properties", ()), _definitions(n))]
    values = list(chain.from_iterable(enums)) + [n["const"] for n in nodes if "const" in n]
    _check("answer fields", sum(len(n.get("properties", ())) for n in nodes), MOST_PROPERTIES)
    _check("labels", sum(map(len, enums)), MOST_LABELS)
    _check("characters in names and labels", _characters(names + values), MOST_CHARACTERS)
    for enum in enums:
        if len(enum) > LONG_ENUM and isinstance(enum[0], str):
            what = f"characters in an enum of {len(enum)} labels"
            _check(what, _characters(enum), MOST_LONG_ENUM_CHARACTERS)
    _check_depth(schema, schema, name, 1)


def _check(what: str, count: int, most: int) -> None:
    if count > most:
        raise OutputSpecError(
            f"output: {count:,} {what}; the service accepts at most {most:,}. Fix: use fewer or "
            "shorter names, or two jobs, one for the group and one for the label within it."
        )


def _characters(values: list[object]) -> int:
    return sum(len(str(value)) for value in values)


def _definitions(node: Node) -> dict[str, Node]:
    return {**node.get("$defs", {}), **node.get("definitions", {})}


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for _, part in children(node):
        yield from _nodes(part)
    for part in _definitions(node).values():
        yield from _nodes(part)


def _check_depth(
    node: Node, root: Node, path: str, level: int, references: frozenset[str] = frozenset()
) -> None:
    """Check the nesting; a definition in `references` adds no level."""
    if level > MOST_LEVELS:
        raise OutputSpecError(
            f"{path}: nested too deeply; the service accepts at most {MOST_LEVELS} levels. Fix: "
            "use a flatter model."
        )
    for step, part in children(node):
        _check_depth(part, root, path + step, level + ("properties" in part), references)
    reference = node.get("$ref", "#")
    definition = resolve(reference, root)
    if reference != "#" and definition is not None and reference not in references:
        deeper = level + ("properties" in definition)
        _check_depth(definition, root, path, deeper, references | {reference})
