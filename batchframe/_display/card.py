"""The facts that a card shows, as plain values that text and HTML share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["plain", "good", "warn", "bad"]


@dataclass(frozen=True)
class Table:
    """A small table: a caption, the head of each column, and rows whose first cell is a head."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Card:
    """What an object says of itself.

    Attributes
    ----------
    facts
        Name and value, in the order they are read.
    progress
        How many are done, of how many.
    quoted
        A caption and a text to show as it is, such as the first prompt.
    next_step
        Code to copy.
    tone
        Of the line at the edge, where there is colour. It says nothing that no word says.
    """

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    progress: tuple[int, int] | None = None
    table: Table | None = None
    quoted: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()
    next_step: str | None = None
    tone: Tone = "plain"
