"""Requests → what they will take: tokens and dollars, as ranges with their reasons.

In: a request table. Out: a frozen :class:`Estimate`. Sends nothing, writes nothing.
Must not know: files, the network, what a job has really cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Generic, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from batchframe._display import (
    UNKNOWN,
    Card,
    Table,
    count,
    money,
    plural,
    to_html,
    to_text,
)
from batchframe._endpoints import endpoint_of
from batchframe._lines import JsonColumn
from batchframe._model_names import is_reasoning
from batchframe._output import shortest_and_longest
from batchframe._prices import Price, price
from batchframe._providers import OPENAI
from batchframe._recipe import Recipe
from batchframe._request_table import RequestTable
from batchframe._shards import shards_of
from batchframe._source import column_name
from batchframe._template import Template
from batchframe._tokens import token_counter
from batchframe.errors import CostError

_N = TypeVar("_N", int, Decimal)


@dataclass(frozen=True)
class Range(Generic[_N]):
    """What a number may turn out to be; None where nothing bounds it or nothing tells it."""

    low: _N
    expected: _N | None
    high: _N | None

    def __add__(self, other: Range[_N]) -> Range[_N]:
        return Range(
            self.low + other.low,
            _sum(self.expected, other.expected),
            _sum(self.high, other.high),
        )


def _sum(one: _N | None, other: _N | None) -> _N | None:
    return None if one is None or other is None else one + other


@dataclass(frozen=True, repr=False)
class Estimate:
    """What some requests will take, before anything is sent.

    Attributes
    ----------
    rows, requests, duplicates, skipped, files
        Numbers of rows; of requests to send; of rows that ask what another row asks already; of
        rows without a request; of input files.
    input_tokens, output_tokens
        Ranges of tokens. Those of reasoning are not among the output tokens unless
        ``max_completion_tokens`` bounds them; `notes` says so.
    cost, standard_cost
        Ranges of `Decimal` USD through the Batch API and through the realtime API; None where no
        price is known.
    exact
        Whether the input tokens are counted as the service counts them.
    notes
        What limits these figures, in words.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf
    >>> frame = pd.DataFrame({"text": ["good", "bad", "good"]})
    >>> estimate = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"]).estimate()
    >>> estimate.rows, estimate.requests, estimate.duplicates
    (3, 2, 1)
    >>> estimate.cost.high < estimate.standard_cost.high
    True
    """

    rows: int
    requests: int
    duplicates: int
    skipped: int
    files: int
    input_tokens: Range[int]
    output_tokens: Range[int]
    cost: Range[Decimal] | None
    standard_cost: Range[Decimal] | None
    exact: bool
    notes: tuple[str, ...]

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            rows=self.rows + other.rows,
            requests=self.requests + other.requests,
            duplicates=self.duplicates + other.duplicates,
            skipped=self.skipped + other.skipped,
            files=self.files + other.files,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost=_both(self.cost, other.cost),
            standard_cost=_both(self.standard_cost, other.standard_cost),
            exact=self.exact and other.exact,
            notes=tuple(dict.fromkeys((*self.notes, *other.notes))),
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the ranges as a frame: one row a figure; low, expected, high.

        Tokens are int and money is `Decimal`, so the columns have dtype object; unknown is None.
        """
        figures = {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": self.cost,
            "standard_cost": self.standard_cost,
        }
        return pd.DataFrame.from_dict(
            {
                name: [None] * 3 if known is None else [known.low, known.expected, known.high]
                for name, known in figures.items()
            },
            orient="index",
            columns=["low", "expected", "high"],
            dtype=object,
        )

    def __repr__(self) -> str:
        return to_text(self._card())

    def _repr_html_(self) -> str:
        return to_html(self._card())

    def _card(self) -> Card:
        figures = (
            _figures("input tokens", self.input_tokens, count),
            _figures("output tokens", self.output_tokens, count),
            _figures("batch cost", self.cost, money),
            _figures("standard cost", self.standard_cost, money),
        )
        asked = f"{plural(self.requests, 'request')} in {plural(self.files, 'file')}"
        return Card(
            title=f"Estimate for {plural(self.rows, 'row')}: {asked}",
            table=Table("tokens and USD", ("", "low", "expected", "high"), figures),
            notes=self.notes,
        )


