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
from batchframe._estimate.answer_length import NO_ANSWER, answer_length
from batchframe._estimate.counting import InputTokens, Numbers
from batchframe._estimate.estimate import Estimate
from batchframe._estimate.history import Experience
from batchframe._estimate.learning import NOTHING, Learned
from batchframe._estimate.preflight import window_note
from batchframe._models.availability import lifetime_notes
from batchframe._models.genai_prices import near_models
from batchframe._models.given_prices import GIVEN
from batchframe._models.hosted_tools import hosted_notes, hosted_tools
from batchframe._models.price import LEAST_CACHED, TIERS, Tier, sum_of
from batchframe._models.price_lookup import price_range, unpriced_notes
from batchframe._models.price_range import PriceRange
from batchframe._recipe.recipe import Recipe
from batchframe._requests.input_files import plan_input_files
from batchframe._requests.table import RequestTable
from batchframe._services.provider import LOCAL, OPENAI, Provider, is_loopback

_ASSUMED: Final = ("other", "self-hosted", LOCAL.key)
"""Profiles of services that state no facts."""
PRICED_AT_ONCE: Final = 65_536
"""Block size for pricing, which limits the memory of intermediate arrays."""


def estimate(
    table: RequestTable,
    input_tokens: InputTokens,
    *,
    prices: Mapping[str, Any] | None = None,
    before: Experience | None = None,
    narrow: bool = False,
    learned: Learned = NOTHING,
    base_url: str | None = None,
    provider: Provider = OPENAI,
) -> Estimate:
    """Estimate the cost of a request table from its input tokens.

    Parameters
    ----------
    before
        Earlier answers to this prompt and model.
    narrow
        Whether to return the 95% interval of `before`, within the bounds.
    learned
        How the bills of finished jobs differ from the counts.
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
    if hosted_tools(recipe.body, recipe.model):
        # Tool results are billed as input and cannot be counted in advance.
        input_tokens = replace(input_tokens, high=None)
    if recipe.files is not None and learned.input is None:
        # What a file adds beyond the fewest tokens is known from bills alone.
        input_tokens = replace(input_tokens, is_least=True)
    length = NO_ANSWER
    if table.to_send:
        length = answer_length(
            recipe,
            before,
            table.to_send,
            narrow=narrow,
            enforced=provider.enforces_schema,
            learned=learned,
        )
    output_tokens = length.of(table.to_send)
    rates = _rates(recipe, output_tokens, prices, provider)
    costs = {tier: cost_range(rates[tier], input_tokens, output_tokens) for tier in TIERS}
    if not table.to_send:
        costs = dict.fromkeys(TIERS, Range.exactly(Decimal(0)))
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
            *hosted_notes(recipe.body, recipe.model),
            *_price_notes(recipe, rates["batch"], rates["standard"], base_url, provider),
            *unpriced_notes(recipe.body, rates["batch"] or rates["standard"]),
            *_input_notes(recipe, rates["batch"], input_tokens),
            *(lifetime_notes(recipe.model, today()) if has_openai_prices(provider) else ()),
            *_service_notes(
                provider, rates["batch"], rates["standard"], int(input_tokens.tokens.sum())
            ),
        ),
        flex_cost=costs["flex"],
        priority_cost=costs["priority"],
        input_cost=cost_range(rates["batch"], input_tokens, Range.exactly(0)),
        unbounded_reasoning=length.unbounded_reasoning,
        bounded=length.bounded and input_tokens.high is not None,
    )


def recipe_rates(
    recipe: Recipe, tier: Tier, prices: Mapping[str, Any] | None, provider: Provider
) -> PriceRange | None:
    """Look up the price of a recipe's requests in a tier."""
    return price_range(
        recipe.model,
        tier,
        provider=provider,
        prices=prices,
        body=recipe.body,
        with_images=recipe.images is not None,
    )


def _rates(
    recipe: Recipe, output_tokens: Range[int], prices: Mapping[str, Any] | None, provider: Provider
) -> dict[Tier, PriceRange | None]:
    """Look up the price of each tier; None if it is incomplete."""
    rates = {tier: recipe_rates(recipe, tier, prices, provider) for tier in TIERS}
    if prices is None and output_tokens.high != 0:
        # An input price alone is not enough for requests with output.
        incomplete = [tier for tier, found in rates.items() if found and not found.covers_output]
        rates |= dict.fromkeys(incomplete)
    return rates


