"""Carrying out a fault: an exchange that goes wrong.

Comes in: a fault, a request, and what would answer it. Goes out: the answer that the client sees
instead. Must not know: which faults are planned, routes, or what the server keeps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from batchframe.local._faults.fault import Fault
from batchframe.local._faults.wire import CutAnswer, Framing, NoAnswer, Silence, dripping, pause
from batchframe.local._problems import error_body

Answerer: TypeAlias = Callable[[], Awaitable[Response]]

_FRAMINGS: Final[dict[str | int, Framing]] = {
    "cut short": "length",
    "cut chunked": "chunked",
    "cut silently": "close",
}
_OF_THE_ANSWER: Final = frozenset({*_FRAMINGS, "drip", "rewrite"})
_ERRORS: Final = 400
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_REDIRECTS: Final = range(300, 400)


def _page(words: str) -> bytes:
    return f"<!doctype html><title>{words}</title><h1>{words}</h1>".encode()


_CONTENTS: Final[dict[str, tuple[bytes, str]]] = {
    "broken json": (b'{"id": "batch_', "application/json"),
    "empty object": (b"{}", "application/json"),
    "login page": (_page("Sign in"), "text/html"),
}


async def go_wrong(
    fault: Fault, request: Request, answer: Answerer, closing: Callable[[], bool]
) -> Response:
    """Carry out a fault in one exchange, and return what the client sees.

    Parameters
    ----------
    answer
        Lets the server act on the request, and never raises.
    closing
        Tells whether the server wants to end, and nothing should be waited for.
    """
    if fault.kind in _OF_THE_ANSWER:
        whole = await answer()
        return _spoilt(fault, whole, _content(whole))
    if fault.kind == "delay":
        # The server has the request by now, whether the client waits or not.
        await request.body()
        late = await answer() if fault.after else None
        await pause(fault.seconds, closing)
        return await answer() if late is None else late
    if fault.after:
        await answer()
    else:
        # A client gets the answer, not a connection that breaks while it still sends.
        async for _ in request.stream():
            pass
    return _instead(fault, request, closing)


def _spoilt(fault: Fault, whole: Response, content: bytes) -> Response:
    if fault.kind in _FRAMINGS:
        return CutAnswer(whole, content, fault.keep, _FRAMINGS[fault.kind])
    if fault.kind == "drip":
        return dripping(whole, content, fault.bytes_per_second)
    if whole.status_code >= _ERRORS or fault.rewrite is None:
        return whole
    kind = whole.headers.get("content-type")
    return Response(fault.rewrite(content), whole.status_code, media_type=kind)


def _content(response: Response) -> bytes:
    if isinstance(response, FileResponse):
        return Path(response.path).read_bytes()
    return bytes(response.body)


def _instead(fault: Fault, request: Request, closing: Callable[[], bool]) -> Response:
    if isinstance(fault.kind, int):
        return _with_status(fault, fault.kind, request)
    if fault.kind in _CONTENTS:
        content, kind = _CONTENTS[fault.kind]
        return Response(content, media_type=kind)
    if fault.kind == "hang":
        return Silence(fault.seconds, closing)
    return NoAnswer(reset=fault.kind == "reset")


def _with_status(fault: Fault, status: int, request: Request) -> Response:
    body, kind = _body(fault, status)
    headers = dict(fault.headers)
    if status in _REDIRECTS:
        asked = request.url.path, request.url.query
        headers.setdefault("Location", "?".join(filter(None, asked)))
    return Response(body, status, headers, kind)


def _body(fault: Fault, status: int) -> tuple[bytes, str]:
    """Write the body of a status; return it and its media type."""
    if fault.body is not None:
        return _written(fault.body)
    words = _PHRASES.get(status, f"Status {status}")
    match fault.form:
        case "detail":
            return msgspec.json.encode({"detail": words}), "application/json"
        case "text":
            return words.encode(), "text/plain"
        case "html":
            return _page(words), "text/html"
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    error = error_body(f"{words} (a fault of the local server).", type=kind)
    return msgspec.json.encode(error), "application/json"


def _written(body: str | bytes | dict[str, Any] | list[Any]) -> tuple[bytes, str]:
    if isinstance(body, dict | list):
        return msgspec.json.encode(body), "application/json"
    content = body.encode() if isinstance(body, str) else body
    start = content.lstrip()[:1]
    kinds = {b"<": "text/html", b"{": "application/json", b"[": "application/json"}
    return content, kinds.get(start, "text/plain")
