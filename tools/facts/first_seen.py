"""Dates on which findings were first seen, stored in the repository."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from tools.facts.checks import Finding

PATH: Final = Path(__file__).with_name("first_seen.toml")
PATIENCE: Final = timedelta(days=14)
_HEADER: Final = """\
# When `python -m tools.facts --record` first saw each finding that still stands.
# One that stands longer than two weeks fails `python -m tools.facts --fail`.
"""


def load(path: Path) -> dict[str, date]:
    """Read the dates by the key of the finding."""
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def updated(dates: Mapping[str, date], findings: Iterable[Finding], on: date) -> dict[str, date]:
    """Add new findings, and drop those that are resolved."""
    return {one.key: dates.get(one.key, on) for one in findings if one.ages}


def save(path: Path, dates: Mapping[str, date]) -> None:
    """Write the dates, sorted by key."""
    lines = [f"{json.dumps(key)} = {day}\n" for key, day in sorted(dates.items())]
    path.write_text(_HEADER + "".join(lines), encoding="utf-8")


def overdue(dates: Mapping[str, date], on: date) -> list[str]:
    """Return the keys of the findings that are more than two weeks old.

    Examples
    --------
    >>> overdue({"old": date(2026, 11, 1), "new": date(2026, 11, 20)}, date(2026, 11, 30))
    ['old']
    """
    return [key for key, day in dates.items() if on - day > PATIENCE]
