"""Look up how long earlier answers to the same prompt and model were.

A pilot counts as an earlier job. Jobs of a server on this machine are left out, unless that server
will be asked again: their answers are simulated.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchframe._base.errors import JobError, UnreadableJobWarning
from batchframe._base.private_files import open_private
from batchframe._estimate.answer_length import FEWEST, Experience
from batchframe._recipe.recipe import Recipe
from batchframe._services.provider_table import is_loopback
from batchframe._store.manifest import Record, records

_OF_A_PILOT: Final = "standard"
"""The tier of a job whose answers came in real time."""
# What may differ between two recipes that put the same question.
_OF_THE_ROWS: Final = {"on_missing", "dedupe", "allow", "image_root"}
_READ: Final = pa.schema({"status": pa.string(), "output_tokens": pa.int64()})
_ANSWERED: Final = pa.array(["ok", "invalid", "truncated"])


def experience(
    recipe: Recipe, base_url: str, jobs: Sequence[Record] | None = None
) -> Experience | None:
    """Look up how long the answers to this prompt by this model were.

    Parameters
    ----------
    base_url
        Of the service that will be asked.
    jobs
        All jobs on this machine, newest first, where they are read already.

    Returns
    -------
    Experience or None
        Of the pilot, if it is newer than every job and has ten answers or more; else of all of
        them together. None where no earlier job asked the same, or a function made its prompts,
        which cannot be compared.
    """
    if recipe.prompt is None:
        return None
    answered = [
        (record.manifest.tier == _OF_A_PILOT, tokens)
        for record in (_all_jobs() if jobs is None else jobs)
        if _asked_the_same(record, recipe, base_url) and len(tokens := _output_tokens(record))
    ]
    # The newest stand first: a pilot that no job has followed yet was drawn for these very rows.
    pilots = [tokens for _, tokens in itertools.takewhile(lambda job: job[0], answered)]
    if sum(map(len, pilots)) >= FEWEST:
        return _experience_of(np.concatenate(pilots), len(pilots), pilot=True)
    if not answered:
        return None
    return _experience_of(np.concatenate([tokens for _, tokens in answered]), len(answered))


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


def _all_jobs() -> list[Record]:
    with warnings.catch_warnings():
        # Who lists the jobs is warned of a folder that cannot be read; an estimate is not.
        warnings.simplefilter("ignore", UnreadableJobWarning)
        return list(records())


def _asked_the_same(record: Record, recipe: Recipe, base_url: str) -> bool:
    """Tell whether a job is done that asked the same, of a service that really answers."""
    theirs = record.manifest.identity.base_url
    if theirs != base_url and is_loopback(urlsplit(theirs).hostname or ""):
        return False
    return record.done and set(recipe.difference(record.manifest.recipe)) <= _OF_THE_ROWS


def _output_tokens(record: Record) -> npt.NDArray[np.int64]:
    try:
        with open_private(record.folder.answers) as file:
            table = pq.read_table(file, columns=list(_READ.names)).cast(_READ)
    except (OSError, ValueError, pa.ArrowException, JobError):
        return np.zeros(0, np.int64)  # absent until its answers are read, or damaged
    # The last ones are answers of earlier jobs, which count there.
    table = table.slice(0, record.manifest.requests - record.manifest.reused)
    # A server may state a wrong usage.
    stated = pc.greater_equal(table["output_tokens"], 0)
    table = table.filter(pc.and_(pc.is_in(table["status"], _ANSWERED), stated))
    return np.asarray(table["output_tokens"].to_numpy(), dtype=np.int64)
