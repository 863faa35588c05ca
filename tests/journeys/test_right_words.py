"""Refusals that name the real problem."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

import batchframe as bf
import batchframe.local


def frame() -> pd.DataFrame:
    return pd.DataFrame({"t": ["a", "b"]})


@pytest.mark.parametrize("windows", [("1m",), ("30m", "60m"), ("7d", "24h"), ("24h",), ()])
def test_windows_that_are_not_hours_or_days_are_named(windows: tuple[str, ...]) -> None:
    with pytest.raises(bf.errors.RequestError, match=r"^windows: not a pair of hours or days"):
        bf.provider("openai", windows=windows)


@pytest.mark.parametrize("max_cost", ["$2", "two", -1, float("nan")])
def test_max_cost_is_checked_when_the_job_exists(
    max_cost: Any, server: batchframe.local.Server
) -> None:
    requests = frame().bf.requests("{{ t }}", model="gpt-4.1", max_completion_tokens=9)
    requests.submit(client=server.client()).wait()
    with pytest.raises(bf.errors.CostError, match="not a valid amount"):
        requests.submit(client=server.client(), max_cost=max_cost)


def test_columns_by_position_are_refused_with_their_names() -> None:
    labels = pd.DataFrame({"gold": ["a"], "label": ["a"]})
    for evaluate in (bf.evaluate, lambda _, *args: labels.bf.evaluate(*args)):
        with pytest.raises(bf.errors.ColumnError, match=r"by name \(2 by position\)"):
            evaluate(labels, "gold", "label")


class Share(float, enum.Enum):
    LOW = 0.0
    HIGH = 1.0


class Score(enum.Enum):
    LOW = 0.5
    HIGH = 1.0


@pytest.mark.parametrize("output", [Share, Score, [0.0, 1.0]])
def test_labels_that_are_floats_are_refused(output: Any) -> None:
    with pytest.raises(bf.errors.OutputSpecError, match="all strings or all 64-bit integers"):
        frame().bf.requests("{{ t }}", model="gpt-4.1", output=output)


def test_to_parquet_says_what_is_missing_and_what_is_no_file(
    server: batchframe.local.Server, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"t": ["a", "b"]}), tmp_path / "rows.parquet")
    remote = ds.dataset(
        "rows.parquet", filesystem=pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    )
    requests = bf.requests(remote, "{{ t }}", model="gpt-4.1")
    job = requests.submit(client=server.client()).wait()
    with pytest.raises(bf.errors.SourceError, match="rows are not a local file or folder"):
        job.to_parquet(tmp_path / "labeled.parquet")
    with pytest.raises(bf.errors.SourceError, match="path: an address, not a local file"):
        job.to_parquet("s3://bucket/labeled.parquet", remote)
