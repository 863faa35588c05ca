"""Compare a job's estimated tokens and cost with the actual ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeVar

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from batchframe._base.ranges import Range
from batchframe._display import UNKNOWN, Card, CardRepr, Table, count, format_range, money, plural
from batchframe._endpoints import endpoint_of
from batchframe._models.price import Price, sum_of
from batchframe._models.price_lookup import answers_with_audio, unpriced_notes
from batchframe._models.price_range import PriceRange
from batchframe._recipe.recipe import Recipe
from batchframe._results.billing import job_price_range, tokens_of
from batchframe._results.job_answers import JobAnswers
from batchframe._store.manifest import Manifest

_Number = TypeVar("_Number", int, Decimal)
_Billed = tuple[int, Range[int]]
_TOLERANCE: Final = Decimal("0.05")
_WRITES: Final = "cache writes"
_NO_BOUND: Final = (
    "The estimated input had no upper bound (files, images of unknown size or tool results)."
)
_NO_ESTIMATE: Final = "The job was recovered from the server, which stores no estimate."
_OTHER_PRICE: Final = "The input price has changed since the estimate (prices= or the price book)."


@dataclass(frozen=True)
class ReportLine:
    """Estimated and actual tokens and cost of one component of a job.

    Attributes
    ----------
    name
        "input" (neither read from the prompt cache nor written to it), "cached input", "cache
        writes" (if any), "output", or "total".
    estimated_tokens, estimated_cost
        Ranges of tokens and of `Decimal` USD; the cost is None if no price was known.
    tokens, cost
        The tokens reported with the answers received so far, and their cost in USD.
    """

    name: str
    estimated_tokens: Range[int]
    tokens: int
    estimated_cost: Range[Decimal] | None
    cost: Decimal | None

    @property
    def difference(self) -> Decimal | None:
        """The relative difference from the expected value, or None.

        It compares costs if they are known, since cached and other tokens differ in price, and
        tokens otherwise.
        """
        if self.estimated_cost is not None and self.cost is not None:
            return _difference(self.cost, self.estimated_cost.expected)
        return _difference(self.tokens, self.estimated_tokens.expected)


def _difference(actual: Decimal | int, expected: Decimal | int | None) -> Decimal | None:
    if expected is None or (expected == 0 and actual != 0):
        return None
    return Decimal(actual) / Decimal(expected) - 1 if expected else Decimal(0)


@dataclass(frozen=True, repr=False)
class Report(CardRepr):
    """Estimated and actual tokens and cost of a job.

    Attributes
    ----------
    job
        The display name of the job.
    requests, answered
        The number of requests sent, and of answers with a reported usage.
    lines
        Input, cached input, cache writes (if any), output and total.
    notes
        Reasons for differences of more than 5%.
    """

    job: str
    requests: int
    answered: int
    lines: tuple[ReportLine, ...]
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the report as a frame with one row per component.

        Columns are expected and actual tokens and costs, and ``difference`` as a fraction (0.05 is
        5%). Costs are `Decimal` in columns of dtype object; unknown values are missing.
        """
        return pd.DataFrame.from_dict(
            {
                line.name: [
                    line.estimated_tokens.expected,
                    line.tokens,
                    None if line.estimated_cost is None else line.estimated_cost.expected,
                    line.cost,
                    None if line.difference is None else float(line.difference),
                ]
                for line in self.lines
            },
            orient="index",
            columns=["estimated_tokens", "tokens", "estimated_cost", "cost", "difference"],
            dtype=object,
        ).astype({"estimated_tokens": "Int64", "tokens": "int64", "difference": "Float64"})

    def _card(self) -> Card:
        header = ("", "tokens estimated", "tokens", "cost estimated", "cost", "difference")
        return Card(
            title=f"Report of job {self.job}: {self.answered:,} of "
            f"{plural(self.requests, 'request')} billed",
            table=Table("tokens and USD", header, tuple(map(_row, self.lines))),
            notes=self.notes,
        )


