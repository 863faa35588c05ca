"""Tokens of function tools, counted as the TypeScript that models read.

The service renders functions as TypeScript. Sources: the rendering that H. Marr reverse-engineered
in 2023 (openai-chat-tokens) and that OpenAI published in 2025 with its open models
(openai/harmony), and requests recorded with the API's token counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchframe._base.lenient_json import as_mapping

_DEEPEST: Final = 8
"""References inside one another; the service's own limit is not known."""

Spec = Mapping[str, Any]


@dataclass(frozen=True)
class _Scope:
    """The root of a schema, and the references that lead to the current place."""

    root: Spec
    path: tuple[str, ...] = ()

    def resolve(self, schema: Spec) -> tuple[Spec, _Scope]:
        """Resolve references to definitions; a cycle gives an empty schema."""
        path = self.path
        while isinstance(reference := schema.get("$ref"), str):
            if reference in path or len(path) == _DEEPEST:
                return {}, self
            path = (*path, reference)
            node: Any = self.root
            for key in filter(None, reference.removeprefix("#").split("/")):
                node = as_mapping(node).get(key)
            schema = as_mapping(node)
        return schema, _Scope(self.root, path)


def function_of(tool: Any) -> Spec | None:
    """Return a tool's function, in either endpoint's format, or None."""
    inside = as_mapping(tool).get("function")
    if isinstance(inside, Mapping):
        return inside
    flat = as_mapping(tool)
    return flat if "name" in flat and flat.get("type", "function") == "function" else None


def custom_texts(tool: Any) -> list[str]:
    """Return the texts of a custom tool, in either format."""
    if as_mapping(tool).get("type") != "custom":
        return []
    inside = as_mapping(as_mapping(tool).get("custom")) or as_mapping(tool)
    format_ = as_mapping(inside.get("format"))
    format_ = as_mapping(format_.get("grammar")) or format_
    texts = (inside.get("name"), inside.get("description"), format_.get("definition"))
    return [text for text in texts if isinstance(text, str)]


def tools_block(functions: Sequence[Spec]) -> str:
    """Return the text that functions add to a request."""
    return f"# Tools\n\n## functions\n\n{namespace(functions)}"


def namespace(functions: Sequence[Spec]) -> str:
    r"""Render functions as the TypeScript that a model reads.

    Examples
    --------
    >>> place = {"type": "string", "description": "A city"}
    >>> unit = {"enum": ["C", "F"]}
    >>> parameters = {"properties": {"place": place, "unit": unit}, "required": ["place"]}
    >>> print(namespace([{"name": "look", "description": "Look out", "parameters": parameters}]))
    namespace functions {
    <BLANKLINE>
    // Look out
    type look = (_: {
    // A city
    place: string,
    unit?: "C" | "F",
    }) => any;
    <BLANKLINE>
    } // namespace functions
    """
    lines = ["namespace functions {", ""]
    for function in functions:
        parameters = as_mapping(function.get("parameters"))
        lines += _comment(function.get("description"))
        lines.append(f"type {function.get('name')} = ({_argument(parameters)}) => any;")
        lines.append("")
    return "\n".join([*lines, "} // namespace functions"])


def uncommented_objects(functions: Sequence[Spec]) -> int:
    """Count the objects whose first property has no comment above it."""
    return sum(
        _opens_without_comment(node) for node in _nodes_of(functions) if node.get("properties")
    )


def repeated_comments(functions: Sequence[Spec]) -> list[str]:
    """Return the comment of each property with several types, once a type."""
    return [
        str(node["description"])
        for node in _nodes_of(functions)
        if node.get("description")
        for _ in _list(node.get("type"))
    ]


def has_nullable(functions: Sequence[Spec]) -> bool:
    """Return whether a property may be null or has a format."""
    return any(
        "format" in node
        or any(as_mapping(option).get("type") == "null" for option in _list(node.get("anyOf")))
        for node in _nodes_of(functions)
    )


def _nodes_of(functions: Sequence[Spec]) -> Iterator[Spec]:
    for function in functions:
        parameters = as_mapping(function.get("parameters"))
        yield from _nodes(parameters, _Scope(parameters))


def _nodes(schema: Spec, scope: _Scope) -> Iterator[Spec]:
    """Yield a schema and its inner schemas, in the order of rendering."""
    schema, scope = scope.resolve(schema)
    yield schema
    options = [*_list(schema.get("anyOf")), *_list(schema.get("oneOf"))]
    inside = [*as_mapping(schema.get("properties")).values(), schema.get("items"), *options]
    for node in inside:
        if isinstance(node, Mapping):
            yield from _nodes(node, scope)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _argument(parameters: Spec) -> str:
    if not parameters.get("properties"):
        return ""
    return f"_: {_type(parameters, _Scope(parameters), as_item=True)}"


def _head(schema: Spec) -> str:
    """Return the comments of an object."""
    return "".join(f"{line}\n" for line in _comments(schema))


def _opens_without_comment(schema: Spec) -> bool:
    first = as_mapping(next(iter(as_mapping(schema["properties"]).values()), None))
    return not first.get("title") and not first.get("description")


def _is_object(schema: Spec) -> bool:
    kind = schema.get("type")
    return kind == "object" or (kind is None and "properties" in schema)


def _type(schema: Spec, scope: _Scope, *, as_item: bool = False) -> str:
    has_head = as_item or "$ref" in schema
    schema, scope = scope.resolve(schema)
    if isinstance(schema.get("enum"), list):
        return " | ".join(map(_literal, schema["enum"]))
    if "const" in schema:
        return _literal(schema["const"])
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            return " | ".join(_type(as_mapping(option), scope) for option in schema[key])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": option}, scope) for option in kind)
    if _is_object(schema):
        # Recorded: the comments of referenced objects, and of those in arrays, stand before them.
        head = _head(schema) if has_head else ""
        return head + "\n".join(["{", *_properties(schema, scope), "}"])
    if kind == "array":
        return _array(schema.get("items"), scope)
    if not isinstance(kind, str):
        return "any"
    return "number" if kind == "integer" else kind


def _array(items: Any, scope: _Scope) -> str:
    if not isinstance(items, Mapping):
        return "any[]"
    text = _type(items, scope, as_item=True)
    return f"Array<\n{text}\n>" if _is_object(scope.resolve(items)[0]) else f"{text}[]"


def _properties(schema: Spec, scope: _Scope) -> Iterator[str]:
    required = _list(schema.get("required"))
    for name, raw in as_mapping(schema.get("properties")).items():
        node = as_mapping(raw)
        yield from _comments(node)
        mark = "" if name in required else "?"
        default = f" // default: {_literal(node['default'])}" if "default" in node else ""
        yield f"{name}{mark}: {_type(node, scope)},{default}"


def _comments(schema: Spec) -> list[str]:
    """Return title and description as comments, with an empty one between."""
    title, description = _comment(schema.get("title")), _comment(schema.get("description"))
    return [*title, "//", *description] if title and description else title + description


def _comment(text: Any) -> list[str]:
    if not isinstance(text, str):
        return []
    return [f"// {line.strip()}".rstrip() for line in text.strip().splitlines()]


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
