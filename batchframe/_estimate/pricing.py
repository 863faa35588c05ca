"""Price requests by input tokens, output bounds and tier rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

from batchframe._base.clock import today
from batchframe._base.ranges import Range
from batchframe._base.safe_text import PRICES, NextStep
from batchframe._display import plural
from batchframe._estimate.answer_length import NO_ANSWER, Experience, answer_length
from batchframe._estimate.counting import InputTokens, Numbers
from batchframe._estimate.estimate import Estimate
from batchframe._estimate.preflight import window_note
from batchframe._models.genai_prices import near_models
from batchframe._models.given_prices import GIVEN, given_prices
from batchframe._models.hosted_tools import hosted_notes, hosted_tools
from batchframe._models.price import LEAST_CACHED, TIERS, Price, Tier, sum_of
from batchframe._models.price_lookup import lifetime_of_cache_note, price
from batchframe._models.price_table import describe_disagreements, disagreement, long_doubt
from batchframe._models.rules import lifetime_notes
from batchframe._recipe.recipe import Recipe
from batchframe._requests.input_files import plan_input_files
from batchframe._requests.table import RequestTable
from batchframe._services.provider import LOCAL, OPENAI, Provider, is_loopback

PRICED_AT_ONCE: Final = 65_536
"""Block size for pricing, which limits the memory of intermediate arrays."""


def estimate(
    table: RequestTable,
    input_tokens: InputTokens,
    *,
    prices: Mapping[str, Any] | None = None,
    before: Experience | None = None,
    narrow: bool = False,
    base_url: str | None = None,
    provider: Provider = OPENAI,
) -> Estimate:
    """Estimate the cost of a request table from its input tokens.

    Parameters
    ----------
    before
        Earlier answers to this prompt and model.
    narrow
        Whether to return the 95% interval of `before` instead of the bounds.
    base_url
        The base URL of the service that will receive the requests; OpenAI's if None.
    provider
        The provider whose limits and prices apply.

    Raises
    ------
    CostError
        If `prices` is malformed.
    RequestError
        If a request is too large for an input file.
    """
    recipe = table.recipe
    if hosted_tools(recipe.body):
        # Tool results are billed as input and cannot be counted in advance.
        input_tokens = replace(input_tokens, high=None)
    length = NO_ANSWER
    if table.to_send:
        length = answer_length(recipe, before, table.to_send, narrow=narrow)
    output_tokens = length.of(table.to_send)
    rates = _rates(recipe, output_tokens, prices, provider)
    costs = {tier: cost_range(rates[tier], input_tokens, output_tokens) for tier in TIERS}
    with_prompt = int((table.number >= 0).sum())
    return Estimate(
        rows=table.rows,
        requests=table.to_send,
        duplicates=with_prompt - table.requests,
        reused=table.reused,
        skipped=table.rows - with_prompt,
        files=len(plan_input_files(table, provider)),
        input_tokens=input_tokens.total,
        output_tokens=output_tokens,
        cost=costs["batch"],
        standard_cost=costs["standard"],
        exact=input_tokens.exact,
        notes=(
            *input_tokens.notes,
            *window_note(table, input_tokens),
            *length.notes,
            *hosted_notes(recipe.body),
            *_price_notes(recipe, rates["batch"], prices, base_url, provider),
            *_input_notes(recipe, rates["batch"], input_tokens),
            *(lifetime_notes(recipe.model, today()) if is_openais(provider) else ()),
        ),
        flex_cost=costs["flex"],
        priority_cost=costs["priority"],
        input_cost=cost_range(rates["batch"], input_tokens, Range.exactly(0)),
        unbounded_reasoning=length.unbounded_reasoning,
    )


def _rates(
    recipe: Recipe, output_tokens: Range[int], prices: Mapping[str, Any] | None, provider: Provider
) -> dict[Tier, Price | None]:
    """Look up the price of each tier; None if it is incomplete."""
    with_images = recipe.images is not None
    rates = {
        tier: price(recipe.model, tier, provider=provider, prices=prices, with_images=with_images)
        for tier in TIERS
    }
    if prices is None and output_tokens.high != 0:
        # An input price alone is not enough for requests with output.
        tiers = [
            tier for tier, tier_price in rates.items() if tier_price and tier_price.output is None
        ]
        rates |= dict.fromkeys(tiers)
    return rates


def is_openais(provider: Provider) -> bool:
    """Return whether models and prices are OpenAI's, as in a local run."""
    return provider.price_book == OPENAI.price_book


def cost_range(
    rates: Price | None, input_tokens: InputTokens, output_tokens: Range[int]
) -> Range[Decimal] | None:
    """Sum the cost of all requests, each priced by its own length.

    Parameters
    ----------
    output_tokens
        The total of all requests.
    """
    if rates is None:
        return None
    middle, high = output_tokens.expected, output_tokens.high
    high_cost = None
    if high is not None and input_tokens.high is not None:
        high_cost = _sum_of_costs(rates.most_of, input_tokens.high, high)
    return Range(
        _sum_of_costs(rates.cost_of, input_tokens.low, output_tokens.low),
        None if middle is None else _sum_of_costs(rates.cost_of, input_tokens.tokens, middle),
        high_cost,
    )


