"""The index of jobs: a folder is read again only if it has changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe._results import earlier
from tests.support.seams import wrap_folder

PROMPT = "{{ text }}"
EXPIRED = {"event": "STATUS", "shard": 0, "at": 0, "batch": {"id": "batch_1", "status": "expired"}}
APPEND = """
import sys

with open(sys.argv[1], "a") as journal:
    journal.write(sys.argv[2] + "\\n")
"""


def ask(*texts: str) -> bf.Requests:
    return pd.DataFrame({"text": list(texts)}).bf.requests(PROMPT, model="gpt-4.1")


@pytest.fixture
def jobs(server: batchframe.local.Server) -> list[bf.Job]:
    """Make five jobs with old files, which are not read again."""
    new_jobs = [
        ask(f"text {i}").submit(f"job {i}", client=server.client()).wait() for i in range(5)
    ]
    ask("another").estimate(client=server.client())
    time.sleep(0.15)
    return new_jobs


@pytest.fixture
def read_folders(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record which folders are read."""
    folders: list[str] = []

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def reading(self: Any, *start: int) -> Any:
            folders.append(self.path.name)
            return original(self, *start)

        return reading

    wrap_folder(monkeypatch, "read_manifest", counted)
    wrap_folder(monkeypatch, "read_journal", counted)
    original = earlier.read_rows_of

    def rows(record: Any) -> Any:
        folders.append(record.manifest.id)
        return original(record)

    monkeypatch.setattr(earlier, "read_rows_of", rows)
    return folders


def test_unchanged_folders_are_read_once(
    jobs: list[bf.Job], read_folders: list[str], server: batchframe.local.Server
) -> None:
    another = ask("another")
    another.estimate(client=server.client())
    assert {job.id for job in jobs} == set(read_folders)
    read_folders.clear()
    another.estimate(client=server.client())
    assert len(bf.jobs()) == 5
    assert bf.job("job 3")._folder.path == jobs[3].folder
    assert read_folders == []


def test_a_folder_that_another_kernel_changed_is_read_again(
    jobs: list[bf.Job], read_folders: list[str]
) -> None:
    assert set(bf.jobs()["status"]) == {"completed"}
    read_folders.clear()
    journal = str(jobs[2].folder / "journal.jsonl")
    subprocess.run([sys.executable, "-c", APPEND, journal, json.dumps(EXPIRED)], check=True)
    listed = bf.jobs().set_index("name")["status"]
    assert listed["job 2"] == "expired"
    assert set(read_folders) == {jobs[2].id}


def test_a_deleted_copied_or_damaged_folder_is_noticed(
    jobs: list[bf.Job], server: batchframe.local.Server
) -> None:
    assert len(bf.jobs()) == 5
    copy = jobs[1].folder.with_name("kept")
    shutil.move(jobs[1].folder, copy)
    shutil.rmtree(jobs[0].folder)
    assert sorted(bf.jobs()["name"]) == ["job 1", "job 2", "job 3", "job 4"]
    assert bf.job("job 1").folder == copy
    with pytest.raises(bf.errors.JobError, match="not found"):
        bf.job("job 0")
    assert ask("text 0", "text 2").estimate(client=server.client()).requests == 1
    manifest = jobs[2].folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-9])
    (jobs[3].folder / "rows.parquet").write_bytes(b"no rows")
    with pytest.warns(UserWarning, match="damaged"):
        assert sorted(bf.jobs()["name"]) == ["job 1", "job 4"]
    with pytest.warns(UserWarning, match="damaged"):
        assert ask("text 2", "text 4").estimate(client=server.client()).requests == 1


def test_a_file_changed_just_now_is_read_again(
    jobs: list[bf.Job], read_folders: list[str], home: Path
) -> None:
    (jobs[4].folder / "manifest.json").touch()
    assert len(bf.jobs()) == 5
    read_folders.clear()
    assert len(bf.jobs()) == 5
    assert set(read_folders) == {jobs[4].id}
    assert home.is_dir()
