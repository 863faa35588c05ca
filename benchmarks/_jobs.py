"""Folder of a finished job, created without a server."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd

import batchframe as bf
from batchframe._base.private_files import create_private, sha256_of
from batchframe._estimate.counting import count_input
from batchframe._estimate.pricing import estimate
from batchframe._jobs.preparation import Plan, prepare
from batchframe._requests.custom_ids import custom_ids
from batchframe._requests.input_files import plan_input_files
from batchframe._requests.table import RequestTable
from batchframe._results.earlier import ReusePlan
from batchframe._services.batch import Batch
from batchframe._services.protocol import Identity
from batchframe._services.provider import OPENAI
from batchframe._store.events import Fetched
from batchframe._store.folder import JobFolder
from batchframe._store.manifest import Manifest
from benchmarks._data import LABELS, MODEL, PROMPT, SCHEMA, output_lines

_IDENTITY = Identity("https://api.openai.com/v1", None, None)


def table_of(frame: pd.DataFrame, output: object = None) -> RequestTable:
    """Return the request table of a DataFrame."""
    spec = LABELS if output is None else output
    return bf.requests(frame, PROMPT, model=MODEL, output=spec)._table  # noqa: SLF001


def finished_job(frame: pd.DataFrame, *, as_json: bool) -> JobFolder:
    """Create a job with text or JSON answers, as if they were downloaded."""
    output = SCHEMA if as_json else ""
    requests = bf.requests(frame, PROMPT, model=MODEL, output=output or None)
    table = requests._table  # noqa: SLF001
    tokens = np.zeros(table.requests, np.int64)
    plan = Plan(
        reuse=ReusePlan(table),
        identity=_IDENTITY,
        input_ranges=plan_input_files(table, OPENAI, tokens),
        estimate=estimate(table, count_input(table, exact=False), base_url=_IDENTITY.base_url),
        tokens=tokens,
        provider=OPENAI,
    )
    folder = JobFolder.of(plan.job_id)
    folder.create()
    _answer(folder, prepare(plan, folder), table, as_json=as_json)
    return folder


def _answer(folder: JobFolder, manifest: Manifest, table: RequestTable, *, as_json: bool) -> None:
    folder.append({"event": "INTENT"})
    for index, file in enumerate(manifest.inputs):
        digests = table.request_digest[file.start : file.stop]
        ids = custom_ids(table.fingerprint, file.start, digests).to_pylist()
        path = folder.output(index)
        with create_private(path) as handle:
            handle.writelines(output_lines(ids, as_json=as_json, seed=index))
        batch = Batch(f"batch_{index}", "completed", input_file_id=f"file-{index}", total=len(ids))
        fetched = asdict(Fetched(path.stat().st_size, sha256_of(path)))
        for event in (
            {"event": "UPLOADED", "file_id": f"file-{index}", "created_at": 0},
            {"event": "CREATING", "file_id": f"file-{index}", "attempt": 1},
            {"event": "CREATED", "batch": batch.to_json()},
            {"event": "FETCHED", "output": fetched, "gone": [], "incomplete": False},
        ):
            folder.append({**event, "shard": index, "at": 0.0})
