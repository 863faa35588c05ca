"""Notebooks that run in a real kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import notebooks

SET_UP = """
import threading
import pandas as pd
import batchframe as bf
import batchframe.local
server = batchframe.local.serve()
client = server.client()
frame = pd.DataFrame({"t": [f"text {i}" for i in range(20)]})
requests = frame.bf.requests("{{ t }}", model="gpt-4.1", output=["+", "-"])

def end_of_watch():
    for thread in threading.enumerate():
        if thread.name == "batchframe-watch":
            thread.join(30)
            assert not thread.is_alive()
"""


class Notebook:
    """A notebook whose cells are run one after the other."""

    def __init__(self) -> None:
        self.nb = notebooks.new()
        self.client = notebooks.client_of(self.nb, timeout=60)

    def run(self, source: str) -> Any:
        """Run a new cell, and return it."""
        [cell] = notebooks.new(source).cells
        self.nb.cells.append(cell)
        self.client.execute_cell(cell, len(self.nb.cells) - 1)
        return cell

    def restart(self) -> None:
        """Restart the kernel."""
        from jupyter_core.utils import run_sync

        self.client.kc.stop_channels()
        run_sync(self.client.km.restart_kernel)(now=True)
        self.client.start_new_kernel_client()


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    new_notebook = Notebook()
    with new_notebook.client.setup_kernel():
        new_notebook.run(SET_UP)
        yield new_notebook


@pytest.fixture
def shown() -> Callable[[Any], list[str]]:
    """Return the first line of each card, as text, in a cell's outputs."""

    def titles(cell: Any) -> list[str]:
        return [
            output["data"]["text/plain"].split("\n")[0]
            for output in cell.outputs
            if output.output_type in {"display_data", "execute_result"}
        ]

    return titles
