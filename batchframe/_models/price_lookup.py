"""What a token costs by model and tier, from sources in order, since no single one has all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

from batchframe._base.errors import CostError
from batchframe._models.genai_prices import book_price
from batchframe._models.given_prices import given_prices
from batchframe._models.price import TIERS, LongContext, Price, Tier
from batchframe._models.price_table import table_price
from batchframe._services.provider_table import OPENAI, Provider

_Source = Callable[[str, Tier, Provider, date | None], Price | None]
_SOURCES: Final[tuple[_Source, ...]] = (book_price, table_price)
"""Asked in this order for what the user gave no price of. To add a source, add its function: it
returns None unless it states a price for this very model, tier and provider."""


def price(
    model: str,
    tier: Tier = "batch",
    *,
    provider: Provider = OPENAI,
    prices: Mapping[str, Any] | None = None,
    on: date | None = None,
    with_images: bool = False,
) -> Price | None:
    """Give what a model's tokens cost in a tier.

    Parameters
    ----------
    model
        The model's name, as it stands in the request.
    tier
        ``"batch"``, ``"standard"``, ``"flex"`` or ``"priority"``.
    provider
        Who is paid.
    prices
        Your own prices, in USD per 1,000,000 tokens; they win over every other source. One dict
        of rates is for the batch tier: ``{"input": "0.10", "output": "0.60"}``, with
        ``"cached_input"`` and ``"cache_write"`` if you have them. For more tiers, one such dict
        each: ``{"batch": {...}, "standard": {...}}``. A tier that is not in it is looked up. Texts,
        `Decimal`, int and float are taken, a float as it prints.
    on
        The day whose prices are wanted; today when None.
    with_images
        Whether images go in: all input is then priced as theirs, where that is dearer.

    Returns
    -------
    Price or None
        None means unknown, which is not free.

    Raises
    ------
    CostError
        If `prices` has another shape.

    Examples
    --------
    >>> luna = price("gpt-5.6-luna", "batch", on=date(2026, 11, 21))
    >>> luna.input, luna.cached_input, luna.output
    (Decimal('0.1'), Decimal('0.01'), Decimal('0.6'))
    >>> price("gpt-5.3-chat-latest", "batch") is None
    True
    >>> price("my-model", "batch", prices={"input": 0.1, "output": 0.6}).output
    Decimal('0.6')
    """
    if tier not in TIERS:
        raise CostError.unknown_tier(tier, TIERS)
    given = {} if prices is None else given_prices(prices)
    if tier in given:
        return replace(given[tier], model=model)
    stated = (source(model, tier, provider, on) for source in _SOURCES)
    found = next(filter(None, stated), None)
    if found is None and tier == "batch" and provider.discount is not None:
        standard = price(model, "standard", provider=provider, prices=prices, on=on)
        found = standard and _discounted(standard, provider.discount, provider.name)
    return found.of_images() if found is not None and with_images else found


def _discounted(standard: Price, discount: Decimal, name: str) -> Price:
    """Take from a standard price what a service states that all its batches save."""
    left, long = 1 - discount, standard.long_context
    # Whether cached input is cheaper still in a batch is not stated: it counts as other input.
    return replace(
        standard,
        tier="batch",
        input=standard.input * left,
        cached_input=None,
        output=_times(standard.output, left),
        long_context=long
        and LongContext(long.threshold, long.input * left, None, _times(long.output, left)),
        source=f"{standard.source}, less {discount:.0%} as {name} states for batches",
        cache_write=None,
    )


def _times(rate: Decimal | None, part: Decimal) -> Decimal | None:
    return None if rate is None else rate * part


def lifetime_of_cache_note(body: Mapping[str, Any]) -> list[str]:
    """Say that a longer life in the prompt cache has a price that is not known here."""
    options = body.get("prompt_cache_options")
    if not isinstance(options, Mapping) or options.get("ttl") in {None, "30m"}:
        return []
    note = (
        f"Input kept in the prompt cache for {options['ttl']} is dearer to write than for 30m, by "
        "how much is not known here: what is written is priced as for 30m."
    )
    return [note]
