"""How to walk a JSON schema: references, and the alternatives that a node allows.

In: a node, and the root it refers into. Out: nodes without ``$ref``, ``anyOf`` or lists of types.
Must not know: columns, strict mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Node = Mapping[str, Any]

NULL = "null"


@dataclass(frozen=True)
class Alternative:
    """One thing that a node may be.

    Attributes
    ----------
    node
        A node with one ``type``; None where the schema comes back to a definition it is inside of.
    inside
        The references that lead here.
    """

    node: Node | None
    inside: frozenset[str]


def resolve(reference: str, root: Node) -> Node | None:
    """Return the definition at the top of the schema that is referred to, or None.

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
    found = definitions.get(name.replace("~1", "/").replace("~0", "~"))
    return found if isinstance(found, Mapping) else None


def alternatives(
    node: Node, root: Node, inside: frozenset[str] = frozenset()
) -> Iterator[Alternative]:
    """Yield everything that a node of a strict schema may be, null among it.

    Examples
    --------
    >>> [one.node["type"] for one in alternatives({"type": ["string", "null"]}, {})]
    ['string', 'null']
    """
    reference = node.get("$ref")
    if reference is not None:
        definition = resolve(reference, root)
        if reference in inside or definition is None:
            yield Alternative(None, inside)
        else:
            yield from alternatives(definition, root, inside | {reference})
    elif "anyOf" in node:
        for variant in node["anyOf"]:
            yield from alternatives(variant, root, inside)
    elif isinstance(node["type"], str):
        yield Alternative(node, inside)
    else:
        for name in node["type"]:
            yield Alternative({**node, "type": name}, inside)


def leads_back(reference: str, root: Node) -> bool:
    """Tell whether a definition refers to itself, be it by way of others.

    Examples
    --------
    >>> node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    >>> leads_back("#/$defs/Node", {"$defs": {"Node": node}})
    True
    """
    seen: set[str] = set()
    waiting = list(_references(resolve(reference, root)))
    while waiting:
        found = waiting.pop()
        if found not in seen:
            seen.add(found)
            waiting += _references(resolve(found, root))
    return reference in seen


def _references(node: Node | None) -> Iterator[str]:
    """Yield every reference in a node, but not those in definitions that nothing refers to."""
    if node is None:
        return
    if "$ref" in node:
        yield node["$ref"]
    children = [*node.get("properties", {}).values(), *node.get("anyOf", ())]
    for part in [*children, node["items"]] if "items" in node else children:
        yield from _references(part)
