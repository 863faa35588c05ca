"""Check an estimate against ``max_cost`` before anything is sent."""

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
from batchframe._models.price import Price, Tier, within
from batchframe._models.price_lookup import price
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
        raise CostError(
            f"{model} is billed by the second of video and not by tokens, and what a second costs "
            f"is not known here, so nobody can say whether it stays below ${limit:f}. Nothing was "
            "sent. Multiply the seconds yourself, and leave out max_cost."
        )
    if cost is None:
        example_rates = '{"input": "0.10", "output": "0.60"}'
        call = (
            f"submit(max_cost=..., prices={example_rates})"
            if tier == "batch"
            else f'pilot(max_cost=..., prices={{"{tier}": {example_rates}}})'
        )
        raise CostError(
            f"No {tier} price is known for {model}, so nobody can say whether it stays below "
            f"${limit:f}. Give the price in USD per million tokens: {call}, or leave out max_cost."
        )
    if cost.high is None and known.input_tokens.high is None:
        middle = "" if cost.expected is None else f", ${cost.expected:f} expected"
        raise CostError(
            f"The cost is at least ${cost.low:f}{middle}, but nothing bounds what the requests "
            "read (what a tool of the service finds, a file, audio, an earlier response), so "
            f"nobody can say whether it stays below ${limit:f}. Nothing was sent. estimate().notes "
            "say what it is: ask without it, or leave out max_cost."
        )
    if cost.high is None:
        raise _no_high_end_error(limit, cost.low, cost.expected, wording.limit, tier)
    if cost.high > limit:
        pictured = table.recipe.images is not None
        rates = price(model, tier, provider=provider, prices=prices, with_images=pictured)
        raise _above_error(
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
        warn_user(_beyond_max_cost_warning(model, limit, *wording))
    elif interval_note(wording) in known.notes:
        certain = (
            f" To be certain, bound them: requests(..., {wording.limit}=...)."
            if wording.limit
            else ""
        )
        warn_user(
            IntervalWarning(
                f"max_cost=${limit:f} was held against what answers took before, which is likely "
                f"and no bound: longer answers may cost more.{certain}"
            )
        )


def _amount(max_cost: object) -> Decimal:
    try:
        limit = Decimal(str(max_cost))
    except InvalidOperation:
        raise _not_an_amount_error(max_cost) from None
    if not limit.is_finite() or limit < 0:
        raise _not_an_amount_error(max_cost)
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


def _not_an_amount_error(amount: object) -> CostError:
    return CostError(f"max_cost={amount!r} is no amount of USD. Write it as max_cost=2.50.")


def _no_high_end_error(
    limit: Decimal,
    low: Decimal,
    expected: Decimal | None,
    bound: str,
    tier: str = "batch",
) -> CostError:
    middle = "" if expected is None else f", ${expected:f} expected"
    # A pilot is bounded by n; a limit would refuse it for the very reason it is advised.
    others = (
        "learn their length from a few, requests.pilot(n=20) without max_cost, and submit "
        "again; or leave out max_cost"
        if tier == "batch"
        else "or leave out max_cost: n alone then bounds the pilot, requests.pilot(n=20)"
    )
    if not bound:
        return CostError(
            f"The cost is at least ${low:f}{middle}, but nobody publishes what an answer of "
            f"this model takes, so nobody can say whether it stays below ${limit:f}. Nothing "
            "was sent. Leave out max_cost, for a few rows at first, df.head(5): job.cost says "
            "what they took."
        )
    return CostError(
        f"The cost is at least ${low:f}{middle}, but nothing bounds the length of the answers, "
        f"so nobody can say whether it stays below ${limit:f}. Nothing was sent. Bound them: "
        f"requests(..., {bound}=200), or output= with labels; {others}."
    )


def _above_error(
    limit: Decimal,
    low: Decimal,
    expected: Decimal | None,
    high: Decimal,
    *,
    rows: int,
    fitting: int,
    bound: str,
    tier: str = "batch",
    tried: bool = False,
) -> CostError:
    middle = "" if expected is None else f", ${expected:f} expected"
    ends = "" if low == high else f" (at least ${low:f}{middle})"
    head = f"; the first {fitting:,} of {rows:,} fit: df.head({fitting})" if fitting else ""
    ways = [f"ask fewer rows{head}"] if tier == "batch" else ["ask fewer: pilot(n=...)"]
    if low != high and bound:
        ways.insert(0, f"bound the answers more closely, requests(..., {bound}=...)")
        # Whoever knows what answers take already is not helped by asking again.
        if tier == "batch" and not tried:
            ways.append("see what answers take, requests.pilot(n=20)")
    ways += [
        'ask another model: requests.compare(["gpt-5.6-luna", "gpt-6-luna"]) shows their costs',
        "raise max_cost",
    ]
    listed = "".join(f"\n  - {way}" for way in ways)
    return CostError(
        f"The cost may be as high as ${high:f}{ends}, and max_cost is ${limit:f}. Nothing was "
        f"sent. Ways out:{listed}"
    )


def _beyond_max_cost_warning(
    model: str, limit: Decimal, bound: str, thoughtless: str
) -> ReasoningWarning:
    return ReasoningWarning(
        f"max_cost=${limit:f} holds for the answers, but {model} may reason before it answers, "
        "and reasoning tokens are billed as output: nobody can know how many. Switch them off, "
        f"requests(..., {thoughtless}), or bound them, requests(..., {bound}=...)."
    )
