"""A card → text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from batchframe._display._card import Card, Table
from batchframe._visible import visible

_BAR = 30


def to_text(card: Card) -> str:
    """Write a card as text.

    Examples
    --------
    >>> print(to_text(Card("Job", (("rows", "3"), ("status", "done")), next_step="job.results()")))
    Job
      rows    3
      status  done
      next    job.results()
    """
    told = [*card.facts, *([("next", card.next_step)] if card.next_step else [])]
    facts = [(visible(name), value) for name, value in told]
    width = max((len(name) for name, _ in facts), default=0)
    lines = [visible(card.title)]
    if card.progress is not None:
        lines.append(f"  {_bar(*card.progress)}")
    for name, value in facts:
        first, *rest = value.split("\n")
        lines.append(f"  {name:<{width}}  {visible(first)}")
        lines += [f"  {'':<{width}}  {visible(line)}" for line in rest]
    if card.table is not None:
        lines += ["", *_table(card.table)]
    if card.quoted is not None:
        caption, text = card.quoted
        lines += [
            "",
            f"  {visible(caption)}",
            *(f"  | {visible(line)}" for line in text.split("\n")),
        ]
    lines += ["", *(f"  {visible(note)}" for note in card.notes)] if card.notes else []
    return "\n".join(lines)


def _bar(done: int, total: int) -> str:
    # A service may count more than it was asked.
    filled = _BAR * min(max(done, 0), total) // total if total else _BAR
    return f"{'█' * filled}{'░' * (_BAR - filled)} {done:,} of {total:,}"


def _table(table: Table) -> list[str]:
    rows = [table.head, *table.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.head))]
    return [f"  {visible(table.caption)}", *(f"  {_line(row, widths)}" for row in rows)]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first = f"{visible(row[0]):<{widths[0]}}"
    rest = [f"{visible(cell):>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([first, *rest])
