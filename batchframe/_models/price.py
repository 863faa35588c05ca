"""What one model's tokens cost in one tier, in exact arithmetic, so that sums are right."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Context, Decimal, Inexact, localcontext
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from batchframe._base.errors import CostError
from batchframe._base.safe_text import PRICES

Tier = Literal["batch", "standard", "flex", "priority"]
TIERS: Final[tuple[Tier, ...]] = get_args(Tier)

LEAST_CACHED: Final = 1_024
"""Input tokens below which nothing is cached (OpenAI prompt caching guide, 2026-11)."""
# Sums of tokens times rates stay far below 60 digits; were one ever rounded, this would raise.
_EXACT: Final = Context(prec=60, traps=[Inexact])


@dataclass(frozen=True)
class LongContext:
    """The rates of a whole request whose input is longer than a threshold.

    Attributes
    ----------
    threshold
        Tokens. One token more, and every token of the request is charged at these rates (OpenAI
        model pages of gpt-5.4 and later, 2026-11: more than 272,000 input tokens).
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
    """What the text tokens of one model cost in one tier.

    Attributes
    ----------
    model
        The model that was asked for.
    tier
        ``"batch"``, ``"standard"``, ``"flex"`` or ``"priority"``.
    input
        USD per 1,000,000 input tokens.
    cached_input
        USD per 1,000,000 input tokens read from the prompt cache. None where none is published
        for this tier; they are then charged as other input, which is never too little.
    output
        USD per 1,000,000 output tokens, those of reasoning among them; None where the model
        writes none, such as an embedding model.
    long_context
        The rates of long requests, where there are such.
    source
        Where these figures come from, in words.
    as_of
        The day they were verified or took effect, where known.
    cache_write
        USD per 1,000,000 input tokens that are written to the prompt cache, where they have a price
        of their own (gpt-5.6 and later: 1.25 times that of other input; OpenAI pricing page,
        2026-11). None where none is published; they are then charged as other input.
    image_input
        USD per 1,000,000 input tokens of images, where they are dearer than those of text.

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

    def of_images(self) -> Price:
        """Price all input as that of images: text among it counts too much, never too little."""
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
        """Give the cost of one request.

        Parameters
        ----------
        input_tokens
            All input tokens, those read from the prompt cache and written to it among them, as the
            service's ``usage`` has it.
        output_tokens
            All output tokens, those of reasoning among them.
        cached_tokens
            The input tokens read from the prompt cache.
        cache_write_tokens
            The input tokens written to the prompt cache; none of them is also read from it.

        Returns
        -------
        Decimal
            USD, exact.

        Raises
        ------
        CostError
            If there are output tokens and the model has no price for them.
        ValueError
            If a number is negative, or more tokens were cached than there were.
        """
        return self.cost_of([input_tokens], [output_tokens], [cached_tokens], [cache_write_tokens])

    def cost_of(
        self,
        input_tokens: ArrayLike,
        output_tokens: ArrayLike = 0,
        cached_tokens: ArrayLike = 0,
        cache_write_tokens: ArrayLike = 0,
    ) -> Decimal:
        """Give the cost of many requests together: the exact sum of their costs.

        Parameters
        ----------
        input_tokens, output_tokens, cached_tokens, cache_write_tokens
            Whole numbers of tokens for each request, as in `cost`; a single number stands for
            every request.

        Returns
        -------
        Decimal
            USD, exact: whole tokens are added up before they are priced.

        Raises
        ------
        CostError
            If there are output tokens and the model has no price for them.
        ValueError
            If a number is negative, or more tokens were cached than there were.

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
    ) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        """Give what the input, the cached input, the cache writes and the output cost.

        Parameters and errors are those of `cost_of`; the four add up to it exactly. The first is
        the input that was neither read from the cache nor written to it.

        Examples
        --------
        >>> luna = Price("gpt-5.6-luna", "batch", Decimal("0.1"), Decimal("0.01"), Decimal("0.6"))
        >>> luna.parts_of([1_000, 3_000], output_tokens=200, cached_tokens=[0, 1_000])
        (Decimal('0.0003'), Decimal('0.00001'), Decimal('0'), Decimal('0.00024'))
        """
        kinds = _kinds(input_tokens, output_tokens, cached_tokens, cache_write_tokens)
        totals = np.full(len(kinds), Decimal(0))
        with localcontext(_EXACT):
            for rates, tokens, _ in self._brackets(kinds):
                totals += tokens.sum(axis=1).astype(object) * self._four(rates, tokens[-1])
            fresh, from_cache, to_cache, answers = (_plain(total.scaleb(-6)) for total in totals)
        return fresh, from_cache, to_cache, answers

    def most_of(self, input_tokens: ArrayLike, output_tokens: ArrayLike = 0) -> Decimal:
        """Give the most that many requests can cost together.

        Nothing is taken to be read from the prompt cache, and all that may be to be written to it.
        Parameters and errors are those of `cost_of`.

        Examples
        --------
        >>> luna = Price("", "batch", Decimal("0.1"), output=Decimal(1), cache_write=Decimal("0.2"))
        >>> luna.most_of([1_000, 2_000]), luna.cost_of([1_000, 2_000])
        (Decimal('0.0005'), Decimal('0.0003'))
        """
        return self.cost_of(input_tokens, output_tokens, 0, self.may_write(input_tokens))

    def may_write(self, input_tokens: ArrayLike) -> NDArray[np.int64]:
        """Give the input tokens of each request that writing to the prompt cache makes dearer."""
        read = np.atleast_1d(np.asarray(input_tokens, dtype=np.int64))
        dearer = self.cache_write is not None and self.cache_write > self.input
        return np.where(dearer & (read >= LEAST_CACHED), read, 0)

    def costs_of(
        self,
        input_tokens: ArrayLike,
        output_tokens: ArrayLike = 0,
        cached_tokens: ArrayLike = 0,
        cache_write_tokens: ArrayLike = 0,
    ) -> NDArray[np.object_]:
        """Give the cost of each of many requests: exact `Decimal` USD, one a request.

        Parameters and errors are those of `cost_of`; the costs add up to it exactly, and all have
        the same number of digits behind the point.

        Examples
        --------
        >>> luna = Price("gpt-5.6-luna", "batch", Decimal("0.1"), None, Decimal("0.6"))
        >>> luna.costs_of([1_000, 3_000], output_tokens=200).tolist()
        [Decimal('0.0002200'), Decimal('0.0004200')]
        """
        kinds = _kinds(input_tokens, output_tokens, cached_tokens, cache_write_tokens)
        units = np.zeros(kinds.shape[1], dtype=object)
        with localcontext(_EXACT):
            digits = max(_digits(rate) for rate in self._all_rates())
            for rates, tokens, these in self._brackets(kinds):
                # Whole numbers of Python, which know no largest one.
                units[these] = sum(
                    kind.astype(object) * int(rate.scaleb(digits))
                    for kind, rate in zip(tokens, self._four(rates, tokens[-1]), strict=True)
                )
            costs = [Decimal(one).scaleb(-6 - digits) for one in units.tolist()]
        column = np.empty(len(costs), dtype=object)
        column[:] = costs
        return column

    def _brackets(
        self, kinds: NDArray[np.int64]
    ) -> Iterator[tuple[Price | LongContext, NDArray[np.int64], NDArray[np.bool_] | slice]]:
        """Divide requests by the rates they are charged: each by its own length, never the sum."""
        if self.long_context is None:
            yield self, kinds, slice(None)
            return
        long = kinds[:3].sum(axis=0) > self.long_context.threshold
        yield self, kinds[:, ~long], ~long
        yield self.long_context, kinds[:, long], long

    def _four(
        self, rates: Price | LongContext, written: NDArray[np.int64]
    ) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        """Give the rates of fresh input, cached input, cache writes and output."""
        if rates.output is None and written.any():
            raise CostError(
                f"The output of {self.model} has no known price in the {self.tier} tier, so its "
                "cost cannot be stated.",
                next_step="Give it: " + PRICES + ", in USD per 1,000,000 tokens.",
            )
        cached = rates.input if rates.cached_input is None else rates.cached_input
        to_cache = rates.input if rates.cache_write is None else rates.cache_write
        return rates.input, cached, to_cache, rates.output or Decimal(0)

    def _all_rates(self) -> list[Decimal]:
        both = (self,) if self.long_context is None else (self, self.long_context)
        return [
            rate
            for rates in both
            for rate in (rates.input, rates.cached_input, rates.cache_write, rates.output)
            if rate is not None
        ]


