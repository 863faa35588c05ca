"""Columnar readers of response bodies, without a Python object per answer.

Their results equal those of the row reader (:meth:`Endpoint.answer`), which handles the remaining
bodies.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Places = npt.NDArray[np.int64]
MOST_TOKENS: Final = 2**40


class ColumnarReader(NamedTuple):
    """A columnar reader of common successful response bodies.

    Attributes
    ----------
    type
        The fields of a body that are read; other fields are ignored.
    read
        Takes bodies of this type; returns the positions of those with status ``ok`` that it can
        read, and the fields of their answers by name. An omitted field is None in all answers.
    """

    type: pa.StructType
    read: Callable[[pa.StructArray], tuple[Places, Mapping[str, pa.Array]]]


def only_items(
    lists: pa.ListArray, ignored: Callable[[pa.Array], pa.Array] | None = None
) -> tuple[Places, pa.Array]:
    """Return the positions of lists with exactly one item, and the items.

    Parameters
    ----------
    ignored
        Returns a mask of the items to ignore.

    Examples
    --------
    >>> places, items = only_items(pa.array([["a"], [], None, ["b", "c"], ["d"]]))
    >>> places.tolist(), items.to_pylist()
    ([0, 4], ['a', 'd'])
    """
    items, of = pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy()
    if ignored is not None:
        positions = _true_positions(pc.invert(ignored(items)))
        items, of = _take(items, positions), of[positions]
    only = np.flatnonzero(np.bincount(of, minlength=len(lists))[of] == 1)
    return of[only], _take(items, only)


def _take(column: pa.Array, places: Places) -> pa.Array:
    """Take the values at sorted, unique positions."""
    return column if len(places) == len(column) else column.take(pa.array(places))


def _field(objects: pa.StructArray, name: str) -> pa.Array:
    """Return a field of each object; null where the object is null."""
    return pc.struct_field(objects, name)


def _true_positions(*conditions: pa.Array) -> Places:
    """Return the positions where all conditions are true; nulls are false."""
    mask = pc.fill_null(functools.reduce(pc.and_, conditions), fill_value=False)
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False))


def _absent(objects: pa.StructArray, names: Iterable[str]) -> list[pa.Array]:
    """Return for each name a mask of objects without that field."""
    return [pc.is_null(_field(objects, name)) for name in names]


_NUMBER: Final = pa.int64()
_INPUT_DETAILS: Final = pa.struct({"cached_tokens": _NUMBER, "cache_write_tokens": _NUMBER})
_OUTPUT_DETAILS: Final = pa.struct({"reasoning_tokens": _NUMBER})
CHAT_USAGE: Final = pa.struct(
    {
        "prompt_tokens": _NUMBER,
        "completion_tokens": _NUMBER,
        "prompt_tokens_details": _INPUT_DETAILS,
        "completion_tokens_details": _OUTPUT_DETAILS,
    }
)
"""The usage of nearly every chat completion."""

RESPONSES_USAGE: Final = pa.struct(
    {
        "input_tokens": _NUMBER,
        "output_tokens": _NUMBER,
        "input_tokens_details": _INPUT_DETAILS,
        "output_tokens_details": _OUTPUT_DETAILS,
        "prompt_tokens": _NUMBER,
    }
)
"""The usage of nearly every response; the row reader handles those with chat completion fields."""


def token_columns(usage: pa.StructArray) -> tuple[pa.Array, Mapping[str, pa.Array]]:
    """Parse usages of one of the types above.

    Returns
    -------
    A mask of valid usages, and their tokens by name, as ``tokens_of`` returns them.

    Examples
    --------
    >>> fits, tokens = token_columns(
    ...     pa.array([{"prompt_tokens": 7, "completion_tokens": -2}, None], CHAT_USAGE)
    ... )
    >>> fits.to_pylist(), tokens["input_tokens"].to_pylist()
    ([False, True], [7, None])
    """
    input_, output, input_details, output_details, *others = usage.flatten()
    cached, cache_write = input_details.flatten()
    [reasoning] = output_details.flatten()
    fits = pc.or_(pc.is_null(usage), pc.and_(pc.is_valid(input_), pc.is_valid(output)))
    columns = {
        "input_tokens": input_,
        "output_tokens": output,
        "cached_tokens": cached,
        "reasoning_tokens": reasoning,
        "cache_write_tokens": cache_write,
    }
    possible = map(_are_valid_counts, columns.values())
    return functools.reduce(pc.and_, [fits, *possible, *map(pc.is_null, others)]), columns


def _are_valid_counts(tokens: pa.Array) -> pa.Array:
    """Return a mask of valid or missing token counts."""
    within = pc.and_(pc.greater_equal(tokens, 0), pc.less_equal(tokens, MOST_TOKENS))
    return pc.fill_null(within, fill_value=True)


_MESSAGE: Final = pa.struct(
    {
        "content": pa.string(),
        "refusal": pa.string(),
        "tool_calls": pa.list_(pa.struct({"type": pa.string()})),
        "function_call": pa.struct({"name": pa.string()}),
        "reasoning_content": pa.string(),
    }
)
_COMPLETION: Final = pa.struct(
    {
        "choices": pa.list_(pa.struct({"message": _MESSAGE, "finish_reason": pa.string()})),
        "usage": CHAT_USAGE,
    }
)


def _read_completions(completions: pa.StructArray) -> tuple[Places, Mapping[str, pa.Array]]:
    """Read complete chat completions with one string and no tool calls."""
    rows, choices = only_items(_field(completions, "choices"))
    message, finish_reason = _field(choices, "message"), _field(choices, "finish_reason")
    fits, tokens = token_columns(_take(_field(completions, "usage"), rows))
    text = _field(message, "content")
    good = _true_positions(
        fits,
        pc.equal(finish_reason, "stop"),
        pc.is_valid(text),
        *_absent(message, ("refusal", "tool_calls", "function_call")),
    )
    columns = {
        "text": text,
        "finish_reason": finish_reason,
        "reasoning": _field(message, "reasoning_content"),
        **tokens,
    }
    return rows[good], {name: _take(column, good) for name, column in columns.items()}


_PART: Final = pa.struct({"type": pa.string(), "text": pa.string()})
_ITEM: Final = pa.struct(
    {"type": pa.string(), "content": pa.list_(_PART), "summary": pa.list_(_PART)}
)
_RESPONSE: Final = pa.struct(
    {
        "output": pa.list_(_ITEM),
        "status": pa.string(),
        "error": pa.struct({"code": pa.string()}),
        "incomplete_details": pa.struct({"reason": pa.string()}),
        "usage": RESPONSES_USAGE,
    }
)


def _read_responses(responses: pa.StructArray) -> tuple[Places, Mapping[str, pa.Array]]:
    """Read complete responses with one string and no reasoning summary."""
    rows, texts = _only_texts(_field(responses, "output"))
    responses = _take(responses, rows)
    fits, tokens = token_columns(_field(responses, "usage"))
    status = _field(responses, "status")
    nothing_wrong = _absent(responses, ("error", "incomplete_details"))
    good = _true_positions(fits, pc.equal(status, "completed"), *nothing_wrong)
    columns = {"text": texts, "finish_reason": status, **tokens}
    return rows[good], {name: _take(column, good) for name, column in columns.items()}


def _only_texts(outputs: pa.ListArray) -> tuple[Places, pa.Array]:
    """Return the outputs of one string, ignoring reasoning without summary."""
    rows, item = only_items(outputs, ignored=_is_empty_reasoning)
    of, part = only_items(_field(item, "content"))
    text = _field(part, "text")
    good = _true_positions(
        pc.equal(_take(_field(item, "type"), of), "message"),
        pc.equal(_field(part, "type"), "output_text"),
        pc.is_valid(text),
    )
    return rows[of[good]], _take(text, good)


def _is_empty_reasoning(items: pa.StructArray) -> pa.Array:
    """Return a mask of reasoning items without a summary or content."""
    reasoning = pc.fill_null(pc.equal(_field(items, "type"), "reasoning"), fill_value=False)
    has_text = pc.or_(*(_has_items(_field(items, name)) for name in ("summary", "content")))
    return pc.and_not(reasoning, has_text)


def _has_items(lists: pa.ListArray) -> pa.Array:
    return pc.fill_null(pc.greater(pc.list_value_length(lists), 0), fill_value=False)


CHAT_COMPLETIONS: Final = ColumnarReader(_COMPLETION, _read_completions)
RESPONSES: Final = ColumnarReader(_RESPONSE, _read_responses)
