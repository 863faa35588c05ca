"""Answers → what they used and what they cost.

In: a job's answers and a price. Out: a :class:`Usage`, exact `Decimal` USD: of the whole job and of
each request.
Must not know: estimates, files, the network.

A line's ``service_tier`` is never asked: OpenAI writes "default" there for what it bills as batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.clock import day_of
from batchframe._endpoints import endpoint_of
from batchframe._models.price_lookup import Price, price
from batchframe._results.job_answers import JobAnswers
from batchframe._store.manifest import Manifest


@dataclass(frozen=True)
class Usage:
    """Tokens that the service says it used.

    Attributes
    ----------
    input_tokens
        All input tokens, those read from the prompt cache and written to it among them.
    output_tokens
        All output tokens, those of reasoning among them.
    cached_tokens, cache_write_tokens
        Input tokens that were read from the prompt cache, and that were written to it.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int = 0


def usage_of(answers: pa.Table) -> Usage:
    """Add up the usage of each line."""
    return Usage(*(int(column.sum()) for column in tokens_of(answers)))


def cost_of(answers: pa.Table, price: Price) -> Decimal:
    """Add up the cost of each line, in USD."""
    return price.cost_of(*tokens_of(answers))


def job_price(manifest: Manifest) -> Price | None:
    """Look up what a job's tokens cost on the day it was prepared; None if nobody knows."""
    if endpoint_of(manifest.recipe.endpoint).brings == "names":
        return None  # what it names is not billed by tokens
    model, day = manifest.recipe.model, day_of(manifest.created_at)
    pictured = manifest.recipe.images is not None
    return price(
        model,
        manifest.tier,
        provider=manifest.provider,
        prices=manifest.prices,
        on=day,
        with_images=pictured,
    )


def job_cost(job: JobAnswers) -> Decimal | None:
    """Add up what a job's own answers cost, in USD; None if no batch price is known."""
    known = job_price(job.manifest)
    return None if known is None else cost_of(job.sent, known)


def billed(job: JobAnswers) -> JobAnswers:
    """Add to a job's answers what each of its requests cost.

    Whatever came back counts by the usage that it states: refused, truncated, invalid and failed
    answers, too; what an earlier job had answered costs nothing. The costs add up to
    :func:`job_cost`, to the last digit.
    """
    known = job_price(job.manifest)
    if known is None:
        return job
    costs = np.full(len(job.answers), Decimal(0), dtype=object)
    costs[: len(job.sent)] = known.costs_of(*tokens_of(job.sent))
    return replace(job, costs=costs)


def tokens_of(answers: pa.Table) -> tuple[npt.NDArray[np.int64], ...]:
    """Return the input, output, cached and cache write tokens of each line; 0 where none stand."""
    names = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")
    read, written, cached, to_cache = (
        # A server may state no usage, or a wrong one; nothing here may fail for it.
        np.maximum(pc.fill_null(answers[name], 0).to_numpy(), 0)
        for name in names
    )
    cached = np.minimum(cached, read)
    return read, written, cached, np.minimum(to_cache, read - cached)
