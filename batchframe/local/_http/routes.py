"""The HTTP routes: Files, Batches, and the endpoints themselves.

Comes in: HTTP requests. Goes out: HTTP responses in OpenAI's shapes. Must not know: how the folder
is laid out, how a batch is worked off, or how a fault is carried out. Every exchange passes through
`Api.exchange`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, TypeVar

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
from batchframe.local._batches.validation import check_body
from batchframe.local._batches.worker import Worker
from batchframe.local._faults.carrying_out import go_wrong
from batchframe.local._faults.plan import FaultPlan
from batchframe.local._http.parameters import Page, batch_request, page, upload_request
from batchframe.local._http.upload import Upload
from batchframe.local._objects import ENDPOINTS, ROUTES, Batch, FileObject
from batchframe.local._problems import Problem

_log = logging.getLogger("batchframe.local")

_MOST_BATCHES: Final = 100
_DEFAULT_BATCHES: Final = 20
_MOST_FILES: Final = 10_000
_LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "::1")

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


class _Listed(Protocol):
    @property
    def id(self) -> str: ...


_T = TypeVar("_T", bound=_Listed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The handlers, and what they work on.

    `guarded` refuses what did not come from a program on this machine: a web page that posts to
    loopback, or another host name that was made to point here.
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
        }
        everything = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return Starlette(
            middleware=[Middleware(_Inside, dialect=self.dialect)],
            routes=[
                *(
                    Route(path, self._endpoint(handlers[route]), methods=[method])
                    for route in ROUTES
                    for method, path in [route.split()]
                ),
                Route("/{path:path}", self._endpoint(self.no_route), methods=everything),
            ],
        )

    async def exchange(self, request: Request, handler: Handler) -> Response:
        """Pass one HTTP exchange through, and let it go wrong if a fault strikes it.

        Before the handler nothing has happened; after it everything has, and only the response
        is still to be sent.
        """

        async def answer() -> Response:
            return await self._answered(request, handler)

        fault = self.faults.strike(request.method, request.url.path)
        if fault is None:
            return await answer()
        return await go_wrong(fault, request, answer, lambda: self.faults.closing)

    async def create_file(self, request: Request) -> Response:
        """`POST /v1/files`."""
        with Upload(self.store.upload_path(), self.dialect.limits.file_bytes) as upload:
            await upload.receive(request.headers.get("content-type", ""), request.stream())
            if upload.filename is None:
                raise Problem.missing(name="file")
            asked = upload_request(upload.fields, self.dialect)
            if asked.purpose == self.dialect.service.purpose:
                self._check_batch_file(upload)
            if upload.size > self.dialect.limits.file_bytes:
                raise Problem.file_too_large(self.dialect.limits.file_bytes)
            file = self.store.add_file(
                upload.path,
                filename=upload.filename,
                purpose=asked.purpose,
                sha256=upload.sha256,
                lifetime=asked.lifetime,
            )
        self.faults.made(file.id)
        return _json(file)

    async def list_files(self, request: Request) -> Response:
        """`GET /v1/files`."""
        order, purpose = (
            request.query_params.get("order", "desc"),
            request.query_params.get("purpose"),
        )
        if order not in {"asc", "desc"}:
            raise Problem.wrong_value(name="order", value=order, supported="'asc', 'desc'")
        asked = page(request.query_params, most=_MOST_FILES, default=_MOST_FILES)
        files = [file for file in self.store.files() if purpose in {None, file.purpose}]
        files = [file for file in files if self._shows(request, file.id)]
        return _json(_list(files if order == "asc" else files[::-1], asked))

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
        """`POST /v1/batches`; a file that does not exist is found out later, as at OpenAI."""
        asked = batch_request(await _body(request), self.dialect)
        kept = self.store.file(asked.input_file_id)
        if kept is not None and not self._shows(request, asked.input_file_id):
            raise Problem.unseen_file(asked.input_file_id)
        if kept is not None and kept.file.purpose != self.dialect.service.purpose:
            raise Problem.wrong_purpose(asked.input_file_id, kept.file.purpose)
        batch = self.store.add_batch(
            endpoint=asked.endpoint,
            input_file_id=asked.input_file_id,
            completion_window=asked.completion_window,
            metadata=asked.metadata,
            output_lifetime=asked.output_lifetime,
        )
        self.faults.made(batch.id)
        self.worker.begin(batch)
        return _json(self.dialect.created(batch))

    async def list_batches(self, request: Request) -> Response:
        """`GET /v1/batches`, newest first."""
        asked = page(request.query_params, most=_MOST_BATCHES, default=_DEFAULT_BATCHES)
        batches = [batch for batch in self.store.batches() if self._shows(request, batch.id)]
        if self.dialect.lists == "array":
            return _json([self.dialect.batch(batch) for batch in batches[::-1]])
        listed = _list([] if self.dialect.lists == "nothing" else batches[::-1], asked)
        return _json({**listed, "data": [self.dialect.batch(batch) for batch in listed["data"]]})

    async def retrieve_batch(self, request: Request) -> Response:
        """`GET /v1/batches/{id}`."""
        return _json(self.dialect.batch(self._batch(request)))

    async def cancel_batch(self, request: Request) -> Response:
        """`POST /v1/batches/{id}/cancel`."""
        batch = self._batch(request)
        if batch.status == "cancelled":
            return _json(self.dialect.batch(batch))
        if batch.ended:
            raise Problem.not_cancellable(batch.status)
        return _json(self.dialect.batch(self.worker.cancel(batch)))

    async def list_models(self, request: Request) -> Response:  # noqa: ARG002 - a handler's shape
        """`GET /v1/models`: any model name is answered, this one is an example."""
        model = {
            "id": "simulated",
            "object": "model",
            "created": int(time.time()),
            "owned_by": "batchframe",
        }
        return _json({"object": "list", "data": [model]})

    async def count_input_tokens(self, request: Request) -> Response:
        """`POST /v1/responses/input_tokens`, by the server's own counter."""
        body = await _body(request)
        if not isinstance(body, dict):
            raise Problem.not_json()
        _refuse_wrong("/v1/responses", body)
        counted = self.count_tokens(body)
        return _json({"object": "response.input_tokens", "input_tokens": counted})

    async def answer(self, request: Request) -> Response:
        """`POST` to an endpoint itself, without a batch."""
        body = await _body(request)
        if not isinstance(body, dict):
            raise Problem.not_json()
        if body.get("stream"):
            raise Problem.no_stream()
        endpoint = request.url.path
        _refuse_wrong(endpoint, body)
        answer = await self.answerer.answer(endpoint, body)
        return _json(answer.body, answer.status_code)

    async def no_route(self, request: Request) -> Response:
        """Refuse any other address."""
        raise Problem.no_route(request.method, request.url.path.removeprefix("/-"))

    def _endpoint(self, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            return await self.exchange(request, handler)

        return endpoint

    async def _answered(self, request: Request, handler: Handler) -> Response:
        """Let the handler act, and return its answer or its refusal."""
        try:
            self._admit(request)
            return await handler(request)
        except Problem as problem:
            return _json(problem.body, problem.status_code)
        except ClientDisconnect:
            return Response(status_code=400)
        # Clients are promised an OpenAI-shaped body whatever happens.
        except Exception:  # noqa: BLE001 - see above
            _log.exception("%s %s failed.", request.method, request.url.path)
            broken = Problem.broken()
            return _json(broken.body, broken.status_code)

    def _shows(self, request: Request, object_id: str) -> bool:
        return self.faults.shows(request.method, request.url.path, object_id)

    def _admit(self, request: Request) -> None:
        if not self.guarded:
            return
        host = request.url.hostname
        if host not in _LOOPBACK_NAMES:
            raise Problem.stranger(what=f"the host name {host!r}")
        origin = request.headers.get("origin")
        if origin is not None:
            raise Problem.stranger(what=f"the web page {origin!r}")

    def _check_batch_file(self, upload: Upload) -> None:
        if not (upload.filename or "").lower().endswith(".jsonl"):
            raise Problem.not_jsonl()
        if upload.size > self.dialect.limits.batch_bytes:
            raise Problem.batch_file_too_large(self.dialect.limits.batch_bytes)

    def _file(self, request: Request) -> FileObject:
        file_id: str = request.path_params["id"]
        kept = self.store.file(file_id)
        if kept is None or not self._shows(request, file_id):
            raise Problem.no_file(file_id)
        return kept.file

    def _batch(self, request: Request) -> Batch:
        batch_id: str = request.path_params["id"]
        batch = self.store.batch(batch_id)
        if batch is None or not self._shows(request, batch_id):
            raise Problem.no_batch(batch_id)
        return batch


class _Inside:
    """Reads the addresses of the service that is imitated."""

    def __init__(self, app: ASGIApp, dialect: Dialect) -> None:
        self._app = app
        self._dialect = dialect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = self._dialect.resolve_path(scope["path"], scope["query_string"])
        await self._app({**scope, "path": path, "raw_path": path.encode()}, receive, send)


def _refuse_wrong(endpoint: str, body: dict[str, Any]) -> None:
    error = check_body(endpoint, body)
    if error is not None:
        param = (error.param or "").removeprefix("body.")
        raise Problem(400, error.message, code=error.code, param=param)


async def _body(request: Request) -> Any:
    try:
        return msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem.not_json() from None


def _list(objects: Sequence[_T], asked: Page) -> dict[str, Any]:
    start = 0
    if asked.after is not None:
        ids = [each.id for each in objects]
        if asked.after not in ids:
            raise Problem.no_cursor(asked.after)
        start = ids.index(asked.after) + 1
    data = objects[start : start + asked.limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0].id if data else None,
        "last_id": data[-1].id if data else None,
        "has_more": start + asked.limit < len(objects),
    }


def _json(value: object, status_code: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code, media_type="application/json")
