"""Looking in the background while the kernel is free.

In: what one look does, and a screen. Out: a daemon thread that ends by itself.
Must not know: batches, files, what a card says.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

from batchframe._base.clock import SYSTEM
from batchframe._display import Card, Screen, say
from batchframe._jobs.waiting import Pace, until

_O = TypeVar("_O")
THREAD_NAME: Final = "batchframe-watch"


@dataclass(eq=False)
class _Watch(Generic[_O]):
    """One thread's work. It holds its owner weakly: nobody watches for an object that is gone."""

    owner: weakref.ref[_O]
    done: Callable[[_O], bool]
    look: Callable[[_O], None]
    screen: Screen
    pace: Pace
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        try:
            until(
                self._is_over, self._look_once, self.pace, clock=replace(SYSTEM, sleep=self._sleep)
            )
        except Exception as reason:  # noqa: BLE001 - nobody else would see it
            self._tell(f"Watching ended: {reason}", bad=True)
        if self.stopped.is_set():
            self._tell("Watched in another cell since.")
        elif not self.screen.in_notebook and self.screen.last is not None:
            say("; ".join([self.screen.last.title, *self.screen.last.notes]))

    def _sleep(self, seconds: float) -> None:
        self.stopped.wait(seconds)

    def _look_once(self, _left: float | None) -> None:
        owner = self.owner()
        if owner is not None and not self.stopped.is_set():
            self.look(owner)

    def _is_over(self) -> bool:
        owner = self.owner()
        return owner is None or self.stopped.is_set() or self.done(owner)

    def _tell(self, note: str, *, bad: bool = False) -> None:
        card = self.screen.last or Card("Watching")
        told = replace(card, notes=(*card.notes, note), tone="bad" if bad else card.tone)
        self.screen.show(told, note)


_watches: dict[Hashable, _Watch[Any]] = {}
_changing = threading.Lock()


def watch(
    key: Hashable,
    owner: _O,
    *,
    done: Callable[[_O], bool],
    look: Callable[[_O], None],
    screen: Screen,
    pace: Pace,
) -> None:
    """Look in a daemon thread until `owner` is done or gone, or `key` is watched again.

    What `look` raises ends the watch and stands on the card.
    """
    new = _Watch(weakref.ref(owner), done, look, screen, pace)
    with _changing:
        before = _watches.pop(key, None)
        _watches[key] = new
    if before is not None:
        before.stopped.set()
    threading.Thread(target=new.run, name=THREAD_NAME, daemon=True).start()
