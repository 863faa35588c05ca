"""Random valid instances of a JSON schema, recursive schemas included.

Every schema that strict mode allows is supported; of other schemas, the common keywords.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgspec

from batchframe.local._answers.dice import Dice
from batchframe.local._answers.strings import string

_MAX_DEPTH: Final = 6
_EXTRA_ITEMS: Final = 2
_UNIQUE_ATTEMPTS: Final = 20
_INFINITE: Final = 1 << 30
_Writer: TypeAlias = Callable[[Dice, int], Any]
"""Writes an instance at a depth."""

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
        self._writers: dict[int, tuple[Any, _Writer]] = {}
        self._heights: dict[str, int] = {}
        self._compute_heights()
        if self._height(schema) >= _INFINITE:
            raise SchemaError("the schema has no finite instance")

    def sample(self, dice: Dice) -> Any:
        """Return a random instance."""
        return self._writer(self._root)(dice, 0)

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

    def _writer(self, schema: Any) -> _Writer:
        """Return the writer of a schema, compiled at its first use."""
        known = self._writers.get(id(schema))
        if known is None:
            # The reference to the schema keeps its id from being reused.
            known = self._writers[id(schema)] = schema, self._compile(schema)
        return known[1]

    def _compile(self, schema: Any) -> _Writer:
        if not isinstance(schema, dict):
            return lambda dice, _: string({}, dice)
        if "$ref" in schema:
            target = self._resolve(schema["$ref"])
            # Compiled when it is needed, since it may contain itself.
            return lambda dice, depth: self._writer(target)(dice, depth + 1)
        if "const" in schema:
            constant = schema["const"]
            return lambda *_: constant
        if "enum" in schema:
            values = schema["enum"]
            return lambda dice, _: dice.pick(values)
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            rest = {name: schema[name] for name in schema if name not in {"anyOf", "oneOf"}}
            plain = _CONSTRAINTS.isdisjoint(rest)
            branches = [option if plain else self._merge([rest, option]) for option in options]
            return _choice([*map(self._height, options)], [*map(self._writer, branches)])
        if "allOf" in schema:
            rest = {name: schema[name] for name in schema if name != "allOf"}
            return self._writer(self._merge([rest, *schema["allOf"]]))
        kinds = _types(schema)
        heights = [self._type_height(kind, schema) for kind in kinds]
        return _choice(heights, [self._of_type(kind, schema) for kind in kinds])

    def _of_type(self, kind: str, schema: dict[str, Any]) -> _Writer:
        if kind == "object":
            return self._object(schema)
        if kind == "array":
            return self._array(schema)
        if kind == "string":
            return lambda dice, _: string(schema, dice)
        if kind == "integer":
            return _integer(schema)
        if kind == "number":
            return lambda dice, _: _number(schema, dice)
        if kind == "boolean":
            return lambda dice, _: bool(dice.below(2))
        return lambda *_: None

    def _object(self, schema: dict[str, Any]) -> _Writer:
        required = schema.get("required", [])
        properties = [
            (name, self._writer(inner), name in required, self._height(inner) < _INFINITE)
            for name, inner in schema.get("properties", {}).items()
        ]
        values = self._writer(schema.get("additionalProperties", {}))
        low = schema.get("minProperties", 0)

        def write(dice: Dice, depth: int) -> dict[str, Any]:
            instance = {
                name: value(dice, depth + 1)
                for name, value, needed, finite in properties
                if needed or (depth < _MAX_DEPTH and finite)
            }
            missing = [name for name in required if name not in instance]
            missing += [f"key{n}" for n in range(len(instance), low)]
            for name in missing:
                instance[name] = values(dice, depth + 1)
            return instance

        return write

    def _array(self, schema: dict[str, Any]) -> _Writer:
        first = [self._writer(inner) for inner in schema.get("prefixItems", ())]
        items = schema.get("items", {})
        low = max(int(schema.get("minItems", 0)), len(first))
        is_closed = items is False or self._height(items) >= _INFINITE
        is_closed |= bool(first) and "items" not in schema
        is_unique = bool(schema.get("uniqueItems"))
        item = self._writer(items)

        def write(dice: Dice, depth: int) -> list[Any]:
            array = [writer(dice, depth + 1) for writer in first]
            extra = 0 if is_closed else max(0, _EXTRA_ITEMS - depth // 2)
            high = min(int(schema.get("maxItems", low + extra)), low + extra)
            count = low + (dice.below(high - low + 1) if high > low else 0)
            attempts = _UNIQUE_ATTEMPTS * count
            while len(array) < count and attempts:
                attempts -= 1
                value = item(dice, depth + 1)
                if not is_unique or value not in array:
                    array.append(value)
            return array

        return write

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
def sampler(schema: bytes, *, strict: bool = False) -> Sampler:
    """Return the cached sampler of a schema, which most lines share.

    Raises
    ------
    SchemaError
        If the schema has no instance or, with `strict`, if strict mode does not allow it.
    """
    decoded = msgspec.json.decode(schema)
    if strict:
        _check_strict(decoded)
    return Sampler(decoded)


def _choice(heights: list[int], writers: list[_Writer]) -> _Writer:
    """Pick a finite option at random; beyond a fixed depth, the smallest one."""
    finite = [writer for height, writer in zip(heights, writers, strict=True) if height < _INFINITE]
    smallest = writers[heights.index(min(heights))]

    def write(dice: Dice, depth: int) -> Any:
        return (smallest if depth >= _MAX_DEPTH else dice.pick(finite))(dice, depth)

    return write


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


def _steps(schema: dict[str, Any]) -> tuple[Decimal, int, int]:
    """Return the step of a number, and its first and last multiple."""
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
    return step, first, last


def _multiple(steps: tuple[Decimal, int, int], dice: Dice) -> Decimal:
    step, first, last = steps
    if last < first:
        raise SchemaError(f"no multiple of {step} is within the bounds")
    return (first + dice.below(last - first + 1)) * step


def _integer(schema: dict[str, Any]) -> _Writer:
    steps = _steps(schema)
    return lambda dice, _: int(_multiple(steps, dice))


def _number(schema: dict[str, Any], dice: Dice) -> float:
    if "multipleOf" in schema:
        return float(_multiple(_steps(schema), dice))
    low, high, low_open, high_open = _bounds(schema)
    if low is None:
        low = Decimal(0) if high is None else min(Decimal(0), high - 100)
    if high is None:
        high = low + 100
    if high < low:
        raise SchemaError("no number is within the bounds")
    share = Decimal(dice.below(999) + 1 if low_open or high_open else dice.below(1001)) / 1000
    return float(low + (high - low) * share)


def _check_strict(schema: Any) -> None:
    if isinstance(schema, list):
        for inner in schema:
            _check_strict(inner)
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        if schema.get("additionalProperties") is not False:
            raise SchemaError("'additionalProperties' is required to be supplied and to be false")
        if set(properties or {}) != set(schema.get("required", ())):
            raise SchemaError(
                "'required' is required to be supplied and to be an array including every key in "
                "properties"
            )
    for key, inner in schema.items():
        if key in {"properties", "$defs", "definitions"} and isinstance(inner, dict):
            _check_strict(list(inner.values()))
        elif key in {"items", "anyOf", "allOf", "prefixItems"}:
            _check_strict(inner)
