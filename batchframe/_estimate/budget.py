"""Check an estimate against ``max_cost`` before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from batchframe._base.errors import CostError, IntervalWarning, ReasoningWarning, warn_user
from batchframe._base.ranges import Range
from batchframe._base.safe_text import MAX_COST, OUTPUT, PRICES, NextStep, in_shell, requests_step
from batchframe._endpoints import endpoint_of
from batchframe._estimate.answer_length import rests_on_answers
from batchframe._estimate.counting import InputTokens, Numbers
from batchframe._estimate.estimate import Estimate
from batchframe._estimate.pricing import PRICED_AT_ONCE, recipe_rates
from batchframe._models.price import Price, Tier, within
from batchframe._models.price_lookup import cache_lifetime
from batchframe._recipe.recipe import Recipe
from batchframe._requests.table import RequestTable
from batchframe._services.provider import OPENAI, Provider

OnUnbounded = Literal["refuse", "warn"]
"""Without an upper bound: raise, or compare the limit with the likely cost and warn."""


def refuse_above(
    max_cost: object,
    estimate: Estimate,
    table: RequestTable,
    input_tokens: InputTokens,
    prices: Mapping[str, Any] | None = None,
    *,
    provider: Provider = OPENAI,
    tier: Tier = "batch",
    on_unbounded: OnUnbounded = "refuse",
) -> None:
    """Raise if the upper bound of an estimate exceeds a limit, or is unknown.

    Parameters
    ----------
    max_cost
        USD as int, float, str or `Decimal`.
    estimate, table, input_tokens, prices
        The estimate and its inputs.
    provider
        The provider that bills the requests.
    tier
        The price tier: "batch", or "standard" for a pilot.
    on_unbounded
        "warn" compares the limit with the likely cost if no upper bound is known.

    Raises
    ------
    CostError
        If the upper bound exceeds the limit or is unknown.

    Warns
    -----
    ReasoningWarning, IntervalWarning
        If the limit is compared with a likely cost, with and without reasoning.
    """
    limit = amount_of(max_cost)
    recipe = table.recipe
    output_limit = endpoint_of(recipe.endpoint).limit_for(recipe.model)
    bound = output_limit.parameter
    cost = estimate.cost if tier == "batch" else estimate.standard_cost
    if cost is None:
        raise _unknown_price_error(recipe, limit, tier)
    if cost.high is None and estimate.input_tokens.high is None:
        raise CostError(
            _no_guarantee(limit)
            + ", because the input (tool results, files, audio, earlier responses) has no upper "
            f"bound; the cost is {_format_cost(cost)}. Nothing was sent.",
            next_step="Fix: remove what plan.estimate().notes lists, or omit " + MAX_COST + ".",
        )
    if cost.high is None and estimate.output_tokens.high is not None:
        raise _unbounded_price_error(recipe, limit, cost)
    if not estimate.bounded and (on_unbounded == "refuse" or cost.high is None):
        known = on_unbounded == "refuse"
        raise _unbounded_output_error(limit, cost, recipe, estimate, known=known, tier=tier)
    if cost.high is None or cost.high > limit:
        rates = recipe_rates(recipe, tier, prices, provider)
        fitting_rows = _rows_that_fit(limit, estimate, table, input_tokens, rates and rates.high)
        raise _above_error(limit, cost, estimate, bound, fit=fitting_rows, tier=tier)
    if not estimate.bounded:
        _warn_of_likely_cost(limit, estimate, recipe)


def _warn_of_likely_cost(limit: Decimal, estimate: Estimate, recipe: Recipe) -> None:
    """Warn that the limit was compared with a likely cost."""
    text = MAX_COST + (
        f": compared with the likely cost, not an upper bound (${limit:f}); rare long answers or "
        "reasoning may cost more."
    )
    if steps := _bounding_steps(recipe, estimate):
        text += " Fix: " + _either(steps) + "."
    if estimate.unbounded_reasoning:
        warn_user(ReasoningWarning(text))
    else:
        warn_user(IntervalWarning(text))


def _either(options: list[NextStep]) -> NextStep:
    """Join options with "or" in both wordings."""
    text = options[0]
    for option in options[1:]:
        text = text + "; or " + option
    return text


def _bounding_steps(recipe: Recipe, estimate: Estimate) -> list[NextStep]:
    """List the steps that bound the answers of these requests."""
    bound, code = endpoint_of(recipe.endpoint).limit_for(recipe.model)
    steps = [requests_step(f"{bound}=200")] if bound else []
    labeled = recipe.output.schema is not None
    if code and estimate.unbounded_reasoning:
        steps.append(requests_step(code) + ("" if labeled else " and a limit"))
    return steps


def amount_of(max_cost: object) -> Decimal:
    """Parse an amount in USD.

    Raises
    ------
    CostError
        If it is not a number of at least 0.
    """
    try:
        limit = Decimal(str(max_cost))
    except InvalidOperation:
        limit = Decimal("NaN")
    if not limit.is_finite() or limit < 0:
        raise CostError(
            MAX_COST + f": not a valid amount in USD ({max_cost!r}).",
            next_step="Fix: " + NextStep("max_cost=2.50", "--max-cost 2.50") + ".",
        )
    return limit


def _rows_that_fit(
    limit: Decimal,
    estimate: Estimate,
    table: RequestTable,
    input_tokens: InputTokens,
    rates: Price | None,
) -> int:
    """Count the leading rows whose maximum cost is within the limit."""
    if rates is None or estimate.output_tokens.high is None or not table.to_send:
        return 0
    inputs = input_tokens.tokens if input_tokens.high is None else input_tokens.high
    request_count = table.to_send
    while request_count:
        output_tokens = _highest_output(request_count, estimate, table)
        smaller_count = min(
            within(_highest_costs(inputs, output_tokens, rates), limit), request_count
        )
        if smaller_count == request_count:
            break
        request_count = smaller_count
    return table.rows if request_count == len(inputs) else int(table.first_row[request_count])


def _highest_costs(input_tokens: Numbers, output_tokens: int, rates: Price) -> Iterator[Decimal]:
    """Yield the maximum cost of each request, lazily by block."""
    for start in range(0, len(input_tokens), PRICED_AT_ONCE):
        block = input_tokens[start : start + PRICED_AT_ONCE]
        yield from rates.costs_of(block, output_tokens, 0, rates.may_write(block))


def _highest_output(requests: int, estimate: Estimate, table: RequestTable) -> int:
    """Return the maximum output tokens of each of the first requests."""
    total = estimate.output_tokens
    high = -(-(total.high or 0) // table.to_send)
    if total.expected is None or estimate.bounded:
        return high
    # The mean of fewer requests varies more; the interval widens by at most this root.
    mean = total.expected // table.to_send
    return mean + math.ceil((high - mean) * math.sqrt(table.to_send / requests))


def _format_cost(cost: Range[Decimal]) -> str:
    expected = "" if cost.expected is None else f", ${cost.expected:f} expected"
    return f"at least ${cost.low:f}{expected}"


def _no_guarantee(limit: Decimal) -> NextStep:
    return MAX_COST + f": cannot be guaranteed (${limit:f})"


def _unknown_price_error(recipe: Recipe, limit: Decimal, tier: Tier) -> CostError:
    call = NextStep(f"submit(max_cost=..., {PRICES})", PRICES.shell)
    if tier != "batch":
        rates = PRICES.removeprefix("prices=")
        call = NextStep(f'pilot(max_cost=..., prices={{"{tier}": {rates}}})')
    return CostError(
        _no_guarantee(limit) + f", because the {tier} price of {recipe.model} is unknown.",
        next_step="Fix: pass it in USD per million tokens, " + call + ", or omit " + MAX_COST + ".",
    )


def _unbounded_price_error(recipe: Recipe, limit: Decimal, cost: Range[Decimal]) -> CostError:
    return CostError(
        _no_guarantee(limit) + ", because the price of prompt cache writes with ttl "
        f"{cache_lifetime(recipe.body)} is unknown; the cost is {_format_cost(cost)}. "
        "Nothing was sent.",
        next_step="Fix: "
        + requests_step('prompt_cache_options={"ttl": "30m"}')
        + ", or prices= with "
        '"input", "cache_write" and "output".',
    )


def _unbounded_output_error(
    limit: Decimal,
    cost: Range[Decimal],
    recipe: Recipe,
    estimate: Estimate,
    *,
    known: bool,
    tier: Tier,
) -> CostError:
    start = _no_guarantee(limit)
    steps = _bounding_steps(recipe, estimate)
    if not steps:
        return CostError(
            start + ", because the tokens per answer of this model are not published; the cost is "
            f"{_format_cost(cost)}. Nothing was sent.",
            next_step="Fix: submit df.head(5) without " + MAX_COST + ", then read job.cost.",
        )
    what = "reasoning has" if estimate.unbounded_reasoning else "the answers have"
    lead = f", because {what} no upper bound"
    if not known:
        lead += ", and the likely cost is unknown with fewer than 10 earlier answers"
    options = [*steps, *_unbounded_steps(tier, has_likely_end=cost.high is not None)]
    if recipe.output.schema is None and not estimate.unbounded_reasoning:
        options.insert(1, OUTPUT + " with labels")
    return CostError(
        start + lead + f"; the cost is {_format_cost(cost)}. Nothing was sent.",
        next_step="Fix: " + _either(options) + ".",
    )


def _unbounded_steps(tier: Tier, *, has_likely_end: bool) -> Iterator[NextStep]:
    """Yield the ways to send requests whose answers have no upper bound."""
    verb = "pilot" if tier == "standard" else "submit"
    warn = NextStep(f'{verb}(max_cost=..., on_unbounded="warn")', "--on-unbounded warn")
    warn = warn + ", which limits the likely cost"
    if has_likely_end:
        yield warn
    elif tier == "batch":
        yield NextStep("run plan.pilot(n=20), then ", "run `batchframe pilot`, then ") + warn
    if tier == "standard":
        yield NextStep(
            "omit max_cost: pilot(n=...) limits the number of requests",
            "omit --max-cost: --n limits the number of requests",
        )


def _above_error(
    limit: Decimal, cost: Range[Decimal], estimate: Estimate, bound: str, *, fit: int, tier: Tier
) -> CostError:
    is_range = cost.low != cost.high
    ends = f" ({_format_cost(cost)})" if is_range else ""
    options: list[str] = ["send fewer rows: pilot(n=...)"]
    if tier == "batch":
        rows = f": df.head({fit}) ({fit:,} of {estimate.rows:,} fit)"
        options = [f"send fewer rows{rows if fit else ''}"]
    if is_range and bound:
        options.insert(0, "limit the answers: " + requests_step(f"{bound}=..."))
        # A pilot adds nothing if earlier answers are available.
        if tier == "batch" and not rests_on_answers(estimate.notes):
            options.append(NextStep("measure a few answers: plan.pilot(n=20)", ""))
    options += [
        'compare models: plan.compare(["gpt-6-luna", "gpt-5.6-luna"])',
        "raise " + MAX_COST,
    ]
    notebook_list = "".join(f"\n  - {option}" for option in options)
    shell_list = "".join(f"\n  - {option}" for option in map(in_shell, options) if option)
    return CostError(
        MAX_COST + f": the cost may reach ${cost.high:f}{ends}, above ${limit:f}. "
        "Nothing was sent.",
        next_step="Fix, one of:" + NextStep(notebook_list, shell_list),
    )
