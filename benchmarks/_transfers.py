"""Benchmark of submitting input files and downloading their results.

The local server runs in a separate process. The baseline is an ``openai`` client that uploads and
downloads four files at a time and creates the batches one by one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Final
from unittest import mock

import numpy as np
import openai

import batchframe as bf
from batchframe._estimate.counting import count_input
from batchframe._estimate.pricing import estimate
from batchframe._jobs.preparation import Plan
from batchframe._jobs.running import start
from batchframe._requests.input_files import plan_input_files
from batchframe._requests.table import RequestTable
from batchframe._results.earlier import ReusePlan
from batchframe._services import provider as provider_table
from batchframe._services.connect import expected_identity
from batchframe._store.folder import JobFolder
from benchmarks._data import LABELS, MODEL, PROMPT, reviews
from benchmarks._measure import Runs, Section, Took, timed

_FILES: Final = 20
_AT_ONCE: Final = 4


def measure(rows: int, rounds: int, scratch: Path) -> Section:
    """Time submitting and downloading, with batchframe and with the client."""
    small = replace(provider_table.LOCAL, max_requests=-(-rows // _FILES))
    with (
        mock.patch.object(provider_table, "LOCAL", small),
        served(scratch / "server") as url,
    ):
        client = openai.OpenAI(base_url=url, api_key="local", max_retries=0)
        way = _Ways(rows, client, scratch)
        submits = Runs({"batchframe": way.submit, "bare client": way.bare_submit}, rounds)
        way.rest()
        fetches = Runs({"batchframe": way.fetch, "bare client": way.bare_fetch}, rounds)
    seconds = {f"submit, {name}": took for name, took in submits.medians.items()}
    seconds |= {f"fetch, {name}": took for name, took in fetches.medians.items()}
    return Section(
        f"submit {_FILES} files of {rows // _FILES:,} requests, and fetch their results",
        seconds,
        [
            submits.ratio("submit / bare client", "batchframe", "bare client"),
            fetches.ratio("fetch / bare client", "batchframe", "bare client"),
        ],
        ["input files are ready; batchframe also journals durably, and verifies what comes"],
    )


class _Ways:
    def __init__(self, rows: int, client: openai.OpenAI, scratch: Path) -> None:
        self._rows, self._client, self._scratch = rows, client, scratch
        self._jobs: dict[int, bf.Job] = {}
        self._batches: dict[int, list[str]] = {}

    def submit(self, number: int) -> Took:
        folder = prepared(self._requests(number)._table, self._client)  # noqa: SLF001
        self._jobs[number] = job = bf.job(folder.path, client=self._client)
        return timed(lambda _: job.resume(), number)

    def _requests(self, number: int) -> bf.Requests:
        frame = reviews(self._rows, seed=200 + number)
        return bf.requests(frame, PROMPT, model=MODEL, output=LABELS)

    def bare_submit(self, number: int) -> Took:
        folder = self._scratch / f"bare-{number}"
        size = -(-self._rows // _FILES)
        lines = list(self._requests(1000 + number)._table.lines())  # noqa: SLF001
        folder.mkdir()
        for index in range(_FILES):
            path = folder / f"{index:03d}.jsonl"
            path.write_bytes(b"".join(lines[index * size : (index + 1) * size]))
        return timed(lambda _: self._bare_submit(number, sorted(folder.iterdir())), number)

    def _bare_submit(self, number: int, paths: list[Path]) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            files = list(pool.map(self._upload, paths))
        self._batches[number] = [
            self._client.batches.create(
                input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h"
            ).id
            for file in files
        ]

    def _upload(self, path: Path) -> str:
        with path.open("rb") as file:
            return self._client.files.create(file=file, purpose="batch").id

    def rest(self) -> None:
        """Wait until all batches are completed and the server is idle."""
        batches = [batch.id for job in self._jobs.values() for batch in job.batches]
        for batch in (*batches, *chain.from_iterable(self._batches.values())):
            while self._client.batches.retrieve(batch).status != "completed":
                time.sleep(0.2)

    def fetch(self, number: int) -> Took:
        return timed(lambda _: self._jobs[number].refresh(), number)

    def bare_fetch(self, number: int) -> Took:
        return timed(lambda _: self._bare_fetch(number), number)

    def _bare_fetch(self, number: int) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._download, self._batches[number]))

    def _download(self, batch_id: str) -> None:
        file_id = self._client.batches.retrieve(batch_id).output_file_id
        with (
            self._client.files.with_streaming_response.content(str(file_id)) as response,
            (self._scratch / f"{batch_id}.jsonl").open("wb") as file,
        ):
            for block in response.iter_bytes():
                file.write(block)
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Run the local server in a separate process."""
    command = [sys.executable, "-u", "-m", "batchframe", "serve", "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - ours
        try:
            assert server.stdout is not None  # noqa: S101 - for the types
            message = next(line for line in server.stdout if "http://" in line)
            yield message.split()[-1]
        finally:
            server.terminate()


def prepared(table: RequestTable, client: openai.OpenAI) -> JobFolder:
    """Create a job's folder without sending anything."""
    identity = expected_identity(client)
    tokens = np.zeros(table.requests, np.int64)
    plan = Plan(
        reuse=ReusePlan(table),
        identity=identity,
        input_ranges=plan_input_files(table, provider_table.LOCAL, tokens),
        estimate=estimate(table, count_input(table, exact=False), base_url=identity.base_url),
        tokens=tokens,
        provider=provider_table.LOCAL,
    )
    return start(plan, None, "ask")
