"""Requests → what they will take: tokens and dollars, as ranges with their reasons.

In: a request table and its input tokens. Out: a frozen :class:`Estimate`. Sends nothing, writes
nothing.
Must not know: files, the network, what a job has really cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

import numpy as np
import pandas as pd

from batchframe._counting import InputTokens
from batchframe._display import (
    UNKNOWN,
    Card,
    Shown,
    Table,
    count,
    money,
    plural,
    span,
)
from batchframe._endpoints import endpoint_of
from batchframe._output import shortest_and_longest
from batchframe._prices import Price, price
from batchframe._providers import OPENAI
from batchframe._range import Range
from batchframe._recipe import Recipe
from batchframe._request_table import RequestTable
from batchframe._shards import shards_of
from batchframe._tokens import token_counter
from batchframe._warn import warn_user
from batchframe.errors import CostError, ReasoningWarning

_N = TypeVar("_N", int, Decimal)


@dataclass(frozen=True, repr=False)
class Estimate(Shown):
    """What some requests will take, before anything is sent.

    Attributes
    ----------
    rows, requests, duplicates, reused, skipped, files
        Numbers of rows; of requests to send; of rows that ask what another row asks already; of
        requests that an earlier job answered, which are not sent again; of rows without a
        request; of input files.
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
    reused: int
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
            reused=self.reused + other.reused,
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


def in_words(known: Range[_N] | None, words: Callable[[_N | None], str]) -> str:
    """Write a range as people read it."""
    return UNKNOWN if known is None else span(known.low, known.expected, known.high, words)


def _figures(
    name: str, known: Range[_N] | None, words: Callable[[_N | None], str]
) -> tuple[str, ...]:
    if known is None:
        return (name, *(UNKNOWN,) * 3)
    high = "no bound" if known.high is None else words(known.high)
    return (name, words(known.low), words(known.expected), high)


def _both(one: Range[Decimal] | None, other: Range[Decimal] | None) -> Range[Decimal] | None:
    return None if one is None or other is None else one + other


def estimate(
    table: RequestTable, read: InputTokens, *, prices: Mapping[str, Any] | None = None
) -> Estimate:
    """Price every request of a table whose input tokens are counted.

    Raises
    ------
    CostError
        If `prices` has another shape.
    RequestError
        If a row makes a request that is too large for any file.
    """
    recipe = table.recipe
    files = len(shards_of(table, OPENAI))
    # Where nothing is sent nothing is unknown.
    written, output_notes = _output_tokens(recipe) if table.to_send else (Range.exactly(0), [])
    batch = price(recipe.model, "batch", prices=prices)
    standard = price(recipe.model, "standard", prices=prices)
    asked = int((table.number >= 0).sum())
    return Estimate(
        rows=table.rows,
        requests=table.to_send,
        duplicates=asked - table.requests,
        reused=table.reused,
        skipped=table.rows - asked,
        files=files,
        input_tokens=Range.exactly(int(read.tokens.sum())),
        output_tokens=written.map(lambda tokens: tokens * table.to_send),
        cost=_cost(batch, read, written),
        standard_cost=_cost(standard, read, written),
        exact=read.exact,
        notes=(*read.notes, *output_notes, _price_note(recipe.model, batch)),
    )


def _cost(known: Price | None, read: InputTokens, written: Range[int]) -> Range[Decimal] | None:
    if known is None:
        return None
    return written.map(lambda tokens: known.cost_of(read.tokens, tokens))


def _price_note(model: str, batch: Price | None) -> str:
    if batch is None:
        return (
            f"No batch price is known for {model}. Give yours, in USD per million tokens: "
            'estimate(prices={"input": "0.10", "output": "0.60"}).'
        )
    as_of = f" ({batch.as_of})" if batch.as_of else ""
    return f"Prices: {batch.source}{as_of}."


def _output_tokens(recipe: Recipe) -> tuple[Range[int], list[str]]:
    """Bound the output tokens of one request, from the spec and the request's own limit."""
    endpoint = endpoint_of(recipe.endpoint)
    body = {"model": recipe.model, **recipe.body}
    answer, limit, reasons = (
        _by_spec(recipe),
        endpoint.output_limit(body),
        endpoint.may_reason(body),
    )
    notes = [_REASONING] if reasons and limit is None else []
    if limit is not None:
        # Reasoning counts against the limit and may use it up.
        longest = limit if reasons or answer.high is None else min(answer.high, limit)
        answer = Range(answer.low, answer.expected, longest).map(lambda tokens: min(tokens, limit))
    if answer.high is None:
        notes.append(_UNBOUNDED)
    return answer, notes


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


def refuse_above(max_cost: object, known: Estimate, model: str) -> None:
    """Hold a limit against the high end of an estimate.

    Parameters
    ----------
    max_cost
        USD as int, float, str or `Decimal`.

    Raises
    ------
    CostError
        If the high end is above it, or not known.

    Warns
    -----
    ReasoningWarning
        If reasoning tokens may come on top of it.
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
    if _REASONING in known.notes:
        warn_user(ReasoningWarning.beyond_max_cost(model, limit))
