"""A JSON schema → the same schema as strict mode wants it, or a refusal that says the way out.

In: any JSON schema. Out: a new one; the one given is never changed.
Must not know: columns, Python types.

The rules are those of the strictifier in the openai package (which is private, and refuses
nothing), and the refusals those of the "Supported schemas" part of OpenAI's Structured Outputs
guide as it stood in 2026. Three things go further than that strictifier:

- ``oneOf`` becomes ``anyOf``, which is the only union that strict mode takes. Pydantic writes
  ``oneOf`` for tagged unions, whose variants exclude each other, so nothing is lost.
- Every ``default`` goes, not only ``default: null``: strict mode requires every property, so no
  default can ever apply, and Azure refuses schemas that have one (openai-agents-python #4390).
- Notes without force (``examples``, ``discriminator``, ``$schema``, ...) go; they are refused or
  ignored. ``title`` and ``description`` stay, the model reads them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from batchframe._base.errors import OutputSpecError
from batchframe._output.numbers import LARGEST, SMALLEST
from batchframe._output.schema import NULL, Node, resolve

FORMATS: Final = (
    "date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid",
)  # fmt: skip
TYPES: Final = ("object", "array", "string", "integer", "number", "boolean", NULL)

_NUMBERS: Final = ("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
# The guide lists the two lengths only among what *fine-tuned* models lack, so others have them.
_SIZES: Final = ("minItems", "maxItems", "minLength", "maxLength")
_KEPT: Final = {
    "type", "properties", "required", "additionalProperties", "items", "anyOf", "oneOf", "enum",
    "const", "$ref", "$defs", "definitions", "title", "description", "pattern", "format",
    *_NUMBERS, *_SIZES,
}  # fmt: skip
_DROPPED: Final = {
    "default", "discriminator", "examples", "example", "deprecated", "readOnly", "writeOnly",
    "$schema", "$id", "$comment",
}  # fmt: skip
_TYPING: Final = ("type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const")
_LEVEL_TYPES: Final = {bool: "boolean", str: "string", int: "integer"}
_LOOKAROUND: Final = re.compile(r"(?<!\\)(?:\\\\)*\(\?<?[=!]")


@dataclass(frozen=True)
class _Place:
    """Where in the user's type we are."""

    path: str
    root: Node
    inlined: frozenset[str] = frozenset()

    def at(self, more: str) -> _Place:
        return replace(self, path=self.path + more)


def strict_schema(schema: object, name: str) -> dict[str, Any]:
    """Return the schema as OpenAI's strict mode wants it.

    Parameters
    ----------
    schema
        A JSON schema.
    name
        What error messages call its root.

    Raises
    ------
    OutputSpecError
        For whatever strict mode would refuse, with the path to it and a way out.

    Examples
    --------
    >>> strict_schema({"type": "object", "properties": {"age": {"type": "integer"}}}, "Person")
    {'type': 'object', 'properties': {'age': {'type': 'integer'}}, 'additionalProperties': False,
     'required': ['age']}
    """
    root = schema if isinstance(schema, Mapping) else {}
    return _strict(schema, _Place(name, root))


def _strict(node: object, place: _Place) -> dict[str, Any]:
    if not isinstance(node, Mapping) or not any(key in node for key in _TYPING):
        raise OutputSpecError.untyped(place.path)
    kept = {key: value for key, value in node.items() if key not in _DROPPED}
    kept = _without_all_of(kept, place)
    _refuse_keywords(kept, place.path)
    if "$ref" in kept:
        return _reference(kept, place)
    out = {_renamed(key): _part(key, value, place) for key, value in kept.items()}
    if "enum" in out or "const" in out:
        return _choice(out, place.path)
    if "object" in _types(out):
        return _closed(out, place.path)
    if "array" in _types(out) and "items" not in out:
        raise OutputSpecError.untyped(place.path + "[]")
    return out


def _part(key: str, value: Any, place: _Place) -> Any:
    """Make the value of one keyword strict."""
    if key == "properties":
        return {name: _strict(part, place.at(f".{name}")) for name, part in value.items()}
    if key in {"$defs", "definitions"}:
        return {name: _strict(part, _Place(name, place.root)) for name, part in value.items()}
    if key == "items":
        return _strict(value, place.at("[]"))
    if key in {"anyOf", "oneOf"}:
        return [_strict(variant, place) for variant in value]
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _renamed(key: str) -> str:
    return "anyOf" if key == "oneOf" else key


def _types(node: Node) -> Sequence[Any]:
    named = node.get("type", ())
    return named if isinstance(named, list | tuple) else (named,)


def _without_all_of(node: dict[str, Any], place: _Place) -> dict[str, Any]:
    parts = node.get("allOf")
    if not isinstance(parts, Sequence) or len(parts) != 1 or not isinstance(parts[0], Mapping):
        return node
    rest = {key: value for key, value in node.items() if key != "allOf"}
    inner = {key: value for key, value in parts[0].items() if key not in _DROPPED}
    return _without_all_of({**rest, **inner}, place)


