"""Faulty responses to a request: wrong, truncated, slow or missing ones."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from batchframe.local._faults.fault import Fault
from batchframe.local._problems import error_body

Handler: TypeAlias = Callable[[], Awaitable[Response]]
Framing: TypeAlias = Literal["length", "chunked", "close"]

_CONNECTION: Final = "batchframe.connection"
_PULSE_SECONDS: Final = 0.02
_DRIPS_A_SECOND: Final = 20
_FRAMINGS: Final[dict[str | int, Framing]] = {
    "cut short": "length",
    "cut chunked": "chunked",
    "cut silently": "close",
}
_RESPONSE_KINDS: Final = frozenset({*_FRAMINGS, "drip", "rewrite"})
_ERRORS: Final = 400
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_REDIRECTS: Final = range(300, 400)


def _page(title: str) -> bytes:
    return f"<!doctype html><title>{title}</title><h1>{title}</h1>".encode()


_CONTENTS: Final[dict[str, tuple[bytes, str]]] = {
    "broken json": (b'{"id": "batch_', "application/json"),
    "empty object": (b"{}", "application/json"),
    "login page": (_page("Sign in"), "text/html"),
}


async def inject(
    fault: Fault, request: Request, answer: Handler, closing: Callable[[], bool]
) -> Response:
    """Inject a fault into an exchange and return the response to the client.

    Parameters
    ----------
    answer
        Function that processes the request; it never raises.
    closing
        Function that returns whether the server is stopping, which ends any wait.
    """
    if fault.kind in _RESPONSE_KINDS:
        response = await answer()
        return _modify(fault, response, await _content(response))
    if fault.kind == "delay":
        # The server reads the whole request even if the client does not wait.
        await request.body()
        delayed = await answer() if fault.after else None
        await pause(fault.seconds, closing)
        return await answer() if delayed is None else delayed
    if fault.after:
        await _content(await answer())
    else:
        # Otherwise the connection could break while the client is still sending.
        async for _ in request.stream():
            pass
    return _replace(fault, request, closing)


def _modify(fault: Fault, response: Response, content: bytes) -> Response:
    if fault.kind in _FRAMINGS:
        return CutAnswer(response, content, fault.keep, _FRAMINGS[fault.kind])
    if fault.kind == "drip":
        return dripping(response, content, fault.bytes_per_second)
    if response.status_code >= _ERRORS or fault.rewrite is None:
        return response
    kind = response.headers.get("content-type")
    return Response(fault.rewrite(content), response.status_code, media_type=kind)


async def _content(response: Response) -> bytes:
    if isinstance(response, FileResponse):
        return await asyncio.to_thread(Path(response.path).read_bytes)
    if isinstance(response, StreamingResponse):
        events = cast("AsyncIterator[bytes]", response.body_iterator)
        return b"".join([event async for event in events])
    return bytes(response.body)


def _replace(fault: Fault, request: Request, closing: Callable[[], bool]) -> Response:
    if isinstance(fault.kind, int):
        body, kind = _body(fault, fault.kind)
        headers = dict(fault.headers)
        if fault.kind in _REDIRECTS:
            target = request.url.path, request.url.query
            headers.setdefault("Location", "?".join(filter(None, target)))
        return Response(body, fault.kind, headers, kind)
    if fault.kind in _CONTENTS:
        content, kind = _CONTENTS[fault.kind]
        return Response(content, media_type=kind)
    if fault.kind == "hang":
        return Silence(fault.seconds, closing)
    return NoAnswer(reset=fault.kind == "reset")


def _body(fault: Fault, status: int) -> tuple[bytes, str]:
    """Return the body of a status and its media type."""
    if fault.body is not None:
        return _encode(fault.body)
    phrase = _PHRASES.get(status, f"Status {status}")
    match fault.form:
        case "detail":
            return msgspec.json.encode({"detail": phrase}), "application/json"
        case "text":
            return phrase.encode(), "text/plain"
        case "html":
            return _page(phrase), "text/html"
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    error = error_body(f"{phrase} (a fault of the local server).", type=kind)
    return msgspec.json.encode(error), "application/json"


def _encode(body: str | bytes | dict[str, Any] | list[Any]) -> tuple[bytes, str]:
    if isinstance(body, dict | list):
        return msgspec.json.encode(body), "application/json"
    content = body.encode() if isinstance(body, str) else body
    start = content.lstrip()[:1]
    kinds = {b"<": "text/html", b"{": "application/json", b"[": "application/json"}
    return content, kinds.get(start, "text/plain")


def _protocol(**options: Any) -> asyncio.Protocol:
    """Create uvicorn's protocol of a connection and expose it to the requests."""
    protocol = cast("Any", AutoHTTPProtocol)(**options)
    protocol.app_state = {**protocol.app_state, _CONNECTION: protocol}
    return cast("asyncio.Protocol", protocol)


