"""Answers, decoded into msgspec Structs and validated while decoding."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from types import GenericAlias
from typing import Annotated, Any, Final, Literal

import msgspec

from batchframe._output.numbers import integer_range, interval, whole_step
from batchframe._output.schema import NULL, Node, Shape, alternatives, columns_of

EMPTY: Final = "the answer is empty"
ABSENT: Final = "there is no answer"
LONE_SURROGATE: Final = "the answer has a lone surrogate (invalid Unicode)"
_LONGEST_REASON: Final = 200
_LONGEST_PATH: Final = 80

_FENCED: Final = re.compile(r"\s*```(?:json)?(.*)```\s*", re.DOTALL)

_NOT_DECODED: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_CHECKS: Final[dict[str, Callable[[Any], bool]]] = {
    NULL: lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


@dataclass(frozen=True)
class AnswerDecoder:
    """A decoder of the answers to one schema.

    Attributes
    ----------
    decode
        Decodes a string to a Struct; raises one of `_NOT_DECODED`.
    blank
        A Struct of nulls, used for invalid answers.
    unions
        Unions that msgspec cannot check: their accessor, schema and path as text.
    """

    decode: Callable[[str], Any]
    blank: Any
    unions: tuple[tuple[Callable[[Any], Any], Node, str], ...]
    root: Node

    def answers(self, texts: Sequence[str | None]) -> tuple[list[Any], dict[int, str]]:
        """Decode strings; also return the errors of blank answers by position."""
        rows: list[Any] = []
        errors: dict[int, str] = {}
        decode, unions = self.decode, self.unions
        for text in texts:
            if text is None:
                errors[len(rows)] = ABSENT
                rows.append(self.blank)
                continue
            try:
                row = decode(text)
                if unions:
                    self._check(row)
            except _NOT_DECODED as reason:
                row, error = self._decode_fenced(text, reason)
                if error is not None:
                    errors[len(rows)] = error
            rows.append(row)
        return rows, errors

    def _decode_fenced(self, text: str, reason: Exception) -> tuple[Any, str | None]:
        """Decode again without the Markdown fence of self-hosted models."""
        fenced = _FENCED.fullmatch(text)
        if fenced is None:
            return self.blank, describe_failure(text, reason)
        try:
            row = self.decode(fenced[1])
            self._check(row)
        except _NOT_DECODED as second:
            return self.blank, describe_failure(fenced[1], second)
        return row, None

    def _check(self, row: Any) -> None:
        for reach, node, path in self.unions:
            raw = reach(row)
            if raw is not None:
                error = validate(msgspec.json.decode(raw), node, self.root, path)
                if error is not None:
                    raise msgspec.ValidationError(error)


def decoder_of(shape: Shape, root: Node) -> AnswerDecoder:
    """Build the decoder of a shape."""
    answer_type = _type(shape)
    unions = tuple(
        (reach(shape, path), part.node, ".".join(path))
        for path, part in columns_of(shape)
        if part.kind == "json"
    )
    decode = msgspec.json.Decoder(answer_type).decode
    return AnswerDecoder(decode, _empty_answer(shape, answer_type), unions, root)


def reach(shape: Shape, path: tuple[str, ...]) -> Callable[[Any], Any]:
    """Return a function that gets the value at a path; null objects give null.

    Struct fields are numbered, since a property may have any name.
    """
    steps, optional = [], False
    for name in path:
        names = [property_name for property_name, _ in shape.properties]
        steps.append(f"f{names.index(name)}")
        shape = dict(shape.properties)[name]
        optional = optional or (shape.nullable and shape.kind == "object")
    if not optional:
        return attrgetter(".".join(steps))

    def careful(answer: Any) -> Any:
        for step in steps:
            if answer is None:
                return None
            answer = getattr(answer, step)
        return answer

    return careful


def _type(shape: Shape) -> Any:
    type_ = _BUILDERS[shape.kind](shape)
    # A Raw accepts everything including null, and cannot be in a union.
    return type_ | None if shape.nullable and shape.kind != "json" else type_


def _integer(shape: Shape) -> Any:
    low, high = integer_range(shape.node)
    return Annotated[int, msgspec.Meta(ge=low, le=high, multiple_of=whole_step(shape.node))]


def _number(shape: Shape) -> Any:
    bounds, step = interval(shape.node), whole_step(shape.node)
    rules: dict[str, Any] = {}
    if bounds.low is not None:
        rules["gt" if bounds.low_open else "ge"] = float(bounds.low)
    if bounds.high is not None:
        rules["lt" if bounds.high_open else "le"] = float(bounds.high)
    if step is not None:
        rules["multiple_of"] = float(step)
    return _constrained(float, rules)


def _string(shape: Shape) -> Any:
    rules = _lengths(shape.node, "Length")
    if compiled(shape.node.get("pattern")) is not None:
        rules["pattern"] = shape.node["pattern"]
    return _constrained(str, rules)


def _list(shape: Shape) -> Any:
    items = GenericAlias(list, (Any if shape.item is None else _type(shape.item),))
    return _constrained(items, _lengths(shape.node, "Items"))


def _lengths(node: Node, unit: str) -> dict[str, Any]:
    bounds = {"min_length": f"min{unit}", "max_length": f"max{unit}"}
    return {rule: node[keyword] for rule, keyword in bounds.items() if keyword in node}


def _constrained(kind: Any, rules: dict[str, Any]) -> Any:
    return Annotated[kind, msgspec.Meta(**rules)] if rules else kind


def _object(shape: Shape) -> type[msgspec.Struct]:
    names = {f"f{i}": name for i, (name, _) in enumerate(shape.properties)}
    fields = [(f"f{i}", _type(part)) for i, (_, part) in enumerate(shape.properties)]
    # Answers are trees, so the garbage collector need not search them for cycles.
    is_closed = _is_closed(shape.node)
    return msgspec.defstruct(
        "Answer", fields, rename=names, forbid_unknown_fields=is_closed, gc=False
    )


def _is_closed(node: Node) -> bool:
    """Return whether an object may only have the fields of its schema."""
    return node.get("additionalProperties", False) is False


_BUILDERS: Final[dict[str, Callable[[Shape], Any]]] = {
    "category": lambda shape: Literal[shape.levels],
    "integer": _integer,
    "number": _number,
    "boolean": lambda _: bool,
    "string": _string,
    "list": _list,
    "json": lambda _: msgspec.Raw,
    "object": _object,
}


def _empty_answer(shape: Shape, answer_type: Any) -> Any:
    """Build an answer of nulls, with its non-nullable objects in place."""
    types = {field.name: field.type for field in msgspec.structs.fields(answer_type)}
    parts = [
        _empty_answer(part, types[f"f{i}"]) if part.kind == "object" and not part.nullable else None
        for i, (_, part) in enumerate(shape.properties)
    ]
    return answer_type(*parts)


def describe_failure(text: str, reason: Exception) -> str:
    """Describe why an answer is invalid, in at most 300 characters.

    Examples
    --------
    >>> describe_failure("{", msgspec.DecodeError("Input data was truncated"))
    'the JSON ends too early'
    """
    if not text.strip():
        return EMPTY
    if isinstance(reason, RecursionError):
        return "the JSON is nested too deeply"
    if isinstance(reason, UnicodeError):
        return LONE_SURROGATE
    message = str(reason)
    if "truncated" in message and not isinstance(reason, msgspec.ValidationError):
        # A lone high surrogate makes the decoder read past the end of the string.
        is_complete = text.rstrip().endswith("}") and "\\ud" in text.lower()
        return LONE_SURROGATE if is_complete else "the JSON ends too early"
    problem, at, path = message.rpartition(" - at `$")
    problem = _shorten(problem if at else message, _LONGEST_REASON)
    problem = problem.replace("JSON is malformed", "the answer is not JSON")
    return f"{problem} at `{_shorten(path[:-1].lstrip('.'), _LONGEST_PATH)}`" if at else problem


def _shorten(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def validate(value: Any, node: Node, root: Node, path: str) -> str | None:
    """Return msgspec's message for an invalid value; None if it is valid.

    Examples
    --------
    >>> validate([1, "two"], {"type": "array", "items": {"type": "integer"}}, {}, "counts")
    'Expected integer - at `$.counts[1]`'
    """
    candidates = [
        alternative.node for alternative in alternatives(node, root) if alternative.node is not None
    ]
    fitting = [candidate for candidate in candidates if _CHECKS[candidate["type"]](value)]
    if not fitting:
        types = " or ".join(dict.fromkeys(candidate["type"] for candidate in candidates))
        return f"Expected {types} - at `$.{path}`"
    problem = None
    for candidate in fitting:
        problem = _validate_one(value, candidate, root, path)
        if problem is None:
            return None
    return problem if len(fitting) == 1 else f"None of {len(fitting)} alternatives - at `$.{path}`"


def _validate_one(value: Any, node: Node, root: Node, path: str) -> str | None:
    if "enum" in node or "const" in node:
        if value in node.get("enum", [node.get("const")]):
            return None
        return f"Invalid enum value {value!r} - at `$.{path}`"
    check = _BY_TYPE.get(node["type"])
    return check(value, node, root, path) if check else None


def _validate_object(value: dict[str, Any], node: Node, root: Node, path: str) -> str | None:
    parts = node["properties"]
    for name in value.keys() - parts.keys() if _is_closed(node) else ():
        return f"Object contains unknown field `{name}` - at `$.{path}`"
    for name, part in parts.items():
        if name not in value:
            return f"Object missing required field `{name}` - at `$.{path}`"
        if problem := validate(value[name], part, root, f"{path}.{name}"):
            return problem
    return None


def _validate_array(value: list[Any], node: Node, root: Node, path: str) -> str | None:
    if not node.get("minItems", 0) <= len(value) <= node.get("maxItems", len(value)):
        return f"Wrong number of items ({len(value)}) - at `$.{path}`"
    items = enumerate(value)
    problems = (validate(item, node["items"], root, f"{path}[{i}]") for i, item in items)
    return next((problem for problem in problems if problem), None)


def _validate_string(value: str, node: Node, _root: Node, path: str) -> str | None:
    if not node.get("minLength", 0) <= len(value) <= node.get("maxLength", len(value)):
        return f"Wrong length ({len(value)}) - at `$.{path}`"
    pattern = compiled(node.get("pattern"))
    if pattern is not None and not pattern.search(value):
        return f"Expected a string matching {node['pattern']!r} - at `$.{path}`"
    return None


def _validate_number(value: float, node: Node, _root: Node, path: str) -> str | None:
    if not interval(node).holds(Decimal(str(value))):
        return f"Number out of range - at `$.{path}`"
    step = whole_step(node)
    if step is not None and value % step:
        return f"Expected a multiple of {step} - at `$.{path}`"
    return None


def compiled(pattern: str | None) -> re.Pattern[str] | None:
    """Compile a pattern; return None for another regular expression dialect."""
    try:
        return None if pattern is None else re.compile(pattern)
    except re.error:
        # The service enforces it; batchframe cannot check it.
        return None


_BY_TYPE: Final[dict[str, Callable[[Any, Node, Node, str], str | None]]] = {
    "object": _validate_object,
    "array": _validate_array,
    "string": _validate_string,
    "integer": _validate_number,
    "number": _validate_number,
}
