"""Requests → their input tokens.

In: a request table. Out: a frozen :class:`InputTokens`. Sends nothing, writes nothing.
Must not know: prices, output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from batchframe._endpoints import endpoint_of
from batchframe._request_table import RequestTable
from batchframe._source import column_name
from batchframe._template import Template
from batchframe._tokens import TokenCounter, token_counter

# Two fillings of different length, by which a template shows whether it is counted as text.
_FILLING: Final = "a"
_LONGER_FILLING: Final = "a b c"


@dataclass(frozen=True, eq=False)
class InputTokens:
    """The input tokens of each request, whether all are exact, and what to say of them."""

    tokens: npt.NDArray[np.int64]
    exact: bool
    notes: tuple[str, ...]


def count_input(table: RequestTable) -> InputTokens:
    """Count the input tokens of every request, the constant parts once."""
    counter = token_counter(table.recipe.model)
    around = _around(table, counter)
    tokens, exact = _one_by_one(table) if around is None else _by_column(table, counter, *around)
    notes = [counter.note] if counter.note else []
    if not exact and table.recipe.output.schema is not None:
        notes.append("The output schema's tokens are known to within 3 for each request.")
    return InputTokens(tokens, exact, tuple(notes))


def _around(table: RequestTable, counter: TokenCounter) -> tuple[int, bool] | None:
    """Count what stands around the rendered templates, and say whether that is exact.

    None where a template is not counted as a text of its own: in the URL of an image, or where a
    function made whole messages.
    """
    slots = [slot for slot in table.envelope.slots if _varies(slot)]
    if not all(isinstance(slot, Template) for slot in slots):
        return None
    endpoint = endpoint_of(table.recipe.endpoint)
    body = endpoint.body(table.recipe)
    short, long = (
        endpoint.count_tokens(_filled(body, text)) for text in (_FILLING, _LONGER_FILLING)
    )
    growth = counter.count_one(_LONGER_FILLING) - counter.count_one(_FILLING)
    if long.tokens - short.tokens != growth * len(slots):
        return None
    return short.tokens - counter.count_one(_FILLING) * len(slots), short.exact


def _varies(slot: object) -> bool:
    return not isinstance(slot, Template) or slot.constant is None


def _filled(value: Any, text: str) -> Any:
    """Put a short text in the place of every template that the row changes."""
    if isinstance(value, Template):
        return text if value.constant is None else value.constant
    if isinstance(value, Mapping):
        return {key: _filled(item, text) for key, item in value.items()}
    return [_filled(item, text) for item in value] if isinstance(value, list) else value


def _by_column(
    table: RequestTable,
    counter: TokenCounter,
    around: int,
    exact: bool,  # noqa: FBT001 - of _around
) -> tuple[npt.NDArray[np.int64], bool]:
    counts = [np.zeros(0, np.int64)]
    for _, batch in table.request_batches():
        tokens = np.full(batch.num_rows, around)
        for slot in table.envelope.slots:
            if isinstance(slot, Template) and slot.constant is None:
                columns = {cell: batch[column_name(cell)] for cell in slot.cells}
                tally = counter.tally(slot.render(columns, batch.num_rows))
                tokens += tally.tokens
                exact &= bool(tally.exact.all())
        counts.append(tokens)
    return np.concatenate(counts), exact


def _one_by_one(table: RequestTable) -> tuple[npt.NDArray[np.int64], bool]:
    endpoint = endpoint_of(table.recipe.endpoint)
    counts = [
        endpoint.count_tokens(
            msgspec.json.decode(b'{"custom_id":"' + request, type=dict[str, Any])["body"]
        )
        for _, request in table.each_request()
    ]
    tokens = np.array([count.tokens for count in counts], np.int64)
    return tokens, all(count.exact for count in counts)
