"""Live cards in notebooks, and progress bars elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from batchframe._base.safe_text import in_shell, visible
from batchframe._display.card import Card
from batchframe._display.format import plural
from batchframe._display.html import to_html
from batchframe._display.text import to_text

Show = Callable[[Card, str], None]
_wording: Final[ContextVar[Callable[[object], str]]] = ContextVar("_wording", default=str)


ALL_CELLS: Final = -1
"""Cell of a screen that outlives the cell in which it was shown."""


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
    bar = _Bar()
    try:
        yield Screen(bar.show)
    finally:
        bar.close()


def background() -> Screen:
    """Return a screen for updates from a background thread.

    Outside notebooks it shows nothing, since output would interfere with the user's typing.
    """
    return Screen(lambda _card, _word: None) if _running_cell() is None else notebook_screen()


def notebook_screen() -> Screen:
    """Return a screen in the output of the running cell."""
    return screen_of({"text/plain": ""})


def screen_of(data: Mapping[str, str]) -> Screen:
    """Show output in the running cell, and return the screen that updates it."""
    from IPython.display import display  # noqa: PLC0415 - optional, installed in a notebook

    handle = display(dict(data), raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def write(card: Card, _word: str) -> None:
        handle.update(mime_bundle(card), raw=True)

    return Screen(write, _running_cell())


def mime_bundle(card: Card) -> dict[str, str]:
    """Return a card as text and HTML."""
    return {"text/plain": to_text(card), "text/html": to_html(card)}


def in_notebook() -> bool:
    """Return whether a notebook's kernel runs this code."""
    return _running_cell() is not None


def has_buttons() -> bool:
    """Return whether somebody looks at the running cell and can press buttons.

    Front ends for people send the id of the cell; programs that execute notebooks do not, and what
    they keep is then text and HTML only.
    """
    if _running_cell() is None:
        return False
    kernel: Any = sys.modules["IPython"].get_ipython().kernel
    return "cellId" in kernel.get_parent().get("metadata", {})


@contextmanager
def notices_for_shell() -> Iterator[None]:
    """Print notices with shell commands instead of Python code."""
    token = _wording.set(in_shell)
    try:
        yield
    finally:
        _wording.reset(token)


def notify(line: str) -> None:
    """Print a line without breaking a progress bar.

    To standard error; in a notebook, where that is red, to standard output.

    A :class:`NextStep` is printed as Python code, or as a command where a command runs; nothing is
    printed if that is empty.
    """
    if text := _wording.get()(line):
        file = sys.stderr if _running_cell() is None else sys.stdout
        _tqdm().write(visible(text), file=file)


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
            noun = "" if card.bar is None else card.bar.noun
            notify(f"{word}: {done:,} of {plural(total, noun)}" if total else word)

    return show


class _Bar:
    """A tqdm bar that begins at the first number shown, for a true pace."""

    def __init__(self) -> None:
        self._bar: Any = None

    def show(self, card: Card, word: str) -> None:
        done, total = card.progress or (0, None)
        if self._bar is None:
            self._bar = _tqdm()(
                total=total,
                initial=done,
                unit=" requests",
                dynamic_ncols=True,
                leave=True,
                file=sys.stderr,
            )
        if total is not None:
            self._bar.total = total
            self._bar.update(done - self._bar.n)
        # The service may return any status.
        self._bar.set_description_str(visible(word), refresh=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class CardRepr:
    """Mixin with text and HTML representations of a card."""

    def _card(self) -> Card:
        raise NotImplementedError

    def __repr__(self) -> str:
        return to_text(self._card())

    def _repr_html_(self) -> str:
        return to_html(self._card())
