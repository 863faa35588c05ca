"""Strings to count, with the tokens around them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Parts:
    """Strings to count, framing tokens, and their uncertainty.

    Attributes
    ----------
    texts
        Strings to count.
    overhead
        Tokens in addition to the strings.
    fewer, more
        Possible error in tokens, down and up; None if unbounded.
    notes
        Why the count is not exact; empty if exact.
    """

    texts: tuple[str, ...] = ()
    overhead: int = 0
    fewer: int = 0
    more: int | None = 0
    notes: tuple[str, ...] = ()

    def __add__(self, other: Parts) -> Parts:
        return Parts(
            self.texts + other.texts,
            self.overhead + other.overhead,
            self.fewer + other.fewer,
            None if self.more is None or other.more is None else self.more + other.more,
            tuple(dict.fromkeys(self.notes + other.notes)),
        )


def about(note: str, *, fewer: int = 0, more: int | None = 0, overhead: int = 0) -> Parts:
    """Return an approximate number of tokens with its reason."""
    return Parts((), overhead, fewer, more, (note,))


def sum_of(parts: Iterable[Parts]) -> Parts:
    """Return the sum of parts."""
    return sum(parts, start=Parts())
