"""Command line parser and its help."""

from __future__ import annotations

import argparse
import difflib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from batchframe._cli import commands
from batchframe._cli.help_pages import CODES, PAGES, WHOLE, table_of_contents
from batchframe._endpoints.endpoint import ASKED_ON_DEMAND, UNDELIVERED
from batchframe._models.price import BACKGROUND, TIERS
from batchframe._version import __version__

_Option = Callable[[argparse.ArgumentParser], object]

_OPTION: Final = re.compile(r"--[a-z][a-z-]*")
_RERUN: Final = "Interrupted; nothing is lost. Run the same command again to continue the same job."
_WAIT_AGAIN: Final = "The job keeps running on the service. To continue: batchframe wait {job}"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; exit with code 2 and a message if it is invalid."""
    parser, subparsers = _parsers()
    if not arguments:
        parser.exit(2, parser.format_help())
    _check_spelling(arguments, parser, subparsers)
    return parser.parse_args(arguments)


def help_pages() -> dict[str, str]:
    """Return the help text of every command, for the snapshot test."""
    parser, subparsers = _parsers()
    return {"": parser.format_help()} | {
        name: command.format_help() for name, command in subparsers.items()
    }


def _parsers() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    settings: dict[str, Any] = {
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }
    parser = argparse.ArgumentParser(
        prog="batchframe",
        usage="batchframe COMMAND [options]",
        description=WHOLE,
        epilog=f"{table_of_contents()}\n\nFor details: batchframe COMMAND --help\n\n{CODES}",
        **settings,
    )
    parser.add_argument("--version", action="version", version=__version__)
    # The epilog lists the commands by purpose.
    subparsers = parser.add_subparsers(
        required=True, metavar="COMMAND", help=argparse.SUPPRESS, title=argparse.SUPPRESS
    )
    subparsers_by_name: dict[str, argparse.ArgumentParser] = {}
    for name, page in PAGES.items():
        command = subparsers_by_name[name] = subparsers.add_parser(
            name,
            prog=f"batchframe {name}",
            usage=page.usage,
            description=page.description,
            epilog=page.epilog,
            **settings,
        )
        command.set_defaults(run=getattr(commands, name), resume_hint=_RESUME_HINTS.get(name))
        for add_option in _OPTIONS[name]:
            add_option(command)
        command.add_argument("--json", action="store_true", help="print one JSON document")
    return parser, subparsers_by_name


def _check_spelling(
    arguments: Sequence[str],
    parser: argparse.ArgumentParser,
    commands: Mapping[str, argparse.ArgumentParser],
) -> None:
    """Suggest the nearest command or option, which argparse does not."""
    if not arguments or arguments[0].startswith("-"):
        return
    name, *rest = arguments
    if name not in commands:
        parser.error(f"unknown command ({name!r}).{_hint(name, list(commands))}")
    flags = set(_OPTION.findall(commands[name].format_help()))
    for argument in itertools.takewhile(lambda argument: argument != "--", rest):
        option = argument.partition("=")[0]
        if _OPTION.fullmatch(option) and option not in flags:
            commands[name].error(f"unknown option ({option}).{_hint(option, sorted(flags))}")


def _hint(word: str, names: Sequence[str]) -> str:
    matches = difflib.get_close_matches(word, names, 1)
    return f" Did you mean {matches[0]}?" if matches else ""


def _option(*names: str, **settings: Any) -> _Option:
    return lambda command: command.add_argument(*names, **settings)


def _flag(name: str, description: str) -> _Option:
    return _option(name, action="store_true", help=description)


def _value(name: str, metavar: str, description: str, **settings: Any) -> _Option:
    return _option(name, metavar=metavar, help=description, **settings)


def _repeated(name: str, metavar: str, description: str) -> _Option:
    return _value(name, metavar, f"{description}; may be repeated", action="append", default=[])


def _prompt(command: argparse.ArgumentParser) -> None:
    group = command.add_mutually_exclusive_group(required=True)
    group.add_argument("--prompt", metavar="TEMPLATE", help="such as 'Classify: {{ text }}'")
    group.add_argument(
        "--prompt-file", metavar="FILE", help="the template; a .json file holds chat messages"
    )


def _number(
    convert: type[float], end: float, expected: str, *, start: float = 0
) -> Callable[[str], float]:
    """Return a parser of numbers from `start` to below `end`."""

    def parse(text: str) -> float:
        try:
            number = convert(text)
        except ValueError:
            number = convert(-1)
        if not start <= number < end:
            raise argparse.ArgumentTypeError(f"not {expected} ({text!r})")
        return number

    return parse


_SECONDS: Final = _number(float, float("inf"), "a number of seconds")
_TOKENS: Final = _number(int, 2**62, "a number of tokens", start=1)
_COUNT: Final = _number(int, 2**31, "a number of requests", start=1)
_SEED: Final = _number(int, 2**31, "a whole number")
_PORT: Final = _number(int, 2**16, "a port from 0 to 65535")
_JOB: Final = _option("job", metavar="JOB", help="name, id or folder of the job")
_MAX_COST: Final = _value(
    "--max-cost", "USD", "send nothing if the upper bound of the cost is higher or unknown"
)
_ON_UNBOUNDED: Final = _option(
    "--on-unbounded",
    choices=("refuse", "warn"),
    default="refuse",
    help="with --max-cost, where no upper bound is known: send nothing (refuse, the default), or "
    "compare the likely cost after ten or more earlier answers",
)
_PRICE: Final = _repeated(
    "--price", "KIND=USD", "your batch price per million tokens, such as input=0.10"
)
_TIMEOUT: Final = _value(
    "--timeout", "SECONDS", "maximum time to wait; default: no limit", type=_SECONDS
)
_WAIT: Final = (_flag("--wait", "wait until the job is done"), _TIMEOUT)
_ESCAPE: Final = _flag(
    "--escape-formulas", "for spreadsheets: write an apostrophe before strings such as =1+1"
)
_PAID: Final = (
    _option("--model", default="gpt-6-luna", help="default: %(default)s"),
    _flag("--yes", "do not ask for confirmation"),
)
_ROWS: Final = (_option("input", metavar="INPUT", help="the rows: .csv, .parquet, or -"), _prompt)
_MODEL: Final = _option("--model", required=True, help="name of the model")
_SHAPE: Final = (
    _value("--system", "TEMPLATE", "template of a system message"),
    _value("--output", "LABELS", "labels, such as good,bad; or a .json file with a schema"),
    _value("--column", "NAME", "name of the answer column; default: response or label"),
    _flag("--lenient", "ignore fields of an answer that are not in its schema"),
    _value("--endpoint", "PATH", "default: %(default)s", default="/v1/chat/completions"),
    _value(
        "--on-missing",
        "WHAT",
        "for a row with a missing cell: raise (the default), skip, empty, or a string to use",
        default="raise",
    ),
    _repeated("--param", "KEY=JSON", "a parameter of each request body, such as temperature=0"),
    _flag("--no-dedupe", "send duplicate requests separately"),
    _repeated("--allow", "CHECK", "skip a check, as its error message says"),
    _value(
        "--provider",
        "NAME",
        "provider whose limits and prices apply, such as azure; default: by OPENAI_BASE_URL",
    ),
)
_NO_REUSE: Final = _flag("--no-reuse", "send requests again that an earlier job answered")
_REQUESTS: Final = (*_ROWS, _MODEL, *_SHAPE, _PRICE)

_OPTIONS: Final[Mapping[str, tuple[_Option, ...]]] = {
    "demo": (_flag("--live", "use the real API, after confirmation"), *_PAID),
    "doctor": (_flag("--live", "create one batch of one request, after confirmation"), *_PAID),
    "estimate": (*_REQUESTS, _NO_REUSE),
    "compare": (
        *_ROWS,
        _value("--models", "A,B", "names of the models, separated by commas", required=True),
        _option(
            "--tier",
            action="append",
            choices=(*TIERS, *BACKGROUND),
            help="default: batch and standard; may be repeated",
        ),
        *_SHAPE,
    ),
    "pilot": (
        *_REQUESTS,
        _MAX_COST,
        _ON_UNBOUNDED,
        _value("--n", "N", "number of requests; default: %(default)s", type=_COUNT, default=20),
        _value("--seed", "SEED", "default: %(default)s", type=_SEED, default=0),
        _value("--to", "OUTPUT", "write the sampled rows with their answers"),
        _ESCAPE,
    ),
    "submit": (
        *_REQUESTS,
        _NO_REUSE,
        _MAX_COST,
        _ON_UNBOUNDED,
        _option("--name", help="name of the job, to find it again"),
        _value(
            "--max-enqueued-tokens",
            "TOKENS",
            "limit of input tokens in the service's queue; default: the limit it states",
            type=_TOKENS,
        ),
        _value("--rerun", "LABEL", "create a new job from the same requests, billed again"),
        _option(
            "--on-uncertain",
            choices=("ask", "recreate"),
            default="ask",
            help="if a batch may or may not exist: report it (ask, the default) or create it again",
        ),
        *_WAIT,
        _value("--to", "OUTPUT", "with --wait: write the rows with their answers"),
        _flag("--details", "with --to: add tokens and raw answers"),
        _ESCAPE,
    ),
    "jobs": (_flag("--remote", "also list batches on the server without a folder here"),),
    "show": (_JOB, _flag("--offline", "show the last poll; do not use the network")),
    "wait": (_JOB, _TIMEOUT),
    "cancel": (_JOB,),
    "fetch": (
        _option("job", nargs="+", metavar="JOB", help="name, id or folder of a job"),
        _value("--to", "OUTPUT", ".csv, .parquet, or -", required=True),
        _value("--input", "INPUT", "the rows that were submitted"),
        _ESCAPE,
        _option("--prefix", default="", help="prefix of each new column name"),
        _flag("--details", "add tokens and raw answers"),
        _flag("--overwrite", "replace columns of INPUT that have the same names"),
        _flag("--partial", "write the answers so far; the other rows are pending"),
    ),
    "unanswered": (
        _JOB,
        _option(
            "--also",
            action="append",
            default=[],
            choices=(*ASKED_ON_DEMAND, UNDELIVERED),
            help="also submit rows of this status, whose answers were billed; may be repeated",
        ),
        _option("--name", help='name of the new job; default: "JOB, again"'),
        _MAX_COST,
        _ON_UNBOUNDED,
        _PRICE,
        *_WAIT,
    ),
    "resume": (
        _JOB,
        _flag(
            "--recreate", "send an uncertain input file again, if the service has no batch of it"
        ),
        _value("--batch", "ID", "adopt this batch, after checking its content"),
    ),
    "abandon": (_JOB, _flag("--yes", "do not ask for confirmation")),
    "recover": (),
    "forget": (
        _JOB,
        _flag("--remote", "also delete its files on the server"),
        _flag("--yes", "do not ask for confirmation"),
    ),
    "serve": (
        _option("--host", default="127.0.0.1", help="address to bind; default: this machine only"),
        _option("--port", type=_PORT, default=0, help="default: a free port, kept in --folder"),
        _option("--folder", help="where to store the state; default: a temporary folder"),
        _value("--profile", "NAME", "provider to imitate, such as groq", default="openai"),
        _option("--upstream", help="base URL of an OpenAI-compatible server that answers"),
        _option("--seconds", type=_SECONDS, default=0.0, help="minimum duration of a batch"),
    ),
}
_RESUME_HINTS: Final = {"wait": _WAIT_AGAIN} | dict.fromkeys(
    ("submit", "unanswered", "resume"), _RERUN
)
