"""Text renderer for cards."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from batchframe._base.safe_text import visible
from batchframe._display.card import Bar, Card, Details, Shares, Table
from batchframe._display.format import plural

_BAR: Final = 30
_SHARE: Final = 20
_MARKS: Final = {"good": "█", "plain": "█", "warn": "▓", "bad": "▒", "waiting": "░"}


def to_text(card: Card) -> str:
    """Render a card as text; nothing is folded.

    Examples
    --------
    >>> print(to_text(Card("Job", (("rows", "3"),), facts=(("id", "7"),), next_step="job.wait()")))
    Job
      rows 3
      id    7
      next  job.wait()
    """
    details = card.details or Details()
    step = [("next", card.next_step)] if card.next_step else []
    facts = [*card.facts, *details.facts]
    blocks = [
        *[_table(table) for table in (card.table, details.table) if table is not None],
        *([_shares(card.shares)] if card.shares is not None else []),
        *([_quoted(*card.quoted)] if card.quoted is not None else []),
        *([_notes(notes)] if (notes := [*card.notes, *details.notes]) else []),
    ]
    lines = [visible(card.title)]
    if card.figures:
        figures = (f"{visible(name)} {visible(value)}" for name, value in card.figures)
        lines.append(f"  {' · '.join(figures)}")
    if card.bar is not None:
        lines += _bar(card.bar)
    if card.as_of is not None:
        facts.append(("as of", card.as_of))
    lines += _facts(facts if blocks else [*facts, *step])
    for block in blocks:
        lines += ["", *block]
    if blocks and step:
        lines += ["", *_facts(step)]
    return "\n".join(lines)


def _facts(facts: Sequence[tuple[str, str]]) -> list[str]:
    lines: list[str] = []
    width = max((len(visible(name)) for name, _ in facts), default=0)
    for name, value in facts:
        first, *rest = value.split("\n")
        lines.append(f"  {visible(name):<{width}}  {visible(first)}")
        lines += [f"  {'':<{width}}  {visible(line)}" for line in rest]
    return lines


def bar_text(bar: Bar) -> str:
    """Format the parts of a bar in words.

    Examples
    --------
    >>> from batchframe._display import Part
    >>> bar_text(Bar((Part("ok", 36, "good"), Part("expired", 19, "bad")), "row"))
    '36 ok, 19 expired of 55 rows'
    """
    words = ", ".join(f"{part.count:,} {part.name}" for part in bar.parts if part.count)
    return f"{words or 'none'} of {plural(bar.total, bar.noun)}"


def _bar(bar: Bar) -> list[str]:
    ends = list(accumulate(part.count for part in bar.parts))
    cells = [round(_BAR * end / (bar.total or 1)) for end in ends]
    marks = "".join(
        _MARKS[part.tone] * (end - start)
        for part, start, end in zip(bar.parts, [0, *cells], cells, strict=False)
    )
    return [f"  {marks or _MARKS['waiting'] * _BAR}  {visible(bar_text(bar))}"]


def _notes(notes: Sequence[str]) -> list[str]:
    return [f"  {visible(note)}" for note in notes]


def _quoted(caption: str, text: str) -> list[str]:
    return [f"  {visible(caption)}", *(f"  | {visible(line)}" for line in text.split("\n"))]


def _shares(shares: Shares) -> list[str]:
    most = max((count for _, count in shares.rows), default=0)
    width = max((len(visible(name)) for name, _ in shares.rows), default=0)
    digits = max((len(f"{count:,}") for _, count in shares.rows), default=0)
    scale = _SHARE / (most or 1)
    lines = [
        f"  {visible(name):<{width}}  {count:>{digits},}  {'█' * round(scale * count)}"
        for name, count in shares.rows
    ]
    more = [f"  and {shares.more:,} more"] if shares.more else []
    return [f"  {visible(shares.caption)}", *(line.rstrip() for line in lines), *more]


def _table(table: Table) -> list[str]:
    if table.is_text:
        return _prose(table)
    rows = [table.head, *table.rows]
    widths = [max(len(visible(row[i])) for row in rows) for i in range(len(table.head))]
    return [f"  {visible(table.caption)}", *(f"  {_line(row, widths)}" for row in rows)]


def _prose(table: Table) -> list[str]:
    lines = [f"  {visible(table.caption)}"]
    for first, *others in table.rows:
        lines += [f"  | {visible(line)}" for line in first.split("\n")]
        for name, cell in zip(table.head[1:], others, strict=True):
            start, *rest = cell.split("\n")
            lines.append(f"    {visible(name)}: {visible(start)}")
            lines += [f"      {visible(line)}" for line in rest]
    return lines


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first = f"{visible(row[0]):<{widths[0]}}"
    rest = [f"{visible(cell):>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([first, *rest]).rstrip()
