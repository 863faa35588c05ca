"""Output specs from ``output=``, as values that a manifest can store."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

from batchframe._base.errors import OutputSpecError, format_list, quote, shorten
from batchframe._base.safe_text import LABELS, OUTPUT
from batchframe._output.limits import check_limits
from batchframe._output.schema import Kind, Levels, columns_of, shape_of
from batchframe._output.strict import repeated, strict_schema

_TEXT: Final = "response"
_LABEL: Final = "label"
_KEYWORDS: Final = frozenset(
    {
        "$defs", "$ref", "allOf", "anyOf", "const", "definitions", "description", "enum", "items",
        "oneOf", "properties", "title", "type",
    }
)  # fmt: skip
"""Keywords of which a JSON schema has at least one."""


@dataclass(frozen=True)
class Field:
    """One answer column.

    Attributes
    ----------
    name
        The column's name: "label", "price", "address.city".
    path
        Path of the value in the decoded answer; empty for a text answer.
    kind
        "category", "integer" (64 bits), "number" (64-bit float), "boolean", "string", "list",
        "json" (a JSON string for types without a column type: recursion, mixed unions); or, outside
        schemas, "vector" (32-bit floats, all of one length) or "file" (its path).
    levels
        All levels of a category, in the spec's order.
    """

    name: str
    path: tuple[str, ...]
    kind: Kind | Literal["vector", "file"]
    levels: Levels | None = None


@dataclass(frozen=True)
class OutputSpec:
    """The schema of the answers and their columns.

    Attributes
    ----------
    schema
        The strict JSON schema as sent; None for a text answer.
    schema_name
        The schema's name in the request: 1 to 64 of a-z, A-Z, 0-9, "_" and "-".
    fields
        The answer columns, in order.
    """

    schema: Mapping[str, Any] | None
    schema_name: str
    fields: tuple[Field, ...]

    def check_fields(self) -> None:
        """Check that the fields match the schema.

        Raises
        ------
        ValueError
            If they do not.
        """
        shapes: dict[tuple[str, ...], Any] = {(): ("string", None)}
        if self.schema is not None:
            columns = columns_of(shape_of(self.schema, self.schema))
            shapes = {path: (shape.kind, shape.levels) for path, shape in columns}
        stored = {field.path: (field.kind, field.levels) for field in self.fields}
        names = {field.name for field in self.fields}
        if not stored or not stored.items() <= shapes.items() or len(names) < len(self.fields):
            raise ValueError("the output columns do not match the schema")

    @classmethod
    def of_schema(cls, schema: Mapping[str, Any] | None, schema_name: str) -> OutputSpec:
        """Return the spec of a strict schema as sent; None is a text answer."""
        if schema is None:
            return output_spec(None)
        return cls(schema, schema_name, _fields(schema, None))


def output_spec(output: object, name: str | None = None) -> OutputSpec:
    """Convert ``output=`` to a spec.

    Parameters
    ----------
    output
        None for text; a list of labels (strings or integers), a ``Literal`` or an ``Enum`` class
        for one category; a Pydantic model, a TypedDict, a dataclass or a JSON schema of an object
        for one column per field, nested objects flattened as "parent.field"; any other type that
        Pydantic supports (``int``, ``list[str]``, ``Annotated[int, Field(ge=1, le=5)]``) for one
        column of it.
    name
        Name of the answer column, for a spec with a single one; defaults to "label" for labels and
        "response" otherwise. The request does not depend on it, so renaming costs nothing.

    Raises
    ------
    OutputSpecError
        If `output` is not a spec, or OpenAI's strict mode would reject it.

    Examples
    --------
    >>> spec = output_spec(["positive", "negative", "mixed"])
    >>> spec.fields[0].name, spec.fields[0].kind, spec.fields[0].levels
    ('label', 'category', ('positive', 'negative', 'mixed'))
    >>> spec.schema["properties"]
    {'label': {'type': 'string', 'enum': ['positive', 'negative', 'mixed']}}
    """
    column_name: object = name
    if column_name is not None and not (isinstance(column_name, str) and column_name.strip()):
        raise OutputSpecError(f"name: not a column name ({name!r}). Fix: name='stance'.")
    if output is None:
        return OutputSpec(None, _TEXT, (Field(name or _TEXT, (), "string"),))
    schema, schema_name = _object_schema(strict_schema(*_json_schema(output)))
    try:
        # A deep copy, as JSON reads it back.
        schema = msgspec.json.decode(msgspec.json.encode(schema))
    except (msgspec.MsgspecError, TypeError, ValueError) as reason:
        raise _not_a_spec_error(output, reason) from reason
    check_limits(schema, schema_name)
    return OutputSpec(schema, schema_name, _fields(schema, name))


def _fields(schema: Mapping[str, Any], name: str | None) -> tuple[Field, ...]:
    columns = list(columns_of(shape_of(schema, schema)))
    names = [".".join(path) for path, _ in columns]
    if duplicates := repeated(names):
        raise OutputSpecError.repeated_columns(duplicates)
    if name is not None:
        if len(names) > 1:
            raise OutputSpecError(
                f"name: {name!r} cannot rename {len(names)} answer columns "
                f"({format_list(names)}). Fix: df.bf.join(job, prefix={name + '_'!r})."
            )
        names = [name]
    return tuple(
        Field(column, path, shape.kind, shape.levels)
        for column, (path, shape) in zip(names, columns, strict=True)
        if shape.kind != "object"
    )


def _json_schema(output: Any) -> tuple[Any, str]:
    """Return a JSON schema, not strict yet, and its name in messages."""
    if isinstance(output, Mapping):
        return _given(output)
    labels = get_args(output) if get_origin(output) is Literal else output
    if isinstance(labels, list | tuple):
        return _labels(labels), "output"
    if isinstance(output, set | frozenset):
        raise _not_a_list_error(output, "sorted(labels)")
    if not isinstance(output, type) and hasattr(output, "tolist"):
        raise _not_a_list_error(output, "labels.tolist()")
    if isinstance(output, str):
        raise OutputSpecError(
            f"output: not a list of labels, a type or a schema ({quote(output)}).",
            next_step="Fix: " + LABELS + ". For a text answer, omit " + OUTPUT + ".",
        )
    # Importing it would take a quarter of `import batchframe`, and labels do not need it.
    import pydantic  # noqa: PLC0415

    try:
        schema = pydantic.TypeAdapter(output).json_schema()
    except (pydantic.errors.PydanticUserError, NameError, TypeError) as reason:
        raise _not_a_spec_error(output, reason) from reason
    return schema, str(schema.get("title") or getattr(output, "__name__", _TEXT))


def _labels(labels: Sequence[object]) -> dict[str, Any]:
    # An Enum member or an instance of a str subclass is sent as its plain value.
    values = [label.value if isinstance(label, Enum) else label for label in labels]
    plain = [str.__str__(value) if isinstance(value, str) else value for value in values]
    if None in plain:
        return {"enum": plain}
    kind = "string" if plain and isinstance(plain[0], str) else "integer"
    return {"type": kind, "enum": plain}


def _given(schema: Mapping[Any, Any]) -> tuple[Any, str]:
    outer = '["json_schema"]' if "json_schema" in schema else ""
    if outer or isinstance(schema.get("schema"), Mapping):
        raise OutputSpecError(
            "output: a response format, not a schema. Fix: "
            f'output=response_format{outer}["schema"].'
        )
    is_schema = not _KEYWORDS.isdisjoint(schema)
    types = [key for key, kind in schema.items() if _is_type(kind, or_labels=not is_schema)]
    if types:
        raise OutputSpecError(
            "output: a dict is read as a JSON schema, and this one names Python types or labels "
            f"({format_list(types)}). Fix, with `from typing_extensions import TypedDict`: "
            f"output=TypedDict('Answer', {_as_types(schema)})."
        )
    return schema, str(schema.get("title") or "schema")


def _is_type(kind: object, *, or_labels: bool) -> bool:
    return (
        isinstance(kind, type)
        or get_origin(kind) is not None
        or (or_labels and isinstance(kind, list))
    )


def _as_types(fields: Mapping[Any, Any]) -> str:
    """Format a dict of fields as code."""
    pairs = (f"{str(key)!r}: {_as_type(kind)}" for key, kind in fields.items())
    return "{" + shorten(", ".join(pairs), 120) + "}"


def _as_type(kind: object) -> str:
    if isinstance(kind, list | tuple):
        return f"Literal{list(kind)!r}"
    if isinstance(kind, type) and get_origin(kind) is None:
        return kind.__name__
    return str(kind).replace("typing.", "")


def _object_schema(strict: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Wrap a schema in an object, the required root of strict schemas."""
    if strict.get("type") == "object":
        return strict, _schema_name(strict.get("title"))
    definitions = {key: strict[key] for key in ("$defs", "definitions") if key in strict}
    inner = {key: value for key, value in strict.items() if key not in definitions}
    shape = shape_of(inner, strict)
    key = _LABEL if shape.kind == "category" else _TEXT
    if _refers_to_root(strict):
        raise OutputSpecError(
            f"{key}: '#' must refer to an object. Fix: move the schema to '$defs', and refer to "
            "'#/$defs/NAME'."
        )
    rules: Any = {"type": "object", "properties": {key: inner}, "required": [key]}
    schema = {**rules, "additionalProperties": False, **definitions}
    return schema, _schema_name(inner.get("title") or key)


def _refers_to_root(value: object) -> bool:
    if isinstance(value, Mapping):
        return value.get("$ref") == "#" or any(map(_refers_to_root, value.values()))
    return isinstance(value, list) and any(map(_refers_to_root, value))


def _schema_name(title: object) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", str(title or "")).strip("_")[:64] or _TEXT


def _not_a_spec_error(output: object, reason: object) -> OutputSpecError:
    return OutputSpecError(
        f"output: not convertible to a JSON schema ({shorten(repr(output), 60)}): "
        f"{shorten(str(reason).partition('. ')[0])}. Fix: a list of labels such as "
        '["positive", "negative"], a Literal, an Enum class, a Pydantic model, a TypedDict, a '
        "dataclass, a type such as int, a JSON schema, or None for text."
    )


def _not_a_list_error(labels: object, call: str) -> OutputSpecError:
    return OutputSpecError(
        f"output: not a list of labels ({type(labels).__name__}). Fix: output={call}."
    )