def _figures(
    name: str, known: Range[_N] | None, words: Callable[[_N | None], str]
) -> tuple[str, ...]:
    if known is None:
        return (name, *(UNKNOWN,) * 3)
    high = "no bound" if known.high is None else words(known.high)
    return (name, words(known.low), words(known.expected), high)


def _both(one: Range[Decimal] | None, other: Range[Decimal] | None) -> Range[Decimal] | None:
    return None if one is None or other is None else one + other


def estimate(table: RequestTable, *, prices: Mapping[str, Any] | None = None) -> Estimate:
    """Count and price every request of a table.

    Raises
    ------
    RequestError
        If a row makes a request that is too large for any file.
    """
    recipe = table.recipe
    files = len(shards_of(table, OPENAI))
    read, exact, notes = _input_tokens(table)
    written, output_notes = _output_tokens(recipe)
    batch = price(recipe.model, "batch", prices=prices)
    standard = price(recipe.model, "standard", prices=prices)
    asked = int((table.number >= 0).sum())
    return Estimate(
        rows=table.rows,
        requests=table.requests,
        duplicates=asked - table.requests,
        skipped=table.rows - asked,
        files=files,
        input_tokens=Range(*(int(read.sum()),) * 3),
        output_tokens=_each(written, lambda tokens: tokens * table.requests),
        cost=_cost(batch, read, written),
        standard_cost=_cost(standard, read, written),
        exact=exact,
        notes=tuple(dict.fromkeys((*notes, *output_notes, *_price_notes(recipe.model, batch)))),
    )


def _each(known: Range[int], f: Callable[[int], _N]) -> Range[_N]:
    return Range(
        f(known.low),
        None if known.expected is None else f(known.expected),
        None if known.high is None else f(known.high),
    )


def _cost(
    known: Price | None, read: npt.NDArray[np.int64], written: Range[int]
) -> Range[Decimal] | None:
    if known is None:
        return None
    return _each(written, lambda tokens: known.cost_of(read, np.full(len(read), tokens)))


def _price_notes(model: str, batch: Price | None) -> Iterator[str]:
    if batch is None:
        yield (
            f"No batch price is known for {model}. Give yours, in USD per million tokens: "
            'estimate(prices={"input": "0.10", "output": "0.60"}).'
        )
    else:
        as_of = f" ({batch.as_of})" if batch.as_of else ""
        yield f"Prices: {batch.source}{as_of}."


def _input_tokens(table: RequestTable) -> tuple[npt.NDArray[np.int64], bool, list[str]]:
    """Return the input tokens of each request, whether all are exact, and why not."""
    if any(isinstance(slot, JsonColumn) for slot in table.envelope.slots):
        return _input_tokens_one_by_one(table)
    endpoint, counter = endpoint_of(table.recipe.endpoint), token_counter(table.recipe.model)
    filled = endpoint.count_tokens(_filled(endpoint.body(table.recipe)))
    around = filled.tokens - len(table.envelope.slots) * counter.count_one(_FILLING)
    counts = [np.zeros(0, np.int64)]
    exact = filled.exact
    for _, batch in table.request_batches():
        tokens = np.full(batch.num_rows, around)
        for slot in table.envelope.slots:
            assert isinstance(slot, Template)  # noqa: S101 - the other kind has left above
            cells = {cell: batch[column_name(cell)] for cell in slot.cells}
            tally = counter.tally(slot.render(cells, batch.num_rows))
            tokens += tally.tokens
            exact &= bool(tally.exact.all())
        counts.append(tokens)
    return np.concatenate(counts), exact, _token_notes(table, exact)


