"""What people look at: facts → text and HTML. Must not know where the facts come from."""

from __future__ import annotations

from batchframe._display._bars import BYTES, FOLLOWED, Advance, progress, watched
from batchframe._display._card import Card, Table, Tone
from batchframe._display._fitted import fitted
from batchframe._display._html import to_html
from batchframe._display._live import Screen, background, live, say
from batchframe._display._shown import Shown, ShownLive
from batchframe._display._text import to_text
from batchframe._display._widget import controls
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
    "BYTES",
    "FOLLOWED",
    "UNKNOWN",
    "Advance",
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
    "progress",
    "say",
    "shortened",
    "span",
    "to_html",
    "to_text",
    "visible",
    "watched",
    "when",
]
