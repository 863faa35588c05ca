"""Command line interface."""

from __future__ import annotations

from batchframe._cli.program import main

__all__ = ["main"]
