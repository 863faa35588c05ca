"""Content of a card, shared by the text and HTML renderers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["plain", "good", "warn", "bad"]
PartTone = Literal["plain", "good", "warn", "bad", "waiting"]


@dataclass(frozen=True)
class Table:
    """Small table with a caption, column headers and row headers.

    The first cell of each row is its header. Other cells are numbers, or prose if `is_text`.

    Attributes
    ----------
    text_columns
        Positions of columns of words in a table of numbers.
    marked
        Position of the row to mark; a word in it says why.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    is_text: bool = False
    text_columns: frozenset[int] = frozenset()
    marked: int | None = None


@dataclass(frozen=True)
class Part:
    """Part of a bar; a part that is `waiting` is not filled."""

    name: str
    count: int
    tone: PartTone


@dataclass(frozen=True)
class Bar:
    """Bar that is cut by status, with the words beside the colors.

    Attributes
    ----------
    noun
        What it counts, in the singular: "request" or "row".
    """

    parts: tuple[Part, ...]
    noun: str

    @property
    def total(self) -> int:
        """Number of all items."""
        return sum(part.count for part in self.parts)

    @property
    def arrived(self) -> int:
        """Number of items that have arrived."""
        return sum(part.count for part in self.parts if part.tone != "waiting")


@dataclass(frozen=True)
class Shares:
    """Number of rows per value, each drawn as a small bar."""

    caption: str
    rows: tuple[tuple[str, int], ...]
    more: int = 0


@dataclass(frozen=True)
class Details:
    """Secondary content, which is folded in HTML."""

    summary: str = "Details"
    facts: tuple[tuple[str, str], ...] = ()
    table: Table | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Card:
    """Summary of an object.

    Attributes
    ----------
    figures
        Headline: pairs of name and value.
    bar
        Progress, by status.
    facts
        Pairs of name and value, in display order.
    shares
        Distribution of a column.
    quoted
        Caption and string to show verbatim, such as the first prompt.
    next_step
        Code to copy.
    as_of
        Time of the state, if it may have changed since.
    tone
        Color of the edge. It only repeats what the text says.
    """

    title: str
    figures: tuple[tuple[str, str], ...] = ()
    bar: Bar | None = None
    facts: tuple[tuple[str, str], ...] = ()
    table: Table | None = None
    shares: Shares | None = None
    quoted: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()
    next_step: str | None = None
    as_of: str | None = None
    details: Details | None = None
    tone: Tone = "plain"

    @property
    def progress(self) -> tuple[int, int] | None:
        """Number of arrived items and total number."""
        return None if self.bar is None else (self.bar.arrived, self.bar.total)
