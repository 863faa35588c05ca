"""Prices → what is to be said of them: whose they are, of which day, and who states others.

In: a price, or None; the service. Out: notes for an estimate, in words.
Must not know: requests, tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from batchframe._display import UNKNOWN
from batchframe._models.genai_prices import near_models, price_book
from batchframe._models.price_lookup import GIVEN, Price, Tier, doubts
from batchframe._services.provider_table import LOCAL, OPENAI, Provider, is_loopback


def is_openais(provider: Provider) -> bool:
    """Tell whether the models and prices are OpenAI's; those of a rehearsal are."""
    return provider.price_book == OPENAI.price_book


def price_notes(
    model: str, batch: Price | None, prices: Mapping[str, Any] | None, provider: Provider
) -> list[str]:
    """Say whose prices these are and of which day, and who states others."""
    tiers: tuple[Tier, ...] = ("batch", "standard") if is_openais(provider) else ()
    others = doubts(model, tiers, prices)
    if batch is None:
        where = "" if is_openais(provider) else f" at this service ({provider.name})"
        near = near_models(model) if is_openais(provider) else []
        guess = f" Did you mean {near[0]}?" if near else ""
        unknown = (
            f"No batch price is known for {model}{where}.{guess} Give yours, in USD per million "
            'tokens: estimate(prices={"input": "0.10", "output": "0.60"}).'
        )
        return [unknown, *_discount_notes(provider), *others]
    as_of = f" ({batch.as_of})" if batch.as_of else ""
    newest = _newest_in_words() if is_openais(provider) else ""
    return [f"Prices: {batch.source}{as_of}.{newest}", *others]


def _discount_notes(provider: Provider) -> list[str]:
    if provider.discount is None:
        return []
    saved = f"{provider.name} states that a batch saves {provider.discount:.0%} of its standard"
    return [f'{saved} price: give that alone as prices={{"standard": {{...}}}}.']


def whose_notes(batch: Price | None, base_url: str | None, provider: Provider) -> list[str]:
    """Say where these prices may not be those that are billed."""
    if batch is None or batch.source.startswith(GIVEN) or base_url is None:
        return []
    host = urlsplit(base_url).hostname or base_url
    if provider.key == LOCAL.key:
        return ["These are OpenAI's own prices: a rehearsal on this machine is billed by nobody."]
    if is_loopback(host):
        return [f"A rehearsal on this machine is billed by nobody; {provider.name} would."]
    if provider.key == "azure":
        return [
            (
                "The price is that of Azure's model of this name: a deployment may be called "
                "otherwise than its model."
            )
        ]
    return []


def _newest_in_words() -> str:
    book = price_book()
    newest = book.as_of or UNKNOWN
    return f" Newest OpenAI price in {book.name} {book.version}: {newest}."
