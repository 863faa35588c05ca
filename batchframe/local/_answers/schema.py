"""Random valid instances of a JSON schema, recursive schemas included.

Every schema that strict mode allows is supported; of other schemas, the common keywords.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from batchframe.local._answers.dice import Dice
from batchframe.local._answers.strings import string

_MAX_DEPTH: Final = 6
_EXTRA_ITEMS: Final = 2
_UNIQUE_ATTEMPTS: Final = 20
_INFINITE: Final = 1 << 30
_CONSTRAINTS: Final = {"type", "properties", "items", "required", "enum", "pattern", "$ref"}


class SchemaError(ValueError):
    """Error for a schema without a finite instance or with an invalid `$ref`."""


class Sampler:
    """Sampler of instances of a JSON schema.

    Beyond a fixed depth it picks the option with the smallest height, so a recursive schema
    terminates. The height of a schema is the minimum nesting depth of its instances; a definition
    that must contain itself has no finite height.

    Raises
    ------
    SchemaError
        If the schema has no finite instance, or a `$ref` cannot be resolved.

    Examples
    --------
    >>> from batchframe.local._answers.dice import Dice
    >>> sampler = Sampler({"type": "array", "minItems": 1, "items": {"enum": ["a", "b"]}})
    >>> sampler.sample(Dice(b"any digest"))
    ['b']
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self._root = schema
        self._heights: dict[str, int] = {}
        self._compute_heights()
        if self._height(schema) >= _INFINITE:
            raise SchemaError("the schema has no finite instance")

    def sample(self, dice: Dice) -> Any:
        """Return a random instance."""
        return self._sample(self._root, dice, 0)

    def _compute_heights(self) -> None:
        converged = False
        while not converged:
            previous = dict(self._heights)
            self._height(self._root)
            for reference in list(self._heights):
                self._heights[reference] = self._height(self._resolve(reference))
            converged = previous == self._heights

    def _height(self, schema: Any) -> int:
        if not isinstance(schema, dict):
            return 0 if schema is not False else _INFINITE
        if "$ref" in schema:
            return min(1 + self._heights.setdefault(schema["$ref"], _INFINITE), _INFINITE)
        if "const" in schema or "enum" in schema:
            return 0
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return min(map(self._height, options))
        own = min(self._type_height(kind, schema) for kind in _types(schema))
        return max([own, *map(self._height, schema.get("allOf", ()))])

    def _type_height(self, kind: str, schema: dict[str, Any]) -> int:
        inner: list[Any] = []
        if kind == "object":
            properties = schema.get("properties", {})
            inner = [properties.get(name, {}) for name in schema.get("required", ())]
        elif kind == "array":
            inner = list(schema.get("prefixItems", ()))
            if schema.get("minItems", 0) > len(inner):
                inner.append(schema.get("items", {}))
        return min(1 + max(map(self._height, inner), default=0), _INFINITE) if inner else 0

    def _resolve(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise SchemaError(f"the reference {reference!r} points outside the schema")
        node: Any = self._root
        for part in reference[1:].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, dict) or name not in node:
                raise SchemaError(f"the reference {reference!r} cannot be resolved")
            node = node[name]
        return node

    def _sample(self, schema: Any, dice: Dice, depth: int) -> Any:
        if not isinstance(schema, dict):
            return string({}, dice)
        if "$ref" in schema:
            return self._sample(self._resolve(schema["$ref"]), dice, depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return dice.pick(schema["enum"])
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            option = _choose(options, self._height, dice, depth)
            rest = {name: schema[name] for name in schema if name not in {"anyOf", "oneOf"}}
            if _CONSTRAINTS.isdisjoint(rest):
                return self._sample(option, dice, depth)
            return self._sample(self._merge([rest, option]), dice, depth)
        if "allOf" in schema:
            rest = {name: schema[name] for name in schema if name != "allOf"}
            return self._sample(self._merge([rest, *schema["allOf"]]), dice, depth)
        return self._of_type(schema, dice, depth)

    def _of_type(self, schema: dict[str, Any], dice: Dice, depth: int) -> Any:
        kind = _choose(_types(schema), lambda kind: self._type_height(kind, schema), dice, depth)
        if kind == "object":
            return self._object(schema, dice, depth)
        if kind == "array":
            return self._array(schema, dice, depth)
        if kind == "string":
            return string(schema, dice)
        if kind == "integer":
            return int(_steps(schema, dice))
        if kind == "number":
            return _number(schema, dice)
        return bool(dice.below(2)) if kind == "boolean" else None

    def _object(self, schema: dict[str, Any], dice: Dice, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        instance = {
            name: self._sample(inner, dice, depth + 1)
            for name, inner in properties.items()
            if name in required or (depth < _MAX_DEPTH and self._height(inner) < _INFINITE)
        }
        missing = [name for name in required if name not in instance]
        missing += [f"key{n}" for n in range(len(instance), schema.get("minProperties", 0))]
        values = schema.get("additionalProperties", {})
        return instance | {name: self._sample(values, dice, depth + 1) for name in missing}

    def _array(self, schema: dict[str, Any], dice: Dice, depth: int) -> list[Any]:
        array = [self._sample(inner, dice, depth + 1) for inner in schema.get("prefixItems", ())]
        items = schema.get("items", {})
        low = max(int(schema.get("minItems", 0)), len(array))
        extra = max(0, _EXTRA_ITEMS - depth // 2)
        if items is False or self._height(items) >= _INFINITE or (array and "items" not in schema):
            extra = 0
        high = min(int(schema.get("maxItems", low + extra)), low + extra)
        count = low + (dice.below(high - low + 1) if high > low else 0)
        attempts = _UNIQUE_ATTEMPTS * count
        while len(array) < count and attempts:
            attempts -= 1
            item = self._sample(items, dice, depth + 1)
            if not schema.get("uniqueItems") or item not in array:
                array.append(item)
        return array

    def _merge(self, schemas: list[Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for schema in schemas:
            flat = schema
            while isinstance(flat, dict) and "$ref" in flat:
                flat = self._resolve(flat["$ref"])
            if not isinstance(flat, dict):
                continue
            properties = merged.get("properties", {}) | flat.get("properties", {})
            required = [*merged.get("required", ()), *flat.get("required", ())]
            merged |= flat
            if properties:
                merged["properties"] = properties
            if required:
                merged["required"] = required
        return merged


@functools.lru_cache(maxsize=256)
def sampler(schema: bytes) -> Sampler:
    """Return the cached sampler of a schema, which most lines share."""
    return Sampler(msgspec.json.decode(schema))


def _choose(options: list[Any], height: Callable[[Any], int], dice: Dice, depth: int) -> Any:
    """Pick a finite option at random; beyond a fixed depth, the smallest one."""
    if depth >= _MAX_DEPTH:
        return min(options, key=height)
    return dice.pick([option for option in options if height(option) < _INFINITE])


def _types(schema: dict[str, Any]) -> list[str]:
    kind = schema.get("type")
    if isinstance(kind, list):
        return kind
    if kind is not None:
        return [kind]
    if "properties" in schema:
        return ["object"]
    if "items" in schema or "prefixItems" in schema:
        return ["array"]
    if not {"minimum", "maximum", "multipleOf"}.isdisjoint(schema):
        return ["number"]
    return ["string"]


def _bounds(schema: dict[str, Any]) -> tuple[Decimal | None, Decimal | None, bool, bool]:
    names = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    values = map(schema.get, names)
    low, high, above, below = (None if item is None else Decimal(str(item)) for item in values)
    low_open = above is not None and (low is None or above >= low)
    high_open = below is not None and (high is None or below <= high)
    return above if low_open else low, below if high_open else high, low_open, high_open


def _steps(schema: dict[str, Any], dice: Dice) -> Decimal:
    step = Decimal(str(schema.get("multipleOf", 1)))
    low, high, low_open, high_open = _bounds(schema)
    first = last = None
    if low is not None:
        first = math.floor(low / step) + 1 if low_open else math.ceil(low / step)
    if high is not None:
        last = math.ceil(high / step) - 1 if high_open else math.floor(high / step)
    if first is None:
        first = 0 if last is None else min(0, last - 100)
    if last is None:
        last = first + 100
    if last < first:
        raise SchemaError(f"no multiple of {step} is within the bounds")
    return (first + dice.below(last - first + 1)) * step


def _number(schema: dict[str, Any], dice: Dice) -> float:
    if "multipleOf" in schema:
        return float(_steps(schema, dice))
    low, high, low_open, high_open = _bounds(schema)
    if low is None:
        low = Decimal(0) if high is None else min(Decimal(0), high - 100)
    if high is None:
        high = low + 100
    if high < low:
        raise SchemaError("no number is within the bounds")
    share = Decimal(dice.below(999) + 1 if low_open or high_open else dice.below(1001)) / 1000
    return float(low + (high - low) * share)
