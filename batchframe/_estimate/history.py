"""Look up the lengths of earlier answers to the same prompt and model.

A pilot counts as an earlier job. Jobs on a local server are ignored unless the requests go to the
same server, since their answers are simulated.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchframe._base.errors import JobError
from batchframe._base.private_files import open_private
from batchframe._estimate.answer_length import FEWEST, Experience
from batchframe._recipe.recipe import Recipe
from batchframe._services.accounts import address
from batchframe._services.provider import is_loopback
from batchframe._store.index import Index
from batchframe._store.manifest import Record, quiet_records

_PILOT_TIER: Final = "standard"
"""The tier of a pilot, whose requests use the realtime API."""
# Fields that may differ between two recipes with the same prompt.
_ROW_FIELDS: Final = {"on_missing", "dedupe", "allow", "image_root"}
_COLUMNS: Final = pa.schema({"status": pa.string(), "output_tokens": pa.int64()})
_ANSWERED: Final = pa.array(["ok", "invalid", "truncated"])


def experience(
    recipe: Recipe, base_url: str, jobs: Sequence[Record] | None = None
) -> Experience | None:
    """Look up the lengths of earlier answers to this prompt and model.

    Parameters
    ----------
    base_url
        The base URL of the service that will receive the requests.
    jobs
        All jobs on this machine, newest first; None reads them.

    Returns
    -------
    Experience or None
        From the pilots if they are newer than every job and have at least ten answers; otherwise
        from all jobs. None without a comparable job, or with a prompt function, since prompt
        functions cannot be compared.
    """
    if recipe.prompt is None:
        return None
    tokens_by_job = [
        (record.manifest.tier == _PILOT_TIER, tokens)
        for record in (quiet_records() if jobs is None else jobs)
        if _is_comparable(record, recipe, base_url) and len(tokens := _stored_tokens(record))
    ]
    # Jobs are sorted newest first: a pilot without a later job was run for these rows.
    pilots = [tokens for _, tokens in itertools.takewhile(lambda job: job[0], tokens_by_job)]
    if sum(map(len, pilots)) >= FEWEST:
        return _experience_of(np.concatenate(pilots), len(pilots), pilot=True)
    if not tokens_by_job:
        return None
    return _experience_of(
        np.concatenate([tokens for _, tokens in tokens_by_job]), len(tokens_by_job)
    )


def _experience_of(tokens: npt.NDArray[np.int64], jobs: int, *, pilot: bool = False) -> Experience:
    logs = np.log(np.maximum(tokens, 1))
    spread, log_spread = (
        float(column.std(ddof=1)) if len(tokens) > 1 else 0.0 for column in (tokens, logs)
    )
    return Experience(
        answers=len(tokens),
        jobs=jobs,
        mean=float(tokens.mean()),
        spread=spread,
        longest=int(tokens.max()),
        log_mean=float(logs.mean()),
        log_spread=log_spread,
        pilot=pilot,
    )


def _is_comparable(record: Record, recipe: Recipe, base_url: str) -> bool:
    """Return whether a job is done, not simulated, and has the same prompt."""
    job_url = record.manifest.identity.base_url
    if address(job_url) != address(base_url) and is_loopback(urlsplit(job_url).hostname or ""):
        return False
    return record.done and set(recipe.difference(record.manifest.recipe)) <= _ROW_FIELDS


_TOKENS: Final = Index[npt.NDArray[np.int64]]("manifest.json", "answers.parquet")


def _stored_tokens(record: Record) -> npt.NDArray[np.int64]:
    return _TOKENS.get(record.folder.path, lambda: _output_tokens(record))


def _output_tokens(record: Record) -> npt.NDArray[np.int64]:
    try:
        with open_private(record.folder.answers) as file:
            table = pq.ParquetFile(file).read(columns=list(_COLUMNS.names)).cast(_COLUMNS)
    except (OSError, ValueError, pa.ArrowException, JobError):
        return np.zeros(0, np.int64)  # missing until the answers are read, or damaged
    # The last rows are reused answers, which count toward their own job.
    table = table.slice(0, record.manifest.requests - record.manifest.reused)
    # A server may report an invalid usage.
    has_usage = pc.greater_equal(table["output_tokens"], 0)
    table = table.filter(pc.and_(pc.is_in(table["status"], _ANSWERED), has_usage))
    return np.asarray(table["output_tokens"].to_numpy(), dtype=np.int64)
