"""Print results to the standard output, and everything else to the standard error."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from typing import Any, TextIO

from batchframe._base.safe_text import in_shell


def print_error(said: object) -> None:
    """Print an error or a text to the standard error, worded for a shell."""
    _print(in_shell(said), sys.stderr)


def print_result(text: str, *, to_stderr: bool) -> None:
    """Print what a command was run for; to the standard error where data has the output."""
    if text:
        _print(text, sys.stderr if to_stderr else sys.stdout)


def print_json(facts: Mapping[str, Any]) -> None:
    """Print one JSON document, in ASCII: whatever the terminal's encoding is, it can be read."""
    _print(json.dumps(facts, indent=2, default=str, allow_nan=False), sys.stdout)


def confirm(question: str) -> bool:
    """Ask for consent; without a terminal there is none."""
    if not sys.stdin.isatty():
        return False
    _print(f"{question} [y/N] ", sys.stderr, end="")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def stdout_for_json(*, wanted: bool) -> AbstractContextManager[object]:
    """Keep the standard output for a JSON document, where one is wanted."""
    return redirect_stdout(sys.stderr) if wanted else nullcontext()


@contextmanager
def warnings_as_sentences() -> Iterator[None]:
    """Print a warning as a sentence, without the line of code that it points at."""
    with warnings.catch_warnings():
        # Ours are for whoever reads the log, and no reason to stop, whatever the interpreter's
        # filters say of other warnings.
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: print_error(
            f"Warning: {in_shell(message)}"
        )
        yield


def escape_unencodable() -> None:
    """Print what the terminal's encoding lacks as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def _print(text: str, stream: TextIO, end: str = "\n") -> None:
    print(text, file=stream, end=end, flush=True)
