"""Calls of the openai client, bounded and without the API key.

Every exchange of the client passes :func:`_exchange`, and every body :func:`chunks`: what a service
says enters batchframe there, and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from contextvars import copy_context
from copy import copy
from functools import partial
from io import BufferedReader
from threading import Thread
from typing import Any, Final, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import openai

from batchframe._base.clock import SYSTEM
from batchframe._base.errors import ClientError, ServiceError
from batchframe._base.safe_text import REFRESH, RUN_AGAIN, NextStep, mask, masked_chunks
from batchframe._services.openai_values import failure, is_transport_error, secrets_of, words

_P = ParamSpec("_P")
_T = TypeVar("_T")
# Errors that the package raises for an unexpected body.
_UNREADABLE: Final = (AttributeError, TypeError, ValueError, RecursionError)
_NOTHING_LOST: Final = "No data was lost. Fix: "
_SLOWEST: Final = 1000
"""Bytes per second."""
_PATIENCE: Final = 60.0
"""Seconds between two measurements of a response's speed."""
LONGEST: Final = 600.0
"""Seconds for an exchange other than a file's, and for each phase of any exchange."""
MAX_RESPONSE: Final = 1 << 26
_MAX_ERROR: Final = 1 << 20
"""Bytes of an error response that are read; the rest is dropped."""
_MAX_REDIRECTS: Final = 20
_INTERVAL: Final = 0.2
_PROCESSES: Final[WeakKeyDictionary[Any, int]] = WeakKeyDictionary()
"""The process in which each HTTP client was first used."""


def bounded(client: openai.OpenAI) -> openai.OpenAI:
    """Return the client with limits on the size and time of each exchange.

    The package reads errors and the responses to uploads and creates whole, however large and slow
    they are, and its timeouts begin again with each byte.
    """
    inner: Any = getattr(client, "_client", None)
    if inner is None:
        return client
    if _PROCESSES.setdefault(inner, os.getpid()) != os.getpid():
        raise ClientError(
            "client: its connections belong to the process that this one was forked from.",
            next_step=NextStep(
                "Fix: make a client here, bf.job(name, client=openai.OpenAI(...)), or start the "
                'processes with multiprocessing.get_context("spawn").',
                "Fix: run the command in its own process.",
            ),
        )
    # The copy shares the connections, proxies and certificates that the user configured.
    outer = copy(inner)
    outer.send = partial(_exchange, inner)
    outer.close = lambda: None  # the connections are the user's
    return client.with_options(http_client=outer)


def _exchange(
    inner: Any,
    request: Any,
    *,
    stream: bool = False,
    follow_redirects: bool | None = None,
    **options: Any,
) -> Any:
    """Send a request; read the response unless it is streamed."""
    secrets = secrets_of(request.headers)
    follow = inner.follow_redirects if follow_redirects is None else follow_redirects
    for _ in range(_MAX_REDIRECTS):
        response = _receive(inner, request, options)
        if not follow or response.next_request is None:
            break
        response.close()  # the package would read the whole body first
        request, options = response.next_request, {"auth": None}
    else:
        raise ServiceError.unreachable(
            f"redirected {_MAX_REDIRECTS} times, at last to {request.url.path}"
        )
    for name, value in response.headers.items():
        response.headers[name] = mask(value.encode(), secrets).decode()
    if stream and not response.is_error:
        return response
    try:
        body = _read(response, f"the response to {request.method} {request.url.path}")
    finally:
        response.close()
    headers = [
        (name, value)
        for name, value in response.headers.multi_items()
        if name not in {"content-encoding", "content-length", "transfer-encoding"}
    ]
    return type(response)(
        response.status_code,
        headers=headers,
        content=body,
        request=request,
        extensions=response.extensions,
    )


def _read(response: Any, what: str) -> bytes:
    """Read a body; of an error, what arrives within the limits."""
    patience = min(_PATIENCE, _limit(response.request))
    body = bytearray()
    if not response.is_error:
        body += b"".join(chunks(response, what, MAX_RESPONSE, patience, LONGEST))
        return bytes(body)
    with suppress(ServiceError):
        for chunk in chunks(response, what, _MAX_ERROR, patience, patience):
            body += chunk
    return bytes(body)


def _limit(request: Any) -> float:
    """Return the seconds that a phase of a request may take."""
    seconds = request.extensions.get("timeout", {}).get("read")
    return LONGEST if seconds is None else min(float(seconds), LONGEST)


