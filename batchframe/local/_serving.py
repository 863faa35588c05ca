"""Functions to start a local server, in a notebook or in a terminal."""

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


def _with_signature_of(
    maker: Callable[_P, Server],
) -> Callable[[Callable[..., Server]], Callable[_P, Server]]:
    """Copy the signature of `maker`, for type checkers and `help`."""

    def decorate(function: Callable[..., Server]) -> Callable[_P, Server]:
        signature = inspect.signature(maker).replace(return_annotation="Server")
        function.__signature__ = signature  # type: ignore[attr-defined]
        return function

    return decorate


@_with_signature_of(Server)
def serve(*arguments: Any, **options: Any) -> Server:
    """Start a local batch server and return it.

    Without `answer` and `upstream`, a simulated model answers. It needs no key and bills nothing.

    Parameters
    ----------
    answer
        Function that stands in for the model: it receives the request body, a dict, and returns
        the answer, a string or, for structured output, a dict such as ``{"label": "good"}``. It
        may be ``async``. ``help(Server)`` lists the other values that it may return. To make a
        request fail, raise `AnswerError`.
    upstream
        Base URL of an OpenAI-compatible server that answers the requests, such as
        ``"http://localhost:11434/v1"`` for Ollama.
    folder
        Folder for files and batches. A server restarted on the same folder continues unfinished
        batches on the same port. By default a temporary folder, removed when the server stops.
    host
        Address to listen on. On an address other than loopback, any machine that can reach the
        server has access, unless you pass `key`.
    port
        Port to listen on. The default, 0, reuses the port stored in `folder`, or picks a free port.
    seconds
        Minimum duration of a batch in seconds; use it to watch a batch pass through its states.
    concurrency
        Maximum number of concurrent requests to `upstream` or to an ``async`` `answer`.
    upstream_key
        API key for `upstream`; by default, the environment variable ``UPSTREAM_API_KEY``.
    limits
        Limits of a file and of a batch, such as ``Limits(requests=100)``; by default those of
        `profile`.
    count_tokens
        Function that receives the request body and returns its number of input tokens. By default
        the server counts them by its own framing table.
    faults
        Faults to inject, a list of `Fault`, for testing how a pipeline handles errors.
    profile
        Service to imitate: a name that :func:`batchframe.provider` takes, or "gateway".
    key
        API key that clients must send; by default any key is accepted, and none is needed.

    Returns
    -------
    A running `Server`. Use it as a context manager, or call its `close`.

    Raises
    ------
    LocalServerError
        If an argument is invalid, the folder is in use or damaged, or the server cannot listen on
        the address.

    Examples
    --------
    >>> import batchframe.local
    >>> with batchframe.local.serve() as server:
    ...     client = server.client()
    ...     client.batches.list().data
    []
    """
    return Server(*arguments, **options).start()


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
    key: str | None = None,
) -> None:
    """Run a local server until Ctrl-C.

    The other parameters are those of `Server`.

    Parameters
    ----------
    ready
        Function called with the server's URL as soon as it accepts requests.
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
        key=key,
    ) as server:
        try:
            if ready is not None:
                ready(server.url)
            server.wait()
        except KeyboardInterrupt:
            _log.info("Stopped by Ctrl-C.")
