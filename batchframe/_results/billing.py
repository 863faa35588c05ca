"""Compute the token usage and the exact `Decimal` USD cost of answers.

The ``service_tier`` of a line is ignored: OpenAI reports "default" for requests billed as batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.clock import day_of
from batchframe._base.errors import JobError
from batchframe._base.private_files import read_private, replacing
from batchframe._endpoints import STATUSES, endpoint_of
from batchframe._models.litellm_prices import snapshot_version
from batchframe._models.price import Price
from batchframe._models.price_lookup import price_range
from batchframe._models.price_range import PriceRange
from batchframe._results.job_answers import JobAnswers, read_job, row_counts
from batchframe._store.manifest import LARGEST_COST, Manifest, Record
from batchframe._version import __version__


@dataclass(frozen=True, repr=False)
class Usage:
    """Token usage as reported by the service.

    Attributes
    ----------
    input_tokens
        All input tokens, including those read from and written to the prompt cache.
    output_tokens
        All output tokens, including reasoning.
    cached_tokens, cache_write_tokens
        Input tokens read from the prompt cache, and written to it.

    Examples
    --------
    >>> Usage(1200, 80, 1000)
    <Usage: 1,200 input tokens (1,000 cached), 80 output tokens>
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int = 0

    def __repr__(self) -> str:
        cached = f"{self.cached_tokens:,} cached" if self.cached_tokens else ""
        written = f"{self.cache_write_tokens:,} cache writes" if self.cache_write_tokens else ""
        parts = ", ".join(filter(None, [cached, written]))
        input_ = f"{self.input_tokens:,} input tokens{parts and f' ({parts})'}"
        return f"<Usage: {input_}, {self.output_tokens:,} output tokens>"


def usage_of(answers: pa.Table) -> Usage:
    """Sum the token usage of answers."""
    return Usage(*(int(column.sum()) for column in tokens_of(answers)))


def cost_of(answers: pa.Table, price: Price) -> Decimal:
    """Sum the cost of answers in USD."""
    return price.cost_of(*tokens_of(answers))


def job_price(manifest: Manifest) -> Price | None:
    """Look up a job's price on its creation date; None if unknown."""
    rates = job_price_range(manifest)
    return None if rates is None else rates.expected


def job_price_range(manifest: Manifest) -> PriceRange | None:
    """Look up a job's price range on its creation date; None if unknown."""
    if endpoint_of(manifest.recipe.endpoint).answer_kind == "reference":
        return None  # referenced files are not billed by tokens
    return price_range(
        manifest.recipe.model,
        manifest.tier,
        provider=manifest.provider,
        prices=manifest.prices,
        on=day_of(manifest.created_at),
        body=manifest.recipe.body,
        with_images=manifest.recipe.images is not None,
    )


def job_cost(job: JobAnswers) -> Decimal | None:
    """Sum the cost of a job's own answers in USD; None if unknown."""
    price_of_job = job_price(job.manifest)
    return None if price_of_job is None else cost_of(job.sent, price_of_job)


def billed(job: JobAnswers) -> JobAnswers:
    """Add the cost of each request to a job's answers.

    All answers count by their reported usage, including refused, truncated, invalid and failed
    ones; reused answers cost nothing. The costs sum exactly to :func:`job_cost`.
    """
    price_of_job = job_price(job.manifest)
    if price_of_job is None:
        return job
    costs = np.full(len(job.answers), Decimal(0), dtype=object)
    costs[: len(job.sent)] = price_of_job.costs_of(*tokens_of(job.sent))
    return replace(job, costs=costs)


def tokens_of(answers: pa.Table) -> tuple[npt.NDArray[np.int64], ...]:
    """Return input, output, cached and cache write tokens of each answer.

    Missing values are 0.
    """
    names = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")
    input_, output, cached, cache_write = (
        # A server may report no usage or an invalid one.
        np.maximum(pc.fill_null(answers[name], 0).to_numpy(), 0)
        for name in names
    )
    cached = np.minimum(cached, input_)
    return input_, output, cached, np.minimum(cache_write, input_ - cached)


_LARGEST: Final = 1 << 16


@dataclass(frozen=True)
class Summary:
    """The number of rows by status, and the cost of the answers in USD.

    Attributes
    ----------
    made_of
        The file stamps and package versions that the summary was computed from.
    """

    made_of: str
    counts: Mapping[str, Annotated[int, msgspec.Meta(ge=1)]]
    cost: Decimal | None


def summary_of(record: Record, answers: JobAnswers | None = None) -> Summary:
    """Summarize a job; reuse the stored summary if it is current.

    Parameters
    ----------
    answers
        The job's answers, if they were read already.

    Raises
    ------
    JobError
        If the folder is damaged.
    """
    made_of = _source_stamp(record)
    stored = _stored(record)
    if stored is not None and stored.made_of == made_of and _is_valid(stored, record):
        return stored
    answers = answers or read_job(record)
    summary = Summary(made_of, row_counts(answers), job_cost(answers))
    # The summary is only a cache, so a read-only folder is not an error.
    with contextlib.suppress(OSError), replacing(record.folder.summary, durable=False) as file:
        file.write(msgspec.json.encode(summary))
    return summary


def _stored(record: Record) -> Summary | None:
    try:
        content = read_private(record.folder.summary, _LARGEST)
        return None if content is None else msgspec.json.decode(content, type=Summary)
    except (JobError, msgspec.DecodeError):
        return None


def _is_valid(summary: Summary, record: Record) -> bool:
    """Return whether a stored summary has valid row counts and cost."""
    counts, cost = summary.counts, summary.cost
    return (
        set(counts) <= set(STATUSES)
        and sum(counts.values()) == record.manifest.rows
        and (cost is None or (cost.is_finite() and 0 <= cost <= LARGEST_COST))
        # Earlier versions left finished jobs pending until videos were fetched, which has ended.
        and not (record.done and "pending" in counts)
    )


def _source_stamp(record: Record) -> str:
    folder = record.folder
    files = [_stamp(path) for path in (folder.manifest, folder.journal, folder.rows, folder.files)]
    return " ".join([*files, *_versions()])


def _stamp(path: Path) -> str:
    try:
        info = path.lstat()
    except OSError:
        return "-"
    return f"{info.st_mtime_ns}/{info.st_size}"


@cache
def _versions() -> tuple[str, str, str]:
    return __version__, version("genai-prices"), snapshot_version()
