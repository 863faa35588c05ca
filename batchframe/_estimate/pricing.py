"""Prices → what is to be said of them: whose they are, of which day, and who states others.

In: a price, or None; the service. Out: notes for an estimate, in words.
Must not know: requests, tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from batchframe._display import UNKNOWN
from batchframe._models.genai_prices import near_models, price_book
from batchframe._models.price import LEAST_CACHED, Price, Tier
from batchframe._models.price_lookup import GIVEN, Price, Tier, _given_by_tier
from batchframe._models.price_table import disagreement, in_words
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


def doubts(model: str, tiers: Sequence[Tier], prices: Mapping[str, Any] | None = None) -> list[str]:
    """Say in words where another price book states another price for a model.

    Parameters
    ----------
    prices
        Your own, as for `price`: about those nobody is in doubt.

    Examples
    --------
    >>> print(*doubts("babbage-002", ["batch", "standard"]))
    litellm 1.109.1 (2026-11-21) states input $0.2, output $0.2 per million tokens for babbage-002
    in the batch tier: OpenAI's Batch table, read 2026-10-14, has no row for it.
    """
    given = {} if prices is None else _given_by_tier(prices)
    found = [disagreement(model, tier) for tier in tiers if tier not in given]
    return in_words([one for one in found if one is not None])


def cache_notes(batch: Price | None, read: npt.NDArray[np.int64]) -> list[str]:
    """Say what writing to the prompt cache may add to requests of so many input tokens."""
    if batch is None or batch.cache_write is None or not batch.may_write(read).any():
        return []
    told = (
        f"{batch.model} bills input that it writes to the prompt cache at "
        f"${batch.cache_write:f} per million tokens in place of ${batch.input:f}. The high end "
        f"takes all input of requests of {LEAST_CACHED:,} tokens or more to be written; low and "
        "expected take none, as in the batches that were reported."
    )
    return [told]


def image_notes(batch: Price | None, *, with_images: bool) -> list[str]:
    """Say that text that goes in beside images is priced as they are."""
    if batch is None or batch.image_input is None or not with_images:
        return []
    told = (
        f"All input of {batch.model} is priced as that of images, ${batch.input:f} per million "
        "tokens: the text among it costs less."
    )
    return [told]
