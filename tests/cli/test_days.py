"""Jobs across several processes."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pandas as pd
import pytest

from batchframe.local import serve


def until(true: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    while not true():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_serve_prints_its_address_at_once_and_asks_for_its_key(shell: Any) -> None:
    shell.env["BATCHFRAME_SERVE_KEY"] = key = "sk-CANARY-serve"
    with shell.start("serve") as process:
        # The server runs on, so these lines were flushed.
        first, second = (process.stdout.readline().decode() for _ in range(2))
        try:
            url = first.split()[-1]
            with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as client:
                assert client.models.list().data
                with pytest.raises(openai.AuthenticationError):
                    client.with_options(api_key="sk-other").models.list()
        finally:
            process.send_signal(signal.SIGINT)
        rest, errors = process.communicate()
    assert first.startswith("Batch server at http://127.0.0.1:")
    assert 'api_key=os.environ["BATCHFRAME_SERVE_KEY"]' in second
    assert "CANARY" not in first + second + (rest + errors).decode()
    assert process.returncode == 0


@pytest.mark.slow
def test_three_processes_can_submit_wait_and_fetch(
    shell: Any, ask: tuple[str, ...], home: Path
) -> None:
    with serve(seconds=4) as server:
        shell.at(server.url)
        first = shell.start("submit", *ask, "--name", "tone", "--wait", "--to", "never.csv")
        until(lambda: list(home.glob("jobs/*/journal.jsonl")) and server.ledger, first)
        first.kill()
        first.communicate()
        # The same command finds the same job, however far the first process got.
        assert shell("submit", *ask, "--name", "tone").code == 0
        assert shell("wait", "tone", "--timeout", "120").code == 0
        result = shell("fetch", "tone", "--input", "reviews.csv", "--to", "out.parquet", "--json")
        assert result.code == 0
        assert result.json["rows"] == 3
        assert len(server.ledger) == 1
    labeled = pd.read_parquet(shell.folder / "out.parquet")
    assert labeled["bf_status"].tolist() == ["ok"] * 3
    assert not (shell.folder / "never.csv").exists()


@pytest.mark.slow
def test_ctrl_c_while_waiting_exits_with_130_and_says_how_to_continue(
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


def test_a_closed_pipe_is_not_an_error(shell: Any) -> None:
    process = shell.start("jobs")
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141
    process.stderr.close()


def test_serve_prints_its_address_as_json(shell: Any) -> None:
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
    # The sample messages are in the checkout.
    shell.folder = Path(__file__).parents[2]
    result = shell("demo", "--json")
    assert result.code == 0, result.err
    assert result.json["job"]["counts"] == {"ok": 237, "skipped": 3}
    assert not state.exists()
