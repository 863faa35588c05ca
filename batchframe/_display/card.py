"""Content of a card, shared by the text and HTML renderers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["plain", "good", "warn", "bad"]


@dataclass(frozen=True)
class Table:
    """Small table with a caption, column headers and row headers.

    The first cell of each row is its header.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Card:
    """Summary of an object.

    Attributes
    ----------
    facts
        Pairs of name and value, in display order.
    progress
        Number of finished items and total number.
    quoted
        Caption and string to show verbatim, such as the first prompt.
    next_step
        Code to copy.
    tone
        Color of the edge. It only repeats what the text says.
    """

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    progress: tuple[int, int] | None = None
    table: Table | None = None
    quoted: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()
    next_step: str | None = None
    tone: Tone = "plain"
