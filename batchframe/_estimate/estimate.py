"""Requests → what they will take: tokens and dollars, as ranges with their reasons.

In: a request table and its input tokens. Out: a frozen :class:`Estimate`. Sends nothing, writes
nothing.
Must not know: files, the network, what a job has really cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
import pandas as pd

from batchframe._base.clock import today
from batchframe._base.ranges import Range
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
from batchframe._estimate.answer_length import NO_ANSWER, Experience, answer_length
from batchframe._estimate.counting import InputTokens, Numbers
from batchframe._estimate.preflight import window_note
from batchframe._estimate.pricing import (
    cache_notes,
    image_notes,
    is_openais,
    price_notes,
    whose_notes,
)
from batchframe._models.hosted_tools import hosted_notes, hosted_tools
from batchframe._models.price import sum_of
from batchframe._models.price_lookup import GIVEN, Price, Tier, lifetime_of_cache_note, price
from batchframe._models.price_table import long_doubt
from batchframe._models.rules import lifetime_notes
from batchframe._requests.input_files import shards_of
from batchframe._requests.table import RequestTable
from batchframe._services.provider_table import OPENAI, Provider

_N = TypeVar("_N", int, Decimal)

PRICED_AT_ONCE: Final = 65_536
"""Requests that are priced together: each takes many more numbers than are kept of it."""


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
        price is known. Nothing is taken to be read from the prompt cache: that shows only
        afterwards. The high end takes all that may be to be written to it, where that is dearer.
    flex_cost, priority_cost
        The same in the realtime API's cheaper and faster tiers.
    input_cost
        The part of `cost` that the input makes.
    unbounded_reasoning
        Whether reasoning tokens, which nothing bounds, come on top of the output tokens and costs.
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
    flex_cost: Range[Decimal] | None = None
    priority_cost: Range[Decimal] | None = None
    input_cost: Range[Decimal] | None = None
    unbounded_reasoning: bool = False

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
            flex_cost=_both(self.flex_cost, other.flex_cost),
            priority_cost=_both(self.priority_cost, other.priority_cost),
            input_cost=_both(self.input_cost, other.input_cost),
            unbounded_reasoning=self.unbounded_reasoning or other.unbounded_reasoning,
        )

    @property
    def saved(self) -> Decimal | None:
        """What is saved by the rows and requests that are not sent, in USD through the Batch API.

        About: each is taken for the mean of those that are sent, at the expected cost or, where
        that is not known, the low one. None where no price is known, or nothing is sent.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf
        >>> frame = pd.DataFrame({"text": ["good", "good"]})
        >>> known = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"]).estimate()
        >>> known.saved == known.cost.expected
        True
        """
        if self.cost is None or not self.requests:
            return None
        cost = self.cost.low if self.cost.expected is None else self.cost.expected
        return cost * (self.duplicates + self.reused) / self.requests

    def with_notes(self, *notes: str) -> Estimate:
        """Return the same figures with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def to_frame(self) -> pd.DataFrame:
        """Return the ranges as a frame: one row a figure; low, expected, high.

        Tokens are int and money is `Decimal`, so the columns have dtype object; unknown is None.
        """
        figures = {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": self.cost,
            "standard_cost": self.standard_cost,
            "flex_cost": self.flex_cost,
            "priority_cost": self.priority_cost,
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
        more = " + reasoning" if self.unbounded_reasoning else ""
        figures = (
            _figures("input tokens", self.input_tokens, count),
            _figures("output tokens", self.output_tokens, count, more),
            _figures("batch cost", self.cost, money, more),
            _figures("standard cost", self.standard_cost, money, more),
            _figures("flex cost", self.flex_cost, money, more),
            _figures("priority cost", self.priority_cost, money, more),
        )
        asked = f"{plural(self.requests, 'request')} in {plural(self.files, 'file')}"
        return Card(
            title=f"Estimate for {plural(self.rows, 'row')}: {asked}",
            facts=self._unsent_facts(),
            table=Table("tokens and USD", ("", "low", "expected", "high"), figures),
            notes=self.notes,
        )

    def _unsent_facts(self) -> tuple[tuple[str, str], ...]:
        parts = []
        if self.duplicates:
            parts.append(f"{plural(self.duplicates, 'row')} equal to another")
        if self.reused:
            parts.append(f"{plural(self.reused, 'request')} answered before")
        if not parts:
            return ()
        worth = "" if self.saved is None else f": saves about {money(self.saved)}"
        return (("not sent", " and ".join(parts) + worth),)


def in_words(known: Range[_N] | None, words: Callable[[_N | None], str]) -> str:
    """Write a range as people read it."""
    return UNKNOWN if known is None else span(known.low, known.expected, known.high, words)


def _figures(
    name: str, known: Range[_N] | None, words: Callable[[_N | None], str], more: str = ""
) -> tuple[str, ...]:
    if known is None:
        return (name, *(UNKNOWN,) * 3)
    high = "no bound" if known.high is None else words(known.high) + more
    return (name, words(known.low), words(known.expected), high)


def _both(one: Range[Decimal] | None, other: Range[Decimal] | None) -> Range[Decimal] | None:
    return None if one is None or other is None else one + other


def estimate(
    table: RequestTable,
    read: InputTokens,
    *,
    prices: Mapping[str, Any] | None = None,
    before: Experience | None = None,
    narrow: bool = False,
    base_url: str | None = None,
    provider: Provider = OPENAI,
) -> Estimate:
    """Price every request of a table whose input tokens are counted.

    Parameters
    ----------
    before
        What earlier jobs with this prompt and model were answered.
    narrow
        Whether to give the 95 % interval of `before` in place of the bounds.
    base_url
        Of the service that will be asked; OpenAI's where it is None.
    provider
        Its limits and whose prices count.

    Raises
    ------
    CostError
        If `prices` has another shape.
    RequestError
        If a row makes a request that is too large for any file.
    """
    model, body = table.recipe.model, table.recipe.body
    if hosted_tools(body):
        # What they find is read, too, and nobody can count it.
        read = replace(read, high=None)
    written = (
        answer_length(table.recipe, before, table.to_send, narrow=narrow)
        if table.to_send
        else NO_ANSWER
    )
    answers = written.of(table.to_send)
    asked = int((table.number >= 0).sum())
    pictured = table.recipe.images is not None
    rates: Callable[[Tier], Price | None]
    rates = partial(price, model, provider=provider, prices=prices, with_images=pictured)
    by_second = endpoint_of(table.recipe.endpoint).brings == "names"
    if by_second:
        rates = _no_price  # whatever tokens cost, it is not by them
    elif prices is None and answers.high != 0:
        rates = _of_input_and_output(rates)
    batch = rates("batch")
    notes = (
        *read.notes,
        *window_note(table, read),
        *written.notes,
        *hosted_notes(body),
        *(() if by_second else price_notes(model, batch, prices, provider)),
        *whose_notes(batch, base_url, provider),
        *cache_notes(batch, read.tokens if read.high is None else read.high),
        *lifetime_of_cache_note(body),
        *image_notes(batch, with_images=pictured),
        *_long_notes(batch, read),
        *(lifetime_notes(model, today()) if is_openais(provider) else ()),
    )
    return Estimate(
        rows=table.rows,
        requests=table.to_send,
        duplicates=asked - table.requests,
        reused=table.reused,
        skipped=table.rows - asked,
        files=len(shards_of(table, provider)),
        input_tokens=read.total,
        output_tokens=answers,
        cost=cost_range(batch, read, answers),
        standard_cost=cost_range(rates("standard"), read, answers),
        exact=read.exact,
        notes=notes,
        flex_cost=cost_range(rates("flex"), read, answers),
        priority_cost=cost_range(rates("priority"), read, answers),
        input_cost=cost_range(batch, read, Range.exactly(0)),
        unbounded_reasoning=written.unbounded_reasoning,
    )


def _of_input_and_output(rates: Callable[[Tier], Price | None]) -> Callable[[Tier], Price | None]:
    """Take a price of the input alone for none, where there is output, too."""

    def both(tier: Tier) -> Price | None:
        known = rates(tier)
        return None if known is None or known.output is None else known

    return both


def _no_price(tier: Tier) -> None:  # noqa: ARG001 - in the place of a price
    return None


def cost_range(
    known: Price | None, read: InputTokens, written: Range[int]
) -> Range[Decimal] | None:
    """Price the requests of a table: each by its own length, then all together.

    Parameters
    ----------
    written
        The output tokens of all of them.
    """
    if known is None:
        return None
    middle, high = written.expected, written.high
    return Range(
        _priced(known.cost_of, read.low, written.low),
        None if middle is None else _priced(known.cost_of, read.tokens, middle),
        None if high is None or read.high is None else _priced(known.most_of, read.high, high),
    )


def _priced(
    price_of: Callable[[Numbers, Numbers], Decimal], read: Numbers, written: int
) -> Decimal:
    """Price requests, not all at once."""
    requests = len(read)
    return sum_of(
        price_of(read[start : start + PRICED_AT_ONCE], _shared(written, requests, start))
        for start in range(0, requests, PRICED_AT_ONCE)
    )


def _shared(total: int, requests: int, start: int) -> Numbers:
    """Share tokens among requests as evenly as whole numbers can be, so that none is lost.

    Returns
    -------
    The shares of the requests that are priced at once, from `start` on.
    """
    each, left = divmod(total, requests)
    stop = min(start + PRICED_AT_ONCE, requests)
    return each + np.diff(np.arange(start, stop + 1) * left // requests)


def _long_notes(batch: Price | None, read: InputTokens) -> list[str]:
    if batch is None:
        return []
    if batch.long_context is None:
        return _doubtful_notes(batch, read)
    threshold = batch.long_context.threshold
    long = int((read.tokens > threshold).sum())
    if not long:
        return []
    told = (
        f"{plural(long, 'request')} of more than {threshold:,} input tokens: each is priced at the "
        "rates of long context as a whole."
    )
    return [told]


def _doubtful_notes(batch: Price, read: InputTokens) -> list[str]:
    doubt_of = None if batch.source.startswith(GIVEN) else long_doubt(batch.model)
    if doubt_of is None:
        return []
    threshold, why = doubt_of
    long = int((read.tokens > threshold).sum())
    told = (
        f"{plural(long, 'request')} of more than {threshold:,} input tokens may cost more than is "
        f"said here: {why}."
    )
    return [told] if long else []
