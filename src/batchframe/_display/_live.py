"""A card that changes while its cell runs, or a bar where there is no notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm.std import tqdm

from batchframe._display._card import Card
from batchframe._display._html import to_html
from batchframe._display._text import to_text
from batchframe._visible import visible

Show = Callable[[Card, str], None]


@contextmanager
def live() -> Iterator[Show]:
    """Yield a function that shows the latest card, and one word for where things stand.

    In a notebook one output is rewritten, as plain HTML that the saved notebook keeps. In a
    terminal it is a ``tqdm`` bar on the standard error stream; where that is a file (cron, a
    scheduler's log), a line whenever the word or a tenth of the progress has changed.
    """
    if _in_notebook():
        yield _notebook()
        return
    if not sys.stderr.isatty():
        yield _log()
        return
    bar = tqdm(total=None, unit="request", dynamic_ncols=True, leave=True, file=sys.stderr)
    with bar:
        yield lambda card, word: _advance(bar, card, word)


def say(line: str) -> None:
    """Tell the user one line, beside any bar."""
    tqdm.write(visible(line), file=sys.stderr)


def _in_notebook() -> bool:
    # Asked only of an IPython that the user runs already, so nothing is imported for it.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def _notebook() -> Show:
    from IPython.display import display  # noqa: PLC0415 - optional, and there when this runs

    handle = display({"text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def show(card: Card, _word: str) -> None:
        handle.update({"text/plain": to_text(card), "text/html": to_html(card)}, raw=True)

    return show


def _log() -> Show:
    told: set[tuple[str, int]] = set()

    def show(card: Card, word: str) -> None:
        done, total = card.progress or (0, 0)
        now = word, 10 * done // total if total else 0
        if now not in told:
            told.add(now)
            say(f"{word}: {done:,} of {total:,} requests")

    return show


def _advance(bar: tqdm, card: Card, word: str) -> None:
    if card.progress is not None:
        done, bar.total = card.progress
        bar.update(done - bar.n)
    # A status may be any word that the service says.
    bar.set_description_str(visible(word), refresh=True)
