"""HTML renderer for cards: escaped values, no scripts, theme colors."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from importlib.resources import files
from typing import Final

from batchframe._base.safe_text import visible
from batchframe._display.card import Bar, Card, Details, Shares, Table
from batchframe._display.format import plural
from batchframe._display.text import bar_text, to_text

_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
_NO_FORMULAS: Final = "tex2jax_ignore mathjax_ignore"
"""Classes that stop notebooks from rendering dollar signs as math."""


def to_html(card: Card) -> str:
    """Render a card as HTML, with a plain-text fallback without styles.

    Examples
    --------
    >>> "<script>" in to_html(Card("<script>alert(1)</script>"))
    False
    """
    parts = [
        f"<style>{_style()}</style>",
        f'<pre class="bf-fallback">{_safe(to_text(card), keep_lines=True)}</pre>',
        f'<div class="bf-card bf-{card.tone} {_NO_FORMULAS}" style="display:none">',
        f"<h4>{_safe(card.title)}</h4>",
        _figures(card.figures),
        "" if card.bar is None else _bar(card.bar),
        _facts(card.title, card.facts),
        "" if card.table is None else _table(card.table),
        "" if card.shares is None else _shares(card.shares),
        _quoted(card),
        _notes(card.notes),
        _next(card),
        "" if card.details is None else _details(card.title, card.details),
        "" if card.as_of is None else f'<p class="bf-as-of">as of {_safe(card.as_of)}</p>',
        "</div>",
    ]
    return "".join(parts)


@cache
def _style() -> str:
    sheet = (files("batchframe._display") / "card.css").read_text(encoding="utf-8")
    # A notebook stores the style with every card, so it is minified.
    return " ".join(_COMMENT.sub("", sheet).split())


def _safe(text: str, *, keep_lines: bool = False) -> str:
    lines = text.split("\n") if keep_lines else [text]
    markup = "\n".join(escape(visible(line), quote=True) for line in lines)
    # Some notebooks ignore the class; math does not extend beyond an element.
    return markup if keep_lines else markup.replace("$", "<span>$</span>")


def _figures(figures: tuple[tuple[str, str], ...]) -> str:
    cells = "".join(
        f'<div><span class="bf-name">{_safe(name)}</span> <b>{_safe(value)}</b></div>'
        for name, value in figures
    )
    return cells and f'<div class="bf-headline">{cells}</div>'


def _bar(bar: Bar) -> str:
    parts = [part for part in bar.parts if part.count]
    cuts = "".join(
        f'<span class="bf-{part.tone}" style="width:{100 * part.count / (bar.total or 1):.4g}%">'
        "</span>"
        for part in parts
    )
    words = ", ".join(
        f'<span class="bf-part"><i class="bf-{part.tone}"></i>{part.count:,} {_safe(part.name)}'
        "</span>"
        for part in parts
    )
    return (
        f'<div class="bf-bar" role="img" aria-label="{escape(visible(bar_text(bar)))}">{cuts}</div>'
        f'<div class="bf-legend">{words or "none"} of {_safe(plural(bar.total, bar.noun))}</div>'
    )


def _shares(shares: Shares) -> str:
    most = max((count for _, count in shares.rows), default=0) or 1
    rows = "".join(
        f'<tr><th scope="row">{_safe(name)}</th><td>{count:,}</td>'
        f'<td><div class="bf-share" style="width:{100 * count / most:.4g}%"></div></td></tr>'
        for name, count in shares.rows
    )
    more = f'<p class="bf-note">and {shares.more:,} more</p>' if shares.more else ""
    return (
        f'<table class="bf-shares"><caption>{_safe(shares.caption)}</caption>{rows}</table>{more}'
    )


def _details(title: str, details: Details) -> str:
    return (
        f"<details><summary>{_safe(details.summary)}</summary>"
        f"{_facts(title, details.facts)}"
        f"{'' if details.table is None else _table(details.table)}"
        f"{_notes(details.notes)}</details>"
    )


def _notes(notes: tuple[str, ...]) -> str:
    return "".join(f'<p class="bf-note">{_safe(note)}</p>' for note in notes)


def _facts(title: str, facts: tuple[tuple[str, str], ...]) -> str:
    if not facts:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{_safe(name)}</th><td>{_lines(value)}</td></tr>'
        for name, value in facts
    )
    return f'<table class="bf-facts"><caption>{_safe(title)}</caption>{rows}</table>'


def _lines(value: str) -> str:
    return "<br>".join(_safe(line) for line in value.split("\n"))


def _table(table: Table) -> str:
    kind = "bf-prose" if table.is_text else "bf-figures"
    words = [
        ' class="bf-words"' if at in table.text_columns else "" for at in range(len(table.head))
    ]
    mark = ' class="bf-marked"'
    heads = zip(words, table.head, strict=True)
    head = "".join(f'<th scope="col"{word}>{_safe(name)}</th>' for word, name in heads)
    rows = "".join(
        f"<tr{mark if at == table.marked else ''}>"
        f'<th scope="row">{_lines(row[0])}</th>'
        + "".join(
            f"<td{word}>{_lines(cell)}</td>" for word, cell in zip(words[1:], row[1:], strict=True)
        )
        + "</tr>"
        for at, row in enumerate(table.rows)
    )
    return (
        f'<table class="{kind}"><caption>{_safe(table.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _quoted(card: Card) -> str:
    if card.quoted is None:
        return ""
    caption, text = card.quoted
    return (
        f"<figure><figcaption>{_safe(caption)}</figcaption>"
        f"<pre>{_safe(text, keep_lines=True)}</pre></figure>"
    )


def _next(card: Card) -> str:
    if card.next_step is None:
        return ""
    return f'<p class="bf-next">Next: <code>{_lines(card.next_step)}</code></p>'