def _row(line: ReportLine) -> tuple[str, ...]:
    return (
        line.name,
        format_range(line.estimated_tokens, count),
        count(line.tokens),
        format_range(line.estimated_cost, money),
        money(line.cost),
        UNKNOWN if line.difference is None else f"{line.difference:+.1%}",
    )


def report(job: JobAnswers) -> Report:
    """Compare a job's estimate with the usage of its answers."""
    manifest = job.manifest
    input_tokens, output_tokens, cached, cache_writes = tokens_of(job.sent)
    columns = (input_tokens - cached - cache_writes, cached, cache_writes, output_tokens)
    tokens = [int(column.sum()) for column in columns]
    prices = job_price_range(manifest)
    rates = prices and prices.expected
    costs: Sequence[Decimal | None] = (None,) * 5
    if rates is not None:
        parts = rates.parts_of(input_tokens, output_tokens, cached, cache_writes)
        costs = [*parts, sum_of(parts)]
    zero = Range.exactly(0)
    total = manifest.input_tokens + manifest.output_tokens
    all_lines = map(
        ReportLine,
        ("input", "cached input", _WRITES, "output", "total"),
        (manifest.input_tokens, zero, zero, manifest.output_tokens, total),
        [*tokens, sum(tokens)],
        _estimated_costs(manifest),
        costs,
    )
    lines = tuple(line for line in all_lines if line.name != _WRITES or line.tokens)
    answered = int(np.count_nonzero(input_tokens + output_tokens))
    notes = tuple(_notes(job, lines, answered, prices))
    return Report(manifest.display_name, len(job.sent), answered, lines, notes)


def _estimated_costs(manifest: Manifest) -> list[Range[Decimal] | None]:
    total, of_input = manifest.cost, manifest.input_cost
    if total is None or of_input is None:
        return [None, None, None, None, total]
    of_output = Range(
        _subtract(total.low, of_input.low) or Decimal(0),
        _subtract(total.expected, of_input.expected),
        _subtract(total.high, of_input.high),
    )
    zero = Range.exactly(Decimal(0))
    return [of_input, zero, zero, of_output, total]


def _subtract(total: Decimal | None, part: Decimal | None) -> Decimal | None:
    # Earlier versions stored a single input cost, which may exceed the lower total.
    return None if total is None or part is None else max(sum_of([total, -part]), Decimal(0))


def _notes(
    job: JobAnswers, lines: tuple[ReportLine, ...], answered: int, prices: PriceRange | None
) -> Iterator[str]:
    """Yield notes that explain differences, scaled to billed requests."""
    fresh, cached, output = lines[0], lines[1], lines[-2]
    cache_writes = next((line.tokens for line in lines if line.name == _WRITES), 0)
    cache_tokens = cached.tokens + cache_writes
    billed_share = Decimal(answered) / max(len(job.sent), 1)
    is_complete = answered == len(job.sent)
    if answered and not job.manifest.recovered:
        yield from _range_note(
            (fresh.tokens + cache_tokens, fresh.estimated_tokens),
            (output.tokens, output.estimated_tokens),
            lines[-1],
            is_complete=is_complete,
        )
    if not is_complete:
        yield _unanswered_note(job, len(job.sent) - answered)
    yield from _cache_notes(cached.tokens, cache_writes, prices and prices.expected)
    input_tokens = fresh.tokens + cache_tokens
    difference = _difference(input_tokens, _scaled(fresh.estimated_tokens.expected, billed_share))
    if difference is not None and _is_large(difference):
        estimated = fresh.estimated_tokens if is_complete else None
        yield _input_note(difference, input_tokens, estimated, job.manifest.recipe)
    elif is_complete and not cache_tokens and _is_large(fresh.difference):
        yield _OTHER_PRICE
    if answered and not job.manifest.recovered and fresh.estimated_tokens.high is None:
        yield _NO_BOUND
    if cache_writes or answers_with_audio(job.manifest.recipe.body):
        yield from unpriced_notes(job.manifest.recipe.body, prices)
    if prices is not None and prices.dispute is not None:
        yield f"Price books disagree ({prices.dispute}): the cost is that of the first."
    if job.manifest.recovered:
        yield _NO_ESTIMATE
    elif answered:
        yield from _output_note(job, output, billed_share)


