"""Warnings that point at the user's own line."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parents[1]


def warn_user(warning: Warning) -> None:
    """Warn as the first line outside of batchframe."""
    depth, frame = 1, inspect.currentframe()
    while frame is not None and Path(frame.f_code.co_filename).is_relative_to(_PACKAGE):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(warning, stacklevel=depth)
