"""What the doctor finds, in words, as data, and as an exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import batchframe.local
from batchframe._cli.doctor import probe, service
from batchframe.local import Fault, serve
from tests.support.clocks import FakeTime, ahead
from tests.support.commands import run_command
from tests.support.profiles import change_local


def doctor(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the findings by subject; of several, the last."""
    code = run_command("doctor", "--json", *words)
    printed = capsys.readouterr()
    found = json.loads(printed.out)["findings"]
    return code, {finding["subject"]: finding for finding in found}


@pytest.fixture(autouse=True)
def _settles_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the server time to list a batch, however busy this machine is."""
    change_local(monkeypatch, settle=2.0)


@pytest.fixture
def at(server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    return server


def test_where_all_is_well_each_line_is_ok_and_nothing_is_made(
    at: batchframe.local.Server, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    code = run_command("doctor")
    printed = capsys.readouterr().out
    assert code == 0, printed
    lines = printed.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert [line.split()[1] for line in lines] == [
        "versions", "home", "tokens", "tokens", "key", "address", "client", "network", "clock",
    ]  # fmt: skip
    assert at.url in printed
    assert not home.exists()
    assert at.ledger == []


def test_without_a_key_nobody_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    code, found = doctor(capsys)
    assert code == 2
    assert found["key"]["verdict"] == "problem"
    assert "batchframe serve" in found["key"]["next_step"]
    assert "skipped" in found["network"]["told"]
    assert "skipped" in doctor(capsys, "--live", "--yes")[1]["live"]["told"]


def test_a_key_with_a_line_break_is_named_but_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-CANARY-with-a-line-break\n")
    assert run_command("doctor") == 2
    printed = capsys.readouterr()
    assert "a line break" in printed.out
    assert "CANARY" not in printed.out + printed.err


@pytest.mark.usefixtures("at")
def test_a_home_that_others_can_change_is_a_problem(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    home.mkdir()
    home.chmod(0o777)
    code, found = doctor(capsys)
    assert code == 2
    assert found["home"]["verdict"] == "problem"
    assert f"chmod 700 {home}" in found["home"]["next_step"]


@pytest.mark.usefixtures("at")
def test_a_home_that_cannot_be_written_is_a_problem(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "file"))
    code, found = doctor(capsys)
    assert code == 2
    assert "BATCHFRAME_HOME" in found["home"]["next_step"]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault("GET /v1/batches", 401), "OPENAI_API_KEY"),
        (Fault("GET /v1/batches", "login page", times=float("inf")), "proxy or a login page"),
        (Fault("GET /v1/batches", "reset", times=float("inf")), "could not be reached"),
    ],
)
def test_a_service_that_refuses_is_a_problem_with_a_next_step(
    fault: Fault, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(faults=[fault]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        code, found = doctor(capsys)
    assert code == 2
    assert found["network"]["verdict"] == "problem"
    assert told in found["network"]["next_step"]


@pytest.mark.usefixtures("at")
def test_a_clock_that_is_wrong_is_told_in_seconds() -> None:
    found = {finding.subject: finding for finding in service.reach(ahead(3600))}
    assert found["network"].verdict == "ok"
    assert found["clock"].verdict == "warning"
    assert re.search(r"36\d\d s ahead of the service", found["clock"].told)


def test_live_asks_first(at: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = doctor(capsys, "--live")
    assert code == 0
    assert "not confirmed" in found["live"]["told"]
    assert at.ledger == []


def test_live_makes_one_batch_of_one_request_and_cleans_up(
    at: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = doctor(capsys, "--live", "--yes")
    assert code == 0
    # The local server takes such a batch, and fails it before it is billed.
    assert "fails validation" in found["fence"]["told"]
    assert " s after it was created" in found["list"]["told"]
    assert "deleted" in found["clean-up"]["told"]
    [batch] = at.client().batches.list()
    assert batch.status == "failed"
    assert at.ledger == []
    assert list(at.client().files.list(purpose="batch")) == []


def findings(
    monkeypatch: pytest.MonkeyPatch, *faults: Fault, clock: Any = None
) -> tuple[dict[str, Any], list[Any]]:
    with serve(faults=list(faults), seconds=30) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        found = {
            finding.subject: finding
            for finding in probe("gpt-4.1", lambda _: True, clock or ahead(0))
        }
        return found, list(server.client().batches.list())


def test_where_a_batch_of_a_deleted_file_is_refused_a_second_file_makes_the_only_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, batches = findings(monkeypatch, Fault("POST /v1/batches", 400))
    assert found["fence"].verdict == "ok"
    assert "HTTP 400" in found["fence"].told
    assert found["list"].verdict == "ok"
    assert [batch.status for batch in batches] in (["cancelling"], ["cancelled"])


def test_live_warns_where_the_list_is_slower_than_batchframe_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change_local(monkeypatch, settle=0.2)
    found, batches = findings(monkeypatch, Fault("GET /v1/batches", "lag", seconds=0.5))
    assert found["list"].verdict == "warning"
    assert len(batches) == 1


def test_live_makes_no_second_batch_where_a_deleted_file_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The server says that it deleted the file, and did not.
    kept = Fault(
        "DELETE /v1/files/{id}", 200, body={"id": "file-x", "object": "file", "deleted": True}
    )
    found, batches = findings(monkeypatch, kept)
    assert found["fence"].verdict == "problem"
    assert found["list"].verdict == "ok"
    assert len(batches) == 1


def test_live_makes_no_second_batch_where_nobody_knows_about_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, batches = findings(
        monkeypatch, Fault("POST /v1/batches", "reset"), clock=FakeTime().clock
    )
    assert found["list"].verdict == "warning"
    assert found["fence"].verdict == "warning"
    assert batches == []
