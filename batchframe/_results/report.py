"""What a job was estimated to take beside what it took, and why they differ.

In: a job's manifest and answers. Out: a frozen :class:`Report`.
Must not know: files, the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeVar

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from batchframe._base.ranges import Range
from batchframe._display import UNKNOWN, Card, Shown, Table, count, money, plural, span
from batchframe._endpoints import endpoint_of
from batchframe._models.price import sum_of
from batchframe._models.price_lookup import lifetime_of_cache_note
from batchframe._results.billing import job_price, tokens_of
from batchframe._results.job_answers import JobAnswers
from batchframe._store.manifest import Manifest

_N = TypeVar("_N", int, Decimal)

_TOLERANCE: Final = Decimal("0.05")


@dataclass(frozen=True)
class ReportLine:
    """One part of a job: what it was estimated to take, and what it took.

    Attributes
    ----------
    name
        "input" (all of it that was neither read from the prompt cache nor written to it), "cached
        input", "cache writes" (where there are any), "output", or "total".
    estimated_tokens, estimated_cost
        Ranges of tokens and of `Decimal` USD; None where no price was known.
    tokens, cost
        What the answers at home state, and what that costs in USD.
    """

    name: str
    estimated_tokens: Range[int]
    tokens: int
    estimated_cost: Range[Decimal] | None
    cost: Decimal | None

    @property
    def difference(self) -> Decimal | None:
        """By what part the tokens differ from those expected; None where nothing was expected.

        Dollars decide where there are some: cached and other tokens have their own price.
        """
        if self.estimated_cost is not None and self.cost is not None:
            return _part(self.cost, self.estimated_cost.expected)
        return _part(self.tokens, self.estimated_tokens.expected)


def _part(actual: Decimal | int, expected: Decimal | int | None) -> Decimal | None:
    if expected is None or (expected == 0 and actual != 0):
        return None
    return Decimal(actual) / Decimal(expected) - 1 if expected else Decimal(0)


@dataclass(frozen=True, repr=False)
class Report(Shown):
    """What a job was estimated to take beside what it took.

    Attributes
    ----------
    job
        What the job is called.
    requests, answered
        How many requests were sent, and how many of them have come back with a usage that the
        service states.
    lines
        Input, cached input, cache writes where there are any, output and their total.
    notes
        Why they differ, in words, where they do by more than 5 %.
    """

    job: str
    requests: int
    answered: int
    lines: tuple[ReportLine, ...]
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return one row a part: expected and actual tokens and dollars, and their difference.

        Money is `Decimal` in columns of dtype object; ``difference`` is a part, 0.05 being 5 %;
        what is unknown is missing.
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
        head = ("", "tokens estimated", "tokens", "cost estimated", "cost", "difference")
        return Card(
            title=f"Report of job {self.job}: {self.answered:,} of "
            f"{plural(self.requests, 'request')} billed",
            table=Table("tokens and USD", head, tuple(map(_row, self.lines))),
            notes=self.notes,
        )


def _row(line: ReportLine) -> tuple[str, ...]:
    return (
        line.name,
        _in_words(line.estimated_tokens, count),
        count(line.tokens),
        _in_words(line.estimated_cost, money),
        money(line.cost),
        UNKNOWN if line.difference is None else f"{line.difference:+.1%}",
    )


def _in_words(known: Range[_N] | None, words: Callable[[_N | None], str]) -> str:
    return UNKNOWN if known is None else span(known.low, known.expected, known.high, words)


def report(job: JobAnswers) -> Report:
    """Set a job's estimate beside what its answers state."""
    manifest = job.manifest
    read, written, cached, to_cache = tokens_of(job.sent)
    columns = (read - cached - to_cache, cached, to_cache, written)
    tokens = [int(column.sum()) for column in columns]
    known = job_price(manifest)
    paid = None if known is None else known.parts_of(read, written, cached, to_cache)
    lines = _lines(manifest, tokens, paid)
    answered = int(np.count_nonzero(read + written))
    return Report(
        manifest.display_name, len(job.sent), answered, lines, _reasons(job, lines, answered)
    )


def _lines(
    manifest: Manifest,
    tokens: list[int],
    paid: tuple[Decimal, ...] | None,
) -> tuple[ReportLine, ...]:
    estimated = (
        manifest.input_tokens,
        Range.exactly(0),
        Range.exactly(0),
        manifest.output_tokens,
        manifest.input_tokens + manifest.output_tokens,
    )
    costs = _estimated_costs(manifest)
    bills = [None] * 5 if paid is None else [*paid, sum_of(paid)]
    actual = [*tokens, sum(tokens)]
    names = ("input", "cached input", _WRITES, "output", "total")
    lines = map(ReportLine, names, estimated, actual, costs, bills)
    return tuple(line for line in lines if line.name != _WRITES or line.tokens)


def _estimated_costs(manifest: Manifest) -> list[Range[Decimal] | None]:
    whole, read = manifest.cost, manifest.input_cost
    if whole is None or read is None:
        return [None, None, None, None, whole]
    written = Range(
        _less(whole.low, read.low) or Decimal(0),
        _less(whole.expected, read.expected),
        _less(whole.high, read.high),
    )
    nothing = Range.exactly(Decimal(0))
    return [read, nothing, nothing, written, whole]


def _less(whole: Decimal | None, part: Decimal | None) -> Decimal | None:
    # An earlier version kept but one figure of the input: a range of the whole may be below it.
    return None if whole is None or part is None else max(sum_of([whole, -part]), Decimal(0))


