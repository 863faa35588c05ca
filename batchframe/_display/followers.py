"""Screens that follow an object: all its cards show the same state."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final

from batchframe._display.card import Card
from batchframe._display.screen import Screen

_MOST: Final = 50
"""Screens per object; those of cells that ran long ago are gone from the page."""
_screens: Final[dict[Hashable, deque[Screen]]] = {}
_polled: Final[dict[Hashable, float]] = {}
_lock: Final = threading.Lock()


def follow(key: Hashable, screen: Screen) -> None:
    """Let a screen show every later state of an object."""
    with _lock:
        screens = _screens.setdefault(key, deque(maxlen=_MOST))
        if screen not in screens:
            screens.append(screen)


def polled_at(key: Hashable) -> float | None:
    """Return when this process last polled an object; None if it never did."""
    return _polled.get(key)


def show_everywhere(key: Hashable, card: Callable[[], Card], word: str) -> None:
    """Record a poll, and show the card on every screen of an object."""
    _polled[key] = time.time()
    with _lock:
        screens = tuple(_screens.get(key, ()))
    if screens:
        current = card()
        for screen in screens:
            screen.show(current, word)
