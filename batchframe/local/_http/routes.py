"""HTTP routes of the Files API, the Batch API and the endpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from batchframe.local._answers.answerers import Answerer, TokenCounter
from batchframe.local._batches.dialects import Dialect
from batchframe.local._batches.store import Store
from batchframe.local._batches.validation import check_body, file_not_found
from batchframe.local._batches.worker import Worker
from batchframe.local._faults.carrying_out import go_wrong
from batchframe.local._faults.plan import FaultPlan
from batchframe.local._http.parameters import Page, batch_request, parse_page, upload_request
from batchframe.local._http.upload import Upload
from batchframe.local._objects import ENDPOINTS, Batch, FileObject
from batchframe.local._problems import Problem, error_body

_log = logging.getLogger("batchframe.local")

_MOST_BATCHES: Final = 100
_DEFAULT_BATCHES: Final = 20
_MOST_FILES: Final = 10_000
_BROKEN: Final = (
    "The local server had an error while processing your request; its log has the reason."
)
_LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "::1")

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Request handlers and their state.

    With `guarded`, the server rejects requests from web pages and requests for a host name other
    than loopback (DNS rebinding).
    """

    store: Store
    worker: Worker
    answerer: Answerer
    dialect: Dialect
    faults: FaultPlan
    count_tokens: TokenCounter
    guarded: bool

    def application(self) -> Starlette:
        """Return the ASGI application."""
        handlers: dict[str, Handler] = {
            "POST /v1/files": self.create_file,
            "GET /v1/files": self.list_files,
            "GET /v1/files/{id}": self.retrieve_file,
            "DELETE /v1/files/{id}": self.delete_file,
            "GET /v1/files/{id}/content": self.file_content,
            "POST /v1/batches": self.create_batch,
            "GET /v1/batches": self.list_batches,
            "GET /v1/batches/{id}": self.retrieve_batch,
            "POST /v1/batches/{id}/cancel": self.cancel_batch,
            "GET /v1/models": self.list_models,
            "POST /v1/responses/input_tokens": self.count_input_tokens,
            **{f"POST {endpoint}": self.answer for endpoint in ENDPOINTS},
            "GET|POST|PUT|PATCH|DELETE /{path:path}": self.no_route,
        }
        return Starlette(
            middleware=[Middleware(_ResolvePath, dialect=self.dialect)],
            routes=[
                Route(path, partial(self.exchange, handler=handler), methods=methods.split("|"))
                for route, handler in handlers.items()
                for methods, path in [route.split()]
            ],
        )

    async def exchange(self, request: Request, handler: Handler) -> Response:
        """Handle a request, and inject a fault if one applies."""
        answer = partial(self._handle, request, handler)
        fault = self.faults.strike(request.method, request.url.path)
        if fault is None:
            return await answer()
        return await go_wrong(fault, request, answer, lambda: self.faults.closing)

    async def create_file(self, request: Request) -> Response:
        """`POST /v1/files`."""
        most = self.dialect.limits.file_bytes
        with closing(Upload(self.store.upload_path(), most)) as upload:
            await upload.receive(request.headers.get("content-type", ""), request.stream())
            if upload.filename is None:
                raise Problem.missing("file")
            purpose, lifetime = upload_request(upload.fields, self.dialect)
            if purpose == self.dialect.service.purpose:
                self._check_batch_file(upload)
            if upload.size > most:
                raise Problem(413, f"File is too large. The maximum is {most} bytes.", param="file")
            file = self.store.add_file(
                upload.path,
                filename=upload.filename,
                purpose=purpose,
                sha256=upload.sha256,
                lifetime=lifetime,
            )
        self.faults.made(file.id)
        return _json(file)

    async def list_files(self, request: Request) -> Response:
        """`GET /v1/files`."""
        order = request.query_params.get("order", "desc")
        purpose = request.query_params.get("purpose")
        if order not in {"asc", "desc"}:
            raise Problem.wrong_value("order", order, "'asc', 'desc'")
        page = parse_page(request.query_params, most=_MOST_FILES, default=_MOST_FILES)
        files = [file for file in self.store.files() if purpose in {None, file.purpose}]
        files = [file for file in files if self._shows(request, file.id)]
        return _json(_list(files if order == "asc" else files[::-1], page))

    async def retrieve_file(self, request: Request) -> Response:
        """`GET /v1/files/{id}`."""
        return _json(self._file(request))

    async def delete_file(self, request: Request) -> Response:
        """`DELETE /v1/files/{id}`."""
        file = self._file(request)
        self.store.delete_file(file.id)
        return _json({"id": file.id, "object": "file", "deleted": True})

    async def file_content(self, request: Request) -> Response:
        """`GET /v1/files/{id}/content`."""
        path = self.store.content(self._file(request).id)
        return FileResponse(path, media_type="application/octet-stream", stat_result=path.stat())

    async def create_batch(self, request: Request) -> Response:
        """`POST /v1/batches`; validation reports a missing file later."""
        params = batch_request(await _body(request), self.dialect)
        stored = self.store.file(params.input_file_id)
        if stored is not None and not self._shows(request, params.input_file_id):
            raise Problem.invalid(
                "input_file_id", file_not_found(params.input_file_id).message, "invalid_request"
            )
        if stored is not None and stored.file.purpose != self.dialect.service.purpose:
            raise Problem.invalid(
                "input_file_id",
                f"Invalid 'input_file_id': the purpose of {params.input_file_id} is "
                f"'{stored.file.purpose}', and a batch needs a file with purpose 'batch'.",
                "invalid_value",
            )
        batch = self.store.add_batch(params)
        self.faults.made(batch.id)
        self.worker.begin(batch)
        return _json(self.dialect.created(batch))

    async def list_batches(self, request: Request) -> Response:
        """`GET /v1/batches`, newest first."""
        page = parse_page(request.query_params, most=_MOST_BATCHES, default=_DEFAULT_BATCHES)
        batches = [batch for batch in self.store.batches() if self._shows(request, batch.id)]
        if self.dialect.lists == "array":
            return _json([self.dialect.batch(batch) for batch in batches[::-1]])
        body = _list([] if self.dialect.lists == "nothing" else batches[::-1], page)
        return _json({**body, "data": [self.dialect.batch(batch) for batch in body["data"]]})

    async def retrieve_batch(self, request: Request) -> Response:
        """`GET /v1/batches/{id}`."""
        return _json(self.dialect.batch(self._batch(request)))

    async def cancel_batch(self, request: Request) -> Response:
        """`POST /v1/batches/{id}/cancel`."""
        batch = self._batch(request)
        if batch.status == "cancelled":
            return _json(self.dialect.batch(batch))
        if batch.ended:
            raise Problem(409, f"Cannot cancel a batch with status '{batch.status}'.")
        return _json(self.dialect.batch(self.worker.cancel(batch)))

    async def list_models(self, request: Request) -> Response:  # noqa: ARG002 - a handler's shape
        """`GET /v1/models`; returns an example, since any model name is accepted."""
        now = int(time.time())
        model = {"id": "simulated", "object": "model", "created": now, "owned_by": "batchframe"}
        return _json({"object": "list", "data": [model]})

    async def count_input_tokens(self, request: Request) -> Response:
        """`POST /v1/responses/input_tokens`, with the server's own counter."""
        body = await _body(request)
        _validate("/v1/responses", body)
        tokens = self.count_tokens(body)
        return _json({"object": "response.input_tokens", "input_tokens": tokens})

    async def answer(self, request: Request) -> Response:
        """`POST` to an endpoint directly, without a batch."""
        body = await _body(request)
        if body.get("stream"):
            raise Problem.invalid(
                "stream", "The local server does not stream.", "streaming_unsupported"
            )
        endpoint = request.url.path
        _validate(endpoint, body)
        answer = await self.answerer.answer(endpoint, body)
        return _json(answer.body, answer.status_code)

    async def no_route(self, request: Request) -> Response:
        """Reject any other path."""
        path = request.url.path.removeprefix("/-")
        raise Problem(404, f"Invalid URL ({request.method} {path})")

    async def _handle(self, request: Request, handler: Handler) -> Response:
        """Call the handler and return its response or its error."""
        try:
            self._admit(request)
            return await handler(request)
        except Problem as problem:
            return _json(problem.body, problem.status_code)
        except ClientDisconnect:
            return Response(status_code=400)
        # Every error response must have an OpenAI-shaped body.
        except Exception:  # noqa: BLE001 - see above
            _log.exception("%s %s failed.", request.method, request.url.path)
            return _json(error_body(_BROKEN, type="server_error"), 500)

    def _shows(self, request: Request, object_id: str) -> bool:
        return self.faults.shows(request.method, request.url.path, object_id)

    def _admit(self, request: Request) -> None:
        host, origin = request.url.hostname, request.headers.get("origin")
        local = host in _LOOPBACK_NAMES
        if not self.guarded or (local and origin is None):
            return
        stranger = f"the web page {origin!r}" if local else f"the host name {host!r}"
        raise Problem(
            403,
            f"This server listens on loopback for programs on this machine; it refuses {stranger}.",
            code="forbidden",
        )

    def _check_batch_file(self, upload: Upload) -> None:
        if not (upload.filename or "").lower().endswith(".jsonl"):
            raise Problem.invalid("file", "Invalid file format for Batch API. Must be .jsonl")
        most = self.dialect.limits.batch_bytes
        if upload.size > most:
            raise Problem(
                413, f"The batch input file is larger than the {most} maximum.", param="file"
            )

    def _file(self, request: Request) -> FileObject:
        file_id: str = request.path_params["id"]
        stored = self.store.file(file_id)
        if stored is None or not self._shows(request, file_id):
            raise Problem(404, f"No such File object: {file_id}", param="id")
        return stored.file

    def _batch(self, request: Request) -> Batch:
        batch_id: str = request.path_params["id"]
        batch = self.store.batch(batch_id)
        if batch is None or not self._shows(request, batch_id):
            raise Problem(404, f"No batch found with id '{batch_id}'.")
        return batch


