"""The limits and habits of the services that speak the Batch API.

In: a client's base URL. Out: a frozen :class:`Profile`.
Must not know: requests, files, the network.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Profile:
    """What a service takes, and what its answers prove.

    Attributes
    ----------
    max_requests
        Requests in one input file.
    max_bytes
        Bytes of one input file. "200 MB" is read as 200 × 10⁶ bytes, the smaller of its meanings.
    list_is_complete
        Whether a batch that the service does not list is known not to exist. A gateway may list
        some only, so absence there proves nothing.
    settle
        Seconds that a batch may exist before the service lists it. Nobody states it for OpenAI;
        BigQuery, whose client documents it, lags up to 200.
    max_creates
        Batches that may be created in an hour.
    queue_pause
        Seconds for which a full queue is left alone, the first time.
    first_poll, last_poll
        Seconds between two looks at a batch: at the start, and at most.
    """

    name: str
    max_requests: int
    max_bytes: int
    list_is_complete: bool
    settle: float
    max_creates: int
    queue_pause: float
    first_poll: float
    last_poll: float


# Limits: OpenAI Batch guide and the docstrings of the openai package, 2026-11.
OPENAI: Final = Profile(
    "OpenAI",
    max_requests=50_000,
    max_bytes=200_000_000,
    list_is_complete=True,
    settle=120.0,
    max_creates=2_000,
    queue_pause=60.0,
    first_poll=5.0,
    last_poll=60.0,
)
_OTHER: Final = replace(OPENAI, name="OpenAI-compatible", list_is_complete=False)
# On this machine a look costs nothing, and a rehearsal should not wait.
_LOOPBACK: Final = replace(
    _OTHER, name="local", settle=2.0, queue_pause=0.5, first_poll=0.2, last_poll=1.0
)


def profile_of(base_url: str) -> Profile:
    """Choose the profile of the service behind a base URL.

    Examples
    --------
    >>> profile_of("https://api.openai.com/v1/").name
    'OpenAI'
    >>> profile_of("http://127.0.0.1:8000/v1").list_is_complete
    False
    """
    host = urlsplit(base_url).hostname or ""
    if host == "api.openai.com" or host.endswith(".api.openai.com"):
        return OPENAI
    return _LOOPBACK if is_loopback(host) else _OTHER


def is_loopback(host: str) -> bool:
    """Tell whether a host name means this machine.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("127.0.0.1.example.com")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
