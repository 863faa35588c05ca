"""Card with buttons, which needs ipywidgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from batchframe._base.errors import ExtraError
from batchframe._display.card import Card
from batchframe._display.html import to_html
from batchframe._display.text import to_text

if TYPE_CHECKING:
    from ipywidgets import Box, Button

_ROWS: Final = 5
_SAVED: Final = "Saved state. The buttons need the kernel that made them."
_BUTTONS: Final = "The buttons need the kernel that made them; job.widget() makes new ones."
# Hides the copy of the card while the widget is alive.
_HIDE: Final = """<style>
body:has(.bf-live-{0}) .bf-saved-{0}, body:has(.bf-live-{0}) .jp-OutputArea-child:has(.bf-saved-{0})
{{ display: none; }}
</style>"""


def controls(
    card: Callable[[], Card],
    *,
    look: Callable[[], object],
    cancel: Callable[[], object],
    answers: Callable[[], pd.DataFrame],
    ended: Callable[[], bool],
) -> Box:
    """Return a card with buttons that work while the kernel runs.

    The card shows the exception if an action fails. The cancel button is disabled once `ended`
    returns True.

    Raises
    ------
    ExtraError
        If ipywidgets is not installed.
    """
    try:
        import ipywidgets  # noqa: F401, PLC0415 - optional, and slow to import
    except ImportError:
        raise ExtraError(
            'Buttons need ipywidgets. Fix: pip install "batchframe[widgets]". Without buttons: '
            "job.watch(), job.refresh(), job.cancel()."
        ) from None
    return _Panel(card, look, cancel, answers, ended).box


@dataclass(eq=False)
class _Panel:
    """Widget and its event handlers.

    Without its kernel, JupyterLab shows an error in place of a widget, even if the output has other
    formats. A copy of the card is therefore a separate output, which the saved notebook contains.
    """

    card: Callable[[], Card]
    look: Callable[[], object]
    cancel: Callable[[], object]
    answers: Callable[[], pd.DataFrame]
    ended: Callable[[], bool]

    def __post_init__(self) -> None:
        import ipywidgets as widgets  # noqa: PLC0415 - see above

        self._html = widgets.HTML(to_html(self.card()))
        self._table = widgets.HTML()
        self._buttons = (
            _button("Refresh", "Update the status once", lambda: self._do(self.look)),
            _button("Show answers", f"Update, and show {_ROWS} rows", self._show),
            _button("Cancel…", "Asks for confirmation", lambda: self._ask(asking=True)),
        )
        sure = widgets.Label(
            "Cancel the job? Finished requests are billed, and their answers are kept."
        )
        yes = _button("Yes, cancel the job", "", self._cancel_now)
        no = _button("No, keep it running", "", lambda: self._ask(asking=False))
        self._question = widgets.HBox([sure, yes, no])
        row = widgets.HBox(self._buttons)
        self.box = widgets.VBox([self._html, row, self._question, self._table])
        self.box.add_class(f"bf-live-{self.box.model_id}")
        self.box._ipython_display_ = self._display
        self._copy: Any = None
        self._ask(asking=False)

    def _ask(self, *, asking: bool) -> None:
        ended = self.ended()
        self._asking = asking and not ended
        self._question.layout.display = None if self._asking else "none"
        self._buttons[-1].disabled = asking or ended
        if asking and ended:  # the card may be out of date
            self._update(self.card())

    def _cancel_now(self) -> None:
        self._ask(asking=False)
        self._do(self.cancel)

    def _show(self) -> None:
        self._do(self.look)
        self._do(lambda: setattr(self._table, "value", _table_of(self.answers())), again=False)

    def _do(self, action: Callable[[], object], *, again: bool = True) -> None:
        for button in self._buttons:
            button.disabled = True
        try:
            action()
            if again:
                self._update(self.card())
        except Exception as reason:  # noqa: BLE001 - notebooks hide a button's traceback
            card = self.card()
            failed = replace(card, notes=(*card.notes, f"{type(reason).__name__}: {reason}"))
            self._update(replace(failed, tone="bad"))
        finally:
            for button in self._buttons[:-1]:
                button.disabled = False
            self._ask(asking=self._asking)

    def _update(self, card: Card) -> None:
        self._html.value = to_html(card)
        if self._copy is not None:
            self._copy.update(self._saved(card), raw=True)

    def _saved(self, card: Card) -> dict[str, str]:
        saved, name = replace(card, notes=(*card.notes, _SAVED)), self.box.model_id
        hidden = f'{_HIDE.format(name)}<div class="bf-saved-{name}">{to_html(saved)}</div>'
        return {"text/plain": to_text(saved), "text/html": hidden}

    def _display(self) -> None:
        from IPython.display import display  # noqa: PLC0415 - optional, installed in a notebook

        self._copy = display(self._saved(self.card()), raw=True, display_id=True)  # type: ignore[no-untyped-call]
        buttons = {**self.box._repr_mimebundle_(), "text/plain": _BUTTONS}
        display(buttons, raw=True)  # type: ignore[no-untyped-call]


def _table_of(frame: pd.DataFrame) -> str:
    more = len(frame) - _ROWS
    below = f"<p>… and {more:,} more: job.results()</p>" if more > 0 else ""
    rows = frame.head(_ROWS).to_html(border=0, max_cols=8, na_rep="", justify="left")
    return f'<div class="bf-answers">{rows}{below}</div>'


def _button(text: str, tooltip: str, pressed: Callable[[], object]) -> Button:
    import ipywidgets as widgets  # noqa: PLC0415 - see above

    button = widgets.Button(description=text, tooltip=tooltip, layout={"width": "auto"})
    button.on_click(lambda _: pressed())
    return button