def sum_of(amounts: Iterable[Decimal]) -> Decimal:
    """Add up dollars exactly, whatever the caller's decimal context is.

    Examples
    --------
    >>> sum_of([Decimal("0.10"), Decimal("0.00000000001")])
    Decimal('0.10000000001')
    """
    with localcontext(_EXACT):
        return _plain(sum(amounts, Decimal(0)))


def within(costs: Iterable[Decimal], limit: Decimal) -> int:
    """Count the first costs that together stay within a limit.

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


def _plain(dollars: Decimal) -> Decimal:
    """Drop the zeros at the end of a fraction, and only those."""
    whole = dollars.to_integral_value()
    return whole if dollars == whole else dollars.normalize()


def _kinds(
    input_tokens: ArrayLike,
    output_tokens: ArrayLike,
    cached_tokens: ArrayLike,
    cache_write_tokens: ArrayLike,
) -> NDArray[np.int64]:
    """Divide the tokens of each request: fresh input, from the cache, to the cache, output."""
    numbers = (input_tokens, output_tokens, cached_tokens, cache_write_tokens)
    columns = [np.atleast_1d(np.asarray(one)) for one in numbers]
    # An empty list becomes an array of floats, which holds no number that is not whole.
    whole = all(one.size == 0 or np.issubdtype(one.dtype, np.integer) for one in columns)
    if not whole or any((one < 0).any() for one in columns):
        raise ValueError("numbers of tokens must be whole and not negative")
    read, written, cached, to_cache = np.broadcast_arrays(*(c.astype(np.int64) for c in columns))
    fresh = read - cached - to_cache
    if (fresh < 0).any():
        raise ValueError("more input tokens are said to be cached than there were")
    return np.stack([fresh, cached, to_cache, written])
