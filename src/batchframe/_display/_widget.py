"""A card with buttons under it, where ipywidgets is installed.

In: how to make the card, and what each button does. Out: a widget.
Must not know: what the buttons do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from batchframe._display._card import Card
from batchframe._display._html import to_html
from batchframe._display._text import to_text
from batchframe.errors import ExtraError

if TYPE_CHECKING:
    from ipywidgets import Box, Button

_ROWS: Final = 5
_SAVED: Final = "As it stood when it was shown. The buttons need the kernel that made them."


def controls(
    card: Callable[[], Card],
    *,
    look: Callable[[], object],
    cancel: Callable[[], object],
    answers: Callable[[], pd.DataFrame],
) -> Box:
    """Return the card with buttons that work as long as the kernel runs.

    What a button's work raises stands on the card.

    Raises
    ------
    ExtraError
        If ipywidgets is not installed.
    """
    try:
        import ipywidgets  # noqa: F401, PLC0415 - optional, and slow to import
    except ImportError:
        raise ExtraError.no_ipywidgets() from None
    return _Panel(card, look, cancel, answers).box


class _Panel:
    """The parts of the widget, and what happens when a button is pressed."""

    def __init__(
        self,
        card: Callable[[], Card],
        look: Callable[[], object],
        cancel: Callable[[], object],
        answers: Callable[[], pd.DataFrame],
    ) -> None:
        import ipywidgets as widgets  # noqa: PLC0415 - see above

        self._card = card
        self._cancel = cancel
        self.shown = widgets.HTML(to_html(card()))
        self.table = widgets.HTML()
        self.refresh = _button("Refresh", "Look at the batches once", lambda: self._do(look))
        self.fetch = _button(
            "Show answers", f"Look once, and show {_ROWS} rows", lambda: self._show(look, answers)
        )
        self.cancel = _button("Cancel…", "Asks first", lambda: self._ask(asking=True))
        self.sure = widgets.Label("Cancel the job? What is finished is billed, and is kept.")
        self.yes = _button("Yes, cancel the job", "", self._cancel_now)
        self.no = _button("No, let it run", "", lambda: self._ask(asking=False))
        self.question = widgets.HBox([self.sure, self.yes, self.no])
        row = widgets.HBox([self.refresh, self.fetch, self.cancel])
        self.box = _readable(widgets.VBox([self.shown, row, self.question, self.table]), card)
        self._ask(asking=False)

    def _ask(self, *, asking: bool) -> None:
        self.question.layout.display = None if asking else "none"
        self.cancel.disabled = asking

    def _cancel_now(self) -> None:
        self._ask(asking=False)
        self._do(self._cancel)

    def _show(self, look: Callable[[], object], answers: Callable[[], pd.DataFrame]) -> None:
        self._do(look)
        self._do(lambda: setattr(self.table, "value", _table_of(answers())), again=False)

    def _do(self, action: Callable[[], object], *, again: bool = True) -> None:
        buttons = (self.refresh, self.fetch, self.cancel)
        for button in buttons:
            button.disabled = True
        try:
            action()
            if again:
                self.shown.value = to_html(self._card())
        except Exception as reason:  # noqa: BLE001 - a button's trace is shown nowhere
            card = self._card()
            told = replace(card, notes=(*card.notes, f"{type(reason).__name__}: {reason}"))
            self.shown.value = to_html(replace(told, tone="bad"))
        finally:
            for button in buttons:
                button.disabled = False


def _table_of(frame: pd.DataFrame) -> str:
    more = len(frame) - _ROWS
    below = f"<p>… and {more:,} more: job.results()</p>" if more > 0 else ""
    return str(frame.head(_ROWS).to_html(border=0, max_cols=8)) + below


def _button(text: str, tooltip: str, pressed: Callable[[], object]) -> Button:
    import ipywidgets as widgets  # noqa: PLC0415 - see above

    button = widgets.Button(description=text, tooltip=tooltip, layout={"width": "auto"})
    button.on_click(lambda _: pressed())
    return button


def _readable(box: Box, card: Callable[[], Card]) -> Box:
    """Let a widget be read where no kernel runs: as the text and HTML of its card."""
    as_widget = box._repr_mimebundle_

    def bundle(**kwargs: Any) -> Any:
        now = replace(card(), notes=(*card().notes, _SAVED))
        return {**as_widget(**kwargs), "text/plain": to_text(now), "text/html": to_html(now)}

    box._repr_mimebundle_ = bundle
    return box
