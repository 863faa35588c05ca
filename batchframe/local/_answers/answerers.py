"""Sources of answers: the simulated model, a function, or another server."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Protocol, TypeAlias

import msgspec
import numpy as np

from batchframe._base.errors import LocalServerError
from batchframe.local._answers import bodies
from batchframe.local._answers.simulated import moderation_result, simulate
from batchframe.local._answers.streaming import Answer, Stream, encode_events
from batchframe.local._answers.upstream import Upstream
from batchframe.local._problems import Problem, error_body, short_repr

_log = logging.getLogger("batchframe.local")

_UPSTREAM_KEY: Final = "local"
_ANSWER_TYPES: Final = {
    "/v1/embeddings": "a vector (a list of numbers or a NumPy array)",
    "/v1/moderations": "True or False",
    **dict.fromkeys(bodies.IMAGE_ENDPOINTS, "the bytes of an image"),
}

TokenCounter: TypeAlias = Callable[[dict[str, Any]], int]
AnswerFunction: TypeAlias = Callable[[dict[str, Any]], Any]


class AnswerError(Exception):
    """Exception that makes a request fail; an `answer` function raises it.

    Returning it has the same effect.

    Parameters
    ----------
    status_code
        The HTTP status of the failure, 400 to 599.
    message
        The message in the error body.
    code
        The error code, such as ``"context_length_exceeded"``.
    type
        The error type, such as ``"server_error"``; by default derived from `status_code`.

    Examples
    --------
    >>> from batchframe.local import AnswerError
    >>> AnswerError(400, "Too long.", code="context_length_exceeded").body["error"]["code"]
    'context_length_exceeded'
    """

    def __init__(
        self,
        status_code: int,
        message: str,
        code: str | None = None,
        type: str | None = None,  # noqa: A002 - the wire name
    ) -> None:
        if not 400 <= status_code <= 599:  # noqa: PLR2004 - HTTP's own range of failures
            raise LocalServerError(
                f"status_code: not from 400 to 599 ({status_code!r}). Fix: AnswerError(400, ...); "
                "to answer the request, return a string or a dict."
            )
        super().__init__(message)
        self.status_code = status_code
        kind = type or ("invalid_request_error" if status_code < 500 else "server_error")  # noqa: PLR2004 - HTTP's line between the two sides
        self.body = error_body(message, type=kind, code=code)


class Answerer(Protocol):
    """Source of answers, for `concurrency` requests at a time."""

    concurrency: int

    async def answer(self, endpoint: str, body: dict[str, Any]) -> Answer:
        """Answer one request; return an error answer if the request is invalid."""

    async def stream(self, endpoint: str, body: dict[str, Any]) -> Answer | Stream:
        """Answer one request with a stream, or with an error."""

    async def models(self, model: str | None = None) -> Answer:
        """Return the list of models, or one of them."""

    async def close(self) -> None:
        """Release connections and threads."""


class _OwnAnswers:
    """Streams and models of a source that takes any model name."""

    async def answer(self, endpoint: str, body: dict[str, Any]) -> Answer:
        """Answer one request."""
        raise NotImplementedError

    async def stream(self, endpoint: str, body: dict[str, Any]) -> Answer | Stream:
        """Answer as without ``stream``, in events."""
        answer = await self.answer(endpoint, body)
        if answer.status_code != HTTPStatus.OK:
            return answer
        return Stream(_written(endpoint, answer.body, body.get("stream_options")))

    async def models(self, model: str | None = None) -> Answer:
        """Return an example, or the model that was asked for."""
        shown = {"id": model or "simulated", "object": "model", "created": int(time.time())}
        shown["owned_by"] = "batchframe"
        return Answer(200, {"object": "list", "data": [shown]} if model is None else shown)


async def _written(endpoint: str, body: dict[str, Any], options: Any) -> AsyncIterator[bytes]:
    for event in encode_events(endpoint, body, options if isinstance(options, dict) else None):
        yield event


class Simulated(_OwnAnswers):
    """Answers of the simulated model, computed in the event loop."""

    concurrency = 1

    def __init__(self, count_tokens: TokenCounter) -> None:
        self._count_tokens = count_tokens

    async def answer(self, endpoint: str, body: dict[str, Any]) -> Answer:
        """Answer one request."""
        try:
            response = simulate(
                endpoint, body, created=int(time.time()), count_tokens=self._count_tokens
            )
        except Problem as problem:
            return Answer(problem.status_code, problem.body)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as reason:
            # A malformed body fails its own request, not the batch.
            return Answer(400, Problem(400, f"Invalid request body: {reason!r}.").body)
        return Answer(200, response)

    async def close(self) -> None:
        """Do nothing: there are no resources to release."""


class Function(_OwnAnswers):
    """Answers of a user's function.

    A plain function runs in a single worker thread, one call at a time, so it need not be
    thread-safe. An ``async def`` runs in the server's event loop, `concurrency` calls at a time.
    """

    def __init__(
        self, function: AnswerFunction, *, concurrency: int, count_tokens: TokenCounter
    ) -> None:
        self._function = function
        self._async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
        )
        self._count_tokens = count_tokens
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batchframe-answer")
        self._logged_types: set[type[Exception]] = set()
        self.concurrency = concurrency if self._async else 1

    async def answer(self, endpoint: str, body: dict[str, Any]) -> Answer:
        """Answer one request."""
        try:
            value = await self._call(body)
            if isinstance(value, AnswerError):
                return Answer(value.status_code, value.body)
            response = self._body(endpoint, body, value)
            # A value that is not JSON-serializable fails this request only.
            return Answer(200, msgspec.json.decode(msgspec.json.encode(response)))
        except AnswerError as error:
            return Answer(error.status_code, error.body)
        # User code may raise anything; the exception fails this request only.
        except Exception as error:  # noqa: BLE001 - see above
            self._log_once(error)
            message = f"The answer function raised {type(error).__name__}: {error}"
            return Answer(500, error_body(message, type="server_error"))

    async def close(self) -> None:
        """Cancel queued calls without waiting for the running one."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _log_once(self, error: Exception) -> None:
        # A faulty function raises for every row; one traceback per exception type is enough.
        if type(error) not in self._logged_types:
            self._logged_types.add(type(error))
            _log.error(
                "The answer function raised an exception, so the request fails with status 500. "
                "Later exceptions of this type are not logged; bf_error has each of them.",
                exc_info=(type(error), error, _user_traceback(error.__traceback__)),
            )

    async def _call(self, body: dict[str, Any]) -> Any:
        if self._async:
            pending: Awaitable[Any] = self._function(body)
            return await pending
        value = await asyncio.wrap_future(await self._submit(body))
        return await value if inspect.isawaitable(value) else value

    async def _submit(self, body: dict[str, Any]) -> Future[Any]:
        try:
            return self._thread.submit(self._function, body)
        except RuntimeError:
            # The interpreter is shutting down. Waiting forever leaves the request unanswered, so a
            # server restarted on the same folder answers it.
            never: asyncio.Future[Future[Any]] = asyncio.get_running_loop().create_future()
            return await never

    def _body(self, endpoint: str, body: dict[str, Any], value: Any) -> dict[str, Any]:
        if isinstance(value, dict) and ("choices" in value or "object" in value):
            return value
        input_tokens = self._count_tokens(body)
        context = bodies.Context.of(body, int(time.time()), input_tokens, "answer-function")
        if endpoint in bodies.TEXT_ENDPOINTS:
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            return bodies.text_body(endpoint, [text], context)
        if endpoint == "/v1/moderations" and isinstance(value, bool):
            return bodies.moderations_body([moderation_result({}, flagged=value)], context)
        if endpoint in bodies.IMAGE_ENDPOINTS and isinstance(value, bytes):
            return bodies.images_body([value], context)
        value = value.tolist() if isinstance(value, np.ndarray) else value
        if endpoint == "/v1/embeddings" and isinstance(value, list) and value:
            vectors = value if isinstance(value[0], list) else [value]
            return bodies.embeddings_body(vectors, context)
        if isinstance(value, dict):
            return value
        expected = f"{_ANSWER_TYPES[endpoint]}, or " if endpoint in _ANSWER_TYPES else ""
        raise TypeError(
            f"an answer to {endpoint} must be {expected}a response body (a dict), "
            f"got {type(value).__name__}"
        )


