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
from batchframe._estimate.answer_length import interval_note, reasoning_note, rests_on_answers
from batchframe._estimate.counting import InputTokens, Numbers
from batchframe._estimate.estimate import Estimate
from batchframe._estimate.pricing import PRICED_AT_ONCE
from batchframe._models.price import Price, Tier, within
from batchframe._models.price_lookup import price
from batchframe._recipe.recipe import Recipe
from batchframe._requests.table import RequestTable
from batchframe._services.provider_table import OPENAI, Provider


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
            f"The cost is {_format_cost(cost)}, but nothing bounds what the requests "
            "read (what a tool of the service finds, a file, audio, an earlier response), so "
            f"nobody can say whether it stays below ${limit:f}. Nothing was sent.",
            next_step="estimate().notes say what it is: ask without it, or leave out "
            + MAX_COST
            + ".",
        )
    if cost.high is None:
        raise _unbounded_output_error(limit, cost, bound, tier)
    if cost.high > limit:
        with_images = recipe.images is not None
        rates = price(recipe.model, tier, provider=provider, prices=prices, with_images=with_images)
        fitting_rows = _rows_that_fit(limit, estimate, table, input_tokens, rates)
        raise _above_error(limit, cost, estimate, bound, fit=fitting_rows, tier=tier)
    if reasoning_note(output_limit) in estimate.notes:
        warn_user(
            ReasoningWarning(
                _max_cost_step(limit)
                + f" holds for the answers, but {recipe.model} may reason before "
                "it answers, and reasoning tokens are billed as output: nobody can know how many. "
                "Switch them off, "
                + requests_step(output_limit.disable_reasoning)
                + ", or bound them, "
                + requests_step(f"{output_limit.parameter}=...")
                + "."
            )
        )
    elif interval_note(output_limit) in estimate.notes:
        parameter = output_limit.parameter
        bound = " To be certain, bound them: " + requests_step(f"{parameter}=...") + "."
        warn_user(
            IntervalWarning(
                _max_cost_step(limit)
                + " was held against what answers took before, which is likely "
                "and no bound: longer answers may cost more." + (bound if parameter else "")
            )
        )


def _max_cost_step(limit: Decimal) -> NextStep:
    return NextStep(f"max_cost=${limit:f}", f"--max-cost ${limit:f}")


def _amount(max_cost: object) -> Decimal:
    try:
        limit = Decimal(str(max_cost))
    except InvalidOperation:
        limit = Decimal("NaN")
    if not limit.is_finite() or limit < 0:
        argument = NextStep(f"max_cost={max_cost!r}", f"--max-cost {max_cost!r}")
        raise CostError(
            argument + " is no amount of USD.",
            next_step="Write it as " + NextStep("max_cost=2.50", "--max-cost 2.50") + ".",
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


def _unknown_price_error(recipe: Recipe, limit: Decimal, tier: Tier) -> CostError:
    call = NextStep(f"submit(max_cost=..., {PRICES})", PRICES.shell)
    if tier != "batch":
        rates = PRICES.removeprefix("prices=")
        call = NextStep(f'pilot(max_cost=..., prices={{"{tier}": {rates}}})')
    return CostError(
        f"No {tier} price is known for {recipe.model}, so nobody can say whether it stays below "
        f"${limit:f}.",
        next_step="Give the price in USD per million tokens: "
        + call
        + ", or leave out "
        + MAX_COST
        + ".",
    )


def _unbounded_output_error(
    limit: Decimal, cost: Range[Decimal], bound: str, tier: Tier
) -> CostError:
    if not bound:
        return CostError(
            f"The cost is {_format_cost(cost)}, but nobody publishes what an answer of "
            f"this model takes, so nobody can say whether it stays below ${limit:f}. Nothing "
            "was sent.",
            next_step="Leave out "
            + MAX_COST
            + ", for a few rows at first, df.head(5): job.cost says what they took.",
        )
    # A pilot is bounded by n; with max_cost it would fail for the same reason.
    pilot_hint = NextStep(
        " learn their length from a few, requests.pilot(n=20) without max_cost, and submit again;",
        "",
    )
    alternatives = pilot_hint + " or leave out " + MAX_COST
    if tier != "batch":
        alternatives = NextStep(
            " or leave out max_cost: n alone then bounds the pilot, requests.pilot(n=20)"
        )
    return CostError(
        f"The cost is {_format_cost(cost)}, but nothing bounds the length of the answers, "
        f"so nobody can say whether it stays below ${limit:f}. Nothing was sent.",
        next_step="Bound them: "
        + requests_step(f"{bound}=200")
        + ", or "
        + OUTPUT
        + " with labels;"
        + alternatives
        + ".",
    )


def _above_error(
    limit: Decimal, cost: Range[Decimal], estimate: Estimate, bound: str, *, fit: int, tier: Tier
) -> CostError:
    is_range = cost.low != cost.high
    ends = f" ({_format_cost(cost)})" if is_range else ""
    options: list[str] = ["ask fewer: pilot(n=...)"]
    if tier == "batch":
        rows = f"; the first {fit:,} of {estimate.rows:,} fit: df.head({fit})"
        options = [f"ask fewer rows{rows if fit else ''}"]
    if is_range and bound:
        options.insert(0, "bound the answers more closely, " + requests_step(f"{bound}=..."))
        # A pilot adds nothing if earlier answers are available.
        if tier == "batch" and not rests_on_answers(estimate.notes):
            options.append(NextStep("see what answers take, requests.pilot(n=20)", ""))
    options += [
        'ask another model: requests.compare(["gpt-5.6-luna", "gpt-6-luna"]) shows their costs',
        "raise " + MAX_COST,
    ]
    notebook_list = "".join(f"\n  - {way}" for way in options)
    shell_list = "".join(f"\n  - {way}" for way in map(in_shell, options) if way)
    return CostError(
        f"The cost may be as high as ${cost.high:f}{ends}, and "
        + MAX_COST
        + f" is ${limit:f}. Nothing was sent.",
        next_step="Ways out:" + NextStep(notebook_list, shell_list),
    )
