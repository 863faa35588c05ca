"""What people look at: facts → text and HTML. Must not know where the facts come from."""

from __future__ import annotations

from batchframe._base.safe_text import visible
from batchframe._display.card import Card, Table, Tone
from batchframe._display.format import (
    UNKNOWN,
    count,
    decimals,
    money,
    percent,
    plural,
    shortened,
    span,
    when,
)
from batchframe._display.html import to_html
from batchframe._display.narrow import fitted
from batchframe._display.screen import Screen, Shown, ShownLive, background, live, say
from batchframe._display.text import to_text
from batchframe._display.widget import controls

__all__ = [
    "UNKNOWN",
    "Card",
    "Screen",
    "Shown",
    "ShownLive",
    "Table",
    "Tone",
    "background",
    "controls",
    "count",
    "decimals",
    "fitted",
    "live",
    "money",
    "percent",
    "plural",
    "say",
    "shortened",
    "span",
    "to_html",
    "to_text",
    "visible",
    "when",
]