# uvicorn only calls it, so a function may stand in for the class.
PROTOCOL: Final = cast("type[asyncio.Protocol]", _protocol)


def _transport(scope: Scope) -> asyncio.Transport:
    transport: asyncio.Transport = scope["state"][_CONNECTION].transport
    return transport


async def _disconnected(receive: Receive) -> None:
    """Wait until the connection is closed; uvicorn logs earlier returns."""
    while (await receive())["type"] != "http.disconnect":
        pass


class NoAnswer(Response):
    """Response that closes or resets the connection without an answer."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        transport = _transport(scope)
        if self._reset:
            # With a linger time of 0, closing the socket sends a reset.
            linger = struct.pack("ii", 1, 0)
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        else:
            transport.close()
        await _disconnected(receive)


class Silence(NoAnswer):
    """Response that sends nothing for `seconds`, then closes the connection.

    The wait ends early if the client disconnects or `closing` returns True.
    """

    def __init__(self, seconds: float | None, closing: Callable[[], bool]) -> None:
        super().__init__(reset=False)
        self._seconds = seconds
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        disconnect = asyncio.ensure_future(_disconnected(receive))
        await pause(self._seconds, lambda: self._closing() or disconnect.done())
        if disconnect.done():
            return
        disconnect.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await disconnect
        await super().__call__(scope, receive, send)


class CutAnswer(Response):
    """Response whose body is truncated, under one of three framings."""

    def __init__(self, response: Response, content: bytes, keep: float, framing: Framing) -> None:
        super().__init__()
        self._response = response
        self._content = content
        self._keep = keep
        self._framing = framing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        transport = _transport(scope)
        status = HTTPStatus(self._response.status_code)
        part = self._content[: int(len(self._content) * self._keep)]
        head, body = self._frame(part)
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"content-type: {self._response.headers.get('content-type', 'application/json')}",
            *head,
        ]
        transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        transport.close()
        await _disconnected(receive)

    def _frame(self, part: bytes) -> tuple[list[str], bytes]:
        if self._framing == "length":
            return [f"content-length: {len(self._content)}"], part
        if self._framing == "chunked":
            return ["transfer-encoding: chunked"], b"%x\r\n%b\r\n" % (len(part), part)
        return ["connection: close"], part


def dripping(response: Response, content: bytes, bytes_per_second: float) -> Response:
    """Return a response whose body is sent slowly."""
    size = max(1, int(bytes_per_second / _DRIPS_A_SECOND))

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), size):
            await asyncio.sleep(size / bytes_per_second)
            yield content[start : start + size]

    headers = {"content-length": str(len(content))}
    kind = response.headers.get("content-type")
    return StreamingResponse(chunks(), response.status_code, headers=headers, media_type=kind)


async def pause(seconds: float | None, over: Callable[[], bool]) -> None:
    """Wait `seconds`, or forever if None, until `over()` returns True."""
    end = None if seconds is None else time.monotonic() + seconds
    while not over():
        left = _PULSE_SECONDS if end is None else min(_PULSE_SECONDS, end - time.monotonic())
        if left <= 0:
            return
        await asyncio.sleep(left)