def _reference(node: dict[str, Any], place: _Place) -> dict[str, Any]:
    """Keep a lone reference; write out one that has siblings, which strict mode refuses."""
    reference = node["$ref"]
    definition = resolve(reference, place.root) if isinstance(reference, str) else None
    if definition is None:
        raise OutputSpecError.bad_reference(place.path, reference)
    siblings = {key: value for key, value in node.items() if key != "$ref"}
    if not siblings:
        return {"$ref": reference}
    if reference in place.inlined:
        # Written out, a definition inside itself would never end; beside anyOf, notes may stand.
        return _strict({"anyOf": [{"$ref": reference}], **siblings}, place)
    return _strict({**definition, **siblings}, replace(place, inlined=place.inlined | {reference}))


def _closed(node: dict[str, Any], path: str) -> dict[str, Any]:
    if node.get("additionalProperties", False) is not False:
        raise OutputSpecError.free_form(path)
    properties = node.get("properties")
    if properties is None:
        raise OutputSpecError.free_form(path)
    if not properties:
        raise OutputSpecError.empty_object(path)
    for name in properties:
        if not isinstance(name, str) or re.search(r'["\\\x00-\x1f]', name):
            raise OutputSpecError.bad_property_name(path, name)
    return {**node, "additionalProperties": False, "required": list(properties)}


def _choice(node: dict[str, Any], path: str) -> dict[str, Any]:
    """Give a choice its type, and say a null among the choices as an alternative of its own."""
    if "enum" not in node:
        if node["const"] is None:
            return node | {"type": NULL}
        return node | {"type": _level_type([node["const"]], path)}
    values = [value for value in node["enum"] if value is not None]
    choice = {"type": _level_type(values, path), "enum": values}
    rest = {key: value for key, value in node.items() if key not in choice}
    # OpenAI's own examples write an optional choice as a list of types beside the enum.
    if len(values) < len(node["enum"]) or NULL in _types(node):
        return {"anyOf": [choice, {"type": NULL}], **rest}
    return {**node, **choice}


def _level_type(values: Sequence[Any], path: str) -> str:
    if not values:
        raise OutputSpecError.no_labels(path)
    kinds = {type(value) for value in values}
    name = _LEVEL_TYPES.get(kinds.pop()) if len(kinds) == 1 else None
    if name is None or (
        name == "integer" and not SMALLEST <= min(values) <= max(values) <= LARGEST
    ):
        raise OutputSpecError.bad_labels(path, values)
    if len(set(values)) < len(values):
        raise OutputSpecError.repeated_labels(path, repeated(values))
    if name == "boolean" and len(values) == 1:
        raise OutputSpecError.one_boolean(path, values[0])
    return name


def repeated(values: Sequence[Any]) -> list[Any]:
    """Return what occurs more than once, each once, in order.

    Examples
    --------
    >>> repeated(["a", "b", "a", "a"])
    ['a']
    """
    return [value for value in dict.fromkeys(values) if values.count(value) > 1]


def _refuse_keywords(node: Node, path: str) -> None:
    for key in node:
        if key not in _KEPT:
            raise OutputSpecError.unsupported_keyword(path, str(key))
    if "anyOf" in node and "oneOf" in node:
        raise OutputSpecError.mixed_keywords(path, "oneOf")
    if "anyOf" in node or "oneOf" in node:
        for key in ("type", "properties", "items", "enum", "const"):
            if key in node:
                raise OutputSpecError.mixed_keywords(path, key)
    for name in _types(node):
        if name not in TYPES:
            raise OutputSpecError.unknown_type(path, name)
    _refuse_values(node, path)


def _refuse_values(node: Node, path: str) -> None:
    for key in _NUMBERS:
        if key in node and not _is_number(node[key]):
            raise OutputSpecError.bad_value(path, key, node[key], "a finite number")
    if not node.get("multipleOf", 1) > 0:
        raise OutputSpecError.bad_value(path, "multipleOf", node["multipleOf"], "above zero")
    for key in _SIZES:
        size = node.get(key, 0)
        if type(size) is not int or size < 0:
            raise OutputSpecError.bad_value(path, key, size, "a whole number, zero or more")
    _refuse_shapes(node, path)
    if "format" in node and node["format"] not in FORMATS:
        raise OutputSpecError.unsupported_format(path, node["format"], FORMATS)
    pattern = node.get("pattern", "")
    if not isinstance(pattern, str):
        raise OutputSpecError.bad_value(path, "pattern", pattern, "a text")
    if _LOOKAROUND.search(pattern):
        raise OutputSpecError.lookaround(path, pattern)


def _refuse_shapes(node: Node, path: str) -> None:
    for key in ("properties", "$defs", "definitions"):
        if not isinstance(node.get(key, {}), Mapping):
            raise OutputSpecError.bad_value(path, key, node[key], "an object")
    for key in ("anyOf", "oneOf", "enum"):
        if not isinstance(node.get(key, []), list | tuple):
            raise OutputSpecError.bad_value(path, key, node[key], "a list")
    for key in ("anyOf", "oneOf"):
        if key in node and not node[key]:
            raise OutputSpecError.untyped(path)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
