"""Check an estimate against ``max_cost`` before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from batchframe._base.errors import CostError, IntervalWarning, ReasoningWarning, warn_user
from batchframe._base.ranges import Range
from batchframe._base.safe_text import MAX_COST, OUTPUT, PRICES, NextStep, in_shell, requests_step
from batchframe._endpoints import endpoint_of
from batchframe._estimate.answer_length import interval_note, rests_on_answers
from batchframe._estimate.counting import InputTokens, Numbers
from batchframe._estimate.estimate import Estimate
from batchframe._estimate.pricing import PRICED_AT_ONCE
from batchframe._models.price import Price, Tier, within
from batchframe._models.price_lookup import price
from batchframe._recipe.recipe import Recipe
from batchframe._requests.table import RequestTable
from batchframe._services.provider import OPENAI, Provider


def refuse_above(
    max_cost: object,
    estimate: Estimate,
    table: RequestTable,
    input_tokens: InputTokens,
    prices: Mapping[str, Any] | None = None,
    *,
    provider: Provider = OPENAI,
    tier: Tier = "batch",
) -> None:
    """Raise if the upper bound of an estimate exceeds a limit.

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

    Raises
    ------
    CostError
        If the upper bound exceeds the limit or is unknown.

    Warns
    -----
    ReasoningWarning
        If reasoning tokens may be billed in addition.
    IntervalWarning
        If the upper end is estimated from earlier answers and is not a bound.
    """
    limit = _amount(max_cost)
    recipe = table.recipe
    output_limit = endpoint_of(recipe.endpoint).output_limit
    bound = output_limit.parameter
    cost = estimate.cost if tier == "batch" else estimate.standard_cost
    if cost is None:
        raise _unknown_price_error(recipe, limit, tier)
    if cost.high is None and estimate.input_tokens.high is None:
        raise CostError(
            _no_guarantee(limit)
            + ", because the input (tool results, files, audio, earlier responses) has no upper "
            f"bound; the cost is {_format_cost(cost)}. Nothing was sent.",
            next_step="Fix: remove what requests.estimate().notes lists, or omit " + MAX_COST + ".",
        )
    if cost.high is None:
        raise _unbounded_output_error(limit, cost, bound)
    if cost.high > limit:
        with_images = recipe.images is not None
        rates = price(recipe.model, tier, provider=provider, prices=prices, with_images=with_images)
        fitting_rows = _rows_that_fit(limit, estimate, table, input_tokens, rates)
        raise _above_error(limit, cost, estimate, bound, fit=fitting_rows, tier=tier)
    limit_step = requests_step(f"{bound}=...")
    if estimate.unbounded_reasoning:
        disable = output_limit.disable_reasoning
        warn_user(
            ReasoningWarning(
                MAX_COST
                + f": does not cover reasoning tokens, which are billed as output (${limit:f}). "
                "Fix: " + (requests_step(disable) + " or " if disable else "") + limit_step + "."
            )
        )
    elif interval_note(output_limit) in estimate.notes:
        warn_user(
            IntervalWarning(
                MAX_COST
                + f": checked against earlier answers, not a bound (${limit:f}); longer answers "
                "may cost more." + (" Fix: " + limit_step + "." if bound else "")
            )
        )


def _amount(max_cost: object) -> Decimal:
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
    output_limit = endpoint_of(table.recipe.endpoint).output_limit
    if total.expected is None or interval_note(output_limit) not in estimate.notes:
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


def _unbounded_output_error(limit: Decimal, cost: Range[Decimal], bound: str) -> CostError:
    start = _no_guarantee(limit)
    if not bound:
        return CostError(
            start + ", because the tokens per answer of this model are not published; the cost is "
            f"{_format_cost(cost)}. Nothing was sent.",
            next_step="Fix: submit df.head(5) without " + MAX_COST + ", then read job.cost.",
        )
    # A pilot is bounded by n; with max_cost it would fail for the same reason.
    pilot = NextStep("run requests.pilot(n=20) without max_cost", "omit --max-cost")
    return CostError(
        start + f", because the answers have no upper bound; the cost is {_format_cost(cost)}. "
        "Nothing was sent.",
        next_step="Fix: "
        + requests_step(f"{bound}=200")
        + " or "
        + OUTPUT
        + " with labels; or "
        + pilot
        + ".",
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
            options.append(NextStep("measure a few answers: requests.pilot(n=20)", ""))
    options += [
        'compare models: requests.compare(["gpt-5.6-luna", "gpt-6-luna"])',
        "raise " + MAX_COST,
    ]
    notebook_list = "".join(f"\n  - {option}" for option in options)
    shell_list = "".join(f"\n  - {option}" for option in map(in_shell, options) if option)
    return CostError(
        MAX_COST + f": the cost may reach ${cost.high:f}{ends}, above ${limit:f}. "
        "Nothing was sent.",
        next_step="Fix, one of:" + NextStep(notebook_list, shell_list),
    )
