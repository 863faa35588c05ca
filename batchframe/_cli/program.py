"""Run one command line and return its exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from batchframe._base.errors import BatchframeError, CommandError, SubmissionUncertain, shorten
from batchframe._cli import exit_codes as codes
from batchframe._cli.parser import parse
from batchframe._cli.shell_words import in_shell
from batchframe._cli.streams import (
    answer,
    document,
    never_fail_to_encode,
    plain_warnings,
    tell,
)
from batchframe._cli.tables import STREAM


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 all is well; 1 some rows have no answer; 2 it could not be done; 3 still running; 4 not known
    whether it was submitted; 130 interrupted.
    """
    never_fail_to_encode()
    got = parse(sys.argv[1:] if arguments is None else list(arguments))
    try:
        with plain_warnings():
            return _run(got)
    except KeyboardInterrupt:
        if got.way_back:
            tell(got.way_back.format(job=getattr(got, "job", "")))
        return codes.INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough; what is left in the buffer must not fail at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return codes.BROKEN_PIPE


def _run(got: argparse.Namespace) -> int:
    data_on_stdout = getattr(got, "to", None) == STREAM
    try:
        if got.json and data_on_stdout:
            raise CommandError(
                "--json and --to - would both write to the standard output. Choose --to FILE."
            )
        outcome = got.run(got)
    except SubmissionUncertain as reason:
        return _refused(reason, codes.UNCERTAIN, got)
    except (BatchframeError, ImportError) as reason:
        return _refused(reason, codes.USAGE, got)
    except BrokenPipeError:
        raise
    except OSError as reason:
        return _refused(
            CommandError(
                f"The operating system refused: {shorten(reason)}. What is wrong with this "
                "machine's set-up is told by: batchframe doctor"
            ),
            codes.USAGE,
            got,
        )
    if got.json:
        if outcome.facts is not None:
            document(outcome.facts)
    else:
        answer(outcome.words, aside=data_on_stdout)
    return int(outcome.code)


def _refused(reason: Exception, code: int, got: argparse.Namespace) -> int:
    tell(str(reason))
    if got.json:
        document({"error": {"kind": type(reason).__name__, "message": in_shell(str(reason))}})
    return code
