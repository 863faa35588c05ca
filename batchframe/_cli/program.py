"""Entry point of the command line."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence

from batchframe._base.errors import BatchframeError, CommandError, SubmissionUncertain, shorten
from batchframe._base.safe_text import in_shell
from batchframe._cli import exit_codes as codes
from batchframe._cli.parser import parse
from batchframe._cli.streams import (
    escape_unencodable,
    print_error,
    print_json,
    print_result,
    warnings_as_sentences,
)
from batchframe._cli.tables import STREAM
from batchframe._display import notices_for_shell


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: done; 1: some rows have no answer; 2: failed; 3: still running; 4: unknown whether a batch
    was created; 130: interrupted.
    """
    escape_unencodable()
    args = parse(sys.argv[1:] if arguments is None else list(arguments))
    try:
        with warnings_as_sentences(), notices_for_shell():
            return _run(args)
    except KeyboardInterrupt:
        if args.resume_hint:
            print_error(args.resume_hint.format(job=shlex.quote(getattr(args, "job", ""))))
        return codes.INTERRUPTED
    except BrokenPipeError:
        # Flushing the rest of the buffer at exit must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return codes.BROKEN_PIPE


def _run(args: argparse.Namespace) -> int:
    data_on_stdout = getattr(args, "to", None) == STREAM
    try:
        if args.json and data_on_stdout:
            raise CommandError("--json, --to -: both write to standard output. Fix: --to FILE.")
        outcome = args.run(args)
    except BrokenPipeError:
        raise
    except (BatchframeError, ImportError) as reason:
        uncertain = isinstance(reason, SubmissionUncertain)
        return _failed(reason, args, codes.UNCERTAIN if uncertain else codes.USAGE)
    except OSError as reason:
        problem = f"Operating system error: {shorten(reason)}"
        error = CommandError(f"{problem}. Fix: batchframe doctor checks your setup.")
        return _failed(error, args, codes.USAGE)
    if args.json:
        if outcome.facts is not None:
            print_json(outcome.facts)
    else:
        print_result(outcome.text, to_stderr=data_on_stdout)
    return int(outcome.code)


def _failed(error: Exception, args: argparse.Namespace, code: int) -> int:
    print_error(error)
    if args.json:
        print_json({"error": {"kind": type(error).__name__, "message": in_shell(error)}})
    return code
