"""Compute what answers used and cost, in exact `Decimal` USD.

A line's ``service_tier`` is never used: OpenAI writes "default" there for what it bills as batch.
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
from batchframe._models.price import Price
from batchframe._models.price_lookup import price
from batchframe._results.job_answers import JobAnswers, read_job, row_counts
from batchframe._store.manifest import LARGEST_COST, Manifest, Record
from batchframe._version import __version__


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
    if endpoint_of(manifest.recipe.endpoint).answer_kind == "reference":
        return None  # what it names is not billed by tokens
    model, day = manifest.recipe.model, day_of(manifest.created_at)
    with_images = manifest.recipe.images is not None
    return price(
        model,
        manifest.tier,
        provider=manifest.provider,
        prices=manifest.prices,
        on=day,
        with_images=with_images,
    )


def job_cost(job: JobAnswers) -> Decimal | None:
    """Add up what a job's own answers cost, in USD; None if no batch price is known."""
    price_of_job = job_price(job.manifest)
    return None if price_of_job is None else cost_of(job.sent, price_of_job)


def billed(job: JobAnswers) -> JobAnswers:
    """Add to a job's answers what each of its requests cost.

    Whatever came back counts by the usage that it states: refused, truncated, invalid and failed
    answers, too; what an earlier job had answered costs nothing. The costs add up to
    :func:`job_cost`, to the last digit.
    """
    price_of_job = job_price(job.manifest)
    if price_of_job is None:
        return job
    costs = np.full(len(job.answers), Decimal(0), dtype=object)
    costs[: len(job.sent)] = price_of_job.costs_of(*tokens_of(job.sent))
    return replace(job, costs=costs)


def tokens_of(answers: pa.Table) -> tuple[npt.NDArray[np.int64], ...]:
    """Return the input, output, cached and cache write tokens of each line; 0 where none stand."""
    names = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")
    input_, output, cached, cache_write = (
        # A server may state no usage, or a wrong one; nothing here may fail for it.
        np.maximum(pc.fill_null(answers[name], 0).to_numpy(), 0)
        for name in names
    )
    cached = np.minimum(cached, input_)
    return input_, output, cached, np.minimum(cache_write, input_ - cached)


_LARGEST: Final = 1 << 16


@dataclass(frozen=True)
class Summary:
    """How many rows have each status, and what the answers at home cost in USD, if that is known.

    Attributes
    ----------
    made_of
        Of which files, by which versions.
    """

    made_of: str
    counts: Mapping[str, Annotated[int, msgspec.Meta(ge=1)]]
    cost: Decimal | None


def summary_of(record: Record) -> Summary:
    """Sum up a job, from its summary if that is true still.

    Raises
    ------
    JobError
        If the folder is damaged.
    """
    made_of = _made_of(record)
    stored = _stored(record)
    # Of a job that is done an earlier version could wait for videos, which are no longer fetched.
    stale = record.done and stored is not None and "pending" in stored.counts
    usable = stored is not None and stored.made_of == made_of and _adds_up(stored, record.manifest)
    if stored is not None and usable and not stale:
        return stored
    answers = read_job(record)
    summary = Summary(made_of, row_counts(answers), job_cost(answers))
    # A cache only: a folder that cannot be written can still be read.
    with contextlib.suppress(OSError), replacing(record.folder.summary) as file:
        file.write(msgspec.json.encode(summary))
    return summary


def _stored(record: Record) -> Summary | None:
    try:
        content = read_private(record.folder.summary, _LARGEST)
        return None if content is None else msgspec.json.decode(content, type=Summary)
    except (JobError, msgspec.DecodeError):
        return None


def _adds_up(summary: Summary, manifest: Manifest) -> bool:
    """Tell whether a stored summary counts each row once, and states a valid cost."""
    is_known = set(summary.counts) <= set(STATUSES)
    cost = summary.cost
    return (
        is_known
        and sum(summary.counts.values()) == manifest.rows
        and (cost is None or (cost.is_finite() and 0 <= cost <= LARGEST_COST))
    )


def _made_of(record: Record) -> str:
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
def _versions() -> tuple[str, str]:
    return __version__, version("genai-prices")
