"""A strict schema → the shape of its answers: what is a column, and of which kind.

In: a strict schema. Out: a tree of :class:`Shape`, or its leaves, the answer columns.
Must not know: Arrow, answer texts, Python types.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from batchframe._output.schema import NULL, Alternative, Node, alternatives, leads_back

Kind = Literal["category", "integer", "number", "boolean", "string", "list", "json"]
Levels = tuple[str | int, ...]

_SCALARS: dict[str, Kind] = {
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "string": "string",
}


@dataclass(frozen=True)
class Shape:
    """What one place of an answer holds.

    Attributes
    ----------
    kind
        The kind of its column; "object" has columns of its own instead.
    node
        Where its rules (bounds, pattern, lengths) stand; for "json" the whole schema of the place.
    levels
        Of a category.
    item
        Of a list.
    properties
        Of an object.
    """

    kind: Kind | Literal["object"]
    node: Node
    nullable: bool = False
    levels: Levels | None = None
    item: Shape | None = None
    properties: tuple[tuple[str, Shape], ...] = ()


def shape_of(node: Node, root: Node) -> Shape:
    """Read a node of a strict schema.

    A recursive type, and any union but that of a type with null, of labels with labels and of
    integer with number, has no column type: it is kept as JSON text.

    Examples
    --------
    >>> shape_of({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, {}).kind
    'boolean'
    """
    found = list(alternatives(node, root))
    real = [one for one in found if one.node is None or one.node["type"] != NULL]
    nullable = len(real) < len(found)
    if not real or any(_is_recursive(one, root) for one in real):
        return Shape("json", node, nullable)
    merged = _merged([_of_one(one.node or {}, root) for one in real])
    if merged is None or merged.kind == "json":
        return Shape("json", node, nullable)
    return replace(merged, nullable=nullable)


def _is_recursive(one: Alternative, root: Node) -> bool:
    return one.node is None or any(leads_back(reference, root) for reference in one.inside)


def _of_one(node: Node, root: Node) -> Shape:
    kind = node["type"]
    if kind == "object":
        parts = node["properties"].items()
        properties = tuple((name, shape_of(part, root)) for name, part in parts)
        return Shape("object", node, properties=properties)
    if kind == "array":
        item = shape_of(node["items"], root)
        return Shape("json", node) if _holds_json(item) else Shape("list", node, item=item)
    if kind != "boolean" and ("enum" in node or "const" in node):
        return Shape("category", node, levels=tuple(node.get("enum") or [node["const"]]))
    return Shape(_SCALARS[kind], node)


def _holds_json(shape: Shape) -> bool:
    return shape.kind == "json" or any(_holds_json(part) for _, part in shape.properties)


def _merged(shapes: Sequence[Shape]) -> Shape | None:
    if len(shapes) == 1:
        return shapes[0]
    kinds = {shape.kind for shape in shapes}
    levels = [level for shape in shapes for level in shape.levels or ()]
    if kinds == {"category"} and len({type(level) for level in levels}) == 1:
        unique: Levels = tuple(dict.fromkeys(levels))
        return replace(shapes[0], levels=unique)
    plain = all(shape.node.keys() <= {"type", "title", "description"} for shape in shapes)
    return Shape("number", {"type": "number"}) if plain and kinds == {"integer", "number"} else None


def columns_of(shape: Shape, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Shape]]:
    """Yield the path and the shape of each answer column, nested objects flattened."""
    if shape.kind != "object":
        yield path, shape
        return
    for name, part in shape.properties:
        yield from columns_of(part, (*path, name))
