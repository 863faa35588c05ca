"""The command in this process, where no process of its own is needed."""

from __future__ import annotations

from batchframe.__main__ import main


def run_command(*words: str) -> int:
    """Run a command to its end, and return its exit code."""
    return main([*words])
