"""Answers that no web framework gives: cut, dripping, or none at all.

Comes in: an ASGI exchange, and what is left of its answer. Goes out: bytes on the socket, or its
end. Must not know: why.
"""

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


def _protocol(**given: Any) -> asyncio.Protocol:
    """Make uvicorn's protocol of one connection, and let its requests know it."""
    made = cast("Any", AutoHTTPProtocol)(**given)
    made.app_state = {**made.app_state, _CONNECTION: made}
    return cast("asyncio.Protocol", made)


# uvicorn calls what it is given and asks no more of it.
PROTOCOL: Final = cast("type[asyncio.Protocol]", _protocol)


def _transport(scope: Scope) -> asyncio.Transport:
    transport: asyncio.Transport = scope["state"][_CONNECTION].transport
    return transport


async def _ended(receive: Receive) -> None:
    """Wait until the connection is gone: an exchange left open before is a fault of ours."""
    while (await receive())["type"] != "http.disconnect":
        pass


class NoAnswer(Response):
    """The connection ends without an answer, orderly or by a reset."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        transport = _transport(scope)
        if self._reset:
            # A socket that does not linger is ended by a reset.
            linger = struct.pack("ii", 1, 0)
            plain = transport.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        else:
            transport.close()
        await _ended(receive)


class Silence(NoAnswer):
    """Nothing happens for `seconds`, or while the client waits; then the connection is closed.

    `closing` is asked whether the server wants to end.
    """

    def __init__(self, seconds: float | None, closing: Callable[[], bool]) -> None:
        super().__init__(reset=False)
        self._seconds = seconds
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(_ended(receive))
        await pause(self._seconds, lambda: self._closing() or gone.done())
        if gone.done():
            return
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
        await super().__call__(scope, receive, send)


class CutAnswer(Response):
    """An answer that ends early, though it promised its whole length, or that it goes on."""

    def __init__(self, whole: Response, content: bytes, keep: float, framing: Framing) -> None:
        super().__init__()
        self._whole = whole
        self._content = content
        self._keep = keep
        self._framing = framing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        transport = _transport(scope)
        status = HTTPStatus(self._whole.status_code)
        part = self._content[: int(len(self._content) * self._keep)]
        head, body = self._framed(part)
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"content-type: {self._whole.headers.get('content-type', 'application/json')}",
            *head,
        ]
        transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        transport.close()
        await _ended(receive)

    def _framed(self, part: bytes) -> tuple[list[str], bytes]:
        if self._framing == "length":
            return [f"content-length: {len(self._content)}"], part
        if self._framing == "chunked":
            return ["transfer-encoding: chunked"], b"%x\r\n%b\r\n" % (len(part), part)
        return ["connection: close"], part


def dripping(whole: Response, content: bytes, bytes_per_second: float) -> Response:
    """Return an answer whose body comes slowly."""
    size = max(1, int(bytes_per_second / _DRIPS_A_SECOND))

    async def drops() -> AsyncIterator[bytes]:
        for start in range(0, len(content), size):
            await asyncio.sleep(size / bytes_per_second)
            yield content[start : start + size]

    headers = {"content-length": str(len(content))}
    kind = whole.headers.get("content-type")
    return StreamingResponse(drops(), whole.status_code, headers=headers, media_type=kind)


async def pause(seconds: float | None, over: Callable[[], bool]) -> None:
    """Wait `seconds`, or for ever, unless it is `over` before."""
    end = None if seconds is None else time.monotonic() + seconds
    while not over():
        left = _PULSE_SECONDS if end is None else min(_PULSE_SECONDS, end - time.monotonic())
        if left <= 0:
            return
        await asyncio.sleep(left)
