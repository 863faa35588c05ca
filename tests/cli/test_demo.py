"""The demo and the output that the README shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.commands import run_command

REPO = Path(__file__).parents[2]


def test_the_demo_prints_what_the_readme_shows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPO)
    assert run_command("demo") == 0
    printed = capsys.readouterr().out
    examples = re.findall(r"```text\n(.*?)```", (REPO / "README.md").read_text("utf-8"), re.DOTALL)
    for part in examples[0].split("\n\n"):
        assert part.strip("\n") in printed
    (accuracy,) = re.findall(r"Accuracy: ([\d.]+)% of the 197 messages", printed)
    assert float(accuracy) >= 85


@pytest.mark.slow
def test_the_demo_leaves_no_files_unless_batchframe_home_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(REPO)
    monkeypatch.delenv("BATCHFRAME_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_command("demo") == 0
    assert not (tmp_path / "state").exists()


def test_the_live_demo_asks_before_it_spends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    questions: list[str] = []
    monkeypatch.setattr("batchframe._cli.demo.confirm", lambda text: bool(questions.append(text)))
    monkeypatch.chdir(REPO)
    assert run_command("demo", "--live") == 0
    assert "231 requests to gpt-6-luna for $0.0017 (" in questions[0]
    assert "Nothing was sent." in capsys.readouterr().out
    assert not home.exists()


def test_without_a_key_the_live_demo_says_how_to_set_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.chdir(REPO)
    assert run_command("demo", "--live", "--yes") == 2
    err = capsys.readouterr().err
    assert "OPENAI_API_KEY" in err
    assert "batchframe serve" in err


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as excinfo:
        run_command("dmeo")
    assert excinfo.value.code == 2
    assert "demo" in capsys.readouterr().err