def _range_note(
    input_: _Billed, output: _Billed, total: ReportLine, *, is_complete: bool
) -> Iterator[str]:
    """Yield one line on what was billed outside its estimated range."""
    ends = [
        _outside("input", *input_, _tokens, is_complete=is_complete),
        _outside("output", *output, _tokens, is_complete=is_complete),
    ]
    if total.estimated_cost is not None and total.cost is not None:
        cost = _outside("cost", total.cost, total.estimated_cost, money, is_complete=is_complete)
        ends.insert(0, cost)
    if outside := [end for end in ends if end is not None]:
        yield f"Billed outside the estimated range: {', '.join(outside)}."


def _outside(
    name: str,
    billed: _Number,
    estimated: Range[_Number],
    format_: Callable[[_Number | None], str],
    *,
    is_complete: bool,
) -> str | None:
    # Unbilled requests lower the bill but say nothing about the estimate.
    if estimated.high is not None and billed > estimated.high:
        return f"{name} {format_(billed)} (above {format_(estimated.high)})"
    if is_complete and billed < estimated.low:
        return f"{name} {format_(billed)} (below {format_(estimated.low)})"
    return None


def _tokens(number: int | None) -> str:
    return f"{count(number)} tokens"


def _scaled(expected: int | None, billed_share: Decimal) -> Decimal | None:
    return None if expected is None else expected * billed_share


def _is_large(difference: Decimal | None) -> bool:
    return difference is not None and abs(difference) > _TOLERANCE


def _by(difference: Decimal) -> str:
    return f"{abs(difference):.0%} {'more' if difference > 0 else 'fewer'} tokens"


def _unanswered_note(job: JobAnswers, missing: int) -> str:
    tokens = pc.fill_null(pc.add(job.sent["input_tokens"], job.sent["output_tokens"]), 0)
    counts = job.sent["status"].filter(pc.equal(tokens, 0)).value_counts().to_pylist()
    why = ", ".join(f"{entry['counts']:,} {entry['values']}" for entry in counts)
    return (
        f"{plural(missing, 'request')} had no reported usage ({why}); the estimate includes them."
    )


def _cache_notes(cached: int, cache_writes: int, rates: Price | None) -> Iterator[str]:
    uses = (
        (cached, "read from", rates and rates.cached_input),
        (cache_writes, "written to", rates and rates.cache_write),
    )
    for tokens, use, rate in uses:
        if tokens:
            price = "priced as other input" if rate is None else f"${rate:f} per million"
            yield f"{tokens:,} input tokens were {use} the prompt cache ({price}); none expected."


def _input_note(
    difference: Decimal, tokens: int, estimated: Range[int] | None, recipe: Recipe
) -> str:
    note = f"Input: {_by(difference)} than expected"
    if estimated is None:
        return f"{note} for the billed requests."
    if estimated.low <= tokens and (estimated.high is None or tokens <= estimated.high):
        return f"{note}, within the estimated range."
    parts = {
        "images": recipe.images,
        "tools": recipe.body.get("tools"),
        "schemas": recipe.output.schema,
    }
    approximate = ", ".join(name for name, used in parts.items() if used)
    names = " and ".join(filter(None, (approximate, "non-public tokenizers")))
    return f"{note}; {names} are counted approximately."


def _output_note(job: JobAnswers, line: ReportLine, billed_share: Decimal) -> Iterator[str]:
    estimated = line.estimated_tokens
    gap = _difference(line.tokens, _scaled(estimated.expected, billed_share))
    if estimated.high is not None and line.tokens > estimated.high:
        note = f"Output: {line.tokens - estimated.high:,} tokens above the estimated upper bound."
    elif gap is not None and _is_large(gap):
        note = f"Output: {_by(gap)} than expected; the model decides how long its answers are."
    else:
        return
    recipe = job.manifest.recipe
    body = {"model": recipe.model, **recipe.body}
    if (gap is None or gap > 0) and endpoint_of(recipe.endpoint).may_reason(body):
        note += " Reasoning tokens are billed as output."
    yield note
