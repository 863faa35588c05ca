"""Command line parser and its help."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from batchframe._cli import commands
from batchframe._cli.help_pages import CODES, PAGES, WHOLE, table_of_contents
from batchframe._endpoints.endpoint import ASKED_ON_DEMAND
from batchframe._version import __version__

_Option = Callable[[argparse.ArgumentParser], object]

_OPTION: Final = re.compile(r"--[a-z][a-z-]*")
_SAME_COMMAND: Final = (
    "Interrupted. Nothing is lost: run the same command again, and it goes on with the same job."
)
_GOES_ON: Final = "The job goes on at the service. Come back: batchframe wait {job}"


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
        epilog=f"{table_of_contents()}\n\nbatchframe COMMAND --help says more.\n\n{CODES}",
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
        command.set_defaults(run=getattr(commands, name), way_back=_RESUME_HINTS.get(name))
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
        parser.error(f"there is no command {name!r}.{_hint(name, list(commands))}")
    flags = set(_OPTION.findall(commands[name].format_help()))
    for word in rest:
        option = word.partition("=")[0]
        if word == "--":
            return
        if _OPTION.fullmatch(option) and option not in flags:
            commands[name].error(f"there is no option {option}.{_hint(option, sorted(flags))}")


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


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError("it is a number of seconds")
    return seconds


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 2**16:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return port


_JOB: Final = _option("job", metavar="JOB", help="its name, its id, or its folder")
_MAX_COST: Final = _value("--max-cost", "USD", "send nothing if it may cost more, or nobody knows")
_PRICE: Final = _repeated(
    "--price", "KIND=USD", "your batch price per million tokens, such as input=0.10"
)
_TIMEOUT: Final = _value(
    "--timeout", "SECONDS", "how long to wait; default: to the end", type=_seconds
)
_WAIT: Final = (_flag("--wait", "wait until the job is done"), _TIMEOUT)
_ESCAPE: Final = _flag(
    "--escape-formulas", "make OUTPUT safe for spreadsheets: an apostrophe before text such as =1+1"
)
_PAID: Final = (
    _option("--model", default="gpt-5.6-luna", help="default: %(default)s"),
    _flag("--yes", "do not ask before spending"),
)
_REQUESTS: Final = (
    _option("input", metavar="INPUT", help="the rows: .csv, .parquet, or -"),
    _prompt,
    _option("--model", required=True, help="the model to ask"),
    _value("--system", "TEMPLATE", "a system message"),
    _value("--output", "LABELS", "labels, such as good,bad; or a .json file of a schema"),
    _value("--column", "NAME", "the answer column; default: response, or label"),
    _value("--endpoint", "PATH", "default: %(default)s", default="/v1/chat/completions"),
    _value(
        "--on-missing",
        "WHAT",
        "for a row with a missing cell: raise (the default), skip, empty, or a text",
        default="raise",
    ),
    _repeated("--param", "KEY=JSON", "a parameter of each request, such as temperature=0"),
    _flag("--no-dedupe", "ask equal rows each"),
    _flag("--no-reuse", "ask again what an earlier job answered"),
    _repeated("--allow", "CHECK", "send what this check refuses, as its message says"),
    _PRICE,
    _value(
        "--provider",
        "NAME",
        "whose limits and prices count, such as azure; default: by OPENAI_BASE_URL",
    ),
)

_OPTIONS: Final[Mapping[str, tuple[_Option, ...]]] = {
    "demo": (_flag("--live", "ask the real service; asks you before it spends"), *_PAID),
    "doctor": (_flag("--live", "create one batch of one request; asks before"), *_PAID),
    "estimate": _REQUESTS,
    "submit": (
        *_REQUESTS,
        _MAX_COST,
        _option("--name", help="what to call the job, to find it again"),
        _value("--rerun", "LABEL", "make a new job of the same requests, paid again"),
        _option(
            "--on-uncertain",
            choices=("ask", "recreate"),
            default="ask",
            help="when a batch may or may not exist: say so (ask, the default), or see to it",
        ),
        *_WAIT,
        _value("--to", "OUTPUT", "with --wait: write INPUT with its answers"),
        _flag("--details", "with --to: tokens, raw answers"),
        _ESCAPE,
    ),
    "jobs": (),
    "show": (_JOB, _flag("--offline", "as it was at the last look; ask nobody")),
    "wait": (_JOB, _TIMEOUT),
    "cancel": (_JOB,),
    "fetch": (
        _option("job", nargs="+", metavar="JOB", help="its name, its id, or its folder"),
        _value("--to", "OUTPUT", ".csv, .parquet, or -", required=True),
        _value("--input", "INPUT", "the rows that were submitted"),
        _ESCAPE,
        _option("--prefix", default="", help="put before the name of each new column"),
        _flag("--details", "also tokens and raw answers"),
        _flag("--overwrite", "replace columns of INPUT that have these names"),
        _flag("--partial", "write what is here; other rows are pending"),
    ),
    "unanswered": (
        _JOB,
        _option(
            "--also",
            action="append",
            default=[],
            choices=ASKED_ON_DEMAND,
            help="also ask again what was answered, and billed, but not well; may be repeated",
        ),
        _option("--name", help='what to call the new job, by default "JOB, again"'),
        _MAX_COST,
        _PRICE,
        *_WAIT,
    ),
    "resume": (
        _JOB,
        _flag(
            "--recreate",
            "send an uncertain part again; only if you are sure that the service has it not",
        ),
    ),
    "recover": (),
    "forget": (
        _JOB,
        _flag("--remote", "also its files on the server"),
        _flag("--yes", "do not ask"),
    ),
    "serve": (
        _option("--host", default="127.0.0.1", help="default: this machine only"),
        _option("--port", type=_port, default=0, help="default: a free one, kept by --folder"),
        _option("--folder", help="where state is kept; default: nowhere"),
        _value("--profile", "NAME", "whose habits to imitate, such as groq", default="openai"),
        _option("--upstream", help="answer with this OpenAI-compatible server's model"),
        _option("--seconds", type=float, default=0.0, help="the least a batch takes"),
    ),
}
_RESUME_HINTS: Final = {
    "submit": _SAME_COMMAND,
    "wait": _GOES_ON,
    "unanswered": _SAME_COMMAND,
    "resume": _SAME_COMMAND,
}
