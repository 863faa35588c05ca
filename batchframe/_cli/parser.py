"""Parse the command line, and build its help."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from batchframe._cli import commands
from batchframe._cli.help_pages import CODES, PAGES, WHOLE, table_of_contents
from batchframe._endpoints.endpoint import ASKED_ON_DEMAND
from batchframe._version import __version__

_OPTION: Final = re.compile(r"--[a-z][a-z-]*")
_SAME_COMMAND: Final = (
    "Interrupted. Nothing is lost: run the same command again, and it goes on with the same job."
)
_GOES_ON: Final = "The job goes on at the service. Come back: batchframe wait {job}"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; exit with code 2 and a sentence if it is none."""
    parser, subparsers = _parsers()
    if not arguments:
        parser.exit(2, parser.format_help())
    _refuse_misspelt(arguments, parser, subparsers)
    return parser.parse_args(arguments)


def help_pages() -> dict[str, str]:
    """Return the help of every command, for review."""
    parser, subparsers = _parsers()
    return {"": parser.format_help()} | {
        name: command.format_help() for name, command in subparsers.items()
    }


def _parsers() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog="batchframe",
        usage="batchframe COMMAND [options]",
        description=WHOLE,
        epilog=f"{table_of_contents()}\n\nbatchframe COMMAND --help says more.\n\n{CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    # Listed by the work they do, in the epilog.
    subparsers = parser.add_subparsers(
        required=True, metavar="COMMAND", help=argparse.SUPPRESS, title=argparse.SUPPRESS
    )
    made: dict[str, argparse.ArgumentParser] = {}
    for name, page in PAGES.items():
        command = made[name] = subparsers.add_parser(
            name,
            prog=f"batchframe {name}",
            usage=page.usage,
            description=page.description,
            epilog=page.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.set_defaults(run=getattr(commands, name), way_back=None)
        _OPTIONS[name](command)
        command.add_argument("--json", action="store_true", help="print one JSON document")
    return parser, made


def _refuse_misspelt(
    arguments: Sequence[str],
    parser: argparse.ArgumentParser,
    commands: Mapping[str, argparse.ArgumentParser],
) -> None:
    """Say what was meant, where argparse would only say what was not."""
    if not arguments or arguments[0].startswith("-"):
        return
    name, *rest = arguments
    if name not in commands:
        parser.error(f"there is no command {name!r}.{_near(name, list(commands))}")
    known = set(_OPTION.findall(commands[name].format_help()))
    for word in rest:
        option = word.partition("=")[0]
        if word == "--":
            return
        if _OPTION.fullmatch(option) and option not in known:
            commands[name].error(f"there is no option {option}.{_near(option, sorted(known))}")


def _near(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f" Did you mean {near[0]}?" if near else ""


def _asks(command: argparse.ArgumentParser) -> None:
    command.add_argument("input", metavar="INPUT", help="the rows: .csv, .parquet, or -")
    prompt = command.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--prompt", metavar="TEMPLATE", help="such as 'Classify: {{ text }}'")
    prompt.add_argument(
        "--prompt-file", metavar="FILE", help="the template; a .json file holds chat messages"
    )
    command.add_argument("--model", required=True, help="the model to ask")
    command.add_argument("--system", metavar="TEMPLATE", help="a system message")
    command.add_argument(
        "--output", metavar="LABELS", help="labels, such as good,bad; or a .json file of a schema"
    )
    command.add_argument(
        "--column", metavar="NAME", help="the answer column; default: response, or label"
    )
    command.add_argument(
        "--endpoint", default="/v1/chat/completions", metavar="PATH", help="default: %(default)s"
    )
    command.add_argument(
        "--on-missing",
        default="raise",
        metavar="WHAT",
        help="for a row with a missing cell: raise (the default), skip, empty, or a text",
    )
    command.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="KEY=JSON",
        help="a parameter of each request, such as temperature=0; may be repeated",
    )
    command.add_argument("--no-dedupe", action="store_true", help="ask equal rows each")
    command.add_argument(
        "--no-reuse", action="store_true", help="ask again what an earlier job answered"
    )
    command.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="CHECK",
        help="send what this check refuses, as its message says; may be repeated",
    )
    _prices(command)


def _provider(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--provider",
        metavar="NAME",
        help="whose limits and prices count, such as azure; default: by OPENAI_BASE_URL",
    )


def _limit(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--max-cost", metavar="USD", help="send nothing if it may cost more, or nobody knows"
    )


def _prices(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--price",
        action="append",
        default=[],
        metavar="KIND=USD",
        help="your batch price per million tokens, such as input=0.10; may be repeated",
    )


def _waits(command: argparse.ArgumentParser) -> None:
    command.add_argument("--wait", action="store_true", help="wait until the job is done")
    _timeout(command)


