"""Live cards in notebooks, and progress bars elsewhere."""

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
    """Output that shows a card and updates it.

    While `follows` is true, the output replaces the representation of the object in its cell.

    Parameters
    ----------
    write
        Function that shows a card and a one-word status.
    cell
        Number of the notebook cell; None outside notebooks.
    """

    def __init__(self, write: Show, cell: int | None = None) -> None:
        self._write = write
        self._cell = cell
        self.last: Card | None = None
        self.follows = True

    @property
    def in_notebook(self) -> bool:
        """Whether the output is in a notebook."""
        return self._cell is not None

    def show(self, card: Card, word: str) -> None:
        """Show a card and a one-word status."""
        self.last = card
        self._write(card, word)

    def shows(self, card: Card) -> bool:
        """Return whether the running cell shows this card, or is about to."""
        is_running = self._cell is not None and self._cell == _running_cell()
        return is_running and (self.follows or self.last == card)


@contextmanager
def live() -> Iterator[Screen]:
    """Yield a screen for the duration of a wait.

    In a notebook, it updates one output with plain HTML, which the saved notebook contains. In a
    terminal, it is a ``tqdm`` bar on standard error. If standard error is not a terminal, it
    writes a line for each change of the status and each 10% of progress.
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
    """Return a screen for updates from a background thread.

    Outside notebooks it shows nothing, since output would interfere with the user's typing.
    """
    return Screen(lambda _card, _word: None) if _running_cell() is None else notebook_screen()


def notebook_screen() -> Screen:
    """Return a screen in the output of the running cell."""
    from IPython.display import display  # noqa: PLC0415 - optional, installed in a notebook

    handle = display({"text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def write(card: Card, _word: str) -> None:
        handle.update({"text/plain": to_text(card), "text/html": to_html(card)}, raw=True)

    return Screen(write, _running_cell())


def notify(line: str) -> None:
    """Print a line to standard error without breaking a progress bar."""
    _tqdm().write(visible(line), file=sys.stderr)


def _tqdm() -> Any:
    # Slow to import, and not every session needs it.
    from tqdm.std import tqdm  # noqa: PLC0415

    return tqdm


def _running_cell() -> int | None:
    """Return the number of the running notebook cell; None outside notebooks."""
    # IPython is in `sys.modules` if the user runs it, so it need not be imported.
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    return int(shell.execution_count) if hasattr(shell, "kernel") else None


def _log() -> Show:
    seen: set[tuple[str, int]] = set()

    def show(card: Card, word: str) -> None:
        done, total = card.progress or (0, 0)
        state = word, 10 * done // total if total else 0
        if state not in seen:
            seen.add(state)
            notify(f"{word}: {done:,} of {total:,} requests" if total else word)

    return show


def _advance(bar: Any, card: Card, word: str) -> None:
    if card.progress is not None:
        done, bar.total = card.progress
        bar.update(done - bar.n)
    # The service may return any status.
    bar.set_description_str(visible(word), refresh=True)


class CardRepr:
    """Mixin with text and HTML representations of a card."""

    def _card(self) -> Card:
        raise NotImplementedError

    def __repr__(self) -> str:
        return to_text(self._card())

    def _repr_html_(self) -> str:
        return to_html(self._card())


class LiveCardRepr(CardRepr):
    """Mixin that avoids showing a card twice in the running cell."""

    _screen: Screen | None = None

    def _ipython_display_(self) -> None:
        if self._screen is None or not self._screen.shows(self._card()):
            # Tells IPython to use the other representations.
            raise NotImplementedError
