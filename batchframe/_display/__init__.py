"""Cards, rendered as text, HTML or widgets."""

from __future__ import annotations

from batchframe._base.safe_text import visible
from batchframe._display.card import Card, Table, Tone
from batchframe._display.format import (
    UNKNOWN,
    count,
    decimals,
    format_range,
    money,
    percent,
    plural,
    shortened,
    when,
)
from batchframe._display.html import to_html
from batchframe._display.narrow import narrow_table
from batchframe._display.screen import CardRepr, LiveCardRepr, Screen, background, live, notify
from batchframe._display.text import to_text
from batchframe._display.widget import controls

__all__ = [
    "UNKNOWN",
    "Card",
    "CardRepr",
    "LiveCardRepr",
    "Screen",
    "Table",
    "Tone",
    "background",
    "controls",
    "count",
    "decimals",
    "format_range",
    "live",
    "money",
    "narrow_table",
    "notify",
    "percent",
    "plural",
    "shortened",
    "to_html",
    "to_text",
    "visible",
    "when",
]
