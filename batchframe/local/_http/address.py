"""Socket and URL of a server."""

from __future__ import annotations

import logging
import socket
import warnings
from typing import Final

from batchframe._base.errors import LocalServerError
from batchframe._services.provider_table import is_loopback

_log = logging.getLogger("batchframe.local")

_BACKLOG: Final = 512


def listen(host: str, port: int, remembered: int | None) -> socket.socket:
    """Return a socket that listens on `port`.

    For 0 it is the remembered port or, without one, a free port.
    """
    if not is_loopback(host):
        _log.warning(
            "The local server listens on %s without authentication: whoever reaches this machine "
            "can read its files and run batches.",
            host,
        )
    if port or remembered is None:
        return _bind(host, port)
    try:
        return _bind(host, remembered)
    except LocalServerError:
        listening = _bind(host, 0)
    warnings.warn(
        f"Port {remembered}, which this folder's server had before, is taken. It listens on port "
        f"{listening.getsockname()[1]} now; jobs that know the old address do not find it there.",
        stacklevel=4,
    )
    return listening


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise LocalServerError(
            f"The local server cannot listen on {host}, port {port}: {error.strerror or error}. "
            "Leave out `port=` to take a free one."
        ) from None
    # Connections inherit TCP_NODELAY; without it each small response takes 40 ms longer.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def base_url(host: str, port: int, prefix: str) -> str:
    """Return the base URL for clients."""
    # A client cannot connect to the wildcard address.
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound here
    name = f"[{reachable}]" if ":" in reachable else reachable
    return f"http://{name}:{port}{prefix}"
