"""Does a decoded JSON value obey a node of a strict schema? For what msgspec has no type for.

In: a value and a node. Out: None, or why not, in words.
Must not know: columns, answer texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from batchframe._output.numbers import interval, whole_step
from batchframe._output.schema import NULL, Node, alternatives

_CHECKS: Final[dict[str, Callable[[Any], bool]]] = {
    NULL: lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def problem(value: Any, node: Node, root: Node, path: str) -> str | None:
    """Return why a value does not obey a node, worded as msgspec does; None if it does.

    Examples
    --------
    >>> problem([1, "two"], {"type": "array", "items": {"type": "integer"}}, {}, "counts")
    'Expected integer - at `$.counts[1]`'
    """
    candidates = [one.node for one in alternatives(node, root) if one.node is not None]
    fitting = [one for one in candidates if _CHECKS[one["type"]](value)]
    if not fitting:
        wanted = " or ".join(dict.fromkeys(one["type"] for one in candidates))
        return f"Expected {wanted} - at `$.{path}`"
    found = None
    for one in fitting:
        found = _problem_of_one(value, one, root, path)
        if found is None:
            return None
    return (
        found if len(fitting) == 1 else f"None of the {len(fitting)} alternatives - at `$.{path}`"
    )


def _problem_of_one(value: Any, node: Node, root: Node, path: str) -> str | None:
    if "enum" in node or "const" in node:
        if value in node.get("enum", [node.get("const")]):
            return None
        return f"Invalid enum value {value!r} - at `$.{path}`"
    check = _BY_TYPE.get(node["type"])
    return check(value, node, root, path) if check else None


def _of_object(value: dict[str, Any], node: Node, root: Node, path: str) -> str | None:
    parts = node["properties"]
    for name in value.keys() - parts.keys():
        return f"Object contains unknown field `{name}` - at `$.{path}`"
    for name, part in parts.items():
        if name not in value:
            return f"Object missing required field `{name}` - at `$.{path}`"
        if found := problem(value[name], part, root, f"{path}.{name}"):
            return found
    return None


def _of_array(value: list[Any], node: Node, root: Node, path: str) -> str | None:
    if not node.get("minItems", 0) <= len(value) <= node.get("maxItems", len(value)):
        return f"Wrong number of items ({len(value)}) - at `$.{path}`"
    items = enumerate(value)
    found = (problem(item, node["items"], root, f"{path}[{i}]") for i, item in items)
    return next((one for one in found if one), None)


def _of_string(value: str, node: Node, _root: Node, path: str) -> str | None:
    if not node.get("minLength", 0) <= len(value) <= node.get("maxLength", len(value)):
        return f"Wrong length ({len(value)}) - at `$.{path}`"
    pattern = compiled(node.get("pattern"))
    if pattern is not None and not pattern.search(value):
        return f"Expected a text matching {node['pattern']!r} - at `$.{path}`"
    return None


def _of_number(value: float, node: Node, _root: Node, path: str) -> str | None:
    if not interval(node).holds(Decimal(str(value))):
        return f"Number out of range - at `$.{path}`"
    step = whole_step(node)
    if step is not None and value % step:
        return f"Expected a multiple of {step} - at `$.{path}`"
    return None


def compiled(pattern: str | None) -> re.Pattern[str] | None:
    """Compile a pattern; None for one that is of another dialect of regular expressions."""
    try:
        return None if pattern is None else re.compile(pattern)
    except re.error:
        # The service obeys it; only we cannot check that again.
        return None


_BY_TYPE: Final[dict[str, Callable[[Any, Node, Node, str], str | None]]] = {
    "object": _of_object,
    "array": _of_array,
    "string": _of_string,
    "integer": _of_number,
    "number": _of_number,
}