def _receive(inner: Any, request: Any, options: dict[str, Any]) -> Any:
    """Send a request and return the response, of which the headers are read.

    Raises
    ------
    ServiceError
        If the headers are late. A timeout of the package begins again with each byte, so the
        request runs in a thread, which is left behind.
    """
    limit, started = _limit(request), SYSTEM.elapsed()
    size = int(request.headers.get("content-length", 0))
    ends = [started + limit + size / _SLOWEST]

    def trace(event: str, _: object) -> None:
        if event.endswith("send_request_body.complete"):
            ends.append(SYSTEM.elapsed() + limit)

    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), limit)
    timeouts |= {
        phase: min(seconds, limit)
        for phase, seconds in request.extensions.get("timeout", {}).items()
        if seconds is not None
    }
    request.extensions = {**request.extensions, "timeout": timeouts, "trace": trace}
    send = partial(inner.send, request, stream=True, follow_redirects=False, **options)
    task: Future[Any] = Future()
    Thread(target=copy_context().run, args=(_settle, task, send), daemon=True).start()
    try:
        while not wait([task], _INTERVAL).done:
            if SYSTEM.elapsed() > min(ends) and task.cancel():
                what = f"{request.method} {request.url.path}"
                seconds = SYSTEM.elapsed() - started
                raise ServiceError.unreachable(f"no response to {what} within {seconds:,.0f} s")
    finally:
        task.cancel()
    return task.result()


def _settle(task: Future[Any], send: Callable[[], Any]) -> None:
    """Complete a task with a response, unless it was cancelled."""
    with suppress(InvalidStateError):
        try:
            response = send()
        except BaseException as reason:  # noqa: BLE001 - raised in the thread that waits
            task.set_exception(reason)
            return
        try:
            task.set_result(response)
        except InvalidStateError:
            response.close()


def put(address: str, file: BufferedReader, size: int) -> None:
    """Send a file to a presigned address, without the API key."""
    with openai.DefaultHttpxClient() as client:
        request = client.build_request(
            "PUT", address, content=file, headers={"Content-Length": str(size)}
        )
        answer = _exchange(client, request)
    if answer.is_error:
        error = ServiceError(
            f"The input file was not stored: the address for the upload responded with HTTP "
            f"{answer.status_code}. No batch was created.",
            next_step="Fix: " + RUN_AGAIN + ".",
        )
        error.status = answer.status_code
        raise error


def stated_length(response: Any) -> int | None:
    # For a compressed body this is not the size of the file.
    length = response.headers.get("content-length", "")
    plain = response.headers.get("content-encoding", "identity") == "identity"
    return int(length) if plain and length.isdecimal() else None


def call(request: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    try:
        return request(*args, **kwargs)
    except ServiceError as reason:
        raised = reason.with_traceback(None)  # without the package's frames, which hold the key
    except (openai.OpenAIError, *_UNREADABLE) as reason:
        # The package parses responses without handling invalid JSON.
        raised = failure(reason)
    except Exception as reason:
        if not is_transport_error(reason):
            raise
        raised = ServiceError.unreachable(words(reason))
    raise raised


def chunks(
    response: Any, what: str, most: int, patience: float, longest: float | None = None
) -> Iterator[bytes]:
    """Yield a body without the key; raise if it stalls or is truncated.

    Parameters
    ----------
    patience
        Seconds in which the body must arrive faster than 1,000 bytes per second.
    longest
        Seconds for the whole body; None for no limit.
    """
    request = getattr(response, "http_request", None) or response.request
    keys = secrets_of(request.headers)
    return masked_chunks(_within(response, what, most, patience, longest), keys)


def _within(
    response: Any, what: str, most: int, patience: float, longest: float | None
) -> Iterator[bytes]:
    body = iter(response.iter_bytes())
    got = last_got = 0
    started = last_check = SYSTEM.elapsed()
    while True:
        try:
            chunk = next(body, None)
        except Exception as reason:
            if not is_transport_error(reason):
                raise
            raised = ServiceError(
                f"The response broke off while reading {what}: {words(reason)}. {_NOTHING_LOST}"
                + REFRESH
                + "."
            )
            raised.broke_off = True
            break
        if chunk is None:
            return
        got += len(chunk)
        if got > most:
            raised = ServiceError(
                f"The service sent more than {most:,} bytes of {what}, so reading stopped. "
                f"{_NOTHING_LOST}" + REFRESH + "."
            )
            raised.cause = f"the service sent more than {most:,} bytes of {what}"
            break
        passed = SYSTEM.elapsed() - last_check
        if longest is not None and SYSTEM.elapsed() - started > longest:
            raise ServiceError.too_slow(what, got, SYSTEM.elapsed() - started)
        if passed > patience:
            if got - last_got < _SLOWEST * passed:
                raise ServiceError.too_slow(what, got - last_got, passed)
            last_got, last_check = got, SYSTEM.elapsed()
        yield chunk
    raise raised
