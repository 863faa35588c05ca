"""Answers → what they used and what they cost.

In: a job's answers and a price. Out: a :class:`Usage`, exact `Decimal` USD.
Must not know: estimates, files, the network.

A line's ``service_tier`` is never asked: OpenAI writes "default" there for what it bills as batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._job_answers import JobAnswers
from batchframe._prices import Price, price


@dataclass(frozen=True)
class Usage:
    """Tokens that the service says it used.

    Attributes
    ----------
    input_tokens
        All input tokens, the cached ones among them.
    output_tokens
        All output tokens, those of reasoning among them.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int


def usage_of(answers: pa.Table) -> Usage:
    """Add up the usage of each line."""
    read, written, cached = _tokens(answers)
    return Usage(int(read.sum()), int(written.sum()), int(cached.sum()))


def cost_of(answers: pa.Table, price: Price) -> Decimal:
    """Add up the cost of each line, in USD."""
    return price.cost_of(*_tokens(answers))


def job_cost(job: JobAnswers) -> Decimal | None:
    """Add up what a job's own answers cost, in USD; None if no batch price is known."""
    manifest = job.manifest
    known = price(manifest.recipe.model, "batch", prices=manifest.prices)
    return None if known is None else cost_of(job.sent, known)


def _tokens(answers: pa.Table) -> tuple[npt.NDArray[np.int64], ...]:
    names = ("input_tokens", "output_tokens", "cached_tokens")
    read, written, cached = (
        # A server may state no usage, or a wrong one; nothing here may fail for it.
        np.maximum(pc.fill_null(answers[name], 0).to_numpy(), 0)
        for name in names
    )
    return read, written, np.minimum(cached, read)
