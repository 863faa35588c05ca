"""The command line: ``batchframe demo`` and ``batchframe serve``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from batchframe._demo import demo
from batchframe._version import __version__
from batchframe.errors import BatchframeError

_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 when all is well, 1 if rows failed, 2 if it could not be done."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except (BatchframeError, ImportError) as reason:
        print(reason, file=sys.stderr)  # noqa: T201 - a command line speaks to its user
        return _USAGE
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="batchframe", description="DataFrame rows to OpenAI Batch API requests, and back."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_demo(commands.add_parser("demo", help="label the sample reviews, without a key or a bill"))
    _add_serve(commands.add_parser("serve", help="run a batch server on this machine"))
    return parser


def _add_demo(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--live", action="store_true", help="ask the real service; asks you before it spends"
    )
    command.add_argument("--model", default="gpt-5.6-luna", help="default: %(default)s")
    command.add_argument("--yes", action="store_true", help="do not ask before spending")
    command.set_defaults(run=lambda got: demo(live=got.live, model=got.model, yes=got.yes))


def _add_serve(command: argparse.ArgumentParser) -> None:
    command.add_argument("--host", default="127.0.0.1", help="default: this machine only")
    command.add_argument(
        "--port", type=_port, default=0, help="default: a free one, kept by --folder"
    )
    command.add_argument("--folder", help="where state is kept; default: nowhere")
    command.add_argument("--upstream", help="answer with this OpenAI-compatible server's model")
    command.add_argument("--seconds", type=float, default=0.0, help="the least a batch takes")
    command.set_defaults(run=_serve)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 2**16:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")  # noqa: TRY003, EM101
    return port


def _serve(got: argparse.Namespace) -> int:
    # Optional: the extra "local" brings the server.
    from batchframe.local import run  # noqa: PLC0415

    run(
        host=got.host,
        port=got.port,
        folder=got.folder,
        upstream=got.upstream,
        seconds=got.seconds,
        ready=lambda url: print(_READY.format(url=url), flush=True),  # noqa: T201 - as above
    )
    return 0


_READY = """\
Batch server at {url}
    client = openai.OpenAI(base_url="{url}", api_key="local")
Stop it with Ctrl-C."""

if __name__ == "__main__":
    sys.exit(main())