def _input_tokens_one_by_one(
    table: RequestTable,
) -> tuple[npt.NDArray[np.int64], bool, list[str]]:
    endpoint = endpoint_of(table.recipe.endpoint)
    counts, exact = [], True
    for _, request in table.each_request():
        body = msgspec.json.decode(b'{"custom_id":"' + request, type=dict[str, Any])["body"]
        count = endpoint.count_tokens(body)
        counts.append(count.tokens)
        exact &= count.exact
    return np.array(counts, np.int64), exact, _token_notes(table, exact)


def _token_notes(table: RequestTable, exact: bool) -> list[str]:  # noqa: FBT001 - one private use
    counter = token_counter(table.recipe.model)
    notes = [counter.note] if counter.note else []
    if not exact and table.recipe.output.schema is not None:
        notes.append("The output schema's tokens are known to within 3 for each request.")
    return notes


_FILLING: Final = "a"


def _filled(value: Any) -> Any:
    """Put a short text in the place of every template: an empty message is counted otherwise."""
    if isinstance(value, Template):
        return _FILLING
    if isinstance(value, Mapping):
        return {key: _filled(item) for key, item in value.items()}
    return [_filled(item) for item in value] if isinstance(value, list) else value


def _output_tokens(recipe: Recipe) -> tuple[Range[int], list[str]]:
    """Bound the output tokens of one request, from the spec and the request's own limit."""
    known = _by_spec(recipe)
    limit = recipe.body.get("max_completion_tokens") or recipe.body.get("max_tokens")
    thinks = is_reasoning(recipe.model) and recipe.body.get("reasoning_effort") != "none"
    notes: list[str] = []
    if isinstance(limit, int):
        high = limit if thinks or known.high is None else min(known.high, limit)
        known = Range(
            min(known.low, limit),
            None if known.expected is None else min(known.expected, limit),
            high,
        )
    elif thinks:
        notes.append(_REASONING)
    if known.high is None:
        notes.append(_UNBOUNDED)
    return known, notes


def _by_spec(recipe: Recipe) -> Range[int]:
    bounds, counter = shortest_and_longest(recipe.output), token_counter(recipe.model)
    typical = counter.count(bounds.typical) if bounds.typical else None
    low = 1 if bounds.shortest is None else counter.count_one(bounds.shortest)
    high = None if bounds.longest is None else counter.count_one(bounds.longest)
    if typical is None:
        return Range(low, None, high)
    mean = int(np.ceil(typical.mean()))
    return Range(int(typical.min()), mean, int(max(typical.max(), high or 0)))


_REASONING: Final = (
    "Reasoning tokens are billed as output and are not in the range: nobody can know them before. "
    'Bound them with max_completion_tokens=, or switch them off with reasoning_effort="none".'
)
_UNBOUNDED: Final = (
    "Nothing bounds the length of an answer, so the high end is not known. Bound it with "
    "max_completion_tokens=, or with an output= of labels."
)


def checked_max_cost(max_cost: object, known: Estimate, model: str) -> None:
    """Hold a limit against the high end of an estimate.

    Parameters
    ----------
    max_cost
        USD as int, float, str or `Decimal`.

    Raises
    ------
    CostError
        If the high end is above it, or not known.
    """
    try:
        limit = Decimal(str(max_cost))
    except InvalidOperation:
        raise CostError.not_an_amount(max_cost) from None
    if not limit.is_finite() or limit < 0:
        raise CostError.not_an_amount(max_cost)
    if known.cost is None:
        raise CostError.no_price(model, limit)
    if known.cost.high is None:
        raise CostError.no_high_end(limit, known.cost.low)
    if known.cost.high > limit:
        raise CostError.above(limit, known.cost.low, known.cost.expected, known.cost.high)
