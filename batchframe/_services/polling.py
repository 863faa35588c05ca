"""The polling pace: seconds between two polls, by service.

The first and the longest pause of a service are part of its `Provider`, so a job that was submitted
keeps its own. Growth and jitter are the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from batchframe._base.clock import Backoff


@dataclass(frozen=True)
class PollInterval(Backoff):
    """The pauses between two polls; the defaults are OpenAI's."""

    initial: float = 5.0
    maximum: float = 60.0
    factor: float = 1.4
    # Jitter keeps many kernels from polling at the same moment.
    jitter: float = 0.15


SHORTEST: Final = 0.001
"""Minimum seconds between two polls."""

PACES: Final = {
    # Azure's guide asks for one poll a minute.
    "azure": (60.0, 60.0),
    "self-hosted": (2.0, 30.0),
    # Polling a local server is cheap, and local runs should not wait.
    "local": (0.2, 1.0),
}
"""The first and the longest pause of each service that differs from OpenAI's."""