def has_openai_prices(provider: Provider) -> bool:
    """Return whether models and prices are OpenAI's, as in a local run."""
    return provider.price_book == OPENAI.price_book


def cost_range(
    rates: PriceRange | None, input_tokens: InputTokens, output_tokens: Range[int]
) -> Range[Decimal] | None:
    """Sum the cost of all requests, each priced by its own length.

    The lower bound assumes that all eligible input is read from the prompt cache, at the lowest
    rates of the price books; the upper bound, that it is written to it, at the highest.

    Parameters
    ----------
    output_tokens
        The total of all requests.
    """
    if rates is None:
        return None
    low, middle, high = output_tokens.low, output_tokens.expected, output_tokens.high
    longest, most = input_tokens.high, None
    if high is not None and longest is not None and rates.high is not None:
        most = _sum_of_costs(rates.high.most_of, high, longest)
    may_be = np.maximum(input_tokens.tokens, LEAST_CACHED) if longest is None else longest
    return Range(
        _sum_of_costs(rates.low.least_of, low, input_tokens.low, may_be),
        None
        if middle is None or input_tokens.is_least
        else _sum_of_costs(rates.expected.cost_of, middle, input_tokens.tokens),
        most,
    )


def file_highs(
    recipe: Recipe,
    files: Sequence[range],
    input_tokens: InputTokens,
    estimate: Estimate,
    *,
    prices: Mapping[str, Any] | None,
    provider: Provider,
) -> tuple[Decimal, ...]:
    """Return the upper bound of the cost of each input file.

    Empty for a single file, or if a bound is unknown.
    """
    output, longest = estimate.output_tokens.high, input_tokens.high
    if len(files) < 2 or not estimate.bounded or output is None or longest is None:  # noqa: PLR2004
        return ()
    rates = _rates(recipe, estimate.output_tokens, prices, provider)["batch"]
    if rates is None or rates.high is None:
        return ()
    return tuple(
        _sum_of_costs(
            rates.high.most_of,
            -(-output * len(file) // estimate.requests),
            longest[file.start : file.stop],
        )
        for file in files
    )


def _sum_of_costs(
    price_of: Callable[..., Decimal], output_tokens: int, *input_tokens: Numbers
) -> Decimal:
    """Price requests in blocks; distribute the output tokens evenly."""
    requests = len(input_tokens[0])

    def blocks() -> Iterator[Decimal]:
        for start in range(0, requests, PRICED_AT_ONCE):
            stop = min(start + PRICED_AT_ONCE, requests)
            share, remainder = divmod(output_tokens, requests)
            shares = share + np.diff(np.arange(start, stop + 1) * remainder // requests)
            yield price_of(
                input_tokens[0][start:stop],
                shares,
                *(column[start:stop] for column in input_tokens[1:]),
            )

    return sum_of(blocks())


def _price_notes(
    recipe: Recipe,
    batch: PriceRange | None,
    standard: PriceRange | None,
    base_url: str | None,
    provider: Provider,
) -> Iterator[str]:
    """Yield notes on the source and date of prices, and on doubts."""
    if batch is None:
        yield _unknown_price_note(recipe.model, standard, provider)
    else:
        as_of = f" ({batch.expected.as_of})" if batch.expected.as_of else ""
        yield f"Prices: {batch.expected.source}{as_of}."
    yield from dispute_notes(batch, standard)
    if batch is None or batch.expected.source.startswith(GIVEN) or base_url is None:
        return
    if provider.key == LOCAL.key or is_loopback(urlsplit(base_url).hostname or base_url):
        name = OPENAI.name if provider.key == LOCAL.key else provider.name
        yield f"Local run: nothing is billed; the prices are those of {name}."
    elif provider.key == "azure":
        yield (
            "The price is for Azure's model of this name, by one price book alone; your deployment "
            "may run another model."
        )


def dispute_notes(*rates: PriceRange | None) -> Iterator[str]:
    """Yield a note for each tier on whose price the books disagree."""
    for found in rates:
        if found is not None and found.dispute is not None:
            yield (
                f"Price books disagree on {found.expected.model} in the {found.expected.tier} tier "
                f"({found.dispute}): the cost range spans them."
            )


def _service_notes(
    provider: Provider, batch: PriceRange | None, standard: PriceRange | None, tokens: int
) -> Iterator[str]:
    """Yield at most two notes: the provider's terms, and the number of waves."""
    if provider.key not in _ASSUMED:
        when = f"within {provider.window}" if provider.expires else "in its own time"
        days = provider.results_kept
        keeping = "" if days is None else f", and keeps results for {plural(days, 'day')}"
        yield f"{provider.name} answers {when}{_share_of_standard(batch, standard)}{keeping}."
    limit = provider.max_enqueued_tokens
    if limit is not None and tokens > limit:
        waves = -(-tokens // limit)
        yield (
            f"Sent in about {plural(waves, 'wave')}: the queue takes {limit:,} input tokens of a "
            "model at a time."
        )


def _share_of_standard(batch: PriceRange | None, standard: PriceRange | None) -> str:
    """Return the batch price as a share of the standard one; "" if not known."""
    rates = [one.expected for one in (batch, standard) if one is not None]
    if len(rates) < 2 or any(one.source.startswith(GIVEN) for one in rates) or not rates[1].input:  # noqa: PLR2004
        return ""
    return f" at {rates[0].input / rates[1].input:.0%} of the standard price"


def _unknown_price_note(model: str, standard: PriceRange | None, provider: Provider) -> str:
    """Return one line with the prices to pass: the standard ones, if known."""
    where = "" if has_openai_prices(provider) else f" at {provider.name}"
    note = f"The batch price of {model}{where} is unknown."
    if standard is not None and standard.high is not None and standard.high.output is not None:
        known = standard.high
        rates = f'prices={{"input": "{known.input:f}", "output": "{known.output:f}"}}'
        shell = f"--price input={known.input:f} --price output={known.output:f}"
        return (
            f"{note} To assume the standard price ({known.source}): "
            + NextStep(f"estimate({rates})", shell)
            + "."
        )
    if provider.discount is not None and provider.discount_on(model) is None:
        return (
            f"{note} It is not among the models that {provider.name} discounts in batches, and may "
            'not be available there. Pass its price: prices={"batch": {...}}.'
        )
    if provider.discount is not None:
        return (
            f"{note} {provider.name} takes {provider.discount:.0%} off its standard price, which "
            'you may pass: prices={"standard": {...}}.'
        )
    matches = near_models(model) if has_openai_prices(provider) else []
    guess = f" Did you mean {matches[0]}?" if matches else ""
    return (
        f"{note}{guess} Pass it in USD per million tokens: "
        + NextStep(f"estimate({PRICES})", PRICES.shell)
        + "."
    )


def _input_notes(
    recipe: Recipe, batch: PriceRange | None, input_tokens: InputTokens
) -> Iterator[str]:
    """Yield notes on extra input costs: the prompt cache, images, length."""
    if batch is None:
        return
    yield from _cache_notes(batch, input_tokens)
    expected = batch.expected
    if expected.image_input is not None and recipe.images is not None:
        yield (
            f"All input is priced as images, ${expected.input:f} per million tokens; text costs "
            "less."
        )
    yield from _long_notes(batch, input_tokens)


def _cache_notes(batch: PriceRange, input_tokens: InputTokens) -> Iterator[str]:
    longest = input_tokens.tokens if input_tokens.high is None else input_tokens.high
    if not (longest >= LEAST_CACHED).any():
        return
    ends = []
    if batch.low.cached_input is not None and batch.low.cached_input < batch.low.input:
        ends.append(f"lower bound includes prompt cache reads at ${batch.low.cached_input:f}")
    if batch.high is not None and batch.high.may_write(longest).any():
        ends.append(f"upper bound includes prompt cache writes at ${batch.high.cache_write:f}")
    if ends:
        yield (
            f"The {' and the '.join(ends)} per million tokens, for requests of at least "
            f"{LEAST_CACHED:,} tokens."
        )


def _long_notes(batch: PriceRange, input_tokens: InputTokens) -> Iterator[str]:
    long = None if batch.high is None else batch.high.long_context
    if long is None:
        return
    rest = "long-context rates apply."
    if batch.expected.long_context is None:
        # One book has long-context rates, the preferred one has none.
        book = next(price.source for price in batch.books if price.long_context is not None)
        rest = f"{book} has higher rates, which the upper bound includes."
    if count := int((input_tokens.tokens > long.threshold).sum()):
        yield f"{plural(count, 'request')} of more than {long.threshold:,} input tokens: {rest}"
