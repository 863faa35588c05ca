"""Conversion of command line options to requests."""

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
from batchframe._cli.tables import unreadable
from batchframe._recipe.arguments import RESERVED_KEYWORDS

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]*")
# Spellings of true, false and null in other languages.
_ALMOST_JSON: Final = re.compile(r"(?i:true|false|null|nil|nan|-?inf(inity)?)|None")


def requests_of(args: argparse.Namespace, frame: pd.DataFrame) -> Requests:
    """Build the requests from the options and a frame.

    Raises
    ------
    InputError
        If an option or a cell is invalid.
    """
    return requests(
        frame,
        _prompt(args),
        model=args.model,
        system=args.system,
        output=output_of(args.output),
        endpoint=args.endpoint,
        name=args.column,
        lenient=args.lenient,
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
        # Editors append a final line break, which is not part of the prompt.
        return path.read_text("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as reason:
        raise unreadable(path, reason, "pass a text file in UTF-8") from None


def output_of(value: str | None) -> Any:
    """Parse ``--output``: comma-separated labels, or the path of a JSON file.

    Examples
    --------
    >>> output_of("positive, negative,mixed")
    ['positive', 'negative', 'mixed']
    """
    if value is None:
        return None
    if value.lower().endswith(".json"):
        return _read_json(Path(value))
    labels = [label.strip() for label in value.split(",")]
    if len(labels) == 1:
        raise CommandError(
            f"--output: only one label ({quote(value)}). Fix: --output positive,negative,mixed, or "
            "a .json file with a JSON schema; for free text, omit it."
        )
    return labels


def parameters(values: Sequence[str]) -> dict[str, Any]:
    """Parse ``--param KEY=VALUE`` options; a value is JSON or a plain word.

    Examples
    --------
    >>> parameters(["temperature=0", "reasoning_effort=none", 'stop=["END"]'])
    {'temperature': 0, 'reasoning_effort': 'none', 'stop': ['END']}
    """
    texts = pairs("--param", values, "temperature=0")
    for name in texts:
        # `frame` is the parameter of df.bf.requests.
        if name in {*RESERVED_KEYWORDS, "frame"}:
            raise CommandError(
                f"--param: not allowed for {name!r}. Fix: use its own option; see "
                "batchframe submit --help."
            )
    return {name: _value(name, text) for name, text in texts.items()}


def prices_of(values: Sequence[str]) -> dict[str, str] | None:
    """Parse ``--price KIND=USD`` options; the price table validates them.

    Examples
    --------
    >>> prices_of(["input=0.10", "output=0.60"])
    {'input': '0.10', 'output': '0.60'}
    """
    return pairs("--price", values, "input=0.10") or None


def pairs(option: str, values: Sequence[str], example: str) -> dict[str, str]:
    """Split ``KEY=VALUE`` strings into a dict; reject duplicate keys."""
    result: dict[str, str] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not (equals and name.strip()):
            raise CommandError(f"{option}: not KEY=VALUE ({quote(text)}). Fix: {option} {example}.")
        if name in result:
            raise CommandError(f"{option}: duplicate key ({name!r}). Fix: keep one of them.")
        result[name] = value
    return result


def _value(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        if _WORD.fullmatch(text) and not _ALMOST_JSON.fullmatch(text):
            return text
        raise CommandError(
            f"--param {name}: neither JSON nor a single word ({quote(text)}). Fix: numbers, true, "
            f"false and null as in JSON, or a quoted string, --param {name}='\"a string\"'."
        ) from None


def _read_json(path: Path) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as reason:
        fix = "pass JSON: a schema or labels for --output, chat messages for --prompt-file"
        raise unreadable(path, reason, fix) from None
