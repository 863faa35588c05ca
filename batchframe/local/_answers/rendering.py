"""Tools and output schemas, as written into the system message."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

_PLAIN_TYPES = {"integer": "number", "string": "string", "number": "number", "boolean": "boolean"}


def schema_block(spec: Mapping[str, Any], dropped: Collection[str]) -> str:
    r"""Return the block of an output schema, without unbilled keywords.

    Examples
    --------
    >>> schema_block({"name": "a", "schema": {"type": "object", "required": []}}, {"required"})
    '# Response Formats\n\n## a\n\n{"type":"object"}'
    """
    description = spec.get("description")
    comment = f"// {description}\n" if description else ""
    schema = without(spec.get("schema"), dropped)
    written = json.dumps(schema, separators=(",", ":"))
    return f"# Response Formats\n\n## {spec.get('name')}\n\n{comment}{written}"


def without(value: Any, dropped: Collection[str]) -> Any:
    """Return a JSON value without some keywords, at every depth."""
    if isinstance(value, Mapping):
        return {
            key: _properties(inner, dropped)
            if key in {"properties", "$defs"} and isinstance(inner, Mapping)
            else without(inner, dropped)
            for key, inner in value.items()
            if key not in dropped
        }
    return [without(inner, dropped) for inner in value] if isinstance(value, list) else value


def _properties(named: Mapping[str, Any], dropped: Collection[str]) -> dict[str, Any]:
    return {name: without(inner, dropped) for name, inner in named.items()}


def tools_block(functions: Sequence[Mapping[str, Any]]) -> str:
    """Return the block of functions, as a TypeScript namespace.

    Examples
    --------
    >>> print(tools_block([{"name": "now", "description": "The time."}]))
    # Tools
    <BLANKLINE>
    ## functions
    <BLANKLINE>
    namespace functions {
    <BLANKLINE>
    // The time.
    type now = () => any;
    <BLANKLINE>
    } // namespace functions
    """
    lines = ["# Tools", "", "## functions", "", "namespace functions {", ""]
    for function in functions:
        lines += _function(function)
    return "\n".join([*lines, "} // namespace functions"])


def _function(function: Mapping[str, Any]) -> Iterator[str]:
    yield from _comment(function.get("description"))
    parameters = function.get("parameters") or {}
    name = function.get("name")
    if parameters.get("properties"):
        comments = _comments(parameters)
        if comments:
            yield f"type {name} = (_:"
            yield from comments
        yield "{" if comments else f"type {name} = (_: {{"
        yield from _fields(parameters, parameters)
        yield "}) => any;"
    else:
        yield f"type {name} = () => any;"
    yield ""


def _comment(text: object) -> Iterator[str]:
    if isinstance(text, str):
        yield from (f"// {line.strip()}" for line in text.splitlines() if line.strip())


def _comments(schema: Mapping[str, Any]) -> list[str]:
    return [*_comment(schema.get("title")), *_comment(schema.get("description"))]


def _fields(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[str]:
    required = schema.get("required") or ()
    for name, stated in (schema.get("properties") or {}).items():
        field = _resolved(stated, root)
        yield from _comments(field)
        mark = "" if name in required else "?"
        default = f" // default: {json.dumps(field['default'])}" if "default" in field else ""
        yield f"{name}{mark}: {_type(field, root)},{default}"


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference to the definitions of the same schema, once."""
    if not isinstance(schema, Mapping):
        return {}
    path = schema.get("$ref")
    if not isinstance(path, str) or not path.startswith("#/"):
        return schema
    target: Any = root
    for part in path[2:].split("/"):
        target = target.get(part, {}) if isinstance(target, Mapping) else {}
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _type(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int = 0) -> str:
    if depth > 20:  # noqa: PLR2004 - a schema that refers to itself
        return "any"
    schema = _resolved(schema, root)
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    union = schema.get("anyOf") or schema.get("oneOf")
    if union:
        return " | ".join(_type(_resolved(option, root), root, depth + 1) for option in union)
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": type_}, root, depth + 1) for type_ in kind)
    if kind == "array":
        entry = _resolved(schema.get("items"), root)
        items = _type(entry, root, depth + 1)
        if not items.startswith("{"):
            return f"{items}[]"
        return "\n".join(["Array<", *_comments(entry), items, ">"])
    if kind == "object" or "properties" in schema:
        fields = "\n".join(_fields(schema, root)) if depth < 20 else ""  # noqa: PLR2004
        return f"{{\n{fields}\n}}" if fields else "object"
    return _PLAIN_TYPES.get(str(kind), "null" if kind == "null" else "any")
