"""The traceback that a notebook shows: the user's own lines, without batchframe's frames.

The exception keeps its whole trace: ``%debug``, ``%xmode Verbose`` and plain Python show it all.
"""

from __future__ import annotations

import sys
import traceback
from types import TracebackType


def notebook_lines(error: BaseException) -> list[str]:
    """Write a trace as IPython would, without the frames of batchframe at its end."""
    ipython = sys.modules.get("IPython")  # who calls this has imported it
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None:
        return traceback.format_exception(error)
    writer = shell.InteractiveTB
    trace = error.__traceback__
    if getattr(writer, "mode", "") != "Verbose":
        trace = without_insides(trace)
    lines: list[str] = writer.structured_traceback(type(error), error, trace)
    return lines


def without_insides(trace: TracebackType | None) -> TracebackType | None:
    """Cut a trace after its last frame that is not batchframe's; a trace without one stays whole.

    Examples
    --------
    >>> def theirs():
    ...     raise ValueError
    >>> try:
    ...     theirs()
    ... except ValueError as error:
    ...     cut = without_insides(error.__traceback__)
    >>> cut.tb_next.tb_frame.f_code.co_name
    'theirs'
    """
    frames = []
    here = trace
    while here is not None:
        frames.append(here)
        here = here.tb_next
    while frames and _is_inside(frames[-1]):
        frames.pop()
    cut = None
    for frame in reversed(frames):
        cut = TracebackType(cut, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return cut or trace


def _is_inside(trace: TracebackType) -> bool:
    module: str = trace.tb_frame.f_globals.get("__name__", "")
    return module == "batchframe" or module.startswith("batchframe.")
