"""The installed `genai-prices` price book, without its silent fallbacks.

The library returns the standard price for a model without a batch price, a model's batch price for
aliases that the Batch API rejects, and a model's price for any name that only looks like one of its
snapshots. All are excluded here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, Final

from batchframe._base.clock import today
from batchframe._models.availability import shutdown
from batchframe._models.litellm_prices import is_in_snapshot
from batchframe._models.names import listed_name
from batchframe._models.price import LongContext, Price, Tier
from batchframe._models.rules import not_in_batch
from batchframe._services.provider import OPENAI, Provider

# Tier names in the library. OpenAI's batch results state `service_tier: "default"`, so the library
# has a separate key for batch.
_CONTEXTS: Final[Mapping[Tier, Mapping[str, str]]] = MappingProxyType(
    {
        "batch": {"processing": "batch"},
        "standard": {},
        "flex": {"service_tier": "flex"},
        "priority": {"service_tier": "priority"},
    }
)


# Services of OpenAI's models, whose snapshots are known by name.
_OPENAIS: Final = ("openai", "azure")
_KEYS: Final = ("input_mtok", "cache_read_mtok", "output_mtok", "cache_write_mtok")
# The library inherits these from the standard price if a tier omits them.
_OF_THE_CACHE: Final = ("cache_read_mtok", "cache_write_mtok")


@dataclass(frozen=True)
class PriceBook:
    """The installed price book.

    Attributes
    ----------
    name, version
        The distribution: ``"genai-prices"``, ``"0.2.3"``.
    as_of
        The date of its latest change to an OpenAI price, not in the future.
    """

    name: str
    version: str
    as_of: date | None


def price_book(on: date | None = None) -> PriceBook:
    """Describe the installed price book, for display.

    Parameters
    ----------
    on
        The date to look up; today if None.
    """
    day = on or today()
    dated = [
        entry
        for model in _openai_models(day)
        for entry in (*_dated_prices(model), *(model.price_variants or ()))
    ]
    starts = [start for start in map(_start, dated) if start is not None and start <= day]
    return PriceBook("genai-prices", version("genai-prices"), max(starts, default=None))


def near_models(model: str) -> list[str]:
    """Find OpenAI models with similar names, to suggest for a misspelling.

    Examples
    --------
    >>> near_models("gpt5.6-luna"), near_models("gpt-5.6-luna"), near_models("llama-4-scout")
    (['gpt-5.6-luna'], [], [])
    """
    names = [entry.id for entry in _openai_models(today())]
    return [] if model in names else get_close_matches(model, names, n=1, cutoff=0.9)


def _openai_models(day: date) -> Sequence[Any]:
    match = _look_up("gpt-4o", "openai", day, {})
    models: Sequence[Any] = () if match is None else match.provider.models
    return models


def book_price(
    model: str, tier: Tier, provider: Provider = OPENAI, on: date | None = None
) -> Price | None:
    """Look up a price in the installed book, offline.

    Parameters
    ----------
    model
        The model's name, as in a request.
    tier
        ``"batch"``, ``"standard"``, ``"flex"`` or ``"priority"``.
    provider
        The provider that charges.
    on
        The date of the prices, in UTC; today if None. The book dates batch prices by their first
        verification; earlier dates get those prices.

    Returns
    -------
    Price or None
        None if the book has no price for this model in exactly this tier.
    """
    name = provider.price_book
    return None if name is None else _book_price(model, tier, name, on or today())


@lru_cache(maxsize=1024)
def _book_price(model: str, tier: Tier, name: str, day: date) -> Price | None:
    context = _CONTEXTS[tier]
    match = _look_up(model, name, day, {})
    if match is None or (tier == "batch" and not_in_batch(model)):
        return None
    if name in _OPENAIS and not _is_listed(model, match.model):
        return None
    tier_rates: Mapping[str, Any] | None = None
    as_of = _active_start(match.model, day)
    if context:
        variant = _variant(match, context, day)
        if variant is None:
            return None
        start = _start(variant)
        day, as_of = max(day, start or day), start
        tier_rates = _rates(variant.prices)
        match = _look_up(model, name, day, context)
    rates = _rates(match.model_price)
    if tier_rates and "input_mtok" in tier_rates:
        # No published value exists for this tier.
        inherited = {key for key in _OF_THE_CACHE if key not in tier_rates}
        rates = {key: rate for key, rate in rates.items() if key not in inherited}
    return _price(model, tier, rates, f"genai-prices {version('genai-prices')}, {name}", as_of)


def _look_up(model: str, provider: str, day: date, context: Mapping[str, str]) -> Any:
    # Importing the library and its data takes 0.4 s, so it is deferred to the first price.
    from genai_prices import Usage, calc_price  # noqa: PLC0415

    try:
        return calc_price(
            Usage(input_tokens=0, output_tokens=0),
            model,
            provider_id=provider,
            genai_request_timestamp=datetime.combine(day, time(12), UTC),
            price_context=context,
        )
    except LookupError:
        return None


def _is_listed(model: str, entry: Any) -> bool:
    """Return whether a table lists this name, not only a matching pattern."""
    # Older fine-tunes are named by their model and ".ft-".
    name = listed_name(model).partition(".ft-")[0]
    names = {entry.id, *_texts(entry.match, "equals")}
    if name.startswith("ft:") and not any(
        text.startswith("ft:") for text in (*names, *_texts(entry.match, "starts_with"))
    ):
        return False  # the price of its base model
    return name in names or is_in_snapshot(name) or shutdown(name) is not None


def _texts(clause: Any, kind: str) -> Iterator[str]:
    if hasattr(clause, kind):
        yield getattr(clause, kind)
    for inner in getattr(clause, "or_", ()):
        yield from _texts(inner, kind)


def _variant(match: Any, context: Mapping[str, str], day: date) -> Any:
    """Find a tier's price; None if the book falls back to standard."""
    if not any(model is match.model for model in match.provider.models):
        # A model of another provider, which the library prices as standard in every tier.
        return None
    variants = [variant for variant in match.model.price_variants or () if variant.when == context]
    active = [variant for variant in variants if (_start(variant) or day) <= day]
    return next(iter(active), None) or min(
        variants, key=lambda variant: _start(variant) or day, default=None
    )


