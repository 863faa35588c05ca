"""JSON schemas, mapped to the columns of their answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Node = Mapping[str, Any]

NULL = "null"
Kind = Literal["category", "integer", "number", "boolean", "string", "list", "json"]
Levels = tuple[str | int, ...]
_SCALARS: dict[str, Kind] = {
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "string": "string",
}


@dataclass(frozen=True)
class Alternative:
    """One alternative of a schema node.

    Attributes
    ----------
    node
        A node with one ``type``; None for a recursive reference.
    references
        The references that lead to the node.
    """

    node: Node | None
    references: frozenset[str]


def resolve(reference: str, root: Node) -> Node | None:
    """Return the definition of a reference, or None.

    Examples
    --------
    >>> resolve("#/$defs/Age", {"$defs": {"Age": {"type": "integer"}}})
    {'type': 'integer'}
    """
    if reference == "#":
        return root
    place, _, name = reference.removeprefix("#/").partition("/")
    definitions = root.get(place) if place in {"$defs", "definitions"} else None
    if not isinstance(definitions, Mapping):
        return None
    definition = definitions.get(name.replace("~1", "/").replace("~0", "~"))
    return definition if isinstance(definition, Mapping) else None


def alternatives(
    node: Node, root: Node, references: frozenset[str] = frozenset()
) -> Iterator[Alternative]:
    """Yield all alternatives of a strict schema node, including null.

    Examples
    --------
    >>> [one.node["type"] for one in alternatives({"type": ["string", "null"]}, {})]
    ['string', 'null']
    """
    reference = node.get("$ref")
    if reference is not None:
        definition = resolve(reference, root)
        if reference in references or definition is None:
            yield Alternative(None, references)
        else:
            yield from alternatives(definition, root, references | {reference})
    elif "anyOf" in node:
        for variant in node["anyOf"]:
            yield from alternatives(variant, root, references)
    elif isinstance(node["type"], str):
        yield Alternative(node, references)
    else:
        for name in node["type"]:
            yield Alternative({**node, "type": name}, references)


def children(node: Node) -> Iterator[tuple[str, Node]]:
    """Yield the nodes directly inside a node, with their step of the path."""
    for name, part in node.get("properties", {}).items():
        yield f".{name}", part
    if "items" in node:
        yield "[]", node["items"]
    for variant in node.get("anyOf", ()):
        yield "", variant


def is_recursive_reference(reference: str, root: Node) -> bool:
    """Return whether a definition is recursive, directly or indirectly.

    Examples
    --------
    >>> node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    >>> is_recursive_reference("#/$defs/Node", {"$defs": {"Node": node}})
    True
    """
    visited: set[str] = set()
    waiting = list(_references(resolve(reference, root)))
    while waiting:
        current = waiting.pop()
        if current not in visited:
            visited.add(current)
            waiting += _references(resolve(current, root))
    return reference in visited


def opened(schema: Any) -> Any:
    """Return a schema whose objects may have further fields.

    Examples
    --------
    >>> opened({"type": "object", "properties": {}, "additionalProperties": False})
    {'type': 'object', 'properties': {}, 'additionalProperties': True}
    """
    if isinstance(schema, list):
        return [opened(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: key == "additionalProperties" if part is False else opened(part)
        for key, part in schema.items()
    }


def _references(node: Node | None) -> Iterator[str]:
    """Yield every reference in a node, except in unused definitions."""
    if node is None:
        return
    if "$ref" in node:
        yield node["$ref"]
    for _, part in children(node):
        yield from _references(part)


@dataclass(frozen=True)
class Shape:
    """The type of one value in an answer.

    Attributes
    ----------
    kind
        The kind of its column; an "object" has one column per property instead.
    node
        The node with its constraints (bounds, pattern, lengths); for "json" the full schema of the
        value.
    levels
        Levels of a category.
    item
        Shape of a list's items.
    properties
        Shapes of an object's properties.
    """

    kind: Kind | Literal["object"]
    node: Node
    nullable: bool = False
    levels: Levels | None = None
    item: Shape | None = None
    properties: tuple[tuple[str, Shape], ...] = ()


def shape_of(node: Node, root: Node) -> Shape:
    """Return the shape of a strict schema node.

    Recursive types have no column type and become JSON strings; so do unions, except those of a
    type with null, of labels with labels, and of integer with number.

    Examples
    --------
    >>> shape_of({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, {}).kind
    'boolean'
    """
    options = list(alternatives(node, root))
    real = [option for option in options if option.node is None or option.node["type"] != NULL]
    nullable = len(real) < len(options)
    if not real or any(_is_recursive(option, root) for option in real):
        return Shape("json", node, nullable)
    merged = _merged([_shape_of_node(option.node or {}, root) for option in real])
    if merged is None or merged.kind == "json":
        return Shape("json", node, nullable)
    return replace(merged, nullable=nullable)


def _is_recursive(alternative: Alternative, root: Node) -> bool:
    return alternative.node is None or any(
        is_recursive_reference(reference, root) for reference in alternative.references
    )


def _shape_of_node(node: Node, root: Node) -> Shape:
    kind = node["type"]
    if kind == "object":
        parts = node["properties"].items()
        properties = tuple((name, shape_of(part, root)) for name, part in parts)
        return Shape("object", node, properties=properties)
    if kind == "array":
        item = shape_of(node["items"], root)
        return Shape("json", node) if _contains_json(item) else Shape("list", node, item=item)
    if kind != "boolean" and ("enum" in node or "const" in node):
        return Shape("category", node, levels=tuple(node.get("enum") or [node["const"]]))
    return Shape(_SCALARS[kind], node)


def _contains_json(shape: Shape) -> bool:
    return shape.kind == "json" or any(_contains_json(part) for _, part in shape.properties)


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
    """Yield the path and shape of each answer column, flattening objects."""
    if shape.kind != "object":
        yield path, shape
        return
    for name, part in shape.properties:
        yield from columns_of(part, (*path, name))
