"""Lists of batches and reads of the journal, per wave of input files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
from batchframe import local
from batchframe.local import Fault
from tests.support.clocks import hurried, submit_by
from tests.support.job_folders import read_journal
from tests.support.seams import wrap_folder

CREATE = "POST /v1/batches"
NO = {"error": {"message": "No.", "code": "no"}}

pytestmark = pytest.mark.usefixtures("one_request_a_file")


def ask(rows: int) -> bf.Requests:
    frame = pd.DataFrame({"text": [f"text {number}" for number in range(rows)]})
    return frame.bf.requests("{{ text }}", model="gpt-4.1")


def lists(proxy: Any) -> int:
    return int(proxy.calls.count(("GET", "/v1/batches")))


@pytest.mark.parametrize("files", [3, 24])
def test_a_wave_needs_one_list(files: int, proxy: Any) -> None:
    job = ask(files).submit(client=proxy.client(timeout=30))
    assert len(job.batches) == files
    assert lists(proxy) == 1


@pytest.mark.parametrize("files", [3, 24])
def test_each_event_is_read_a_few_times_whatever_the_number_of_files(
    files: int, server: local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = [0]

    def counted(original: Any) -> Any:
        def reading(folder: Any, *start: int) -> Any:
            lines = original(folder, *start)
            read[0] += len(lines)
            return lines

        return reading

    wrap_folder(monkeypatch, "read_journal", counted)
    job = ask(files).submit(client=server.client())
    submitted, read[0] = read[0], 0
    events = len(read_journal(job))
    assert events == 1 + 3 * files
    assert submitted <= 3 * events


def test_after_any_response_but_a_batch_the_list_is_read_again(proxy: Any) -> None:
    busy = '{"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}'
    proxy.fail("POST", "/batches", "400 refused", status=429, body=busy, skip=1)
    assert len(ask(4).submit(client=proxy.client()).batches) == 4
    assert lists(proxy) == 2


def test_a_list_older_than_a_minute_is_read_again(
    proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_by(monkeypatch, hurried(61.0))
    assert len(ask(3).submit(client=proxy.client()).batches) == 3
    assert lists(proxy) == 4  # one list before anything is written, and one for each input file


@pytest.mark.slow
def test_a_lost_folder_of_more_files_than_a_page_of_batches_is_found(
    server: local.Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = ask(120).submit(client=server.client())
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "another home"))
    again = ask(120).submit(client=server.client())
    assert [batch.id for batch in again.batches] == [batch.id for batch in first.batches]
    assert len(list(server.client().batches.list())) == 120


@pytest.mark.slow
def test_a_copied_folder_is_compared_with_all_batches_since_its_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local.serve(faults=[Fault(CREATE, 400, body=NO)]) as server:
        with pytest.raises(bf.errors.SubmissionError):
            ask(1).submit("copied", client=server.client())
        shutil.copytree(bf.job("copied").folder.parents[1], tmp_path / "copy")
        job = bf.job("copied", client=server.client()).resume()
        frame = pd.DataFrame({"text": [f"another {number}" for number in range(105)]})
        frame.bf.requests("{{ text }}", model="gpt-4.1").submit(client=server.client())
        monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "copy"))
        again = bf.job("copied", client=server.client()).resume()
        assert again.batches[0].id == job.batches[0].id
        assert len(list(server.client().batches.list())) == 106