def _price(
    model: str, tier: Tier, rates: Mapping[str, Any], source: str, as_of: date | None
) -> Price | None:
    # Image models output little text, which is priced like images.
    output_rate = rates.get("output_image_mtok", rates.get("output_mtok"))
    values = [{**rates, "output_mtok": output_rate}.get(key) for key in _KEYS]
    starts = {step.start for rate in values for step in getattr(rate, "tiers", ())}
    if values[0] is None or len(starts) > 1:
        # No price, or more price brackets than a `Price` supports.
        return None
    base, long = [_below(rate) for rate in values], [_above(rate) for rate in values]
    above = LongContext(starts.pop(), long[0] or Decimal(0), *long[1:]) if starts else None
    return Price(
        model=model,
        tier=tier,
        input=base[0] or Decimal(0),
        cached_input=base[1],
        output=base[2],
        long_context=above,
        source=source,
        as_of=as_of,
        cache_write=base[3],
        image_input=_below(rates.get("input_image_mtok")),
    )


def _rates(prices: Any) -> dict[str, Any]:
    return {key: rate for key, rate in vars(prices).items() if rate is not None}


def _below(rate: Any) -> Decimal | None:
    below: Decimal | None = getattr(rate, "base", rate)
    return below


def _above(rate: Any) -> Decimal | None:
    above: Decimal | None = rate.tiers[-1].price if hasattr(rate, "tiers") else rate
    return above


def _start(dated: Any) -> date | None:
    return getattr(dated.constraint, "start_date", None)


def _active_start(model: Any, day: date) -> date | None:
    starts = [start for start in map(_start, _dated_prices(model)) if start and start <= day]
    return starts[-1] if starts else None


def _dated_prices(model: Any) -> Sequence[Any]:
    return model.prices if isinstance(model.prices, list) else ()
