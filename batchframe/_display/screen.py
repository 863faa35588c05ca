"""A card that changes while its cell runs, or a progress bar outside notebooks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from batchframe._base.safe_text import visible
from batchframe._display.card import Card
from batchframe._display.html import to_html
from batchframe._display.text import to_text

Show = Callable[[Card, str], None]


class Screen:
    """A place where a card is shown, and shown again as it changes.

    It stands for its object in the cell that it is in, as long as it follows it.

    Parameters
    ----------
    write
        Shows the latest card, and one word for where things stand.
    cell
        The number of the notebook cell whose output it is; None where there is no notebook.
    """

    def __init__(self, write: Show, cell: int | None = None) -> None:
        self._write = write
        self._cell = cell
        self.last: Card | None = None
        self.follows = True

    @property
    def in_notebook(self) -> bool:
        """Whether the card can be seen."""
        return self._cell is not None

    def show(self, card: Card, word: str) -> None:
        """Show the latest card, and one word for where things stand."""
        self.last = card
        self._write(card, word)

    def shows(self, card: Card) -> bool:
        """Tell whether the cell that runs has this card already, or will in a moment."""
        here = self._cell is not None and self._cell == _running_cell()
        return here and (self.follows or self.last == card)


@contextmanager
def live() -> Iterator[Screen]:
    """Yield a screen for as long as somebody waits.

    In a notebook one output is rewritten, as plain HTML that the saved notebook keeps. In a
    terminal it is a ``tqdm`` bar on the standard error stream; where that is a file (cron, a
    scheduler's log), a line whenever the word or a tenth of the progress has changed.
    """
    if _running_cell() is not None:
        screen = notebook_screen()
        try:
            yield screen
        finally:
            screen.follows = False
        return
    if not sys.stderr.isatty():
        yield Screen(_log())
        return
    bar = _tqdm()(total=None, unit=" requests", dynamic_ncols=True, leave=True, file=sys.stderr)
    with bar:
        yield Screen(lambda card, word: _advance(bar, card, word))


def background() -> Screen:
    """Return a screen that is written to from a thread while the user goes on.

    Where there is no notebook, nothing may be written over what the user types.
    """
    return Screen(lambda _card, _word: None) if _running_cell() is None else notebook_screen()


def notebook_screen() -> Screen:
    """Return a screen in the output of the cell that runs."""
    from IPython.display import display  # noqa: PLC0415 - optional, and there when this runs

    handle = display({"text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def write(card: Card, _word: str) -> None:
        handle.update({"text/plain": to_text(card), "text/html": to_html(card)}, raw=True)

    return Screen(write, _running_cell())


def notify(line: str) -> None:
    """Tell the user one line, beside any bar."""
    _tqdm().write(visible(line), file=sys.stderr)


def _tqdm() -> Any:
    # Slow to import, and not every session waits for a job.
    from tqdm.std import tqdm  # noqa: PLC0415

    return tqdm


def _running_cell() -> int | None:
    """Return the number of the notebook cell that runs; None where there is no notebook."""
    # Asked only of an IPython that the user runs already, so nothing is imported for it.
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    return int(shell.execution_count) if hasattr(shell, "kernel") else None


def _log() -> Show:
    seen: set[tuple[str, int]] = set()

    def show(card: Card, word: str) -> None:
        done, total = card.progress or (0, 0)
        now = word, 10 * done // total if total else 0
        if now not in seen:
            seen.add(now)
            notify(f"{word}: {done:,} of {total:,} requests" if total else word)

    return show


def _advance(bar: Any, card: Card, word: str) -> None:
    if card.progress is not None:
        done, bar.total = card.progress
        bar.update(done - bar.n)
    # A status may be any word that the service says.
    bar.set_description_str(visible(word), refresh=True)


class CardRepr:
    """Gives both representations to a class that can say its facts."""

    def _card(self) -> Card:
        raise NotImplementedError

    def __repr__(self) -> str:
        return to_text(self._card())

    def _repr_html_(self) -> str:
        return to_html(self._card())


class LiveCardRepr(CardRepr):
    """An object whose card may stand in the running cell already, and is not shown there twice."""

    _screen: Screen | None = None

    def _ipython_display_(self) -> None:
        if self._screen is None or not self._screen.shows(self._card()):
            # IPython's word for: then show it as you show any other object.
            raise NotImplementedError
