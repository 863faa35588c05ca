"""Price lookup by model and tier, across several price books in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

from batchframe._base.clock import today
from batchframe._base.errors import CostError
from batchframe._models.genai_prices import book_price
from batchframe._models.given_prices import given_prices
from batchframe._models.litellm_prices import half_day_writes, litellm_price
from batchframe._models.price import TIERS, LongContext, Price, Tier
from batchframe._models.price_range import PriceRange
from batchframe._models.price_table import is_offered, table_price
from batchframe._services.provider import OPENAI, Provider

_Source = Callable[[str, Tier, Provider, date | None], Price | None]
_SOURCES: Final[tuple[_Source, ...]] = (book_price, table_price, litellm_price)
"""The price books, the preferred one first. To add a source, add its function, which returns None
unless it has a price for exactly this model, tier and provider."""
_USUAL_LIFETIMES: Final = (None, "30m")
_HALF_DAY: Final = "12h"


def price_range(
    model: str,
    tier: Tier = "batch",
    *,
    provider: Provider = OPENAI,
    prices: Mapping[str, Any] | None = None,
    on: date | None = None,
    body: Mapping[str, Any] | None = None,
    with_images: bool = False,
) -> PriceRange | None:
    """Return a model's price in a tier; a range if price books disagree.

    Parameters
    ----------
    model
        The model's name, as in the request.
    tier
        ``"batch"``, ``"standard"``, ``"flex"`` or ``"priority"``.
    provider
        The provider that charges.
    prices
        Your own prices, in USD per 1,000,000 tokens; they override every other source. A single
        dict of rates applies to the batch tier: ``{"input": "0.10", "output": "0.60"}``, with
        ``"cached_input"`` and ``"cache_write"`` if applicable. For several tiers, pass one such
        dict each: ``{"batch": {...}, "standard": {...}}``. Missing tiers are looked up. Rates may
        be strings, `Decimal`, int or float; a float is converted through its string.
    on
        The date of the prices; today if None.
    body
        The request body, whose ``prompt_cache_options`` may raise the price of cache writes.
    with_images
        Whether the input contains images: all input is then priced as image tokens, if those cost
        more.

    Returns
    -------
    PriceRange or None
        None means unknown, which is not free.

    Raises
    ------
    CostError
        If the structure of `prices` is invalid.

    Examples
    --------
    >>> rates = price_range("gpt-5.5-pro", "batch")
    >>> rates.low.long_context.input, rates.high.long_context.input
    (Decimal('15'), Decimal('30'))
    >>> price_range("gpt-5.3-chat-latest", "batch") is None
    True
    >>> price_range("my-model", "batch", prices={"input": 0.1, "output": 0.6}).expected.output
    Decimal('0.6')
    """
    if tier not in TIERS:
        raise CostError.unknown_tier(tier, TIERS)
    user_prices = {} if prices is None else given_prices(prices)
    if tier in user_prices:
        return PriceRange.of([replace(user_prices[tier], model=model)])
    result = _of_books(model, tier, provider, on)
    if result is None and tier == "batch" and provider.discount_on(model) is not None:
        return _discounted_range(
            price_range(model, "standard", provider=provider, prices=prices, on=on), provider
        )
    if result is None:
        return None
    lifetime = cache_lifetime(body or {})
    if lifetime not in _USUAL_LIFETIMES:
        has_price = lifetime == _HALF_DAY
        result = result.with_cache_writes(half_day_writes(model, tier) if has_price else None)
    return result.with_images() if with_images else result


def _of_books(model: str, tier: Tier, provider: Provider, on: date | None) -> PriceRange | None:
    if not is_offered(model, provider):
        return None
    prices_of_books = [source(model, tier, provider, on) for source in _SOURCES]
    books = [book for book in prices_of_books if book is not None]
    if not books:
        return None
    if on is not None and books[0] != _SOURCES[0](model, tier, provider, today()):
        # The snapshot has today's prices, not those of another day.
        books = books[:1]
    return PriceRange.of(books)


def _discounted_range(standard: PriceRange | None, provider: Provider) -> PriceRange | None:
    discount, name = provider.discount, provider.name
    if standard is None or discount is None:
        return None
    return standard.map(lambda rates: _discounted(rates, discount, name))


def _discounted(standard: Price, discount: Decimal, name: str) -> Price:
    """Apply a service's batch discount to a standard price."""
    fraction, long = 1 - discount, standard.long_context
    # No cached price is published for batches, so cached input counts as other input.
    return replace(
        standard,
        tier="batch",
        input=standard.input * fraction,
        cached_input=None,
        output=_times(standard.output, fraction),
        long_context=long
        and LongContext(long.threshold, long.input * fraction, None, _times(long.output, fraction)),
        source=f"{standard.source}, less {name}'s batch discount of {discount:.0%}",
        cache_write=None,
    )


def _times(rate: Decimal | None, part: Decimal) -> Decimal | None:
    return None if rate is None else rate * part


def cache_lifetime(body: Mapping[str, Any]) -> object:
    """Return the lifetime of cache writes that a request asks for, if any.

    Examples
    --------
    >>> cache_lifetime({"prompt_cache_options": {"ttl": "12h"}}), cache_lifetime({})
    ('12h', None)
    """
    options = body.get("prompt_cache_options")
    return options.get("ttl") if isinstance(options, Mapping) else None


def answers_with_audio(body: Mapping[str, Any]) -> bool:
    """Return whether a request asks for audio, which has its own price.

    Examples
    --------
    >>> answers_with_audio({"modalities": ["text", "audio"]}), answers_with_audio({})
    (True, False)
    """
    modalities = body.get("modalities")
    return isinstance(modalities, list) and "audio" in modalities


def unpriced_notes(body: Mapping[str, Any], rates: PriceRange | None) -> Iterator[str]:
    """Yield what is billed at a rate that is unknown."""
    if rates is not None and answers_with_audio(body):
        yield "Audio answers are priced as text; they cost more."
    lifetime = cache_lifetime(body)
    if rates is not None and rates.high is None and lifetime not in _USUAL_LIFETIMES:
        yield (
            f"Prompt cache writes with ttl {lifetime} cost more than with 30m, but their price is "
            "unknown: they are priced as for 30m, and the cost has no upper bound."
        )
