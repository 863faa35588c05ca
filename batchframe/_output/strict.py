"""Strict JSON schemas, or an error that suggests a fix.

The conversion follows the openai package's own (which is private and rejects nothing); rejections
follow "Supported schemas" in OpenAI's Structured Outputs guide of 2026. It differs from the package
in three ways:

- ``oneOf`` becomes ``anyOf``, the only union that strict mode supports. Pydantic writes
  ``oneOf`` for tagged unions, whose variants exclude each other, so nothing is lost.
- Every ``default`` is removed, not only ``default: null``: strict mode requires every property, so
  no default can ever apply, and Azure rejects schemas that have one (openai-agents-python #4390).
- Annotations (``examples``, ``discriminator``, ``$schema``, ...) are removed; they are rejected or
  ignored. ``title`` and ``description`` stay, since the model reads them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from batchframe._base.errors import OutputSpecError, format_list, quote, shorten
from batchframe._base.safe_text import LABELS
from batchframe._output.numbers import LARGEST, SMALLEST
from batchframe._output.schema import NULL, Node, resolve

FORMATS: Final = (
    "date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid",
)  # fmt: skip
TYPES: Final = ("object", "array", "string", "integer", "number", "boolean", NULL)

_NUMBERS: Final = ("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
# The guide lists the two lengths as unsupported for *fine-tuned* models only.
_SIZES: Final = ("minItems", "maxItems", "minLength", "maxLength")
_SUPPORTED: Final = {
    "type", "properties", "required", "additionalProperties", "items", "anyOf", "oneOf", "enum",
    "const", "$ref", "$defs", "definitions", "title", "description", "pattern", "format",
    *_NUMBERS, *_SIZES,
}  # fmt: skip
_ANNOTATIONS: Final = {
    "default", "discriminator", "examples", "example", "deprecated", "readOnly", "writeOnly",
    "$schema", "$id", "$comment",
}  # fmt: skip
_TYPING: Final = ("type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const")
# The first two cannot be combined with the others.
_ALONE: Final = ("anyOf", "oneOf", "type", "properties", "items", "enum", "const")
_LEVEL_TYPES: Final = {bool: "boolean", str: "string", int: "integer"}
_LOOKAROUND: Final = re.compile(r"(?<!\\)(?:\\\\)*\(\?<?[=!]")
_KEYWORD_REMEDIES = {
    "allOf": "put the fields of all its parts into one model",
    "prefixItems": "replace the tuple with a model with named fields, or a list",
    "uniqueItems": "replace the set with list[...], and drop duplicates afterwards",
    "patternProperties": "use a model with named fields, or a list of pairs",
    "propertyNames": "use a model with named fields, or a list of pairs",
    "if": "use 'anyOf', or optional fields (T | None), and say in the prompt when they apply",
    "not": "say in the prompt what is not allowed",
    "nullable": "use type: ['string', 'null'], or str | None",
}


@dataclass(frozen=True)
class _Place:
    """The current position in the user's type."""

    path: str
    root: Node
    inlined: frozenset[str] = frozenset()

    def at(self, more: str) -> _Place:
        return replace(self, path=self.path + more)


