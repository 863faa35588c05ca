"""HTML renderer for cards: escaped values, no scripts, theme colors."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from importlib.resources import files
from typing import Final

from batchframe._base.safe_text import visible
from batchframe._display.card import Card, Table
from batchframe._display.text import to_text

_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
_NO_FORMULAS: Final = "tex2jax_ignore mathjax_ignore"
"""Classes that stop notebooks from rendering dollar signs as math."""


def to_html(card: Card) -> str:
    """Render a card as HTML, with a plain-text fallback where styles are stripped.

    Examples
    --------
    >>> "<script>" in to_html(Card("<script>alert(1)</script>"))
    False
    """
    parts = [
        f"<style>{_style()}</style>",
        f'<pre class="bf-fallback">{_safe(to_text(card), keep_lines=True)}</pre>',
        f'<div class="bf-card bf-{card.tone} {_NO_FORMULAS}" hidden style="display:none">',
        f"<h4>{_safe(card.title)}</h4>",
        _progress(card),
        _facts(card),
        "" if card.table is None else _table(card.table),
        _quoted(card),
        "".join(f'<p class="bf-note">{_safe(note)}</p>' for note in card.notes),
        _next(card),
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


def _progress(card: Card) -> str:
    if card.progress is None:
        return ""
    done, total = card.progress
    label = f"{done:,} of {total:,}"
    return (
        f'<div class="bf-progress"><progress value="{done}" max="{total or 1}" '
        f'aria-label="requests done"></progress> {label}</div>'
    )


def _facts(card: Card) -> str:
    if not card.facts:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{_safe(name)}</th><td>{_lines(value)}</td></tr>'
        for name, value in card.facts
    )
    return f'<table class="bf-facts"><caption>{_safe(card.title)}</caption>{rows}</table>'


def _lines(value: str) -> str:
    return "<br>".join(_safe(line) for line in value.split("\n"))


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{_safe(name)}</th>' for name in table.head)
    rows = "".join(
        f'<tr><th scope="row">{_safe(row[0])}</th>'
        + "".join(f"<td>{_safe(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in table.rows
    )
    return (
        f'<table class="bf-figures"><caption>{_safe(table.caption)}</caption>'
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
