"""A progress bar for what takes a while on this machine, shown only after a second."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from io import BufferedReader
from typing import Any, Final

Advance = Callable[[int], object]
BYTES: Final = "B"
FOLLOWED: Final[ContextVar[Advance]] = ContextVar("followed", default=lambda _: None)
"""Takes what a bar would show, in a thread that shows none."""

_DELAY: Final = 1.0
"""Seconds that nothing is shown: what is over by then needs no bar."""


@contextmanager
def progress(text: str, total: int | None, unit: str) -> Iterator[Advance]:
    """Yield a function that is told how many more are done; a bar shows it after a second.

    In a notebook the bar goes when it is done. Work in the background shows none: it would stand
    below whatever cell happens to run.

    Parameters
    ----------
    unit
        Of what is counted, such as " rows"; :data:`BYTES` are written as kB and MB.

    Examples
    --------
    >>> with progress("counting", 3, " rows") as advance:
    ...     for _ in range(3):
    ...         _ = advance(1)
    """
    if threading.current_thread() is not threading.main_thread():
        yield FOLLOWED.get()
        return
    bar = _LateBar(text, total, unit)
    try:
        yield bar.advance
    finally:
        bar.close()


class _LateBar:
    """A bar that is made only when it is needed: in a notebook each leaves a widget's state."""

    def __init__(self, text: str, total: int | None, unit: str) -> None:
        self._words = {"desc": text, "total": total, "unit": unit, "unit_scale": unit == BYTES}
        self._due = time.monotonic() + _DELAY
        self._done = 0
        self._bar: Any = None

    def advance(self, more: int) -> None:
        self._done += more
        if self._bar is not None:
            self._bar.update(more)
        elif time.monotonic() >= self._due:
            self._bar = _tqdm()(initial=self._done, leave=False, dynamic_ncols=True, **self._words)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


@contextmanager
def watched(text: str, file: BufferedReader) -> Iterator[BufferedReader]:
    """Yield the file again, with a bar that follows how much of it is read, now or once more."""
    with progress(text, os.fstat(file.fileno()).st_size, BYTES) as advance:
        yield _Followed(file, advance)


class _Followed(BufferedReader):
    def __init__(self, file: BufferedReader, advance: Advance) -> None:
        super().__init__(file.raw)
        self._advance = advance
        self._seen = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        at = self.tell()
        self._advance(at - self._seen)
        self._seen = at
        return content


@cache
def _tqdm() -> Any:
    with warnings.catch_warnings():
        # Without ipywidgets it says so, and writes a bar of characters, which is good enough.
        warnings.simplefilter("ignore")
        # Slow to import in a notebook, and not known before whether it is one.
        from tqdm.auto import tqdm  # noqa: PLC0415
    return tqdm
