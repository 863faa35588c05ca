"""Answers, parsed into typed Arrow columns.

A block of strings is decoded into Structs, from which each column is built, without dicts or a
second pass over the strings. The schema is checked while decoding, so one invalid field makes all
fields of its row null. For a repeated key in an object, the last value counts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._output.decoding import (
    ABSENT,
    EMPTY,
    LONE_SURROGATE,
    AnswerDecoder,
    decoder_of,
    reach,
)
from batchframe._output.schema import Shape, columns_of, opened, shape_of
from batchframe._output.spec import OutputSpec

_TEXT: Final = pa.large_string()
_BLOCK: Final = 65_536

Texts: TypeAlias = pa.ChunkedArray | pa.Array | Sequence[str | None]
_SCALARS: Final = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "string": _TEXT,
    "json": _TEXT,
}


@dataclass(frozen=True)
class ParsedAnswers:
    """Parsed answers as columns.

    Attributes
    ----------
    columns
        One column per field of the spec, null if the answer is missing, invalid or null. Categories
        are dictionaries with all levels, integers are int64, numbers float64, strings and JSON
        large_string, lists typed lists.
    errors
        Strings: why an answer is invalid; null for a valid answer.
    """

    columns: pa.Table
    errors: pa.Array


@dataclass(frozen=True)
class _Column:
    shape: Shape
    reach: Callable[[Any], Any]


def parse_answers(spec: OutputSpec, texts: Texts, *, lenient: bool = False) -> ParsedAnswers:
    """Parse answers into typed columns; invalid answers never raise.

    Parameters
    ----------
    spec
        The spec of the answers.
    texts
        The answers as strings; None if missing. JSON may be inside a Markdown fence, as self-hosted
        models write it.
    lenient
        Whether to ignore fields that are not in the schema, instead of rejecting the answer.

    Examples
    --------
    >>> from batchframe._output import output_spec
    >>> parsed = parse_answers(output_spec(["good", "bad"]), ['{"label":"bad"}', '{"label":"meh"}'])
    >>> parsed.columns["label"].to_pylist()
    ['bad', None]
    >>> parsed.errors.to_pylist()
    [None, "Invalid enum value 'meh' at `label`"]
    """
    if spec.schema is None:
        return _texts(spec.fields[0].name, texts)
    schema = opened(spec.schema) if lenient else spec.schema
    decoder, column_at = _plan(msgspec.json.encode(schema))
    columns = [column_at[field.path] for field in spec.fields]
    names = [field.name for field in spec.fields]
    kinds = pa.schema(list(zip(names, (_arrow_type(c.shape) for c in columns), strict=True)))
    batches, errors = [], []
    for block in _blocks(texts):
        rows, reasons_by_row = decoder.answers(block)
        arrays = [_array(c.shape, list(map(c.reach, rows))) for c in columns]
        batches.append(pa.record_batch(arrays, schema=kinds))
        errors.append(_sparse(reasons_by_row, len(rows)))
    reasons = pa.concat_arrays(errors) if errors else pa.array([], _TEXT)
    return ParsedAnswers(pa.Table.from_batches(batches, kinds), reasons)


def _sparse(texts: Mapping[int, str], length: int) -> pa.Array:
    if not texts:
        return pa.nulls(length, _TEXT)
    return pa.array(map(texts.get, range(length)), _TEXT, size=length)


@functools.lru_cache(maxsize=16)
def _plan(schema: bytes) -> tuple[AnswerDecoder, Mapping[tuple[str, ...], _Column]]:
    root = msgspec.json.decode(schema)
    shape = shape_of(root, root)
    column_at = {path: _Column(part, reach(shape, path)) for path, part in columns_of(shape)}
    return decoder_of(shape, root), column_at


def _blocks(texts: Texts) -> Iterator[Sequence[str | None]]:
    for start in range(0, len(texts), _BLOCK):
        if isinstance(texts, pa.Array | pa.ChunkedArray):
            yield texts.slice(start, _BLOCK).to_pylist()
        else:
            yield texts[start : start + _BLOCK]


def _texts(name: str, texts: Texts) -> ParsedAnswers:
    """Return text answers unchanged; blank ones are invalid."""
    column, invalid = _text_column(texts)
    empty = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0)
    reasons = pc.if_else(pc.fill_null(empty, fill_value=False), EMPTY, pa.scalar(None, _TEXT))
    reasons = pc.if_else(pc.is_null(column), pc.if_else(invalid, LONE_SURROGATE, ABSENT), reasons)
    answers = pc.if_else(pc.is_null(reasons), column, pa.scalar(None, _TEXT))
    return ParsedAnswers(pa.table({name: answers}), reasons)


def _text_column(texts: Texts) -> tuple[pa.Array, pa.Array]:
    """Convert strings to Arrow; also return which ones Arrow cannot hold."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    if isinstance(texts, pa.Array):
        return texts.cast(_TEXT), pa.repeat(pa.scalar(value=False), len(texts))
    invalid = [text is not None and not _is_unicode(text) for text in texts]
    values = [None if bad else text for text, bad in zip(texts, invalid, strict=True)]
    return pa.array(values, _TEXT), pa.array(invalid, pa.bool_())


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _arrow_type(shape: Shape, *, inner: bool = False) -> pa.DataType:
    if shape.kind == "category":
        levels = pa.string() if isinstance((shape.levels or ("",))[0], str) else pa.int64()
        return levels if inner else pa.dictionary(pa.int32(), levels)
    if shape.kind == "list" and shape.item is not None:
        return pa.list_(_arrow_type(shape.item, inner=True))
    if shape.kind == "object":
        return pa.struct([(name, _arrow_type(part, inner=True)) for name, part in shape.properties])
    return _SCALARS[shape.kind]


def _array(shape: Shape, values: list[Any]) -> pa.Array:
    """Build one column of decoded values."""
    if shape.kind == "category":
        levels = shape.levels or ()
        index = {level: i for i, level in enumerate(levels)}
        codes = pa.array(list(map(index.get, values)), pa.int32())
        names = pa.array(levels, _arrow_type(shape, inner=True))
        return pa.DictionaryArray.from_arrays(codes, names)
    if shape.kind == "json":
        return pa.array(list(map(_json_text, values)), _TEXT)
    return _inner(shape, values)


def _json_text(raw: Any) -> str | None:
    text = None if raw is None else bytes(raw).decode()
    return None if text == "null" else text


def _inner(shape: Shape, values: list[Any]) -> pa.Array:
    """Build a nested array; lists and objects are built from their items."""
    kind = _arrow_type(shape, inner=True)
    missing = pa.array([value is None for value in values], pa.bool_())
    if shape.kind == "list" and shape.item is not None:
        offsets = [0, *accumulate(0 if value is None else len(value) for value in values)]
        items = [item for value in values if value is not None for item in value]
        return pa.ListArray.from_arrays(
            pa.array(offsets, pa.int32()), _inner(shape.item, items), type=kind, mask=missing
        )
    if shape.kind == "object":
        parts = [
            _inner(part, [getattr(value, f"f{i}", None) for value in values])
            for i, (_, part) in enumerate(shape.properties)
        ]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=missing)
    return pa.array(values, kind)
