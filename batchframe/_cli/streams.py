"""Output: results to standard output, all else to standard error."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from batchframe._base.safe_text import in_shell


def print_error(message: object) -> None:
    """Print a message to standard error, with shell commands as advice."""
    _print(in_shell(message), sys.stderr)


def print_result(text: str, *, to_stderr: bool) -> None:
    """Print a result; to standard error if the output is a data stream."""
    if text:
        _print(text, sys.stderr if to_stderr else sys.stdout)


def print_json(facts: Mapping[str, Any]) -> None:
    """Print one JSON document, in ASCII, which every terminal can encode."""
    _print(json.dumps(facts, indent=2, default=str, allow_nan=False), sys.stdout)


def confirm(question: str) -> bool:
    """Ask the user for consent; return False without a terminal."""
    if not sys.stdin.isatty():
        return False
    _print(f"{question} [y/N] ", sys.stderr, end="")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


@contextmanager
def warnings_as_sentences() -> Iterator[None]:
    """Print warnings as sentences, without the source line."""
    with warnings.catch_warnings():
        # Warnings of batchframe belong in the log and must not raise, whatever the interpreter's
        # filters are.
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: print_error(
            f"Warning: {in_shell(message)}"
        )
        yield


def escape_unencodable() -> None:
    """Escape characters that the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def _print(text: str, stream: TextIO, end: str = "\n") -> None:
    print(text, file=stream, end=end, flush=True)
