"""The command line: words → one step into a room → words, JSON and an exit code."""

from __future__ import annotations

from batchframe._cli.program import main

__all__ = ["main"]
