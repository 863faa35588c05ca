"""``max_cost``: an estimate held against a limit, before anything is sent.

In: an estimate, its requests and a limit in USD. Out: nothing, or an error with the ways out.
Must not know: files, the network, what a job has really cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from batchframe._base.errors import CostError, IntervalWarning, ReasoningWarning, warn_user
from batchframe._endpoints import endpoint_of
from batchframe._estimate.answer_length import interval_note, reasoning_note, rests_on_answers
from batchframe._estimate.counting import InputTokens, Numbers
from batchframe._estimate.estimate import Estimate
from batchframe._estimate.pricing import PRICED_AT_ONCE
from batchframe._models.price import within
from batchframe._models.price_lookup import Price, Tier, price
from batchframe._requests.table import RequestTable
from batchframe._services.provider_table import OPENAI, Provider


def refuse_above(
    max_cost: object,
    known: Estimate,
    table: RequestTable,
    read: InputTokens,
    prices: Mapping[str, Any] | None = None,
    *,
    provider: Provider = OPENAI,
    tier: Tier = "batch",
) -> None:
    """Hold a limit against the high end of an estimate.

    Parameters
    ----------
    max_cost
        USD as int, float, str or `Decimal`.
    known, table, read, prices
        The estimate, and what it was made from.
    provider
        Who is paid.
    tier
        Whose price counts: "batch", or "standard" for a pilot.

    Raises
    ------
    CostError
        If the high end is above it, or not known.

    Warns
    -----
    ReasoningWarning
        If reasoning tokens may come on top of it.
    IntervalWarning
        If the high end rests on answers seen before, and is no bound.
    """
    limit = _amount(max_cost)
    model, wording = table.recipe.model, endpoint_of(table.recipe.endpoint).wording
    cost = known.cost if tier == "batch" else known.standard_cost
    if cost is None and endpoint_of(table.recipe.endpoint).brings == "names":
        raise CostError.by_the_second(model, limit)
    if cost is None:
        raise CostError.no_price(model, limit, tier)
    if cost.high is None and known.input_tokens.high is None:
        raise CostError.no_end_of_input(limit, cost.low, cost.expected)
    if cost.high is None:
        raise CostError.no_high_end(limit, cost.low, cost.expected, wording.limit, tier)
    if cost.high > limit:
        pictured = table.recipe.images is not None
        rates = price(model, tier, provider=provider, prices=prices, with_images=pictured)
        raise CostError.above(
            limit,
            cost.low,
            cost.expected,
            cost.high,
            rows=known.rows,
            bound=wording.limit,
            tier=tier,
            tried=rests_on_answers(known.notes),
            fitting=_rows_that_fit(limit, known, table, read, rates),
        )
    if reasoning_note(wording) in known.notes:
        warn_user(ReasoningWarning.beyond_max_cost(model, limit, *wording))
    elif interval_note(wording) in known.notes:
        warn_user(IntervalWarning.held_against_an_interval(limit, wording.limit))


def _amount(max_cost: object) -> Decimal:
    try:
        limit = Decimal(str(max_cost))
    except InvalidOperation:
        raise CostError.not_an_amount(max_cost) from None
    if not limit.is_finite() or limit < 0:
        raise CostError.not_an_amount(max_cost)
    return limit


def _rows_that_fit(
    limit: Decimal,
    known: Estimate,
    table: RequestTable,
    read: InputTokens,
    rates: Price | None,
) -> int:
    """Count the first rows whose requests, at the high end, stay within the limit."""
    if rates is None or known.output_tokens.high is None or not table.to_send:
        return 0
    inputs = read.tokens if read.high is None else read.high
    fitting = table.to_send
    while fitting:
        most = _most_of_each(fitting, known, table)
        fewer = min(within(_most_in_turn(inputs, most, rates), limit), fitting)
        if fewer == fitting:
            break
        fitting = fewer
    return table.rows if fitting == len(inputs) else int(table.first_row[fitting])


def _most_in_turn(inputs: Numbers, written: int, rates: Price) -> Iterator[Decimal]:
    """Yield what each request costs at most; no more are priced than are wanted."""
    for start in range(0, len(inputs), PRICED_AT_ONCE):
        read = inputs[start : start + PRICED_AT_ONCE]
        yield from rates.costs_of(read, written, 0, rates.may_write(read))


def _most_of_each(requests: int, known: Estimate, table: RequestTable) -> int:
    """Give the output tokens of each of the first requests, at the high end."""
    written, of = known.output_tokens, table.to_send
    high = -(-(written.high or 0) // of)
    wording = endpoint_of(table.recipe.endpoint).wording
    if written.expected is None or interval_note(wording) not in known.notes:
        return high
    # The mean of fewer varies more: an interval widens by this root at most.
    mean = written.expected // of
    return mean + math.ceil((high - mean) * math.sqrt(of / requests))
