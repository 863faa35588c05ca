"""What people look at: facts → text and HTML. Must not know where the facts come from."""

from __future__ import annotations

from batchframe._display._card import Card, Table
from batchframe._display._html import to_html
from batchframe._display._live import live, say
from batchframe._display._shown import Shown
from batchframe._display._text import to_text
from batchframe._display._words import (
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
from batchframe._visible import visible

__all__ = [
    "UNKNOWN",
    "Card",
    "Shown",
    "Table",
    "count",
    "decimals",
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
