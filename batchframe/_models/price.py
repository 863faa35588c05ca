"""Token prices of one model in one tier, with exact decimal arithmetic."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Context, Decimal, Inexact, localcontext
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from batchframe._base.errors import CostError
from batchframe._base.safe_text import PRICES

Tier = Literal["batch", "standard", "flex", "priority"]
TIERS: Final[tuple[Tier, ...]] = get_args(Tier)
Background = Literal["background_2h", "background_8h"]
BACKGROUND: Final[tuple[Background, ...]] = get_args(Background)
"""Windows of responses in the background, which are compared with the tiers."""

LEAST_CACHED: Final = 1_024
"""Minimum input tokens for caching (OpenAI prompt caching guide, 2026-11)."""
# Sums of tokens times rates stay far below 60 digits; any rounding raises.
_EXACT: Final = Context(prec=60, traps=[Inexact])
_Rates = tuple[Decimal, Decimal, Decimal, Decimal]
"""Rates of uncached input, cached input, cache writes and output."""


@dataclass(frozen=True)
class LongContext:
    """Rates of requests whose input exceeds a threshold.

    Attributes
    ----------
    threshold
        Input tokens. Above it, every token of the request is charged at these rates (OpenAI model
        pages of gpt-5.4 and later, 2026-11: more than 272,000 input tokens).
    input, cached_input, output, cache_write
        USD per 1,000,000 tokens, as in `Price`.
    """

    threshold: int
    input: Decimal
    cached_input: Decimal | None
    output: Decimal | None
    cache_write: Decimal | None = None


@dataclass(frozen=True)
class Price:
    """The price of one model's text tokens in one tier.

    Attributes
    ----------
    model
        The requested model.
    tier
        ``"batch"``, ``"standard"``, ``"flex"`` or ``"priority"``.
    input
        USD per 1,000,000 input tokens.
    cached_input
        USD per 1,000,000 input tokens read from the prompt cache. None if unpublished for this
        tier; they are then charged as other input, which never underestimates the cost.
    output
        USD per 1,000,000 output tokens, including reasoning tokens; None for a model without output
        tokens, such as an embedding model.
    long_context
        The rates of long requests, if any.
    source
        Source of the prices.
    as_of
        The date they were verified or took effect, if known.
    cache_write
        USD per 1,000,000 input tokens written to the prompt cache, if priced separately (gpt-5.6
        and later: 1.25 times that of other input; OpenAI pricing page, 2026-11). None if
        unpublished; they are then charged as other input.
    image_input
        USD per 1,000,000 image input tokens, if they cost more than text tokens.

    Examples
    --------
    >>> luna = Price("gpt-5.6-luna", "batch", Decimal("0.1"), Decimal("0.01"), Decimal("0.6"))
    >>> luna.cost(input_tokens=1_000, output_tokens=200)
    Decimal('0.00022')
    """

    model: str
    tier: Tier
    input: Decimal
    cached_input: Decimal | None = None
    output: Decimal | None = None
    long_context: LongContext | None = None
    source: str = ""
    as_of: date | None = None
    cache_write: Decimal | None = None
    image_input: Decimal | None = None

    def less(self, discount: Decimal) -> Price:
        """Reduce every rate by the same fraction.

        Examples
        --------
        >>> Price("m", "standard", Decimal(2), output=Decimal(10)).less(Decimal("0.4")).output
        Decimal('6.0')
        """
        long = self.long_context
        rates = ("input", "cached_input", "output", "cache_write")
        part = 1 - discount
        less = {name: _times(getattr(self, name), part) for name in (*rates, "image_input")}
        above = {name: _times(getattr(long, name), part) for name in rates if long is not None}
        return replace(self, **less, long_context=long and replace(long, **above))

    def of_images(self) -> Price:
        """Price all input as image tokens, an upper bound if it includes text."""
        if self.image_input is None:
            return self
        return replace(self, input=self.image_input, cached_input=None)

    def cost(
        self,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        cache_write_tokens: int = 0,
    ) -> Decimal:
        """Return the cost of one request.

        Parameters
        ----------
        input_tokens
            All input tokens, including those read from and written to the prompt cache, as in the
            service's ``usage``.
        output_tokens
            All output tokens, including reasoning tokens.
        cached_tokens
            Input tokens read from the prompt cache.
        cache_write_tokens
            Input tokens written to the prompt cache, excluding those read from it.

        Returns
        -------
        Decimal
            USD, exact.

        Raises
        ------
        CostError
            If there are output tokens but the model has no output price.
        ValueError
            If a count is negative, or cached tokens exceed the input tokens.
        """
        return self.cost_of([input_tokens], [output_tokens], [cached_tokens], [cache_write_tokens])

    def cost_of(
        self,
        input_tokens: ArrayLike,
        output_tokens: ArrayLike = 0,
        cached_tokens: ArrayLike = 0,
        cache_write_tokens: ArrayLike = 0,
    ) -> Decimal:
        """Return the exact total cost of many requests.

        Parameters
        ----------
        input_tokens, output_tokens, cached_tokens, cache_write_tokens
            Integers per request, as in `cost`; a scalar applies to every request.

        Returns
        -------
        Decimal
            USD, exact: tokens are summed before they are priced.

        Raises
        ------
        CostError
            If there are output tokens but the model has no output price.
        ValueError
            If a count is negative, or cached tokens exceed the input tokens.

        Examples
        --------
        >>> luna = Price("gpt-5.6-luna", "batch", Decimal("0.1"), None, Decimal("0.6"))
        >>> luna.cost_of([1_000, 3_000], output_tokens=200)
        Decimal('0.00064')
        """
        return sum_of(self.parts_of(input_tokens, output_tokens, cached_tokens, cache_write_tokens))

    def parts_of(
        self,
        input_tokens: ArrayLike,
        output_tokens: ArrayLike = 0,
        cached_tokens: ArrayLike = 0,
        cache_write_tokens: ArrayLike = 0,
    ) -> _Rates:
        """Return the cost of input, cached input, cache writes and output.

        Parameters and errors are those of `cost_of`; the four sum to it exactly. The first excludes
        input read from or written to the cache.

        Examples
        --------
        >>> luna = Price("gpt-5.6-luna", "batch", Decimal("0.1"), Decimal("0.01"), Decimal("0.6"))
        >>> luna.parts_of([1_000, 3_000], output_tokens=200, cached_tokens=[0, 1_000])
        (Decimal('0.0003'), Decimal('0.00001'), Decimal('0'), Decimal('0.00024'))
        """
        kinds = _split_tokens(input_tokens, output_tokens, cached_tokens, cache_write_tokens)
        totals = np.full(len(kinds), Decimal(0))
        with localcontext(_EXACT):
            for rates, tokens, _ in self._brackets(kinds):
                totals += tokens.sum(axis=1).astype(object) * rates
            fresh, from_cache, to_cache, answers = (
                _strip_zeros(total.scaleb(-6)) for total in totals
            )
        return fresh, from_cache, to_cache, answers

    def most_of(self, input_tokens: ArrayLike, output_tokens: ArrayLike = 0) -> Decimal:
        """Return the maximum total cost of many requests.

        Assumes no cache reads, and cache writes of every eligible token.
        Parameters and errors are those of `cost_of`.

        Examples
        --------
        >>> luna = Price("", "batch", Decimal("0.1"), output=Decimal(1), cache_write=Decimal("0.2"))
        >>> luna.most_of([1_000, 2_000]), luna.cost_of([1_000, 2_000])
        (Decimal('0.0005'), Decimal('0.0003'))
        """
        return self.cost_of(input_tokens, output_tokens, 0, self.may_write(input_tokens))

    def least_of(
        self, input_tokens: ArrayLike, output_tokens: ArrayLike, longest_input: ArrayLike
    ) -> Decimal:
        """Return the minimum total cost of many requests.

        Assumes cache reads of every token of the requests that may be cached.
        Parameters and errors are those of `cost_of`.

        Parameters
        ----------
        longest_input
            Largest number of input tokens of a request; 1,024 or more may be cached.

        Examples
        --------
        >>> luna = Price("", "batch", Decimal("0.1"), Decimal("0.01"), Decimal(1))
        >>> luna.least_of([1_000, 1_000], 0, [1_000, 2_000])
        Decimal('0.00011')
        """
        input_ = np.atleast_1d(np.asarray(input_tokens, dtype=np.int64))
        cheaper = self.cached_input is not None and self.cached_input < self.input
        cached = np.where(cheaper & (np.asarray(longest_input) >= LEAST_CACHED), input_, 0)
        return self.cost_of(input_, output_tokens, cached)

    def may_write(self, input_tokens: ArrayLike) -> NDArray[np.int64]:
        """Return the input tokens per request that cache writes may surcharge."""
        input_ = np.atleast_1d(np.asarray(input_tokens, dtype=np.int64))
        has_surcharge = self.cache_write is not None and self.cache_write > self.input
        return np.where(has_surcharge & (input_ >= LEAST_CACHED), input_, 0)

    def costs_of(
        self,
        input_tokens: ArrayLike,
        output_tokens: ArrayLike = 0,
        cached_tokens: ArrayLike = 0,
        cache_write_tokens: ArrayLike = 0,
    ) -> NDArray[np.object_]:
        """Return the cost of each request as exact `Decimal` USD.

        Parameters and errors are those of `cost_of`; the costs sum to it exactly, and all have the
        same number of decimal places.

        Examples
        --------
        >>> luna = Price("gpt-5.6-luna", "batch", Decimal("0.1"), None, Decimal("0.6"))
        >>> luna.costs_of([1_000, 3_000], output_tokens=200).tolist()
        [Decimal('0.0002200'), Decimal('0.0004200')]
        """
        kinds = _split_tokens(input_tokens, output_tokens, cached_tokens, cache_write_tokens)
        units = np.zeros(kinds.shape[1], dtype=object)
        with localcontext(_EXACT):
            brackets = list(self._brackets(kinds))
            digits = max(_digits(rate) for rates, *_ in brackets for rate in rates)
            for rates, tokens, positions in brackets:
                # Python integers, which cannot overflow.
                units[positions] = sum(
                    kind.astype(object) * int(rate.scaleb(digits))
                    for kind, rate in zip(tokens, rates, strict=True)
                )
            costs = [Decimal(cost).scaleb(-6 - digits) for cost in units.tolist()]
        column = np.empty(len(costs), dtype=object)
        column[:] = costs
        return column

    def _brackets(
        self, kinds: NDArray[np.int64]
    ) -> Iterator[tuple[_Rates, NDArray[np.int64], NDArray[np.bool_] | slice]]:
        """Split requests by the rates that apply to their individual lengths."""
        if self.long_context is None:
            yield self._four(self, kinds[-1]), kinds, slice(None)
            return
        long = kinds[:3].sum(axis=0) > self.long_context.threshold
        for rates, positions in ((self, ~long), (self.long_context, long)):
            tokens = kinds[:, positions]
            yield self._four(rates, tokens[-1]), tokens, positions

    def _four(self, rates: Price | LongContext, output_tokens: NDArray[np.int64]) -> _Rates:
        if rates.output is None and output_tokens.any():
            raise CostError(
                f"prices: missing an output price for {self.model} in the {self.tier} tier.",
                next_step="Fix: " + PRICES + ", in USD per 1,000,000 tokens.",
            )
        cached = rates.input if rates.cached_input is None else rates.cached_input
        to_cache = rates.input if rates.cache_write is None else rates.cache_write
        return rates.input, cached, to_cache, rates.output or Decimal(0)


def sum_of(amounts: Iterable[Decimal]) -> Decimal:
    """Sum dollars exactly, regardless of the caller's decimal context.

    Examples
    --------
    >>> sum_of([Decimal("0.10"), Decimal("0.00000000001")])
    Decimal('0.10000000001')
    """
    with localcontext(_EXACT):
        return _strip_zeros(sum(amounts, Decimal(0)))


def within(costs: Iterable[Decimal], limit: Decimal) -> int:
    """Count the leading costs whose sum stays within a limit.

    Examples
    --------
    >>> within([Decimal("0.4"), Decimal("0.4"), Decimal("0.4")], Decimal("0.8"))
    2
    """
    with localcontext(_EXACT):
        return sum(1 for spent in itertools.takewhile(limit.__ge__, itertools.accumulate(costs)))


def _digits(rate: Decimal) -> int:
    exponent = rate.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _strip_zeros(dollars: Decimal) -> Decimal:
    """Remove trailing zeros of the fraction only."""
    integral = dollars.to_integral_value()
    return integral if dollars == integral else dollars.normalize()


def _split_tokens(
    input_tokens: ArrayLike,
    output_tokens: ArrayLike,
    cached_tokens: ArrayLike,
    cache_write_tokens: ArrayLike,
) -> NDArray[np.int64]:
    """Split tokens into uncached input, cache reads, cache writes and output."""
    numbers = (input_tokens, output_tokens, cached_tokens, cache_write_tokens)
    columns = [np.atleast_1d(np.asarray(column)) for column in numbers]
    # An empty list becomes a float array, which is valid since it has no fractions.
    if any(
        column.size and (not np.issubdtype(column.dtype, np.integer) or (column < 0).any())
        for column in columns
    ):
        raise ValueError("tokens must be integers of at least 0")
    input_, output_, cached, to_cache = np.broadcast_arrays(*(c.astype(np.int64) for c in columns))
    fresh = input_ - cached - to_cache
    if (fresh < 0).any():
        raise ValueError("cached_tokens and cache_write_tokens exceed input_tokens")
    return np.stack([fresh, cached, to_cache, output_])


def _times(rate: Decimal | None, part: Decimal) -> Any:
    return None if rate is None else rate * part