def _user_traceback(trace: TracebackType | None) -> TracebackType | None:
    """Drop the leading server frames from a traceback."""
    while trace is not None and _is_internal(trace.tb_frame.f_globals.get("__name__", "")):
        trace = trace.tb_next
    return trace


def _is_internal(module: str) -> bool:
    return f"{module}.".startswith((f"{__name__}.", "asyncio.", "concurrent.futures."))


def choose_answerer(
    answer: AnswerFunction | None,
    upstream: str | None,
    *,
    upstream_key: str | None,
    concurrency: int,
    count_tokens: TokenCounter,
) -> Callable[[], Answerer]:
    """Return a factory for the answerer; the server calls it at each start.

    The factory must run inside the server's event loop.
    """
    if answer is not None and upstream is not None:
        raise LocalServerError(
            "answer, upstream: only one of them is allowed. "
            "Fix: serve(answer=...) or serve(upstream=...)."
        )
    value: object = answer
    if value is not None and not callable(value):
        raise LocalServerError(
            f"answer: not a function ({short_repr(value)}). Fix: serve(answer=lambda body: 'yes')."
        )
    if upstream is not None and not str(upstream).startswith(("http://", "https://")):
        raise LocalServerError(
            f"upstream: not a URL ({short_repr(upstream)}). "
            'Fix: serve(upstream="http://localhost:11434/v1").'
        )
    if answer is not None:
        return lambda: Function(answer, concurrency=concurrency, count_tokens=count_tokens)
    if upstream is None:
        return lambda: Simulated(count_tokens)
    return lambda: Upstream(
        upstream,
        key=upstream_key or os.environ.get("UPSTREAM_API_KEY") or _UPSTREAM_KEY,
        concurrency=concurrency,
    )
