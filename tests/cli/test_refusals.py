"""Refused commands print one sentence and exit with code 2."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

import batchframe.local
from tests.support.commands import run_command

ASK = ("--prompt", "{{ text }}", "--model", "gpt-4.1", "--json")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with input files of several kinds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    Path("reviews.csv").write_text("text\nfine\n", encoding="utf-8")
    Path("wide.csv").write_text("a,text\n1,2,3\n", encoding="utf-8")
    Path("empty.csv").write_bytes(b"")
    Path("latin.csv").write_bytes("text\nGröße\n".encode("latin-1"))
    Path("not.parquet").write_text("text", encoding="utf-8")
    Path("bad.json").write_text("{", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["estimate", "none.csv"], "Cannot read none.csv: No such file"),
        (["estimate", "reviews.txt"], "unsupported extension"),
        (["estimate", "latin.csv"], "Cannot read"),
        (["estimate", "wide.csv"], "Expected 2 fields in line 2, saw 3"),
        (["estimate", "empty.csv"], "Cannot read"),
        (["estimate", "not.parquet"], "Cannot read"),
        (["submit", "reviews.csv", "--to", "out.csv"], "add --wait"),
        (["submit", "reviews.csv", "--wait", "--to", "no/where.csv"], "mkdir -p"),
        (["submit", "reviews.csv", "--wait", "--to", "reviews.csv"], "replace the input"),
        (["submit", "reviews.csv", "--wait", "--to", "-"], "Fix: --to FILE"),
        (["submit", "reviews.csv", "--wait", "--to", "out.xlsx"], "unsupported extension"),
        (["estimate", "reviews.csv", "--output", "positive"], "only one label"),
        (["estimate", "reviews.csv", "--output", "bad.json"], "Cannot read bad.json"),
        (["estimate", "reviews.csv", "--output", "none.json"], "Cannot read none.json"),
        (["estimate", "reviews.csv", "--param", "temperature=0,5"], "neither JSON nor"),
        (["estimate", "reviews.csv", "--param", "stop=None"], "neither JSON nor"),
        (["estimate", "reviews.csv", "--param", "logprobs=True"], "neither JSON nor"),
        (["estimate", "reviews.csv", "--param", "frame=1"], "its own option"),
        (["estimate", "reviews.csv", "--param", "model=x"], "its own option"),
        (["estimate", "reviews.csv", "--param", "temperature"], "KEY=VALUE"),
        (["estimate", "reviews.csv", "--param", "a=1", "--param", "a=2"], "duplicate key"),
        (["estimate", "reviews.csv", "--price", "out=1"], "--price input=USD"),
        (["estimate", "reviews.csv", "--on-missing", "drop"], "--on-missing skip"),
        (["submit", "reviews.csv", "--max-cost", "two"], "--max-cost 2.50"),
        (
            ["estimate", "reviews.csv", "--endpoint", "/v1/chat/completion"],
            "endpoint: not supported",
        ),
    ],
)
def test_an_error_names_the_problem_and_the_fix(
    arguments: list[str], fragment: str, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert run_command(*arguments, *ASK) == 2
    printed = capsys.readouterr()
    assert fragment in printed.err
    error: Any = json.loads(printed.out)["error"]
    assert error["message"] in printed.err
    assert error["kind"].endswith("Error")
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["dmeo"], "Did you mean demo?"),
        (["submitt", "x"], "Did you mean submit?"),
        (["submit", "x", "--modle", "y"], "Did you mean --model?"),
        (["wait", "x", "--time-out=3"], "Did you mean --timeout?"),
        (["wait", "x", "--timeout", "-1"], "--timeout"),
        (["wait", "x", "--timeout", "soon"], "not a number of seconds ('soon')"),
        (["submit", "-", "--max-enqueued-tokens", "2e6"], "not a number of tokens ('2e6')"),
        (["submit", "-", "--max-enqueued-tokens", "0"], "not a number of tokens ('0')"),
        (["submit", "x", "--model", "m"], "--prompt"),
        (["submit", "x", "--model", "m", "--prompt", "a", "--prompt-file", "b"], "not allowed"),
        (["serve", "--port", "70000"], "65535"),
        ([], "submit      Submit the requests of a file"),
    ],
)
def test_a_typo_is_a_usage_error_with_a_suggestion(
    arguments: list[str], fragment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as excinfo:
        run_command(*arguments)
    assert excinfo.value.code == 2
    printed = capsys.readouterr()
    assert fragment in printed.err
    assert printed.out == ""


def test_a_missing_prompt_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("estimate", "reviews.csv", "--prompt-file", "none.txt", "--model", "gpt-4.1")
    assert run_command(*arguments) == 2
    assert "Cannot read none.txt: No such file" in capsys.readouterr().err


def test_an_operating_system_error_is_reported_like_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "no folder")
    assert run_command("demo") == 2
    assert "Operating system error: " in capsys.readouterr().err


def test_commands_that_a_job_does_not_allow_yet_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with batchframe.local.serve(seconds=60) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        for name in ("tone", "topic"):
            arguments = (
                "submit",
                "reviews.csv",
                "--name",
                name,
                "--prompt",
                f"{name}: {{{{ text }}}}",
            )
            assert run_command(*arguments, "--model", "gpt-4.1") == 0
        for code, arguments, fragment in (
            (2, ("fetch", "tone", "topic", "--to", "out.csv"), "--input FILE"),
            (3, ("fetch", "tone", "--to", "out.csv"), "nothing was written"),
            (2, ("forget", "tone"), "Not confirmed"),
            (2, ("abandon", "tone"), "Not confirmed"),
            (0, ("abandon", "tone", "--yes"), "may still be billed"),
            (0, ("abandon", "tone"), ""),
        ):
            assert run_command(*arguments) == code, arguments
            assert fragment in capsys.readouterr().err
