"""Servers that close in the background, while the next test begins."""

from __future__ import annotations

import threading

from batchframe.local import Server

_CLOSING: list[threading.Thread] = []


def close_meanwhile(server: Server) -> None:
    """Close a server in the background."""
    _CLOSING.append(threading.Thread(target=server.close))
    _CLOSING[-1].start()


def wait_until_closed() -> None:
    """Wait until no server is closing, for tests that watch threads or files."""
    while _CLOSING:
        _CLOSING.pop().join()
