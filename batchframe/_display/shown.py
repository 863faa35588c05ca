"""Objects that show themselves by one card: as text in a terminal, as HTML in a notebook."""

from __future__ import annotations

from batchframe._display.card import Card
from batchframe._display.html import to_html
from batchframe._display.live import Screen
from batchframe._display.text import to_text


class Shown:
    """Gives both representations to a class that can say its facts."""

    def _card(self) -> Card:
        raise NotImplementedError

    def __repr__(self) -> str:
        return to_text(self._card())

    def _repr_html_(self) -> str:
        return to_html(self._card())


class ShownLive(Shown):
    """An object whose card may stand in the running cell already, and is not shown there twice."""

    _screen: Screen | None = None

    def _ipython_display_(self) -> None:
        if self._screen is None or not self._screen.shows(self._card()):
            # IPython's word for: then show it as you show any other object.
            raise NotImplementedError
