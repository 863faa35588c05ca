"""Start a local batch server in one call: `serve` in a notebook, `run` in a terminal."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable
from typing import Any, ParamSpec

from batchframe.local._answers.answerers import TokenCounter
from batchframe.local._server import Server

_log = logging.getLogger("batchframe.local")

_P = ParamSpec("_P")


def _like(maker: Callable[_P, Server]) -> Callable[[Callable[..., Server]], Callable[_P, Server]]:
    """Give a function the signature of what it calls, for type checkers and for `help`."""

    def decorate(function: Callable[..., Server]) -> Callable[_P, Server]:
        signature = inspect.signature(maker).replace(return_annotation="Server")
        function.__signature__ = signature  # type: ignore[attr-defined]
        return function

    return decorate


@_like(Server)
def serve(*given: Any, **options: Any) -> Server:
    """Start a local batch server and return it; the parameters are those of `Server`.

    Parameters
    ----------
    answer
        What plays the model: a function of the request body, a dict, that returns the answer: a
        text, or a dict such as ``{"label": "good"}`` for a structured one. ``help(Server)`` says
        what else, and all other parameters.

    Examples
    --------
    >>> import batchframe.local
    >>> with batchframe.local.serve() as server:
    ...     client = server.client()
    ...     client.batches.list().data
    []
    """
    return Server(*given, **options).start()


def run(
    *,
    ready: Callable[[str], object] | None = None,
    upstream: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    seconds: float = 0.0,
    concurrency: int = 8,
    upstream_key: str | None = None,
    count_tokens: TokenCounter | None = None,
    profile: str = "openai",
) -> None:
    """Serve until Ctrl-C; the parameters are those of `Server`.

    Parameters
    ----------
    ready
        Called with the URL once the server listens; nothing is printed here.
    """
    with serve(
        upstream=upstream,
        folder=folder,
        host=host,
        port=port,
        seconds=seconds,
        concurrency=concurrency,
        upstream_key=upstream_key,
        count_tokens=count_tokens,
        profile=profile,
    ) as server:
        try:
            if ready is not None:
                ready(server.url)
            server.wait()
        except KeyboardInterrupt:
            _log.info("Stopped by Ctrl-C.")
