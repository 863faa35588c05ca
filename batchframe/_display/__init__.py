"""Cards, rendered as text, HTML or widgets."""

from __future__ import annotations

from batchframe._base.safe_text import visible
from batchframe._display.card import Bar, Card, Details, Part, PartTone, Shares, Table, Tone
from batchframe._display.finished import FinishedFrame, Style
from batchframe._display.followers import follow, polled_at, show_everywhere
from batchframe._display.format import (
    UNKNOWN,
    clock_time,
    count,
    decimals,
    duration,
    format_range,
    money,
    percent,
    plural,
    round_up,
    shortened,
    when,
)
from batchframe._display.html import to_html
from batchframe._display.screen import (
    CardRepr,
    Screen,
    background,
    has_buttons,
    in_notebook,
    live,
    mime_bundle,
    notices_for_shell,
    notify,
    screen_of,
)
from batchframe._display.text import to_text
from batchframe._display.widget import Panel, controls

__all__ = [
    "UNKNOWN",
    "Bar",
    "Card",
    "CardRepr",
    "Details",
    "FinishedFrame",
    "Panel",
    "Part",
    "PartTone",
    "Screen",
    "Shares",
    "Style",
    "Table",
    "Tone",
    "background",
    "clock_time",
    "controls",
    "count",
    "decimals",
    "duration",
    "follow",
    "format_range",
    "has_buttons",
    "in_notebook",
    "live",
    "mime_bundle",
    "money",
    "notices_for_shell",
    "notify",
    "percent",
    "plural",
    "polled_at",
    "round_up",
    "screen_of",
    "shortened",
    "show_everywhere",
    "to_html",
    "to_text",
    "visible",
    "when",
]
