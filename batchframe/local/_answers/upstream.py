"""Answers of another server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final
from urllib.parse import quote

import openai

from batchframe.local._answers.bodies import encode_vectors
from batchframe.local._answers.streaming import Answer, Stream, encode_event
from batchframe.local._problems import error_body

_BAD_GATEWAY: Final = 502
_NOT_FOUND: Final = 404
_RETRIES: Final = 5


class Upstream:
    """Answers of another server, for `concurrency` requests at a time.

    The openai client retries status 429, status 5xx and lost connections with exponential backoff
    and respects `Retry-After`. If the last retry fails, the request fails.
    """

    def __init__(self, url: str, *, key: str, concurrency: int) -> None:
        self.concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._client = openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=_RETRIES)
        # The client reads both from the environment; they identify the user to OpenAI only.
        self._client.organization = self._client.project = None

    async def answer(self, endpoint: str, body: dict[str, Any]) -> Answer:
        """Answer one request."""
        async with self._slots:
            answer = await _answered(
                self._client.post(endpoint.removeprefix("/v1"), body=body, cast_to=object)
            )
        if endpoint == "/v1/embeddings" and body.get("encoding_format") == "base64":
            encode_vectors(answer.body)
        return answer

    async def stream(self, endpoint: str, body: dict[str, Any]) -> Answer | Stream:
        """Pass the upstream server's events on."""
        async with AsyncExitStack() as resources:
            await resources.enter_async_context(self._slots)
            try:
                response = await resources.enter_async_context(self._open(endpoint, body))
            except openai.APIError as error:
                return _failure(error)
            kept = resources.pop_all()
        return Stream(_passed_on(response.iter_bytes(), kept), kept)

    async def models(self, model: str | None = None) -> Answer:
        """Return the upstream server's models, or one of them."""
        listed = "/models"
        if model is None:
            return await _answered(self._client.get(listed, cast_to=object))
        found = await _answered(self._client.get(f"{listed}/{quote(model)}", cast_to=object))
        if found.status_code != _NOT_FOUND:
            return found
        # Not every server knows this route.
        data = (await self.models()).body.get("data")
        entries = data if isinstance(data, list) else []
        named = (entry for entry in entries if isinstance(entry, dict) and entry.get("id") == model)
        entry = next(named, None)
        return found if entry is None else Answer(200, entry)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _open(self, endpoint: str, body: dict[str, Any]) -> Any:
        """Return a context manager of the upstream server's streamed response."""
        resource, required = _STREAMS[endpoint]
        create = resource(self._client).with_streaming_response.create
        arguments = {name: body.get(name) for name in required}
        return create(**arguments, stream=True, extra_body=body)


_STREAMS: Final[dict[str, tuple[Callable[[openai.AsyncOpenAI], Any], tuple[str, ...]]]] = {
    "/v1/chat/completions": (lambda client: client.chat.completions, ("model", "messages")),
    "/v1/completions": (lambda client: client.completions, ("model", "prompt")),
    "/v1/responses": (lambda client: client.responses, ()),
}


async def _answered(request: Awaitable[object]) -> Answer:
    """Return the upstream server's answer to a request, or its error."""
    try:
        response = await request
    except openai.APIError as error:
        return _failure(error)
    if isinstance(response, dict):
        return Answer(200, response)
    return Answer(_BAD_GATEWAY, _unreachable("the response is not a JSON object"))


async def _passed_on(
    chunks: AsyncIterator[bytes], resources: AsyncExitStack
) -> AsyncIterator[bytes]:
    async with resources:
        try:
            async for chunk in chunks:
                yield chunk
        # The HTTP library's own exceptions, whose names differ between versions of the client.
        except Exception as error:  # noqa: BLE001 - the status has been sent
            yield encode_event(_unreachable(type(error).__name__))


def _failure(error: openai.APIError) -> Answer:
    if isinstance(error, openai.APIStatusError):
        return Answer(error.status_code, _upstream_error(error))
    return Answer(_BAD_GATEWAY, _unreachable(str(error)))


def _upstream_error(error: openai.APIStatusError) -> dict[str, Any]:
    # The client unwraps an OpenAI-shaped error; other servers use other shapes.
    if isinstance(error.body, dict):
        return error.body if "error" in error.body else {"error": error.body}
    return error_body(error.message, type="upstream_error")


def _unreachable(reason: str) -> dict[str, Any]:
    return error_body(f"The upstream server did not answer: {reason}", type="upstream_error")
