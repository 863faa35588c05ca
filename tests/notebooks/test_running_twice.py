"""A notebook that runs a second time finds its jobs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import batchframe as bf
from tests.support import notebooks

REPO = Path(__file__).parents[2]
NOTEBOOKS = sorted((REPO / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=pytest.mark.slow if number else [])
        for number, path in enumerate(NOTEBOOKS)
    ],
)
# The kernel's channels emit unrelated warnings; only the jobs are tested.
@pytest.mark.filterwarnings("ignore")
def test_a_second_run_makes_no_second_job(path: Path, tmp_path: Path) -> None:
    # Not in the checkout, whose notebooks other tests run at the same time.
    ignored = shutil.ignore_patterns("service")
    for folder in ("notebooks", "data_samples"):
        shutil.copytree(REPO / folder, tmp_path / folder, ignore=ignored)
    resources = {"metadata": {"path": str(tmp_path / "notebooks")}}
    jobs = []
    for _ in range(2):
        notebooks.client_of(notebooks.read(path), timeout=120, resources=resources).execute()
        jobs.append(sorted(bf.jobs()["id"]))
    assert jobs[0]
    assert jobs[1] == jobs[0]
