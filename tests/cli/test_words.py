"""Help pages as reviewed, and messages for a shell."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import batchframe
from batchframe._cli import help_pages, parser
from batchframe.errors import JobError, SubmissionUncertain
from batchframe.local import Fault, serve
from tests.support.profiles import change_local

PAGE = Path(__file__).parent / "help.md"


def page() -> str:
    parts = ["# The help of every command\n\nMade by `tests/cli/test_words.py`.\n"]
    for name, text in parser.help_pages().items():
        parts.append(f"## batchframe {name}".rstrip() + f"\n\n```text\n{text}```\n")
    return "\n".join(parts)


def test_every_help_page_matches_the_reviewed_text(
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


def test_the_overview_lists_every_command_once() -> None:
    named = [name for _, names in help_pages.DAY for name in names]
    assert sorted(named) == sorted(help_pages.PAGES)


# Modules that only notebooks use.
OF_NOTEBOOKS = {
    "_api/job_waiting.py", "_api/listing.py", "_display/widget.py", "_results/batch_answers.py",
    "_results/unanswered.py",
}  # fmt: skip
FOR_NOTEBOOKS = re.compile(
    r"(?i)bf\.jobs?\(|bf\.recover\(|\brun the cell\b|plan\.pilot\(n|"
    r"\.(?:wait|cancel|resume|refresh)\(\)|the client's base_url|\bmax_cost=\d"
)


def _outside_of_steps(node: ast.AST) -> Iterator[str]:
    """Yield the strings of a module outside of NextStep."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "NextStep":
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from _outside_of_steps(child)


def test_no_message_in_a_shell_contains_python_or_mentions_cells() -> None:
    package = Path(batchframe.__file__).parent
    python_texts = [
        (module, text)
        for path in sorted(package.rglob("*.py"))
        if (module := path.relative_to(package).as_posix()) not in OF_NOTEBOOKS
        and module.partition("/")[0] not in {"local", "plot"}
        for text in _outside_of_steps(ast.parse(path.read_text(encoding="utf-8")))
        if FOR_NOTEBOOKS.search(text)
    ]
    assert python_texts == []


def test_an_error_words_its_next_step_for_a_notebook_and_for_a_shell() -> None:
    error = JobError.not_sent("my job")
    for copy in (error, pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own bytes
        assert " Fix: bf.job('my job').resume(). " in str(copy)
        assert copy.next_step.startswith("Fix: bf.job('my job').resume(). ")
        assert " Fix: `batchframe resume 'my job'`. " in copy.args[0].shell
        assert copy.next_step.shell.startswith("Fix: `batchframe resume 'my job'`. ")


@pytest.mark.parametrize("name", ["tone", "my job", "it's", "a;rm -rf b", "$(x)"])
def test_a_command_in_a_message_can_be_copied_for_any_job_name(name: str) -> None:
    import shlex

    command = re.search(r"`(.*?)`", JobError.not_sent(name).next_step.shell)
    assert command is not None
    assert shlex.split(command[1]) == ["batchframe", "resume", name]


def test_a_command_in_a_message_has_keywords_as_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change_local(monkeypatch, settle=0.01)
    requests = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1")
    with (
        serve(faults=[Fault("POST /v1/batches", "reset")]) as server,
        pytest.raises(SubmissionUncertain) as excinfo,
    ):
        requests.submit("my job", client=server.client())
    assert "batchframe resume 'my job' --recreate" in excinfo.value.args[0].shell
