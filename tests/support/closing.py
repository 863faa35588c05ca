"""Servers that close behind the tests' backs: closing takes a moment, in which the next begins."""

from __future__ import annotations

import threading

from batchframe.local import Server

_CLOSING: list[threading.Thread] = []


def close_meanwhile(server: Server) -> None:
    """Begin to close a server, and do not wait for it."""
    _CLOSING.append(threading.Thread(target=server.close))
    _CLOSING[-1].start()


def wait_until_closed() -> None:
    """Wait until none is closing, where a test watches threads or files."""
    while _CLOSING:
        _CLOSING.pop().join()
