"""Price ranges of two price books that may disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, final

from batchframe._models.price import LongContext, Price

_Choice = Callable[[Iterable[Decimal]], Decimal]
_LABELS: Final = {"input": "input", "cached_input": "cached input", "output": "output"}


@final
@dataclass(frozen=True)
class PriceRange:
    """Lowest, expected and highest price of a model in a tier.

    Attributes
    ----------
    low
        The lowest of each rate.
    expected
        The price of the preferred book, which is also charged for answers.
    high
        The highest of each rate; None if no book knows it.
    books
        The price of each book that has one.
    """

    low: Price
    expected: Price
    high: Price | None
    books: tuple[Price, ...]

    @classmethod
    def of(cls, books: Sequence[Price]) -> PriceRange:
        """Return the range of one or more prices, the preferred one first.

        Examples
        --------
        >>> one, other = (Price("m", "batch", Decimal(rate)) for rate in (2, 3))
        >>> rates = PriceRange.of([one, other])
        >>> rates.low.input, rates.expected.input, rates.high.input
        (Decimal('2'), Decimal('2'), Decimal('3'))
        """
        return cls(_combined(books, min), books[0], _combined(books, max), tuple(books))

    def map(self, function: Callable[[Price], Price]) -> PriceRange:
        """Apply a function to each price."""
        high = self.high and function(self.high)
        return PriceRange(
            function(self.low), function(self.expected), high, tuple(map(function, self.books))
        )

    def with_images(self) -> PriceRange:
        """Price all input as image tokens, except in the lower bound."""
        high = self.high and self.high.of_images()
        return replace(self, expected=self.expected.of_images(), high=high)

    def with_cache_writes(self, rates: tuple[Decimal, Decimal | None] | None) -> PriceRange:
        """Replace the rates of cache writes; None if they are unknown."""
        if all(book.cache_write is None for book in self.books):
            return self  # writes cost as much as other input
        if rates is None or self.high is None:
            return replace(self, high=None)
        expected, high = (_with_writes(price, *rates) for price in (self.expected, self.high))
        return replace(self, expected=expected, high=high)

    @property
    def covers_output(self) -> bool:
        """Whether the price of output is known."""
        return self.expected.output is not None

    @property
    def dispute(self) -> str | None:
        """The rates on which the books disagree, as text; None if they agree.

        Examples
        --------
        >>> books = (Price("m", "batch", Decimal(n), source=f"book {n}") for n in (2, 3))
        >>> PriceRange.of(tuple(books)).dispute
        'book 2: input $2; book 3: input $3 per million tokens'
        """
        names = [name for name in _LABELS if len(_known(self.books, name)) > 1]
        if not names:
            return None
        prices = "; ".join(f"{book.source}: {_rates(book, names)}" for book in self.books)
        return f"{prices} per million tokens"


def _known(books: Sequence[Price], name: str) -> set[Decimal]:
    return {rate for book in books if (rate := getattr(book, name)) is not None}


def _rates(book: Price, names: Sequence[str]) -> str:
    rates = ((name, getattr(book, name)) for name in names)
    return ", ".join(f"{_LABELS[name]} ${rate:f}" for name, rate in rates if rate is not None)


def _combined(books: Sequence[Price], choose: _Choice) -> Price:
    """Choose each rate among those of the books; the long-context rates, too."""
    usual = {name: _chosen(books, name, choose) for name in ("input", "output", "image_input")}
    return replace(
        books[0],
        input=usual["input"] or Decimal(0),
        output=usual["output"],
        image_input=usual["image_input"],
        cached_input=_of_input(books, "cached_input", choose),
        cache_write=_of_input(books, "cache_write", choose),
        long_context=_combined_long(books, choose),
    )


def _combined_long(books: Sequence[Price], choose: _Choice) -> LongContext | None:
    """Choose the rates of long requests, by default a book's normal rates."""
    thresholds = [book.long_context.threshold for book in books if book.long_context]
    if not thresholds:
        return None
    # Between two thresholds, only the upper bound has long-context rates.
    threshold = max(thresholds) if choose is min else min(thresholds)
    rates = [
        book.long_context
        or LongContext(threshold, book.input, book.cached_input, book.output, book.cache_write)
        for book in books
    ]
    return LongContext(
        threshold,
        choose(rate.input for rate in rates),
        _of_input(rates, "cached_input", choose),
        _chosen(rates, "output", choose),
        _of_input(rates, "cache_write", choose),
    )


def _chosen(books: Sequence[Price | LongContext], name: str, choose: _Choice) -> Decimal | None:
    rates = [rate for book in books if (rate := getattr(book, name)) is not None]
    return choose(rates) if rates else None


def _of_input(books: Sequence[Price | LongContext], name: str, choose: _Choice) -> Decimal | None:
    """Choose a rate; a book without one charges its rate for other input."""
    rates = [getattr(book, name) for book in books]
    if all(rate is None for rate in rates):
        return None
    pairs = zip(rates, books, strict=True)
    return choose(book.input if rate is None else rate for rate, book in pairs)


def _with_writes(price: Price, usual: Decimal, long: Decimal | None) -> Price:
    above = price.long_context
    if above is not None:
        above = replace(above, cache_write=above.cache_write if long is None else long)
    return replace(price, cache_write=usual, long_context=above)
