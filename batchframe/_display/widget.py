"""Card with buttons. ipywidgets is imported once it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from batchframe._display.card import Card, Table
from batchframe._display.html import to_html
from batchframe._display.screen import ALL_CELLS, Screen
from batchframe._display.text import to_text

if TYPE_CHECKING:
    from ipywidgets import Button

# Hides the copy of the card while the widget is alive, the error that JupyterLab shows in place of
# a widget without its kernel, and buttons whose kernel has ended.
_HIDE: Final = """<style>
body:has(.bf-live-{0}) .bf-saved-{0},
body:has(.bf-live-{0}) .jp-OutputArea-child:has(.bf-saved-{0}),
.jp-OutputArea-child:has(.bf-saved-{0}) + .jp-OutputArea-child:not(:has(.bf-live-{0})),
.bf-live-{0}.jupyter-widgets-disconnected .widget-hbox
{{ display: none; }}
</style>"""


def controls(
    card: Callable[[], Card],
    *,
    refresh: Callable[[], object],
    cancel: Callable[[], object],
    answers: Callable[[], Table],
    ended: Callable[[], bool],
) -> Panel:
    """Return a card with buttons that work while the kernel runs.

    The card shows the exception if an action fails. The cancel button is disabled once `ended`
    returns True.
    """
    return Panel(card, refresh, cancel, answers, ended)


@dataclass(eq=False)
class Panel:
    """Widget and its event handlers.

    Without its kernel, JupyterLab shows an error in place of a widget, even if the output has other
    formats. A copy of the card is therefore a separate output, which the saved notebook contains.

    Attributes
    ----------
    box
        The widget.
    screen
        Shows another state of the object.
    """

    card: Callable[[], Card]
    refresh: Callable[[], object]
    cancel: Callable[[], object]
    answers: Callable[[], Table]
    ended: Callable[[], bool]

    def __post_init__(self) -> None:
        import ipywidgets as widgets  # noqa: PLC0415 - slow to import

        self._html = widgets.HTML(to_html(self.card()))
        self._table = widgets.HTML()
        self._buttons = (
            _button("Refresh", "Update the status once", lambda: self._do(self.refresh)),
            _button("Show answers", "Update, and show the first rows", self._show),
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
        self.box._ipython_display_ = self.display
        self._copy: Any = None
        self.screen = Screen(self._follow, ALL_CELLS)
        self._ask(asking=False)

    def _follow(self, card: Card, _word: str) -> None:
        self._update(card)
        self._ask(asking=self._asking)

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
        self._do(self.refresh)
        self._do(
            lambda: setattr(self._table, "value", to_html(Card("Answers", table=self.answers()))),
            again=False,
        )

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
        name = self.box.model_id
        hidden = f'{_HIDE.format(name)}<div class="bf-saved-{name}">{to_html(card)}</div>'
        return {"text/plain": to_text(card), "text/html": hidden}

    def display(self) -> None:
        """Show the card and the buttons in the running cell."""
        from IPython.display import display  # noqa: PLC0415 - optional, installed in a notebook

        self._copy = display(self._saved(self.card()), raw=True, display_id=True)  # type: ignore[no-untyped-call]
        buttons = {**self.box._repr_mimebundle_(), "text/plain": ""}
        display(buttons, raw=True)  # type: ignore[no-untyped-call]


def _button(text: str, tooltip: str, pressed: Callable[[], object]) -> Button:
    import ipywidgets as widgets  # noqa: PLC0415 - slow to import

    button = widgets.Button(description=text, tooltip=tooltip, layout={"width": "auto"})
    button.on_click(lambda _: pressed())
    return button
