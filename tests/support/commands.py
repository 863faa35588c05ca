"""The command in this process, where no process of its own is needed."""

from __future__ import annotations

from batchframe import __main__ as command


def run_command(*words: str) -> int:
    """Run a command to its end, and return its exit code."""
    return command.main([*words])
