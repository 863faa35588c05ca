"""Messages in the source of batchframe, and those that tests triggered.

A site is a call that constructs an exception or a warning of batchframe. The messages of each site
are recorded while tests run, so the reviewed page consists of real messages.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import currently_in_test_context

import batchframe
from batchframe import errors

PACKAGE = Path(batchframe.__file__).parent
CLASSES = frozenset(errors.__all__)
CONSTRUCTORS = "_base/errors.py"  # of messages of several packages
FOLDER = "BATCHFRAME_MESSAGES"  # where the processes of a run record messages

INTRODUCTION = """# Messages

What batchframe says when it refuses or warns, as tests trigger it; written by
`python -m pytest --all --update-texts`. Read it as prose.
"""

# Parts that differ between runs or machines.
_VARIABLE = (
    (re.compile(r"(?:/[\w.@+-]+)+/(?:popen-gw|pytest-)\d+/[\w-]+"), "/home/ada"),
    (re.compile(r"/tmp(?:/[\w.@+-]*[\w@+-])+"), "/tmp/x"),  # noqa: S108 - searched for, not used
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:8000"),
    (re.compile(r"port \d+"), "port 8000"),
    (re.compile(r"\('127\.0\.0\.1', \d+\)"), "('127.0.0.1', 8000)"),
    (re.compile(r"\b(batch|file|req)[-_][\w-]*\d[\w-]*"), r"\1_1"),
    (re.compile(r"\b[0-9a-f]{16,}\b"), "0a1b2c3d4e5f60718293"),
    (re.compile(r"0x[0-9a-f]+"), "0x7f"),
)


_SAID: set[tuple[str, str]] = set()


@dataclass(frozen=True, order=True)
class Site:
    """A place in the source that constructs a message."""

    module: str
    function: str
    kind: str
    number: int

    def __str__(self) -> str:
        ordinal = f" ({self.number})" if self.number > 1 else ""
        return f"{self.module}: {self.function}, {self.kind}{ordinal}"


@functools.cache
def sites() -> dict[Site, tuple[int, re.Pattern[str]]]:
    """Find every site, with its line and a pattern of its messages."""
    patterns: dict[Site, tuple[int, re.Pattern[str]]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).as_posix()
        for function, kind, call in _constructions(path):
            number = 1
            while (site := Site(module, function, kind, number)) in patterns:
                number += 1
            patterns[site] = (call.lineno, re.compile(_pattern(call), re.DOTALL))
    return patterns


def _constructions(path: Path) -> Iterator[tuple[str, str, ast.Call]]:
    def walk(node: ast.AST, function: str, owner: str) -> Iterator[tuple[str, str, ast.Call]]:
        for child in ast.iter_child_nodes(node):
            inner, inner_owner = function, owner
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                inner = f"{function}.{child.name}" if function else child.name
            elif isinstance(child, ast.ClassDef):
                inner, inner_owner = child.name, child.name
            elif isinstance(child, ast.Call) and isinstance(child.func, ast.Name):
                kind = owner if child.func.id == "cls" else child.func.id
                if kind in CLASSES:
                    yield function or "module", kind, child
            yield from walk(child, inner, inner_owner)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), "", "")


def _pattern(call: ast.Call) -> str:
    """Return a regular expression for the messages of a call."""
    parts: list[str] = []
    for argument in (*call.args, *(word.value for word in call.keywords)):
        values = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
        parts += [
            re.escape(value.value)
            if isinstance(value, ast.Constant) and isinstance(value.value, str)
            else ".*"
            for value in values
        ]
        parts.append(" ?")
    return "".join(parts[:-1]) if parts else ""


@functools.cache
def _by_place() -> dict[tuple[str, int], Site]:
    return {(site.module, line): site for site, (line, _) in sites().items()}


def _is_ours(frame: FrameType | None) -> bool:
    return frame is not None and Path(frame.f_code.co_filename).is_relative_to(PACKAGE)


def _site_of(frame: FrameType) -> Site | None:
    if not _is_ours(frame):
        return None
    module = Path(frame.f_code.co_filename).relative_to(PACKAGE).as_posix()
    return _by_place().get((module, frame.f_lineno))


def record() -> None:
    """Record the messages of this process."""

    def note(error: BaseException) -> None:
        frame = sys._getframe(2)  # below this function and construct_and_note: the site
        site = _site_of(frame)
        if site is None or currently_in_test_context():
            return  # inputs made up by hypothesis are not readable examples
        if site.module == CONSTRUCTORS and not _is_ours(frame.f_back):
            return  # a test called the constructor, not a trigger
        _SAID.add((str(site), str(error)))

    for name in ("BatchframeError", *(n for n in errors.__all__ if n.endswith("Warning"))):
        kind = getattr(errors, name)
        kind.__init__ = _noting(kind.__init__, note)


def keep() -> None:
    """Write the recorded messages of this process to a file."""
    lines = [json.dumps(message) + "\n" for message in sorted(_SAID)]
    path = Path(os.environ[FOLDER], f"{os.getpid()}.jsonl")
    path.write_text("".join(lines), encoding="utf-8")


def _noting(construct: Any, note: Any) -> Any:
    @functools.wraps(construct)
    def construct_and_note(self: Any, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)
        note(self)

    return construct_and_note


def recorded() -> dict[str, set[str]]:
    """Read the recorded messages of all processes, by site."""
    messages: dict[str, set[str]] = {}
    for path in Path(os.environ[FOLDER]).glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            site, text = json.loads(line)
            messages.setdefault(site, set()).add(plain(text))
    return messages


def plain(text: str) -> str:
    """Replace parts of a message that differ between runs."""
    for pattern, replacement in _VARIABLE:
        text = pattern.sub(replacement, text)
    return text


def update(path: Path, messages: dict[str, set[str]]) -> None:
    """Update the page: an entry stays if the tests still trigger it."""
    reviewed = read_page(path.read_text(encoding="utf-8"))
    parts = [INTRODUCTION]
    for site, (_, pattern) in sites().items():
        texts = sorted(messages.get(str(site), ()), key=lambda one: (len(one), one))
        text = reviewed.get(str(site), "")
        is_known = not texts or _but_numbers(text) in map(_but_numbers, texts)
        if texts and not (is_known and pattern.fullmatch(text)):
            # Of several messages, one of medium length is typical.
            text = texts[len(texts) // 2]
        if text:
            parts.append(f"## {site}\n\n{textwrap.indent(text, '    ')}\n")
    path.write_text("\n".join(parts), encoding="utf-8")


def _but_numbers(text: str) -> str:
    return re.sub(r"\d+", "0", text)


def read_page(text: str) -> dict[str, str]:
    """Read the messages of a page, by site."""
    messages = {}
    for part in text.split("\n## ")[1:]:
        site, _, body = part.partition("\n\n")
        lines = [line.removeprefix("    ") for line in body.rstrip("\n").split("\n")]
        messages[site] = "\n".join(lines)
    return messages