def _sum_of_costs(
    price_of: Callable[[Numbers, Numbers], Decimal], input_tokens: Numbers, output_tokens: int
) -> Decimal:
    """Price requests in blocks; distribute the output tokens evenly."""
    requests = len(input_tokens)

    def blocks() -> Iterator[Decimal]:
        for start in range(0, requests, PRICED_AT_ONCE):
            stop = min(start + PRICED_AT_ONCE, requests)
            share, remainder = divmod(output_tokens, requests)
            shares = share + np.diff(np.arange(start, stop + 1) * remainder // requests)
            yield price_of(input_tokens[start:stop], shares)

    return sum_of(blocks())


def doubts(model: str, tiers: Sequence[Tier], prices: Mapping[str, Any] | None = None) -> list[str]:
    """List disagreements between price books on the price of a model.

    Parameters
    ----------
    prices
        Your own prices, as for `price`; tiers with them are not compared.

    Examples
    --------
    >>> print(*doubts("babbage-002", ["batch", "standard"]))
    litellm 1.109.1 (2026-11-21) lists input $0.2, output $0.2 per million tokens for babbage-002
    in the batch tier: OpenAI's Batch table, read 2026-10-14, has no row for it.
    """
    own_prices = {} if prices is None else given_prices(prices)
    differences = [disagreement(model, tier) for tier in tiers if tier not in own_prices]
    return describe_disagreements(
        [difference for difference in differences if difference is not None]
    )


def _price_notes(
    recipe: Recipe,
    batch: Price | None,
    prices: Mapping[str, Any] | None,
    base_url: str | None,
    provider: Provider,
) -> Iterator[str]:
    """Yield notes on the source and date of prices, and on doubts."""
    tiers: tuple[Tier, ...] = ("batch", "standard") if is_openais(provider) else ()
    if batch is None:
        yield from _unknown_price_notes(recipe.model, provider)
    else:
        as_of = f" ({batch.as_of})" if batch.as_of else ""
        yield f"Prices: {batch.source}{as_of}."
    yield from doubts(recipe.model, tiers, prices)
    if batch is None or batch.source.startswith(GIVEN) or base_url is None:
        return
    if provider.key == LOCAL.key or is_loopback(urlsplit(base_url).hostname or base_url):
        name = OPENAI.name if provider.key == LOCAL.key else provider.name
        yield f"Local run: nothing is billed; the prices are those of {name}."
    elif provider.key == "azure":
        yield "The price is for Azure's model of this name; your deployment may run another model."


def _unknown_price_notes(model: str, provider: Provider) -> Iterator[str]:
    where = "" if is_openais(provider) else f" at {provider.name}"
    matches = near_models(model) if is_openais(provider) else []
    guess = f" Did you mean {matches[0]}?" if matches else ""
    yield (
        f"The batch price of {model}{where} is unknown.{guess} Pass it in USD per million tokens: "
        + NextStep(f"estimate({PRICES})", PRICES.shell)
        + "."
    )
    if provider.discount is not None:
        yield (
            f"{provider.name} takes {provider.discount:.0%} off its standard price in batches; "
            'prices={"standard": {...}} is enough.'
        )


def _input_notes(recipe: Recipe, batch: Price | None, input_tokens: InputTokens) -> Iterator[str]:
    """Yield notes on extra input costs: cache writes, images, length."""
    high_input = input_tokens.tokens if input_tokens.high is None else input_tokens.high
    if batch is not None and batch.cache_write is not None and batch.may_write(high_input).any():
        yield (
            f"The upper bound includes prompt cache writes at ${batch.cache_write:f} per million "
            f"tokens, for requests of at least {LEAST_CACHED:,} tokens."
        )
    yield from lifetime_of_cache_note(recipe.body)
    if batch is None:
        return
    if batch.image_input is not None and recipe.images is not None:
        yield (
            f"All input is priced as images, ${batch.input:f} per million tokens; text costs less."
        )
    yield from _long_notes(batch, input_tokens)


def _long_notes(batch: Price, input_tokens: InputTokens) -> Iterator[str]:
    if batch.long_context is not None:
        threshold, rest = batch.long_context.threshold, ": long-context rates apply."
    elif not batch.source.startswith(GIVEN) and (doubt := long_doubt(batch.model)) is not None:
        threshold, why = doubt
        rest = f" may cost more: {why}."
    else:
        return
    if long := int((input_tokens.tokens > threshold).sum()):
        yield f"{plural(long, 'request')} of more than {threshold:,} input tokens{rest}"
