"""Build the requests that the command line options describe."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pandas as pd

from batchframe._api.functions import requests
from batchframe._api.requests import Requests
from batchframe._base.errors import CommandError, quote
from batchframe._cli.tables import cause
from batchframe._recipe.arguments import RESERVED_KEYWORDS

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]*")
# What other languages write for JSON's true, false and null.
_ALMOST_JSON: Final = re.compile(r"(?i:true|false|null|nil|nan|-?inf(inity)?)|None")


def requests_of(args: argparse.Namespace, frame: pd.DataFrame) -> Requests:
    """Make the requests that the options ask of a frame.

    Raises
    ------
    InputError
        For anything that could not be asked as it stands.
    """
    return requests(
        frame,
        _prompt(args),
        model=args.model,
        system=args.system,
        output=output_of(args.output),
        endpoint=args.endpoint,
        name=args.column,
        on_missing=args.on_missing,
        dedupe=not args.no_dedupe,
        allow=args.allow,
        **parameters(args.param),
    )


def _prompt(args: argparse.Namespace) -> Any:
    if args.prompt is not None:
        return args.prompt
    path = Path(args.prompt_file)
    if path.suffix.lower() == ".json":
        return _read_json(path)
    try:
        # Editors end a file with a line break that nobody means.
        return path.read_text("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as reason:
        raise CommandError(
            f"{path!s} cannot be read: {cause(reason)}. Give a text file in UTF-8."
        ) from None


def output_of(given: str | None) -> Any:
    """Read ``--output``: labels with commas between them, or a file that ends in ``.json``.

    Examples
    --------
    >>> output_of("positive, negative,mixed")
    ['positive', 'negative', 'mixed']
    """
    if given is None:
        return None
    if given.lower().endswith(".json"):
        return _read_json(Path(given))
    labels = [label.strip() for label in given.split(",")]
    if len(labels) == 1:
        raise CommandError(
            f"--output {quote(given)} offers one label, so there is nothing to choose. Name all of "
            "them, --output positive,negative,mixed, or a JSON schema in a file whose name ends in "
            ".json; for a text answer, leave --output out."
        )
    return labels


def parameters(given: Sequence[str]) -> dict[str, Any]:
    """Read each ``--param KEY=VALUE``: the value is JSON, or one plain word.

    Examples
    --------
    >>> parameters(["temperature=0", "reasoning_effort=none", 'stop=["END"]'])
    {'temperature': 0, 'reasoning_effort': 'none', 'stop': ['END']}
    """
    texts = pairs("--param", given, "temperature=0")
    for name in texts:
        # `frame` would name the function's own argument.
        if name in {*RESERVED_KEYWORDS, "frame"}:
            raise CommandError(
                f"--param {name}=... cannot be: see batchframe submit --help for its option."
            )
    return {name: _value(name, text) for name, text in texts.items()}


def prices_of(given: Sequence[str]) -> dict[str, str] | None:
    """Read each ``--price KIND=USD``; the price book checks what they say.

    Examples
    --------
    >>> prices_of(["input=0.10", "output=0.60"])
    {'input': '0.10', 'output': '0.60'}
    """
    return pairs("--price", given, "input=0.10") or None


def pairs(option: str, given: Sequence[str], example: str) -> dict[str, str]:
    """Split what was given as ``KEY=VALUE``, each key once."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (equals and name.strip()):
            raise CommandError(
                f"{option} {quote(text)} is not of the form KEY=VALUE, such as {example}."
            )
        if name in found:
            raise CommandError(f"{option} gives {name!r} twice. Keep one of them.")
        found[name] = value
    return found


def _value(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        if _WORD.fullmatch(text) and not _ALMOST_JSON.fullmatch(text):
            return text
        raise CommandError(
            f"--param {name}: {quote(text)} is neither JSON nor one plain word. Write numbers, "
            "true, false and null as JSON has them, and any other text in two pairs of quotes: "
            f"--param {name}='\"a text\"'."
        ) from None


def _read_json(path: Path) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as reason:
        raise CommandError(
            f"{path!s} cannot be read as JSON: {cause(reason)}. A file that ends in "
            ".json holds a JSON schema or a list of labels after --output, and a list of chat "
            "messages after --prompt-file."
        ) from None
