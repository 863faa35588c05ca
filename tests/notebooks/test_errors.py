"""An error in a real notebook: the line that made it, and not the insides of batchframe."""

from __future__ import annotations

import re
from typing import Any

import pytest
from nbclient.exceptions import CellExecutionError

# The kernel's own channels warn about what they are; the notebook's cells are what is tested.
pytestmark = pytest.mark.filterwarnings("ignore")
MISSPELT = 'frame.bf.requests("{{ x }}", model="gpt-4.1")'


def trace_of(notebook: Any, source: str) -> str:
    """Run a cell that fails, and return the trace that stands below it."""
    with pytest.raises(CellExecutionError):
        notebook.run(source)
    (output,) = [each for each in notebook.nb.cells[-1].outputs if each.output_type == "error"]
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback))


def test_an_error_shows_the_users_line_and_none_of_batchframes(notebook: Any) -> None:
    told = trace_of(notebook, MISSPELT)
    assert f"----> 1 {MISSPELT}" in told
    assert "TemplateError: {{ x }}: no such column" in told
    assert "_api/accessor.py" not in told
    assert "_recipe/template.py" not in told


@pytest.mark.slow
def test_an_error_within_the_users_own_function_shows_that_function(notebook: Any) -> None:
    told = trace_of(notebook, f"def ask():\n    return {MISSPELT}\n\nask()")
    assert f"----> 2     return {MISSPELT}" in told
    assert "----> 4 ask()" in told
    assert "_api/accessor.py" not in told


@pytest.mark.slow
def test_the_whole_trace_is_there_for_who_asks_for_it(notebook: Any) -> None:
    told = trace_of(notebook, f"%xmode Verbose\n{MISSPELT}")
    assert "_recipe/template.py" in told


@pytest.mark.slow
def test_an_error_keeps_its_whole_trace(notebook: Any) -> None:
    cell = notebook.run(
        f"import traceback\ntry:\n    {MISSPELT}\nexcept bf.errors.TemplateError as error:\n"
        "    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]\n"
        "print(names[0], names[-1])"
    )
    assert cell.outputs[0]["text"].startswith("<module> ")
    assert cell.outputs[0]["text"] != "<module> <module>\n"
