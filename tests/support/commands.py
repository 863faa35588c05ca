"""The command line in this process."""

from __future__ import annotations

from batchframe import __main__ as command


def run_command(*arguments: str) -> int:
    """Run a command to its end, and return its exit code."""
    return command.main([*arguments])
