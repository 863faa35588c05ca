"""Benchmark of ``submit()`` by the number of one-request input files.

The local server runs in a separate process, so the CPU time is that of batchframe and the openai
package alone.
"""

from __future__ import annotations

import math
import shutil
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import openai
import pandas as pd

import batchframe as bf
from batchframe._store.folder import state_dir
from benchmarks._data import MODEL
from benchmarks._measure import Ratio, Section, Took, timed
from benchmarks._transfers import served

_EXPONENT: Final = 1.05
_LISTS: Final = 20
_CPU: Final = 20.0
"""Seconds of CPU time for the largest job."""


def measure(sizes: Sequence[int], rounds: int, scratch: Path) -> Section:
    """Submit jobs of several sizes; fit the exponent without the largest."""
    took: dict[int, list[Took]] = {files: [] for files in sizes}
    lists = 0
    for number in range(rounds):
        for files in sizes:
            with served(scratch / f"submit-{files}-{number}") as url:
                _submit(url, 1, number)  # warm-up
                requests: Counter[str] = Counter()
                took[files].append(_submit(url, files, number, requests))
            lists = max(lists, requests["GET /v1/batches"])
    seconds = {
        f"{files:,} input files": Took(
            statistics.median(run.wall for run in runs), statistics.median(run.cpu for run in runs)
        )
        for files, runs in took.items()
    }
    cpu = [time.cpu for time in seconds.values()]
    first, last = sizes[0], sizes[-2]
    exponent = math.log(cpu[-2] / cpu[0]) / math.log(last / first) if last > first else math.nan
    name = f"exponent of the CPU time, {first:,} to {last:,} input files"
    ratios = [
        Ratio(name, exponent, exponent, at_most=_EXPONENT),
        Ratio(f"CPU seconds, {sizes[-1]:,} input files", cpu[-1], cpu[-1], at_most=_CPU),
        Ratio("lists of batches a job", lists, lists, at_most=_LISTS),
    ]
    return Section("submit: input files of one request", seconds, ratios)


def _submit(url: str, files: int, number: int, requests: Counter[str] | None = None) -> Took:
    counts = Counter[str]() if requests is None else requests

    def count(request: Any) -> None:
        counts[f"{request.method} {request.url.path}"] += 1

    http_client = openai.DefaultHttpxClient(event_hooks={"request": [count]})
    client = openai.OpenAI(base_url=url, api_key="local", http_client=http_client)
    frame = pd.DataFrame({"text": [f"{files} files, {number}: text {i}" for i in range(files)]})
    prepared = frame.bf.requests("{{ text }}", model=MODEL)
    profile = bf.provider("self-hosted", max_requests=1, max_creates=100_000)
    took = timed(lambda _: prepared.submit(client=client, provider=profile, reuse=False), number)
    shutil.rmtree(state_dir(), ignore_errors=True)
    return took
