"""A job outlives every process that looks after it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from batchframe.local import serve


def until(true: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    while not true():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.mark.slow
def test_submitted_by_one_process_that_is_killed_waited_for_by_another_fetched_by_a_third(
    shell: Any, ask: tuple[str, ...], home: Path
) -> None:
    with serve(seconds=4) as server:
        shell.at(server.url)
        first = shell.start("submit", *ask, "--name", "tone", "--wait", "--to", "never.csv")
        until(lambda: list(home.glob("jobs/*/journal.jsonl")) and server.ledger, first)
        first.kill()
        first.communicate()
        # The same words again are the same job, whatever the first process came to.
        assert shell("submit", *ask, "--name", "tone").code == 0
        assert shell("wait", "tone", "--timeout", "120").code == 0
        ran = shell("fetch", "tone", "--input", "reviews.csv", "--to", "out.parquet", "--json")
        assert ran.code == 0
        assert ran.json["rows"] == 3
        assert len(server.ledger) == 1
    labeled = pd.read_parquet(shell.folder / "out.parquet")
    assert labeled["bf_status"].tolist() == ["ok"] * 3
    assert not (shell.folder / "never.csv").exists()


@pytest.mark.slow
def test_ctrl_c_while_waiting_ends_with_130_and_the_way_back_in(
    shell: Any, ask: tuple[str, ...]
) -> None:
    with serve(seconds=3600) as server:
        shell.at(server.url)
        assert shell("submit", *ask, "--name", "tone").code == 0
        waiting = shell.start("wait", "tone")
        assert b"of 3 requests" in waiting.stderr.readline()
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate()
        assert waiting.returncode == 130
        assert out == b""
        assert b"batchframe wait tone" in err
        assert b"Traceback" not in err
        [batch] = server.client().batches.list()
        assert batch.status in {"validating", "in_progress"}


def test_a_reader_that_has_seen_enough_is_no_error_of_ours(shell: Any) -> None:
    process = shell.start("jobs")
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141
    process.stderr.close()


def test_a_server_for_rehearsals_prints_its_address_as_json(shell: Any) -> None:
    process = shell.start("serve", "--json")
    assert process.stdout is not None
    document = b""
    while not document.endswith(b"}\n"):
        line = process.stdout.readline()
        assert line, process.communicate()
        document += line
    url = json.loads(document)["url"]
    shell.at(url)
    assert shell.here("doctor").code == 0
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 0


@pytest.mark.slow
def test_the_demo_prints_one_document_and_leaves_nothing(shell: Any) -> None:
    del shell.env["BATCHFRAME_HOME"]
    state = shell.folder / "state"
    shell.env["XDG_STATE_HOME"] = str(state)
    # From a checkout, where the sample reviews are.
    shell.folder = Path(__file__).parents[2]
    ran = shell("demo", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["job"]["counts"] == {"ok": 234, "skipped": 6}
    assert not state.exists()
