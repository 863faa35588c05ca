"""Notebooks that tests read, write and execute.

`nbformat` takes seconds to import, and each worker imports all tests: it is imported when used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def new(*cells: str) -> Any:
    """Return a notebook with these code cells."""
    from nbformat import v4

    return v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])


def read(path: Path) -> Any:
    """Return the notebook of a file."""
    import nbformat

    return nbformat.read(path, as_version=4)


def as_text(notebook: Any) -> str:
    """Return what is written when a notebook is saved."""
    import nbformat

    return str(nbformat.writes(notebook))


def as_saved(notebook: Any) -> Any:
    """Return a notebook as it is after it was saved and opened again."""
    import nbformat

    return nbformat.reads(as_text(notebook), as_version=4)


def client_of(notebook: Any, **options: Any) -> Any:
    """Return the client that executes a notebook."""
    from nbclient import NotebookClient

    return NotebookClient(notebook, **options)


def execution_error() -> type[Exception]:
    """Return the error for a cell that fails."""
    from nbclient.exceptions import CellExecutionError

    return CellExecutionError
