"""HTTP routes of the Files API, the Batch API and the endpoints."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from batchframe.local._answers.bodies import TEXT_ENDPOINTS
from batchframe.local._answers.streaming import Answer, Stream
from batchframe.local._batches.dialects import Dialect
from batchframe.local._batches.validation import check_body, file_not_found
from batchframe.local._batches.worker import Worker
from batchframe.local._faults.injection import inject
from batchframe.local._faults.plan import FaultPlan
from batchframe.local._http.access import check_access
from batchframe.local._http.parameters import batch_request, parse_limit, upload_request
from batchframe.local._http.upload import Upload
from batchframe.local._objects import ROUTES, Batch, FileObject
from batchframe.local._problems import Problem, error_body

_log = logging.getLogger("batchframe.local")

_MAX_BATCHES: Final = 100
_DEFAULT_BATCHES: Final = 20
_MAX_FILES: Final = 10_000
_INTERNAL_ERROR: Final = (
    "The local server had an error while processing your request; its log has the reason."
)
# What the openai packages call bytes that have no name, in Python and in JavaScript.
_NAMELESS: Final = ("upload", "unknown_file")

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Request handlers and their state.

    With `guarded`, the server rejects requests from web pages and requests for a host name other
    than loopback (DNS rebinding). With a `key`, it rejects requests that do not have it.
    """

    worker: Worker
    faults: FaultPlan
    guarded: bool
    key: str | None = field(repr=False)
    announced: dict[str, tuple[str, str, int | None]] = field(default_factory=dict)
    """Name, purpose and lifetime of the files whose bytes go to another address."""

    def application(self) -> Starlette:
        """Return the ASGI application."""
        routes = {**ROUTES, "GET|POST|PUT|PATCH|DELETE /{path:path}": "no_route"}
        return Starlette(
            middleware=[Middleware(_ResolvePath, dialect=self.worker.dialect)],
            routes=[
                Route(
                    # The names of models may have slashes.
                    path.replace("models/{id}", "models/{id:path}"),
                    partial(self.exchange, handler=getattr(self, name)),
                    methods=methods.split("|"),
                )
                for route, name in routes.items()
                for methods, path in [route.split()]
            ],
        )

    async def exchange(self, request: Request, handler: Handler) -> Response:
        """Handle a request, and inject a fault if one applies."""
        answer = partial(self._handle, request, handler)
        fault = self.faults.next_fault(request.method, request.url.path)
        if fault is None:
            return await answer()
        return await inject(fault, request, answer, lambda: self.faults.closing)

    async def create_file(self, request: Request) -> Response:
        """`POST /v1/files`."""
        maximum = self.worker.dialect.limits.file_bytes
        with closing(Upload(self.worker.store.upload_path(), maximum)) as upload:
            await upload.receive(request.headers.get("content-type", ""), request.stream())
            dialect = self.worker.dialect
            if dialect.service.uploads_by_redirect:
                return self._redirect_upload(request, upload.fields)
            if upload.filename is None:
                raise Problem.missing("file")
            file = self._store(upload, *upload_request(upload.fields, dialect))
        return _json(file)

    def _redirect_upload(self, request: Request, fields: dict[str, str]) -> Response:
        """Name another address for the bytes, whether the form has them or not."""
        purpose, lifetime = upload_request(fields, self.worker.dialect)
        if "file_name" not in fields:
            raise Problem.missing("file_name")
        file_id = f"file-{secrets.token_hex(12)}"
        self.announced[file_id] = (fields["file_name"], purpose, lifetime)
        url = f"{request.url.scheme}://{request.url.netloc}"
        path = f"{self.worker.dialect.prefix}/uploads/{file_id}"
        return Response(
            status_code=302, headers={"Location": url + path, "X-Together-File-Id": file_id}
        )

    async def receive_upload(self, request: Request) -> Response:
        """`PUT /v1/uploads/{id}`, the address of an announced file."""
        file_id: str = request.path_params["id"]
        if file_id not in self.announced:
            raise Problem(404, f"No such upload: {file_id}", param="id")
        filename, purpose, lifetime = self.announced[file_id]
        path, maximum = self.worker.store.upload_path(), self.worker.dialect.limits.file_bytes
        with closing(Upload(path, maximum)) as upload:
            await upload.receive_bytes(filename, request.stream())
            self._store(upload, purpose, lifetime, file_id)
        return Response(status_code=200)

    async def preprocess_file(self, request: Request) -> Response:
        """`POST /v1/files/{id}/preprocess`, after the bytes were uploaded."""
        if request.path_params["id"] not in self.announced:
            return await self.no_route(request)
        return _json(self._file(request))

    def _store(
        self, upload: Upload, purpose: str, lifetime: int | None, file_id: str | None = None
    ) -> FileObject:
        maximum = self.worker.dialect.limits.file_bytes
        if purpose == self.worker.dialect.service.purpose:
            self._check_batch_file(upload)
        if upload.size > maximum:
            raise Problem(413, f"File is too large. The maximum is {maximum} bytes.", param="file")
        file = self.worker.store.add_file(
            upload.path,
            filename=upload.filename or "",
            purpose=purpose,
            sha256=upload.sha256,
            lifetime=lifetime,
            file_id=file_id,
        )
        self.faults.record_creation(file.id)
        return file

    async def list_files(self, request: Request) -> Response:
        """`GET /v1/files`."""
        order = request.query_params.get("order", "desc")
        purpose = request.query_params.get("purpose")
        if order not in {"asc", "desc"}:
            raise Problem.wrong_value("order", order, "'asc', 'desc'")
        files = [file for file in self.worker.store.files() if purpose in {None, file.purpose}]
        files = [file for file in files if self._is_visible(request, file.id)]
        if order == "desc":
            files.reverse()
        return _json(_list(files, request, _MAX_FILES, _MAX_FILES))

    async def retrieve_file(self, request: Request) -> Response:
        """`GET /v1/files/{id}`."""
        return _json(self._file(request))

    async def delete_file(self, request: Request) -> Response:
        """`DELETE /v1/files/{id}`."""
        file = self._file(request)
        self.worker.store.delete_file(file.id)
        return _json({"id": file.id, "object": "file", "deleted": True})

    async def file_content(self, request: Request) -> Response:
        """`GET /v1/files/{id}/content`."""
        path = self.worker.store.content(self._file(request).id)
        return FileResponse(path, media_type="application/octet-stream", stat_result=path.stat())

    async def create_batch(self, request: Request) -> Response:
        """`POST /v1/batches`; validation reports a missing file later."""
        dialect, store = self.worker.dialect, self.worker.store
        params = batch_request(await _body(request), dialect)
        file_id = params["input_file_id"]
        stored = store.file(file_id)
        if stored is not None and not self._is_visible(request, file_id):
            raise Problem.invalid(
                "input_file_id", file_not_found(file_id).message, "invalid_request"
            )
        if stored is not None and stored.file.purpose != dialect.service.purpose:
            raise Problem.invalid(
                "input_file_id",
                f"Invalid 'input_file_id': the purpose of {file_id} is "
                f"'{stored.file.purpose}', and a batch needs a file with purpose 'batch'.",
                "invalid_value",
            )
        batch = store.add_batch(**params)
        self.faults.record_creation(batch.id)
        self.worker.begin(batch)
        return _json(dialect.created(batch))

    async def list_batches(self, request: Request) -> Response:
        """`GET /v1/batches`, newest first."""
        dialect, batches = self.worker.dialect, self.worker.store.batches()[::-1]
        batches = [batch for batch in batches if self._is_visible(request, batch.id)]
        if dialect.lists == "array":
            return _json([dialect.batch(batch) for batch in batches])
        page = [] if dialect.lists == "nothing" else batches
        body = _list(page, request, _MAX_BATCHES, _DEFAULT_BATCHES)
        return _json({**body, "data": [dialect.batch(batch) for batch in body["data"]]})

    async def retrieve_batch(self, request: Request) -> Response:
        """`GET /v1/batches/{id}`."""
        return _json(self.worker.dialect.batch(self._batch(request)))

    async def cancel_batch(self, request: Request) -> Response:
        """`POST /v1/batches/{id}/cancel`."""
        batch = self._batch(request)
        if batch.status == "cancelled":
            return _json(self.worker.dialect.batch(batch))
        if batch.ended:
            raise Problem(409, f"Cannot cancel a batch with status '{batch.status}'.")
        return _json(self.worker.dialect.batch(self.worker.cancel(batch)))

    async def list_models(self, request: Request) -> Response:  # noqa: ARG002 - a handler's shape
        """`GET /v1/models`, those of `upstream` or an example."""
        return _answer(await self.worker.answerer.models())

    async def retrieve_model(self, request: Request) -> Response:
        """`GET /v1/models/{id}`."""
        return _answer(await self.worker.answerer.models(request.path_params["id"]))

    async def count_input_tokens(self, request: Request) -> Response:
        """`POST /v1/responses/input_tokens`, with the server's own counter."""
        body = await _body(request)
        _validate("/v1/responses", body)
        tokens = self.worker.count_tokens(body)
        return _json({"object": "response.input_tokens", "input_tokens": tokens})

    async def answer(self, request: Request) -> Response:
        """`POST` to an endpoint directly, without a batch."""
        body = await _body(request)
        endpoint = request.url.path
        _validate(endpoint, body)
        answerer = self.worker.answerer
        if not body.get("stream"):
            return _answer(await answerer.answer(endpoint, body))
        if endpoint not in TEXT_ENDPOINTS:
            message = f"The local server does not stream {endpoint}."
            raise Problem.invalid("stream", message, "streaming_unsupported")
        answer = await answerer.stream(endpoint, body)
        return _EventStream(answer) if isinstance(answer, Stream) else _answer(answer)

    async def no_route(self, request: Request) -> Response:
        """Reject any other path."""
        path = request.url.path.removeprefix("/-")
        raise Problem(404, f"Invalid URL ({request.method} {path})")

    async def _handle(self, request: Request, handler: Handler) -> Response:
        """Call the handler and return its response or its error."""
        try:
            check_access(request, self.key, guarded=self.guarded)
            return await handler(request)
        except Problem as problem:
            return _json(problem.body, problem.status_code)
        except ClientDisconnect:
            return Response(status_code=400)
        # Every error response must have an OpenAI-shaped body.
        except Exception:  # noqa: BLE001 - see above
            _log.exception("%s %s failed.", request.method, request.url.path)
            return _json(error_body(_INTERNAL_ERROR, type="server_error"), 500)

    def _is_visible(self, request: Request, object_id: str) -> bool:
        return self.faults.is_visible(request.method, request.url.path, object_id)

    def _check_batch_file(self, upload: Upload) -> None:
        name = (upload.filename or "").lower()
        if not name.endswith(".jsonl") and name not in _NAMELESS:
            raise Problem.invalid("file", "Invalid file format for Batch API. Must be .jsonl")
        if not upload.is_utf8:
            raise Problem.invalid("file", "Invalid file for Batch API. Must be utf-8 encoded")
        maximum = self.worker.dialect.limits.batch_bytes
        if upload.size > maximum:
            raise Problem(
                413, f"The batch input file is larger than the {maximum} maximum.", param="file"
            )

    def _file(self, request: Request) -> FileObject:
        file_id: str = request.path_params["id"]
        stored = self.worker.store.file(file_id)
        if stored is None or not self._is_visible(request, file_id):
            raise Problem(404, f"No such File object: {file_id}", param="id")
        return stored.file

    def _batch(self, request: Request) -> Batch:
        batch_id: str = request.path_params["id"]
        batch = self.worker.store.batch(batch_id)
        if batch is None or not self._is_visible(request, batch_id):
            raise Problem(404, f"No batch found with id '{batch_id}'.")
        return batch


class _EventStream(StreamingResponse):
    """Response of server-sent events."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream.events, media_type="text/event-stream")
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # The client may have disconnected before the first event.
            await self._stream.close()


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


def _list(
    objects: Sequence[FileObject | Batch], request: Request, maximum: int, default: int
) -> dict[str, Any]:
    """Return the page of `objects` selected by `after` and `limit`."""
    after = request.query_params.get("after")
    limit = parse_limit(request.query_params, maximum, default)
    start = 0
    if after is not None:
        ids = [item.id for item in objects]
        if after not in ids:
            raise Problem(404, f"No object found with id '{after}'.", param="after")
        start = ids.index(after) + 1
    data = objects[start : start + limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0].id if data else None,
        "last_id": data[-1].id if data else None,
        "has_more": start + limit < len(objects),
    }


def _answer(answer: Answer) -> Response:
    return _json(answer.body, answer.status_code)


def _json(value: object, status_code: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code, media_type="application/json")