class _ResolvePath:
    """Middleware that translates the paths of the imitated service."""

    def __init__(self, app: ASGIApp, dialect: Dialect) -> None:
        self._app = app
        self._dialect = dialect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = self._dialect.resolve_path(scope["path"], scope["query_string"])
        await self._app({**scope, "path": path, "raw_path": path.encode()}, receive, send)


def _validate(endpoint: str, body: dict[str, Any]) -> None:
    error = check_body(endpoint, body)
    if error is not None:
        param = (error.param or "").removeprefix("body.")
        raise Problem.invalid(param, error.message, error.code)


async def _body(request: Request) -> dict[str, Any]:
    try:
        return msgspec.json.decode(await request.body(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(400, "We could not parse the JSON body of your request.") from None


def _list(objects: Sequence[FileObject] | Sequence[Batch], page: Page) -> dict[str, Any]:
    start = 0
    if page.after is not None:
        ids = [item.id for item in objects]
        if page.after not in ids:
            raise Problem(404, f"No object found with id '{page.after}'.", param="after")
        start = ids.index(page.after) + 1
    data = objects[start : start + page.limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0].id if data else None,
        "last_id": data[-1].id if data else None,
        "has_more": start + page.limit < len(objects),
    }


def _json(value: object, status_code: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code, media_type="application/json")