def _reasons(job: JobAnswers, lines: tuple[ReportLine, ...], answered: int) -> tuple[str, ...]:
    """Explain the differences, for as many requests as were billed."""
    fresh, cached, written = lines[0], lines[1], lines[-2]
    to_cache = next((line for line in lines if line.name == _WRITES), None)
    from_cache = cached.tokens + (to_cache.tokens if to_cache else 0)
    billed = Decimal(answered) / max(len(job.sent), 1)
    notes = []
    if answered < len(job.sent):
        notes.append(_unanswered(job, len(job.sent) - answered))
    if cached.tokens:
        notes.append(_cached_in_words(job, cached))
    if to_cache:
        notes.append(_writes_in_words(job, to_cache))
    off = _part(fresh.tokens + from_cache, _scaled(fresh.estimated_tokens.expected, billed))
    if _large(off):
        read = fresh.tokens + from_cache
        notes.append(
            _input_in_words(off, read, fresh.estimated_tokens)
            if answered == len(job.sent)
            else _PART_IN_WORDS.format(_by(off))
        )
    elif answered == len(job.sent) and not from_cache and _large(fresh.difference):
        notes.append(_OTHER_PRICE)
    if answered and not job.manifest.recovered and fresh.estimated_tokens.high is None:
        notes.append(_NO_HIGH_END)
    if to_cache:
        notes += lifetime_of_cache_note(job.manifest.recipe.body)
    if job.manifest.recovered:
        notes.append(_NO_ESTIMATE)
    elif answered:
        notes += _output_in_words(job, written, billed)
    return tuple(notes)


def _cached_in_words(job: JobAnswers, line: ReportLine) -> str:
    known = job_price(job.manifest)
    at_its_price = "at its price"
    if known is not None and known.cached_input is None:
        at_its_price = "which has no price of its own in this tier and is priced as other input"
    return (
        f"{line.tokens:,} input tokens were read from the prompt cache, {at_its_price}; estimates "
        "take nothing to be cached."
    )


def _writes_in_words(job: JobAnswers, line: ReportLine) -> str:
    told = f"{line.tokens:,} input tokens were written to the prompt cache"
    known = job_price(job.manifest)
    if known is None or known.cache_write is None:
        return f"{told}, for which no price of their own is known: they are priced as other input."
    return f"{told}, at its price for that (${known.cache_write:f} per million); none are expected."


_WRITES: Final = "cache writes"
_PART_IN_WORDS: Final = (
    "The input of those that were billed took {} than so many take on average: they differ from "
    "the others in length, or the count was off."
)
_NO_HIGH_END: Final = (
    "How much the requests would read could not be known before (what they only name, such as a "
    "file or an image of unknown size, or what a tool of the service finds): the input tokens that "
    "were estimated are no upper bound, and a difference is no saving."
)
_NO_ESTIMATE: Final = "The job was brought back from the server, which keeps no estimate."
_OTHER_PRICE: Final = (
    "The input tokens are those expected, and their price is another: prices= was given later, or "
    "the price book has changed."
)


def _scaled(expected: int | None, billed: Decimal) -> Decimal | None:
    return None if expected is None else expected * billed


def _large(part: Decimal | None) -> bool:
    return part is not None and abs(part) > _TOLERANCE


def _unanswered(job: JobAnswers, missing: int) -> str:
    stated = pc.fill_null(pc.add(job.sent["input_tokens"], job.sent["output_tokens"]), 0)
    status = job.sent["status"].filter(pc.equal(stated, 0)).value_counts().to_pylist()
    why = ", ".join(f"{one['counts']:,} {one['values']}" for one in status)
    return (
        f"{plural(missing, 'request')} came back without a usage ({why}), so nothing is billed for "
        "them as far as the service tells; the estimate is for all."
    )


def _input_in_words(part: Decimal | None, tokens: int, known: Range[int]) -> str:
    if known.low <= tokens and (known.high is None or tokens <= known.high):
        return (
            f"The input took {_by(part)} than expected, within the range that was estimated: what "
            "makes it a range, such as images of unknown size, could not be counted before."
        )
    return (
        f"The input took {_by(part)} than was counted: the count was off, as it can be for images, "
        "tools, output schemas and models whose tokenizer is not public."
    )


def _output_in_words(job: JobAnswers, written: ReportLine, billed: Decimal) -> list[str]:
    known = written.estimated_tokens
    part = _part(written.tokens, _scaled(known.expected, billed))
    told = ""
    if known.high is not None and written.tokens > known.high:
        above = written.tokens - known.high
        told = f"The output took {above:,} tokens more than the high end of the estimate."
    elif part is None and known.low != known.high:
        told = (
            "The estimate had no basis to expect a length of the answers; they took "
            f"{written.tokens:,} output tokens."
        )
    elif _large(part):
        told = (
            f"The answers took {_by(part)} than expected; how long they are within the estimate's "
            "range is the model's choice."
        )
    more = part is None or part > 0
    return [told + (_thoughts(job) if more else "")] if told else []


def _thoughts(job: JobAnswers) -> str:
    recipe = job.manifest.recipe
    if not endpoint_of(recipe.endpoint).may_reason({"model": recipe.model, **recipe.body}):
        return ""
    return " Reasoning tokens are billed as output, and nobody can know them before."


def _by(part: Decimal | None) -> str:
    share = part or Decimal(0)
    return f"{abs(share):.0%} {'more' if share > 0 else 'fewer'} tokens"