def strict_schema(schema: object, name: str) -> dict[str, Any]:
    """Convert a schema for OpenAI's strict mode.

    Parameters
    ----------
    schema
        A JSON schema.
    name
        The name of its root in error messages.

    Raises
    ------
    OutputSpecError
        If strict mode would reject the schema, with the path and a fix.

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
        raise _untyped_error(place.path)
    keywords = _without_all_of({k: v for k, v in node.items() if k not in _ANNOTATIONS})
    _check_keywords(keywords, place.path)
    if "$ref" in keywords:
        return _reference(keywords, place)
    renamed = {"oneOf": "anyOf"}
    out = {
        renamed.get(key, key): _strict_value(key, value, place) for key, value in keywords.items()
    }
    if "enum" in out or "const" in out:
        return _strict_enum(out, place.path)
    if "object" in _types(out):
        return _closed(out, place.path)
    if "array" in _types(out) and "items" not in out:
        raise _untyped_error(place.path + "[]")
    return out


def _strict_value(key: str, value: Any, place: _Place) -> Any:
    """Convert the value of one keyword for strict mode."""
    if key == "properties":
        return {name: _strict(part, place.at(f".{name}")) for name, part in value.items()}
    if key in {"$defs", "definitions"}:
        return {name: _strict(part, _Place(name, place.root)) for name, part in value.items()}
    if key == "items":
        return _strict(value, place.at("[]"))
    if key in {"anyOf", "oneOf"}:
        return [_strict(variant, place) for variant in value]
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _types(node: Node) -> Sequence[Any]:
    types = node.get("type", ())
    return types if isinstance(types, list | tuple) else (types,)


def _without_all_of(node: dict[str, Any]) -> dict[str, Any]:
    """Merge the only item of ``allOf`` into the node."""
    match node.get("allOf"):
        case [Mapping() as only]:
            siblings = {key: value for key, value in node.items() if key != "allOf"}
            inner = {key: value for key, value in only.items() if key not in _ANNOTATIONS}
            return _without_all_of({**siblings, **inner})
    return node


def _reference(node: dict[str, Any], place: _Place) -> dict[str, Any]:
    """Inline a reference with siblings, which strict mode rejects."""
    reference = node["$ref"]
    definition = resolve(reference, place.root) if isinstance(reference, str) else None
    if definition is None:
        raise OutputSpecError(
            f"{place.path}: missing definition ({quote(str(reference))}). Fix: define it at the "
            "top of the schema, and refer to '#/$defs/NAME'."
        )
    siblings = {key: value for key, value in node.items() if key != "$ref"}
    if not siblings:
        return {"$ref": reference}
    if reference in place.inlined:
        # A recursive definition cannot be inlined; anyOf allows annotations as siblings.
        return _strict({"anyOf": [{"$ref": reference}], **siblings}, place)
    return _strict({**definition, **siblings}, replace(place, inlined=place.inlined | {reference}))


def _closed(node: dict[str, Any], path: str) -> dict[str, Any]:
    properties = node.get("properties")
    if node.get("additionalProperties", False) is not False or properties is None:
        raise OutputSpecError(
            f"{path} has unknown keys (a dict, or extra='allow'), which strict mode rejects. Fix: "
            "use a model with named fields, or list[Pair] with class Pair(BaseModel): key: str; "
            "value: int."
        )
    if not properties:
        raise OutputSpecError(f"{path}: an object without fields. Fix: add a field, or omit it.")
    for name in properties:
        if not isinstance(name, str) or re.search(r'["\\\x00-\x1f]', name):
            raise OutputSpecError(
                f"{path}: invalid field name ({shorten(repr(name), 60)}). Fix: rename it, without "
                "quotes, backslashes and control characters."
            )
    return {**node, "additionalProperties": False, "required": list(properties)}


def _strict_enum(node: dict[str, Any], path: str) -> dict[str, Any]:
    """Add the type of an enum, and move a null into its own alternative."""
    if "enum" not in node:
        const = node["const"]
        return node | {"type": NULL if const is None else _level_type([const], path)}
    values = [value for value in node["enum"] if value is not None]
    choice = {"type": _level_type(values, path), "enum": values}
    siblings = {key: value for key, value in node.items() if key not in choice}
    # OpenAI's examples write an optional enum as a list of types beside the enum.
    if len(values) < len(node["enum"]) or NULL in _types(node):
        return {"anyOf": [choice, {"type": NULL}], **siblings}
    return {**node, **choice}


def _level_type(values: Sequence[Any], path: str) -> str:
    if not values:
        raise OutputSpecError(f"{path}: no labels.", next_step="Fix: " + LABELS + ".")
    kinds = {type(value) for value in values}
    name = _LEVEL_TYPES.get(kinds.pop()) if len(kinds) == 1 else None
    if name is None or (
        name == "integer" and not SMALLEST <= min(values) <= max(values) <= LARGEST
    ):
        raise OutputSpecError(
            f"{path}: labels must be all strings or all 64-bit integers ({format_list(values)}). "
            "Fix: output=[str(label) for label in labels]. For yes or no: output=bool."
        )
    if len(set(values)) < len(values):
        raise OutputSpecError(
            f"{path}: duplicate labels ({format_list(repeated(values))}). Fix: "
            "output=list(dict.fromkeys(labels))."
        )
    if name == "boolean" and len(values) == 1:
        raise OutputSpecError(
            f"{path}: a bool with only one value ({values[0]!r}). Fix: use bool, or omit it."
        )
    return name


def repeated(values: Sequence[Any]) -> list[Any]:
    """Return the duplicated items, each once, in order.

    Examples
    --------
    >>> repeated(["a", "b", "a", "a"])
    ['a']
    """
    return [value for value in dict.fromkeys(values) if values.count(value) > 1]


def _check_keywords(node: Node, path: str) -> None:
    for key in map(str, node):
        if key not in _SUPPORTED:
            remedy = _KEYWORD_REMEDIES.get(key, "omit it")
            raise OutputSpecError(f"{path}: strict mode rejects {key!r}. Fix: {remedy}.")
    alone = [key for key in _ALONE if key in node]
    if len(alone) > 1 and alone[0] in {"anyOf", "oneOf"}:
        raise OutputSpecError(
            f"{path}: strict mode rejects {alone[0]!r} and {alone[1]!r} side by side. Fix: move "
            f"{alone[1]!r} into each alternative."
        )
    for name in _types(node):
        if name not in TYPES:
            raise OutputSpecError(
                f"{path}: invalid type ({shorten(repr(name), 60)}). Fix: one of "
                f"{format_list(TYPES)}."
            )
    _check_values(node, path)


def _check_values(node: Node, path: str) -> None:
    for keys, holds, requirement in _VALUES:
        for key in keys:
            if key in node and not holds(node[key]):
                value = shorten(repr(node[key]), 60)
                raise OutputSpecError(f"{path}: {key!r} is not {requirement} ({value}).")
    if any(key in node and not node[key] for key in ("anyOf", "oneOf")):
        raise _untyped_error(path)
    if "format" in node and node["format"] not in FORMATS:
        raise OutputSpecError(
            f"{path}: strict mode rejects the format {node['format']!r} (supported: "
            f"{format_list(FORMATS)}). Fix: use str with Field(description=...)."
        )
    pattern = node.get("pattern", "")
    if _LOOKAROUND.search(pattern):
        raise OutputSpecError(
            f"{path}: strict mode rejects lookaround in a pattern ({quote(pattern)}). Fix: write "
            "it without (?=, (?!, (?<= and (?<!, or check the column afterwards."
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# Checked in this order.
_VALUES: Final[tuple[tuple[Sequence[str], Callable[[Any], bool], str], ...]] = (
    (_NUMBERS, _is_number, "a finite number"),
    (("multipleOf",), lambda step: step > 0, "above 0"),
    (_SIZES, lambda size: type(size) is int and size >= 0, "an int of at least 0"),
    (("properties", "$defs", "definitions"), lambda part: isinstance(part, Mapping), "an object"),
    (("anyOf", "oneOf", "enum"), lambda part: isinstance(part, list | tuple), "a list"),
    (("pattern",), lambda pattern: isinstance(pattern, str), "a string"),
)


def _untyped_error(path: str) -> OutputSpecError:
    return OutputSpecError(
        f"{path}: no type (Any, object, a bare list, or a schema without 'type'). Fix: use str, "
        "float, list[str] or a model with named fields."
    )
