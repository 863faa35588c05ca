"""Truncated, slow and missing responses, which web frameworks lack."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any, Final, Literal, TypeAlias, cast

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

Framing: TypeAlias = Literal["length", "chunked", "close"]

_CONNECTION: Final = "batchframe.connection"
_PULSE_SECONDS: Final = 0.02
_DRIPS_A_SECOND: Final = 20


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


async def _ended(receive: Receive) -> None:
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
        await _ended(receive)


class Silence(NoAnswer):
    """Response that sends nothing for `seconds`, then closes the connection.

    The wait ends early if the client disconnects or `closing` returns True.
    """

    def __init__(self, seconds: float | None, closing: Callable[[], bool]) -> None:
        super().__init__(reset=False)
        self._seconds = seconds
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        disconnect = asyncio.ensure_future(_ended(receive))
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
        await _ended(receive)

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
