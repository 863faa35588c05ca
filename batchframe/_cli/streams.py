"""Print results to the standard output, and everything else to the standard error."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any, TextIO

from batchframe._cli.shell_words import in_shell


def tell(sentence: str) -> None:
    """Say something beside the output, as to somebody at a shell."""
    print(in_shell(sentence), file=sys.stderr, flush=True)  # noqa: T201 - a command line speaks


def answer(words: str, *, aside: bool) -> None:
    """Print what a command was run for; `aside` where its data has the standard output."""
    if words:
        _print(words, sys.stderr if aside else sys.stdout)


def document(facts: Mapping[str, Any]) -> None:
    """Print one JSON document, in ASCII: whatever the terminal's encoding is, it can be read."""
    _print(json.dumps(facts, indent=2, default=str, allow_nan=False), sys.stdout)


def agreed(question: str) -> bool:
    """Ask for consent; where nobody can be asked, there is none."""
    if not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201 - as above
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


@contextmanager
def aside_from_json(*, wanted: bool) -> Iterator[None]:
    """Where a document is to come, keep the standard output for it."""
    with redirect_stdout(sys.stderr) if wanted else nullcontext():
        yield


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Say a warning as a sentence, without the line of code that it points at."""
    with warnings.catch_warnings():
        # Ours are for whoever reads the log, and no reason to stop, whatever the interpreter's
        # filters say of other warnings.
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: tell(f"Warning: {message}")
        yield


def never_fail_to_encode() -> None:
    """Show what the terminal's encoding lacks as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def _print(words: str, stream: TextIO) -> None:
    print(words, file=stream, flush=True)
