"""Help pages of the commands, from help_pages.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

_TEXTS: Final = tomllib.loads((files(__package__) / "help_pages.toml").read_text(encoding="utf-8"))
WHOLE: Final[str] = _TEXTS["whole"]
CODES: Final[str] = _TEXTS["codes"]


@dataclass(frozen=True)
class Page:
    """Help page of one command."""

    purpose: str
    usage: str
    example: str
    codes: tuple[tuple[int, str], ...]
    details: str = ""

    @property
    def epilog(self) -> str:
        """Text below the options."""
        example = self.example.replace("\n", "\n  ")
        codes = "\n".join(f"  {code}  {meaning}" for code, meaning in self.codes)
        return f"example:\n  {example}\n\nexit codes:\n{codes}"

    @property
    def description(self) -> str:
        """Text above the options."""
        return f"{self.purpose}\n\n{self.details}".rstrip()


def _page(codes: str | list[list[Any]], details: str = "", **texts: str) -> Page:
    rows = _TEXTS["exit_codes"][codes] if isinstance(codes, str) else codes
    return Page(
        **texts,
        codes=tuple((code, meaning) for code, meaning in rows),
        details=details.replace("{cells}", _TEXTS["cells"]),
    )


PAGES: Final[Mapping[str, Page]] = {name: _page(**page) for name, page in _TEXTS["pages"].items()}

DAY: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("try", ("demo", "doctor")),
    ("send", ("estimate", "compare", "pilot", "submit")),
    ("monitor", ("jobs", "show", "wait", "cancel")),
    ("get answers", ("fetch", "unanswered")),
    ("repair", ("resume", "recover", "abandon")),
    ("clean up", ("forget",)),
    ("run locally", ("serve",)),
)
"""Commands in the order of use."""


def table_of_contents() -> str:
    """Format the list of commands, grouped by purpose."""
    lines = []
    for group, names in DAY:
        lines.append(f"{group}:")
        lines += [f"  {name:<11} {PAGES[name].purpose}" for name in names]
    return "\n".join(lines)
