"""The installed price book, `genai-prices`, asked so that it never answers by guess.

Its two traps, both silent, are closed here: it answers the standard price for a model without a
batch price, and it answers a model's batch price for aliases that the Batch API refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, Final

from batchframe._base.clock import today
from batchframe._models.price import LongContext, Price, Tier
from batchframe._models.rules import not_in_batch
from batchframe._services.provider_table import OPENAI, Provider

# What the library calls a tier; OpenAI's batch results say `service_tier: "default"`, so batch is
# a key of its own there.
_CONTEXTS: Final[Mapping[Tier, Mapping[str, str]]] = MappingProxyType(
    {
        "batch": {"processing": "batch"},
        "standard": {},
        "flex": {"service_tier": "flex"},
        "priority": {"service_tier": "priority"},
    }
)


_KEYS: Final = ("input_mtok", "cache_read_mtok", "output_mtok", "cache_write_mtok")
# Kept from the standard price by the library where a tier states its own price without them.
_OF_THE_CACHE: Final = ("cache_read_mtok", "cache_write_mtok")


@dataclass(frozen=True)
class PriceBook:
    """Which price book is installed.

    Attributes
    ----------
    name, version
        The distribution: ``"genai-prices"``, ``"0.2.3"``.
    as_of
        The day of its newest change to an OpenAI price, today or before.
    """

    name: str
    version: str
    as_of: date | None


def price_book(on: date | None = None) -> PriceBook:
    """Describe the installed price book, for display.

    Parameters
    ----------
    on
        The day it is read on; today when None.
    """
    day = on or today()
    dated = [
        one
        for model in _openai_models(day)
        for one in (*_dated_prices(model), *(model.price_variants or ()))
    ]
    starts = [start for start in map(_start, dated) if start is not None and start <= day]
    return PriceBook("genai-prices", version("genai-prices"), max(starts, default=None))


def near_models(model: str) -> list[str]:
    """Find OpenAI's models whose names are almost this one: it may be misspelt.

    Examples
    --------
    >>> near_models("gpt5.6-luna"), near_models("gpt-5.6-luna"), near_models("llama-4-scout")
    (['gpt-5.6-luna'], [], [])
    """
    names = [one.id for one in _openai_models(today())]
    return [] if model in names else get_close_matches(model, names, n=1, cutoff=0.9)


def _openai_models(day: date) -> Sequence[Any]:
    found = _look_up("gpt-4o", "openai", day, {})
    models: Sequence[Any] = () if found is None else found.provider.models
    return models


def book_price(
    model: str, tier: Tier, provider: Provider = OPENAI, on: date | None = None
) -> Price | None:
    """Look a price up in the installed book, offline.

    Parameters
    ----------
    model
        The model's name, as it stands in a request.
    tier
        ``"batch"``, ``"standard"``, ``"flex"`` or ``"priority"``.
    provider
        Who is paid.
    on
        The day whose prices are wanted, in UTC; today when None. The book dates batch prices by
        the day they were first verified: an earlier day gets those.

    Returns
    -------
    Price or None
        None where the book names no price for this model in this very tier.
    """
    day, name, context = on or today(), provider.price_book, _CONTEXTS[tier]
    found = None if name is None else _look_up(model, name, day, {})
    if name is None or found is None or (tier == "batch" and not_in_batch(model)):
        return None
    own: Mapping[str, Any] | None = None
    as_of = _active_start(found.model, day)
    if context:
        variant = _variant(found, context, day)
        if variant is None:
            return None
        start = _start(variant)
        day, as_of = max(day, start or day), start
        own = _rates(variant.prices)
        found = _look_up(model, name, day, context)
    rates = _rates(found.model_price)
    if own and "input_mtok" in own:
        # Nobody published these for this tier.
        strange = {key for key in _OF_THE_CACHE if key not in own}
        rates = {key: rate for key, rate in rates.items() if key not in strange}
    return _price(model, tier, rates, f"genai-prices {version('genai-prices')}, {name}", as_of)


def _look_up(model: str, provider: str, day: date, context: Mapping[str, str]) -> Any:
    # Importing the library and its data takes 0.4 s, which only a cell that asks for a price pays.
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


def _variant(found: Any, context: Mapping[str, str], day: date) -> Any:
    """Find the price the book states for a tier, or None where it would fall back to standard."""
    if not any(model is found.model for model in found.provider.models):
        # Borrowed from another provider, which the library prices as standard whatever is asked.
        return None
    same = [one for one in found.model.price_variants or () if one.when == context]
    active = [one for one in same if (_start(one) or day) <= day]
    return next(iter(active), None) or min(same, key=lambda one: _start(one) or day, default=None)


def _price(
    model: str, tier: Tier, rates: Mapping[str, Any], source: str, as_of: date | None
) -> Price | None:
    # What makes images writes next to nothing beside them: the little is priced as images, too.
    written = rates.get("output_image_mtok", rates.get("output_mtok"))
    four = [{**rates, "output_mtok": written}.get(key) for key in _KEYS]
    starts = {step.start for rate in four for step in getattr(rate, "tiers", ())}
    if four[0] is None or len(starts) > 1:
        # Nothing stated, or more brackets than a `Price` can state.
        return None
    base, long = [_below(rate) for rate in four], [_above(rate) for rate in four]
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
