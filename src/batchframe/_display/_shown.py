"""Objects that show themselves by one card: as text in a terminal, as HTML in a notebook."""

from __future__ import annotations

from batchframe._display._card import Card
from batchframe._display._html import to_html
from batchframe._display._text import to_text


class Shown:
    """Gives both representations to a class that can say its facts."""

    def _card(self) -> Card:
        raise NotImplementedError

    def __repr__(self) -> str:
        return to_text(self._card())

    def _repr_html_(self) -> str:
        return to_html(self._card())
