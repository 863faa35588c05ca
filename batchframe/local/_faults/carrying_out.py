"""Faulty responses to a request."""

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


def _page(title: str) -> bytes:
    return f"<!doctype html><title>{title}</title><h1>{title}</h1>".encode()


_CONTENTS: Final[dict[str, tuple[bytes, str]]] = {
    "broken json": (b'{"id": "batch_', "application/json"),
    "empty object": (b"{}", "application/json"),
    "login page": (_page("Sign in"), "text/html"),
}


async def go_wrong(
    fault: Fault, request: Request, answer: Answerer, closing: Callable[[], bool]
) -> Response:
    """Inject a fault into an exchange and return the response to the client.

    Parameters
    ----------
    answer
        Function that processes the request; it never raises.
    closing
        Function that returns whether the server is stopping, which ends any wait.
    """
    if fault.kind in _OF_THE_ANSWER:
        response = await answer()
        return _modify(fault, response, _content(response))
    if fault.kind == "delay":
        # The server reads the whole request even if the client does not wait.
        await request.body()
        delayed = await answer() if fault.after else None
        await pause(fault.seconds, closing)
        return await answer() if delayed is None else delayed
    if fault.after:
        await answer()
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


def _content(response: Response) -> bytes:
    if isinstance(response, FileResponse):
        return Path(response.path).read_bytes()
    return bytes(response.body)


def _replace(fault: Fault, request: Request, closing: Callable[[], bool]) -> Response:
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
        target = request.url.path, request.url.query
        headers.setdefault("Location", "?".join(filter(None, target)))
    return Response(body, status, headers, kind)


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
