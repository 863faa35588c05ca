"""Text renderer for cards."""

from __future__ import annotations

from collections.abc import Sequence

from batchframe._base.safe_text import visible
from batchframe._display.card import Card, Table

_BAR = 30


def to_text(card: Card) -> str:
    """Render a card as text.

    Examples
    --------
    >>> print(to_text(Card("Job", (("rows", "3"), ("status", "done")), next_step="job.results()")))
    Job
      rows    3
      status  done
      next    job.results()
    """
    step = [("next", card.next_step)] if card.next_step else []
    below = card.table is not None or card.quoted is not None or bool(card.notes)
    lines = [visible(card.title)]
    if card.progress is not None:
        lines.append(f"  {_bar(*card.progress)}")
    lines += _facts(card.facts if below else [*card.facts, *step])
    if card.table is not None:
        lines += ["", *_table(card.table)]
    if card.quoted is not None:
        caption, text = card.quoted
        quoted = (f"  | {visible(line)}" for line in text.split("\n"))
        lines += ["", f"  {visible(caption)}", *quoted]
    lines += ["", *(f"  {visible(note)}" for note in card.notes)] if card.notes else []
    lines += ["", *_facts(step)] if below and step else []
    return "\n".join(lines)


def _facts(facts: Sequence[tuple[str, str]]) -> list[str]:
    lines: list[str] = []
    width = max((len(visible(name)) for name, _ in facts), default=0)
    for name, value in facts:
        first, *rest = value.split("\n")
        lines.append(f"  {visible(name):<{width}}  {visible(first)}")
        lines += [f"  {'':<{width}}  {visible(line)}" for line in rest]
    return lines


def _bar(done: int, total: int) -> str:
    # A service may report more finished requests than it received.
    filled = _BAR * min(max(done, 0), total) // total if total else _BAR
    return f"{'█' * filled}{'░' * (_BAR - filled)} {done:,} of {total:,}"


def _table(table: Table) -> list[str]:
    rows = [table.head, *table.rows]
    widths = [max(len(visible(row[i])) for row in rows) for i in range(len(table.head))]
    return [f"  {visible(table.caption)}", *(f"  {_line(row, widths)}" for row in rows)]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first = f"{visible(row[0]):<{widths[0]}}"
    rest = [f"{visible(cell):>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([first, *rest])