def _timeout(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="how long to wait; default: to the end"
    )


def _escapes(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--escape-formulas",
        action="store_true",
        help="make OUTPUT safe for spreadsheets: an apostrophe before text such as =1+1",
    )


def _job(command: argparse.ArgumentParser) -> None:
    command.add_argument("job", metavar="JOB", help="its name, its id, or its folder")


def _estimate(command: argparse.ArgumentParser) -> None:
    _asks(command)
    _provider(command)


def _submit(command: argparse.ArgumentParser) -> None:
    _asks(command)
    _provider(command)
    _limit(command)
    command.add_argument("--name", help="what to call the job, to find it again")
    command.add_argument(
        "--rerun", metavar="LABEL", help="make a new job of the same requests, paid again"
    )
    command.add_argument(
        "--on-uncertain",
        choices=("ask", "recreate"),
        default="ask",
        help="when a batch may or may not exist: say so (ask, the default), or see to it",
    )
    _waits(command)
    command.add_argument("--to", metavar="OUTPUT", help="with --wait: write INPUT with its answers")
    command.add_argument("--details", action="store_true", help="with --to: tokens, raw answers")
    _escapes(command)
    command.set_defaults(way_back=_SAME_COMMAND)


def _show(command: argparse.ArgumentParser) -> None:
    _job(command)
    command.add_argument(
        "--offline", action="store_true", help="as it was at the last look; ask nobody"
    )


def _wait(command: argparse.ArgumentParser) -> None:
    _job(command)
    _timeout(command)
    command.set_defaults(way_back=_GOES_ON)


def _fetch(command: argparse.ArgumentParser) -> None:
    command.add_argument("job", nargs="+", metavar="JOB", help="its name, its id, or its folder")
    command.add_argument("--to", required=True, metavar="OUTPUT", help=".csv, .parquet, or -")
    command.add_argument("--input", metavar="INPUT", help="the rows that were submitted")
    _escapes(command)
    command.add_argument("--prefix", default="", help="put before the name of each new column")
    command.add_argument("--details", action="store_true", help="also tokens and raw answers")
    command.add_argument(
        "--overwrite", action="store_true", help="replace columns of INPUT that have these names"
    )
    command.add_argument(
        "--partial", action="store_true", help="write what is here; other rows are pending"
    )


def _unanswered(command: argparse.ArgumentParser) -> None:
    _job(command)
    command.add_argument(
        "--also",
        action="append",
        default=[],
        choices=ASKED_ON_DEMAND,
        help="also ask again what was answered, and billed, but not well; may be repeated",
    )
    command.add_argument("--name", help='what to call the new job, by default "JOB, again"')
    _limit(command)
    _prices(command)
    _waits(command)
    command.set_defaults(way_back=_SAME_COMMAND)


def _resume(command: argparse.ArgumentParser) -> None:
    _job(command)
    command.add_argument(
        "--recreate",
        action="store_true",
        help="send an uncertain part again; only if you are sure that the service has it not",
    )
    command.set_defaults(way_back=_SAME_COMMAND)


def _forget(command: argparse.ArgumentParser) -> None:
    _job(command)
    command.add_argument("--remote", action="store_true", help="also its files on the server")
    command.add_argument("--yes", action="store_true", help="do not ask")


def _doctor(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--live", action="store_true", help="create one batch of one request; asks before"
    )
    _live(command)


def _demo(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--live", action="store_true", help="ask the real service; asks you before it spends"
    )
    _live(command)


def _live(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", default="gpt-5.6-luna", help="default: %(default)s")
    command.add_argument("--yes", action="store_true", help="do not ask before spending")


def _serve(command: argparse.ArgumentParser) -> None:
    command.add_argument("--host", default="127.0.0.1", help="default: this machine only")
    command.add_argument(
        "--port", type=_port, default=0, help="default: a free one, kept by --folder"
    )
    command.add_argument("--folder", help="where state is kept; default: nowhere")
    command.add_argument(
        "--profile", default="openai", metavar="NAME", help="whose habits to imitate, such as groq"
    )
    command.add_argument("--upstream", help="answer with this OpenAI-compatible server's model")
    command.add_argument("--seconds", type=float, default=0.0, help="the least a batch takes")


def _nothing(_command: argparse.ArgumentParser) -> None:
    """Add no option."""


_OPTIONS: Final[Mapping[str, Callable[[argparse.ArgumentParser], None]]] = {
    "demo": _demo,
    "doctor": _doctor,
    "estimate": _estimate,
    "submit": _submit,
    "jobs": _nothing,
    "show": _show,
    "wait": _wait,
    "cancel": _job,
    "fetch": _fetch,
    "unanswered": _unanswered,
    "resume": _resume,
    "recover": _nothing,
    "forget": _forget,
    "serve": _serve,
}


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
