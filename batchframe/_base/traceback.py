"""Notebook tracebacks that show the user's code, not batchframe's frames.

The exception retains its full traceback: ``%debug``, ``%xmode Verbose`` and plain Python show it.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from types import TracebackType


class WaitStopped(KeyboardInterrupt):
    """Interrupt of a wait, which a notebook shows as one line."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class WaitCancelled(asyncio.CancelledError):
    """Cancellation of an awaited wait, which a notebook shows as one line."""

    _render_traceback_ = WaitStopped._render_traceback_


def notebook_lines(error: BaseException) -> list[str]:
    """Format a traceback as IPython does, without batchframe's last frames."""
    ipython = sys.modules.get("IPython")  # the caller has imported it
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None:
        return traceback.format_exception(error)
    writer = shell.InteractiveTB
    trace = error.__traceback__
    if getattr(writer, "mode", "") != "Verbose":
        trace = strip_internal_frames(trace)
    lines: list[str] = writer.structured_traceback(type(error), error, trace)
    return lines


def strip_internal_frames(trace: TracebackType | None) -> TracebackType | None:
    """Truncate a traceback after its last frame outside batchframe.

    A traceback that has none is returned unchanged.

    Examples
    --------
    >>> def theirs():
    ...     raise ValueError
    >>> try:
    ...     theirs()
    ... except ValueError as error:
    ...     cut = strip_internal_frames(error.__traceback__)
    >>> cut.tb_next.tb_frame.f_code.co_name
    'theirs'
    """
    frames = []
    current = trace
    while current is not None:
        frames.append(current)
        current = current.tb_next
    trimmed = None
    for frame in reversed(frames):
        if trimmed is not None or not _is_inside(frame):
            trimmed = TracebackType(trimmed, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return trimmed or trace


def _is_inside(trace: TracebackType) -> bool:
    module: str = trace.tb_frame.f_globals.get("__name__", "")
    return module == "batchframe" or module.startswith("batchframe.")
