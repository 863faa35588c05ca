"""Notices on standard error name commands, not Python code."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from batchframe.local import serve


def test_abandon_prints_the_command_that_sends_the_rows_again(
    shell: Any, ask: tuple[str, ...]
) -> None:
    with serve() as server:
        server.pause()
        shell.at(server.url)
        shell.here("submit", *ask, "--name", "my job")
        abandoned = shell.here("abandon", "my job", "--yes")
    assert "To send the rows again: `batchframe unanswered 'my job'`.\n" in abandoned.err
    assert "()" not in abandoned.err


def test_unanswered_prints_the_option_that_includes_invalid_answers(
    shell: Any, ask: tuple[str, ...]
) -> None:
    with serve(answer=lambda _body: {"label": "?"}) as server:
        shell.at(server.url)
        shell.here("submit", *ask, "--name", "tone", "--wait")
        unanswered = shell.here("unanswered", "tone")
    command = "`batchframe unanswered tone --also invalid`"
    assert f"To send 3 invalid rows again: {command}.\n" in unanswered.err
    assert "()" not in unanswered.err


@pytest.mark.slow
def test_ctrl_c_prints_one_hint_a_command(shell: Any, ask: tuple[str, ...]) -> None:
    with serve(seconds=3600) as server:
        shell.at(server.url)
        assert shell("submit", *ask, "--name", "tone").code == 0
        process = shell.start("wait", "tone")
        assert b"of 3 requests" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    hint = b"The job keeps running on the service. To continue: batchframe wait tone"
    assert err.splitlines() == [hint]
