"""Price the requests: input tokens and output bounds times the rates of a tier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from batchframe._base.clock import today
from batchframe._base.ranges import Range
from batchframe._display import (
    UNKNOWN,
    plural,
)
from batchframe._endpoints import endpoint_of
from batchframe._estimate.answer_length import NO_ANSWER, Experience, answer_length
from batchframe._estimate.counting import InputTokens, Numbers
from batchframe._estimate.estimate import Estimate
from batchframe._estimate.preflight import window_note
from batchframe._models.genai_prices import near_models, price_book
from batchframe._models.given_prices import GIVEN, given_prices
from batchframe._models.hosted_tools import hosted_notes, hosted_tools
from batchframe._models.price import LEAST_CACHED, Price, Tier, sum_of
from batchframe._models.price_lookup import lifetime_of_cache_note, price
from batchframe._models.price_table import describe_disagreements, disagreement, long_doubt
from batchframe._models.rules import lifetime_notes
from batchframe._requests.input_files import shards_of
from batchframe._requests.table import RequestTable
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
    given = {} if prices is None else given_prices(prices)
    found = [disagreement(model, tier) for tier in tiers if tier not in given]
    return describe_disagreements([one for one in found if one is not None])


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


PRICED_AT_ONCE: Final = 65_536
"""Requests that are priced together: each takes many more numbers than are kept of it."""


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
