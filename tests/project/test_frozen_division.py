"""A job whose input file was divided is read and continued alike.

``frozen/make_divided.py`` wrote the files, once, with the first version that divides input files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import batchframe as bf
import batchframe.local
from tests.project.frozen.describe import FROZEN, client_of, copy_private, describe_job
from tests.project.frozen.recipes import DIVIDED, QUEUE, answer

FOLDER: Final = FROZEN / "divided"
DESCRIPTION: Final[dict[str, Any]] = json.loads((FOLDER / "job.json").read_bytes())
ANSWERS: Final = [f"re: {text}" for text in DIVIDED.frame["text"]]


@pytest.fixture
def divided(home: Path) -> bf.Job:
    """Return the frozen job, in a separate state folder."""
    (home / "jobs").mkdir(mode=0o700, parents=True)
    home.chmod(0o700)
    copy_private(FOLDER / "job", home / "jobs" / DESCRIPTION["id"])
    return bf.job("divided")


@pytest.fixture
def their_server(tmp_path: Path) -> Iterator[batchframe.local.Server]:
    """Restart the server of the frozen job."""
    copy_private(FOLDER / "server", tmp_path / "server")
    with batchframe.local.serve(answer, folder=tmp_path / "server", limits=QUEUE) as server:
        yield server


def submit(server: batchframe.local.Server) -> bf.Job:
    return DIVIDED.requests().submit("divided", client=client_of(server), **DIVIDED.submit)


def files_of_billed_batches(server: batchframe.local.Server) -> list[str | None]:
    batches = client_of(server).batches.list()
    return [batch.input_file_id for batch in batches if batch.status != "failed"]


def test_it_is_read_as_it_was(divided: bf.Job) -> None:
    description = describe_job(divided)
    del description["card"]
    assert description == DESCRIPTION


@pytest.mark.parametrize("by", ["resume", "wait", "the cell"])
def test_it_sends_the_rest_once(
    by: str, divided: bf.Job, their_server: batchframe.local.Server
) -> None:
    job = bf.job(divided.id, client=client_of(their_server))
    if by == "the cell":
        job = submit(their_server)
    elif by == "resume":
        job.resume()
    assert job.wait(60).counts == {"ok": 12}
    assert job.id == DESCRIPTION["id"]
    first, *_ = DESCRIPTION["batches"]
    assert job.batches[0].id == first
    assert [batch.total for batch in job.batches] == [6, 6]
    assert len(files_of_billed_batches(their_server)) == 2
    assert DIVIDED.frame.bf.join(job)["response"].tolist() == ANSWERS


def test_its_rows_are_joined_after_it_is_canceled(
    divided: bf.Job, their_server: batchframe.local.Server
) -> None:
    job = bf.job(divided.id, client=client_of(their_server)).cancel().wait(60)
    assert job.counts == {"ok": 6, "cancelled": 6}
    joined = DIVIDED.frame.bf.join(job)["response"]
    assert joined.dropna().tolist() == ANSWERS[:6]
    assert len(job.unanswered()) == 6
