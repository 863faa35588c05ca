"""Newest wheels, downloaded and read without importing them."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = ("openai", "litellm", "genai-prices")
_BULLET: Final = re.compile(r"\n- ")
_NAME: Final = re.compile(r'"([^"]+)"')
_SHUTDOWN: Final = re.compile(r"shutdown\s+date:\s+(\d{4}-\d\d-\d\d)")


@dataclass(frozen=True)
class Wheel:
    """A wheel on disk."""

    path: Path

    @property
    def version(self) -> str:
        """The version in the file name."""
        return self.path.name.split("-")[1]

    def text(self, member: str) -> str | None:
        """Return a file of the wheel, or None if the wheel does not have it."""
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(member).decode() if member in archive.namelist() else None

    def json(self, member: str) -> Mapping[str, Any]:
        """Return a JSON file of the wheel; an empty mapping if there is none."""
        text = self.text(member)
        return {} if text is None else dict(json.loads(text))


def download(folder: Path) -> str | None:
    """Download the newest wheels with pip; return its error, or None."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--retries", "1", "--timeout", "15", "--dest", str(folder), *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, no user input
    lines = done.stderr.strip().splitlines() or [f"pip exited with {done.returncode}"]
    return None if done.returncode == 0 else lines[-1]


def find_wheels(folder: Path) -> dict[str, Wheel]:
    """Return the wheels in a folder by the name of their package."""
    paths = sorted(folder.glob("*.whl"))
    return {path.name.split("-")[0].replace("_", "-"): Wheel(path) for path in paths}


def literal_values(source: str, name: str) -> list[str]:
    """Return the strings of a ``Literal`` type alias in Python source.

    Examples
    --------
    >>> literal_values('Size: TypeAlias = Union[str, Literal["small", "large"]]', "Size")
    ['small', 'large']
    """
    values = (_value_of(node, name) for node in ast.parse(source).body)
    literal = next((value for value in values if value is not None), None)
    return [] if literal is None else [
        node.value
        for node in ast.walk(literal)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]  # fmt: skip


def _value_of(node: ast.stmt, name: str) -> ast.expr | None:
    is_it = isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name
    return node.value if is_it and isinstance(node, ast.AnnAssign) else None


def typed_dict_keys(source: str, prefix: str) -> set[str]:
    r"""Return the keys of the typed dicts whose names start with a prefix.

    Examples
    --------
    >>> source = "class AParamsBase(TypedDict):\n    n: int\nclass Other(TypedDict):\n    m: int"
    >>> typed_dict_keys(source, "AParams")
    {'n'}
    """
    classes = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    return {
        ast.unparse(line.target)
        for node in classes
        if node.name.startswith(prefix)
        for line in node.body
        if isinstance(line, ast.AnnAssign)
    }


def shutdown_dates(source: str) -> Iterator[tuple[str, date]]:
    r"""Yield the models whose shutdown a docstring announces, with its date.

    Examples
    --------
    >>> text = '- "a", "b": Announced shutdown\n  date: 2027-01-14. See ...'
    >>> [(model, str(day)) for model, day in shutdown_dates(text)]
    [('a', '2027-01-14'), ('b', '2027-01-14')]
    """
    for bullet in _BULLET.split(f"\n{source}"):
        if announced := _SHUTDOWN.search(bullet):
            day = date.fromisoformat(announced[1])
            yield from ((model, day) for model in _names_before(bullet, announced.start()))


def _names_before(bullet: str, end: int) -> Sequence[str]:
    return _NAME.findall(bullet[:end])
