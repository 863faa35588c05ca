"""Socket and URL of a server."""

from __future__ import annotations

import logging
import socket
import warnings
from typing import Final

from batchframe._base.errors import LocalServerError, shorten
from batchframe._services.provider import is_loopback

_log = logging.getLogger("batchframe.local")

_BACKLOG: Final = 512


def listen(host: str, port: int, stored_port: int | None, *, has_key: bool) -> socket.socket:
    """Return a socket that listens on `port`.

    For 0 it is the stored port or, without one, a free port.
    """
    if not has_key and not is_loopback(host):
        _log.warning(
            "The local server listens on %s without authentication: any machine that can connect "
            "to it can read its files and run batches.",
            host,
        )
    if port or stored_port is None:
        return _bind(host, port)
    try:
        return _bind(host, stored_port)
    except LocalServerError:
        sock = _bind(host, 0)
    warnings.warn(
        f"Port {stored_port}, stored in the folder, is in use; the server listens on port "
        f"{sock.getsockname()[1]} instead. Jobs submitted to the old port cannot reach it.",
        stacklevel=4,
    )
    return sock


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        # The socket module appends the address to the reason.
        reason = shorten(getattr(error, "strerror", None) or error).partition(" (while ")[0]
        raise LocalServerError(
            f"host, port: cannot listen on {host}, port {port} ({reason}). "
            "Fix: omit port to use a free one, and host to listen on this machine only."
        ) from None
    # Connections inherit TCP_NODELAY; without it each small response takes 40 ms longer.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def base_url(host: str, port: int, prefix: str) -> str:
    """Return the base URL for clients."""
    # A client cannot connect to the wildcard address.
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound here
    name = f"[{reachable}]" if ":" in reachable else reachable
    return f"http://{name}:{port}{prefix}"
