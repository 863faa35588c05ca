"""Every notebook runs offline and keeps readable outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import batchframe as bf
import batchframe.local
from tests.support import notebooks

REPO = Path(__file__).parents[2]
NOTEBOOKS = sorted((REPO / "notebooks").glob("*.ipynb"))
# The kernel's channels emit unrelated warnings; only the notebook's cells are tested.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder beside the files that notebooks read."""
    for name in ("data_samples", "docs"):
        (tmp_path / name).symlink_to(REPO / name)
    folder = tmp_path / "notebooks"
    folder.mkdir()
    return folder


def execute(path: Path, folder: Path) -> Any:
    """Run a copy of a notebook in the folder, in a new kernel."""
    fresh = notebooks.read(path)
    notebooks.client_of(fresh, timeout=300, resources={"metadata": {"path": folder}}).execute()
    return fresh


def kinds(cell: Any) -> list[str]:
    return [output.output_type for output in cell.outputs]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=pytest.mark.slow if number else [])
        for number, path in enumerate(NOTEBOOKS)
    ],
)
def test_a_notebook_runs_and_shows_what_it_kept(path: Path, folder: Path) -> None:
    saved = notebooks.read(path)
    assert len(saved.cells) < 15
    fresh = execute(path, folder)
    for before, after in zip(saved.cells, fresh.cells, strict=True):
        if before.cell_type == "code":
            assert kinds(before) == kinds(after), before.source
            assert "error" not in kinds(before)
    machine = str(Path.home()), str(path.parent)
    assert not [word for word in machine if word != "/" and word in path.read_text("utf-8")]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_that_runs_twice_makes_no_second_job(path: Path, folder: Path) -> None:
    execute(path, folder)
    jobs = set(bf.jobs()["name"]), len(bf.jobs())
    batches = stored_batches(folder)
    assert batches
    execute(path, folder)
    assert (set(bf.jobs()["name"]), len(bf.jobs())) == jobs
    assert stored_batches(folder) == batches


def stored_batches(folder: Path) -> set[str]:
    """Return the ids of the batches that the notebook's server has kept."""
    [service] = [path for path in (folder / "service").iterdir() if path.is_dir()]
    with batchframe.local.serve(folder=service) as server:
        return {batch.id for batch in server.client().batches.list()}
