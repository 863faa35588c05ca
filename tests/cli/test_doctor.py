"""Findings of batchframe doctor, as text, JSON and exit code."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import batchframe.local
from batchframe._cli.doctor import probe, service
from batchframe.local import Fault, serve
from tests.support.clocks import FakeTime, ahead
from tests.support.commands import run_command
from tests.support.other_server import FakeServer, fake_server
from tests.support.profiles import change_local

__all__ = ["fake_server"]


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the last finding of each subject."""
    code = run_command("doctor", "--json", *arguments)
    printed = capsys.readouterr()
    by_subject = json.loads(printed.out)["findings"]
    return code, {finding["subject"]: finding for finding in by_subject}


@pytest.fixture(autouse=True)
def _settles_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the server time to list a batch, however busy this machine is."""
    change_local(monkeypatch, settle=2.0)


@pytest.fixture
def at(server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    return server


def test_without_problems_each_line_is_ok_and_nothing_is_written(
    at: batchframe.local.Server, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    code = run_command("doctor")
    printed = capsys.readouterr().out
    assert code == 0, printed
    lines = printed.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert [line.split()[1] for line in lines] == [
        "versions", "facts", "home", "tokens", "tokens", "key", "address", "client", "network",
        "models", "clock",
    ]  # fmt: skip
    assert at.url in printed
    assert not home.exists()
    assert at.ledger == []


def test_without_a_key_no_service_is_called(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    code, by_subject = doctor(capsys)
    assert code == 2
    assert by_subject["key"]["verdict"] == "problem"
    assert "batchframe serve" in by_subject["key"]["next_step"]
    assert "skipped" in by_subject["network"]["told"]
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
def test_a_state_folder_writable_by_others_is_a_problem(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    home.mkdir()
    home.chmod(0o777)
    code, by_subject = doctor(capsys)
    assert code == 2
    assert by_subject["home"]["verdict"] == "problem"
    assert f"chmod 700 {home}" in by_subject["home"]["next_step"]


@pytest.mark.usefixtures("at")
def test_a_state_folder_that_cannot_be_written_is_a_problem(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "file"))
    code, by_subject = doctor(capsys)
    assert code == 2
    assert "BATCHFRAME_HOME" in by_subject["home"]["next_step"]


@pytest.mark.parametrize(
    ("fault", "fragment"),
    [
        (Fault("GET /v1/batches", 401), "OPENAI_API_KEY"),
        (Fault("GET /v1/batches", "login page", times=float("inf")), "proxy or a login page"),
        (Fault("GET /v1/batches", "reset", times=float("inf")), "could not be reached"),
    ],
)
def test_a_service_that_rejects_is_a_problem_with_a_next_step(
    fault: Fault, fragment: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(faults=[fault]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        code, by_subject = doctor(capsys)
    assert code == 2
    assert by_subject["network"]["verdict"] == "problem"
    assert fragment in by_subject["network"]["next_step"]


@pytest.mark.usefixtures("at")
def test_a_wrong_clock_is_reported_in_seconds() -> None:
    by_subject = {finding.subject: finding for finding in service.reach(ahead(3600))}
    assert by_subject["network"].verdict == "ok"
    assert by_subject["clock"].verdict == "warning"
    assert re.search(r"36\d\d s ahead of the service", by_subject["clock"].told)


def test_the_age_of_the_tables_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = doctor(capsys)[1]["facts"]
    ages = r"models checked on 20.* days ago\), prices checked .*, providers checked .*"
    assert re.fullmatch(ages, fresh["told"])
    monkeypatch.setattr("batchframe._cli.doctor.machine.today", lambda: date(2028, 1, 1))
    old = doctor(capsys)[1]["facts"]
    assert old["verdict"] == "warning"
    assert "pip install --upgrade batchframe" in old["next_step"]


@pytest.mark.parametrize(
    ("models", "verdict", "told"),
    [
        ([{"id": "gpt-4.1", "shutdown_date": "2027-01-14"}, {"id": "gpt-6-luna"}], "ok",
         "2 listed, 1 with a shutdown date, all known to batchframe"),
        ([{"id": "gpt-4.1", "shutdown_date": "2027-02-14"}], "warning",
         "not known to batchframe: gpt-4.1 ends on 2027-02-14"),
    ],
    ids=["known", "news"],
)  # fmt: skip
def test_shutdown_dates_of_the_service_are_compared_with_the_table(
    models: list[dict[str, str]], verdict: str, told: str,
    fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("OPENAI_BASE_URL", f"{fake_server.url}/v1")
    fake_server.reply("GET", "/models", (200, json.dumps({"data": models}).encode()))
    finding = {one.subject: one for one in service.reach()}["models"]
    assert (finding.verdict, told in finding.told) == (verdict, True), finding
    fake_server.reply("GET", "/models", (500, b"{}"))
    assert {one.subject: one for one in service.reach()}["models"].verdict == "warning"


def test_live_asks_for_confirmation(at: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, by_subject = doctor(capsys, "--live")
    assert code == 0
    assert "not confirmed" in by_subject["live"]["told"]
    assert at.ledger == []


def test_live_makes_one_batch_of_one_request_and_cleans_up(
    at: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code, by_subject = doctor(capsys, "--live", "--yes")
    assert code == 0
    # The local server accepts such a batch and fails it before it is billed.
    assert "fails validation" in by_subject["fence"]["told"]
    assert " s after it was created" in by_subject["list"]["told"]
    assert "deleted" in by_subject["clean-up"]["told"]
    [batch] = at.client().batches.list()
    assert batch.status == "failed"
    assert at.ledger == []
    assert list(at.client().files.list(purpose="batch")) == []


def findings(
    monkeypatch: pytest.MonkeyPatch, *faults: Fault, clock: Any = None
) -> tuple[dict[str, Any], list[Any]]:
    with serve(faults=list(faults), seconds=30) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        by_subject = {
            finding.subject: finding
            for finding in probe("gpt-4.1", lambda _: True, clock or ahead(0))
        }
        return by_subject, list(server.client().batches.list())


def test_if_a_batch_of_a_deleted_file_is_rejected_a_second_file_makes_the_only_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_subject, batches = findings(monkeypatch, Fault("POST /v1/batches", 400))
    assert by_subject["fence"].verdict == "ok"
    assert "HTTP 400" in by_subject["fence"].told
    assert by_subject["list"].verdict == "ok"
    assert [batch.status for batch in batches] in (["cancelling"], ["cancelled"])


def test_live_warns_if_the_list_lags_longer_than_batchframe_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change_local(monkeypatch, settle=0.2)
    by_subject, batches = findings(monkeypatch, Fault("GET /v1/batches", "lag", seconds=0.5))
    assert by_subject["list"].verdict == "warning"
    assert len(batches) == 1


def test_live_makes_no_second_batch_if_a_deleted_file_is_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The server reports a deletion that did not happen.
    fault = Fault(
        "DELETE /v1/files/{id}", 200, body={"id": "file-x", "object": "file", "deleted": True}
    )
    by_subject, batches = findings(monkeypatch, fault)
    assert by_subject["fence"].verdict == "problem"
    assert by_subject["list"].verdict == "ok"
    assert len(batches) == 1


def test_live_makes_no_second_batch_if_the_first_is_uncertain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_subject, batches = findings(
        monkeypatch, Fault("POST /v1/batches", "reset"), clock=FakeTime().clock
    )
    assert by_subject["list"].verdict == "warning"
    assert by_subject["fence"].verdict == "warning"
    assert batches == []
