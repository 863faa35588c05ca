"""The help, as it was reviewed, and sentences that speak to a shell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batchframe._cli import help_pages, parser, shell_words

PAGE = Path(__file__).parent / "help.md"
MESSAGES = Path(__file__).parents[1] / "project" / "messages.md"


def page() -> str:
    parts = ["# The help of every command\n\nMade by `tests/cli/test_words.py`.\n"]
    for name, text in parser.help_pages().items():
        parts.append(f"## batchframe {name}".rstrip() + f"\n\n```text\n{text}```\n")
    return "\n".join(parts)


def test_every_help_page_is_as_it_was_reviewed(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    if pytestconfig.getoption("--update-texts"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_command_has_a_purpose_an_example_and_its_exit_codes() -> None:
    for name, text in parser.help_pages().items():
        assert "exit codes:\n  0" in text
        assert max(map(len, text.splitlines())) <= 100
        if name:
            assert "example:\n  " in text
            assert f"batchframe {name}" in text.partition("example:")[2]


def test_the_day_has_every_command_once() -> None:
    named = [name for _, names in help_pages.DAY for name in names]
    assert sorted(named) == sorted(help_pages.PAGES)


def test_no_sentence_tells_a_shell_to_write_python_or_to_run_a_cell() -> None:
    said = shell_words.in_shell(MESSAGES.read_text(encoding="utf-8"))
    verbs = "wait|cancel|resume|forget|results|refresh"
    assert re.findall(rf"bf\.job\([^)]*\)\.(?:{verbs})\(", said) == []
    assert re.findall(r"bf\.jobs?\(|bf\.recover\(", said) == []
    assert re.findall(r"(?i)run the cell (?:again|that submitted)", said) == []
    assert re.findall(r"requests\.pilot", said) == []


@pytest.mark.parametrize("name", ["tone", "my job", "it's", "a;rm -rf b", "$(x)"])
def test_a_command_in_a_sentence_can_be_copied_whatever_the_job_is_called(name: str) -> None:
    import shlex

    said = shell_words.in_shell(f"Come back to it: bf.job({name!r}).resume(recreate=True).")
    command = re.search(r"`(.*)`", said)
    assert command is not None
    assert shlex.split(command[1]) == ["batchframe", "resume", name, "--recreate"]
