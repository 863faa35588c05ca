"""Answers, and answers as server-sent events in OpenAI's format.

A simulated model writes its whole answer at once; the events are what a client would have received
while it was written.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec

Events: TypeAlias = Iterator[dict[str, Any]]

_DONE: Final = b"data: [DONE]\n\n"
_PIECES: Final = re.compile(r"\s*\S+\s*|\s+")


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to a request: an HTTP status code and a body."""

    status_code: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stream:
    """Answer as encoded server-sent events; `close` it if you stop reading."""

    events: AsyncIterator[bytes]
    _resources: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def close(self) -> None:
        """Release the connection to the upstream server."""
        await self._resources.aclose()


def encode_events(
    endpoint: str, answer: Mapping[str, Any], options: Mapping[str, Any] | None = None
) -> Iterator[bytes]:
    r"""Yield the events of an answer, encoded.

    Parameters
    ----------
    answer
        Response body of a request to `endpoint`.
    options
        The request's ``stream_options``; with ``include_usage``, the last chunk of a completion has
        the usage.

    Examples
    --------
    >>> answer = {"object": "text_completion", "choices": [{"index": 0, "text": "Hi"}]}
    >>> next(encode_events("/v1/completions", answer))[:33]
    b'data: {"object":"text_completion"'
    """
    if endpoint == "/v1/responses":
        for event in _response_events(answer):
            yield b"event: %s\n%s" % (event["type"].encode(), encode_event(event))
        return
    for event in _chunks(answer, _WRITERS[endpoint], options or {}):
        yield encode_event(event)
    yield _DONE


def encode_event(event: object) -> bytes:
    r"""Return one event.

    Examples
    --------
    >>> encode_event({"a": 1})
    b'data: {"a":1}\n\n'
    """
    return b"data: %s\n\n" % msgspec.json.encode(event)


def _pieces(text: str | None) -> list[str]:
    """Split a string into words with their spaces."""
    return _PIECES.findall(text or "")


def _chunks(
    answer: Mapping[str, Any],
    write: Callable[[Mapping[str, Any]], Events],
    options: Mapping[str, Any],
) -> Events:
    """Yield the chunks of a chat completion or a completion."""
    with_usage = bool(options.get("include_usage"))
    head = {name: value for name, value in answer.items() if name not in {"choices", "usage"}}
    if head.get("object") == "chat.completion":
        head["object"] = "chat.completion.chunk"
    tail = {"usage": None} if with_usage else {}
    for choice in answer["choices"]:
        fixed = {"index": choice.get("index", 0), "logprobs": None, "finish_reason": None}
        for part in write(choice):
            yield {**head, "choices": [{**fixed, **part}], **tail}
    if with_usage:
        yield {**head, "choices": [], "usage": answer.get("usage")}


def _chat_parts(choice: Mapping[str, Any]) -> Events:
    message = choice["message"]
    # Fields of another server's message, such as its reasoning, come whole.
    first = {
        name: value for name, value in message.items() if name not in {"content", "tool_calls"}
    }
    calls = message.get("tool_calls") or ()
    yield {"delta": first | {"content": None if calls else ""}}
    for piece in _pieces(message.get("content")):
        yield {"delta": {"content": piece}}
    for index, call in enumerate(calls):
        function = call["function"]
        begun = {**call, "index": index, "function": {**function, "arguments": ""}}
        yield {"delta": {"tool_calls": [begun]}}
        for piece in _pieces(function["arguments"]):
            yield {"delta": {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}}
    yield {"delta": {}, "finish_reason": choice.get("finish_reason", "stop")}


def _completion_parts(choice: Mapping[str, Any]) -> Events:
    for piece in _pieces(choice["text"]):
        yield {"text": piece}
    yield {"text": "", "finish_reason": choice.get("finish_reason", "stop")}


_WRITERS: Final = {"/v1/chat/completions": _chat_parts, "/v1/completions": _completion_parts}


def _response_events(answer: Mapping[str, Any]) -> Events:
    """Yield the events of a response, numbered."""
    for number, event in enumerate(_unnumbered(answer)):
        yield {**event, "sequence_number": number}


def _unnumbered(answer: Mapping[str, Any]) -> Events:
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    begun["incomplete_details"] = None
    for name in ("created", "in_progress"):
        yield {"type": f"response.{name}", "response": begun}
    for index, item in enumerate(answer["output"]):
        place = {"output_index": index}
        yield {"type": "response.output_item.added", **place, "item": _emptied(item)}
        yield from _item_events(item, {**place, "item_id": item.get("id")})
        yield {"type": "response.output_item.done", **place, "item": item}
    yield {"type": f"response.{answer.get('status', 'completed')}", "response": answer}


def _emptied(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item of the output as it is when it begins."""
    empty: dict[str, Any] = {"content": [], "arguments": "", "status": "in_progress"}
    return {**item, **{name: value for name, value in empty.items() if name in item}}


def _item_events(item: Mapping[str, Any], place: Mapping[str, Any]) -> Events:
    if item.get("type") == "function_call":
        yield from _text_events("response.function_call_arguments", "arguments", item, place)
    parts = item.get("content") if item.get("type") == "message" else ()
    for index, part in enumerate(parts or ()):
        kind = "refusal" if part.get("type") == "refusal" else "text"
        at = {**place, "content_index": index}
        yield {"type": "response.content_part.added", **at, "part": {**part, kind: ""}}
        yield from _text_events(_PARTS[kind], kind, part, at)
        yield {"type": "response.content_part.done", **at, "part": part}


_PARTS: Final = {"text": "response.output_text", "refusal": "response.refusal"}


def _text_events(
    prefix: str, name: str, source: Mapping[str, Any], place: Mapping[str, Any]
) -> Events:
    """Yield the deltas of a string, and the whole of it."""
    extra: dict[str, Any] = {"logprobs": []} if name == "text" else {}
    for piece in _pieces(source[name]):
        yield {"type": f"{prefix}.delta", **place, **extra, "delta": piece}
    if name == "arguments":
        extra = {"name": source.get("name")}
    yield {"type": f"{prefix}.done", **place, **extra, name: source[name]}
