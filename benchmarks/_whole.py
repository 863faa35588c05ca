"""Benchmark of ``estimate()``, ``submit()`` and ``join()`` by row count.

``submit()`` sends to a local server in a separate process; the time covers counting, writing,
uploading and creating batches, not the answers. ``join()`` reads a finished job.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openai

import batchframe as bf
from batchframe._store.folder import state_dir
from benchmarks._data import LABELS, MODEL, PROMPT, reviews
from benchmarks._jobs import finished_job
from benchmarks._measure import Section, Took, timed
from benchmarks._transfers import served


def measure(sizes: Sequence[int], scratch: Path) -> Section:
    """Time each size once and fit the times to the number of rows."""
    seconds: dict[str, Took] = {}
    verbs = ("requests", "estimate", "submit", "join")
    with served(scratch / "whole") as url:
        client = openai.OpenAI(base_url=url, api_key="local")
        _once(1_000, client)  # warm-up for lazy imports
        for rows in sizes:
            for verb, took in zip(verbs, _once(rows, client), strict=True):
                seconds[f"{verb}, {rows:,} rows"] = took
    fits = [
        _fit(verb, sizes, [seconds[f"{verb}, {rows:,} rows"].wall for rows in sizes])
        for verb in verbs
    ]
    return Section("the whole of each verb", seconds, notes=fits)


def _once(rows: int, client: openai.OpenAI) -> list[Took]:
    frame = reviews(rows, seed=rows)
    requests: list[bf.Requests] = []
    took = [
        timed(lambda _: requests.append(bf.requests(frame, PROMPT, model=MODEL, output=LABELS)), 0),
        timed(lambda _: requests[0].estimate(client=client), 0),
        timed(lambda _: requests[0].submit(client=client), 0),
    ]
    folder = finished_job(frame, as_json=False)
    took.append(timed(lambda _: bf.join(frame, bf.job(folder.path)), 0))
    shutil.rmtree(state_dir(), ignore_errors=True)
    return took


def _fit(verb: str, sizes: Sequence[int], seconds: Sequence[float]) -> str:
    power = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    slope, base = np.polyfit(sizes, seconds, 1, w=1 / np.asarray(sizes))
    return f"{verb}: {base:.2f} s + {slope * 1e6:.2f} s per million rows; grows as rows^{power:.2f}"
