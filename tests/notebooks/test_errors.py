"""Errors in a real notebook show the user's line."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support import notebooks

# The kernel's channels emit unrelated warnings; only the notebook's cells are tested.
pytestmark = pytest.mark.filterwarnings("ignore")
MISSPELT = 'frame.bf.requests("{{ x }}", model="gpt-4.1")'


def trace_of(notebook: Any, source: str) -> str:
    """Run a cell that fails, and return its traceback."""
    with pytest.raises(notebooks.execution_error()):
        notebook.run(source)
    (output,) = [each for each in notebook.nb.cells[-1].outputs if each.output_type == "error"]
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback))


def test_an_error_shows_only_lines_of_the_user(notebook: Any) -> None:
    trace = trace_of(notebook, MISSPELT)
    assert f"----> 1 {MISSPELT}" in trace
    assert "TemplateError: {{ x }}: no such column" in trace
    assert "_api/accessor.py" not in trace
    assert "_recipe/template.py" not in trace


@pytest.mark.slow
def test_an_error_within_the_users_own_function_shows_that_function(notebook: Any) -> None:
    trace = trace_of(notebook, f"def ask():\n    return {MISSPELT}\n\nask()")
    assert f"----> 2     return {MISSPELT}" in trace
    assert "----> 4 ask()" in trace
    assert "_api/accessor.py" not in trace


@pytest.mark.slow
def test_the_full_traceback_is_available_on_request(notebook: Any) -> None:
    trace = trace_of(notebook, f"%xmode Verbose\n{MISSPELT}")
    assert "_recipe/template.py" in trace


@pytest.mark.slow
def test_an_error_keeps_its_full_traceback(notebook: Any) -> None:
    cell = notebook.run(
        f"import traceback\ntry:\n    {MISSPELT}\nexcept bf.errors.TemplateError as error:\n"
        "    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]\n"
        "print(names[0], names[-1])"
    )
    assert cell.outputs[0]["text"].startswith("<module> ")
    assert cell.outputs[0]["text"] != "<module> <module>\n"
