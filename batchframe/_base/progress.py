"""A progress bar for slow local work, displayed only after a second."""

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
"""Discards updates, in a thread that displays no bar."""

_DELAY: Final = 1.0
"""Seconds before the bar appears: shorter work needs none."""


@contextmanager
def progress(text: str, total: int | None, unit: str) -> Iterator[Advance]:
    """Yield a function that advances a progress bar.

    The bar appears after a second. In a notebook it disappears when the work is done. Work in the
    background displays none: it would appear below whichever cell is running.

    Parameters
    ----------
    unit
        Unit of the count, such as " rows"; :data:`BYTES` are displayed as kB and MB.

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
    """A bar created on demand, since each leaves widget state in a notebook."""

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
    """Yield the file, with a bar that tracks how much of it is read."""
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
        # Without ipywidgets tqdm warns and falls back to a bar of characters, which is good enough.
        warnings.simplefilter("ignore")
        # Slow to import in a notebook, which is only detected here.
        from tqdm.auto import tqdm  # noqa: PLC0415
    return tqdm
