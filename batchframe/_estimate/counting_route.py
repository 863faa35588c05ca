"""A request body → the body that asks the API how many input tokens it has.

In: the body of a chat completion or of a response. Out: the body of
``POST /v1/responses/input_tokens``, which counts for both (OpenAI guide "Counting tokens", 2026).
Pure: this module sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

Body = Mapping[str, Any]

# What the route reads, of a body of /v1/responses.
_READ: Final = (
    "model", "input", "instructions", "tools", "tool_choice", "text", "reasoning",
    "parallel_tool_calls", "previous_response_id", "conversation", "truncation",
)  # fmt: skip


def counting_body(endpoint: str, body: Body) -> dict[str, Any] | None:
    """Write the body that asks for the input tokens of a request.

    Returns
    -------
    dict or None
        None where the API counts no requests of this endpoint.

    Examples
    --------
    >>> hello = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Say hello"}]}
    >>> counting_body("/v1/chat/completions", hello)
    {'model': 'gpt-4.1', 'input': [{'role': 'user', 'content': 'Say hello'}]}
    >>> counting_body("/v1/embeddings", {"model": "m", "input": "Say hello"}) is None
    True
    """
    write = _WRITERS.get(endpoint)
    return None if write is None else write(body)


def _of_responses(body: Body) -> dict[str, Any]:
    return {key: body[key] for key in _READ if body.get(key) is not None}


def _of_chat(body: Body) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "model": body["model"],
        "input": [item for message in body["messages"] for item in _items(message)],
    }
    text = _text(body)
    if text:
        asked["text"] = text
    tools = [_flat(tool) for tool in body.get("tools") or ()]
    tools += [{"type": "function", **function} for function in body.get("functions") or ()]
    if tools:
        asked["tools"] = tools
    if body.get("tool_choice") is not None:
        asked["tool_choice"] = _flat(body["tool_choice"])
    if body.get("reasoning_effort") is not None:
        asked["reasoning"] = {"effort": body["reasoning_effort"]}
    if body.get("parallel_tool_calls") is not None:
        asked["parallel_tool_calls"] = body["parallel_tool_calls"]
    return asked


def _items(message: Body) -> Iterator[dict[str, Any]]:
    """Write one chat message as input items: calls and results stand by themselves there."""
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        yield {
            "type": "function_call_output",
            "call_id": message.get("tool_call_id"),
            "output": content if isinstance(content, str) else _joined(content or ()),
        }
        return
    calls = message.get("tool_calls") or ()
    if content or not calls:
        yield {"role": role, "content": _content(content, role)}
    for call in calls:
        function = call.get("function") or {}
        yield {
            "type": "function_call",
            "call_id": call.get("id"),
            "name": function.get("name"),
            "arguments": function.get("arguments"),
        }


def _content(content: Any, role: Any) -> Any:
    if content is None or isinstance(content, str):
        return content or ""
    return [_part(part, role) for part in content]


def _part(part: Body, role: Any) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        kind = "output_text" if role == "assistant" else "input_text"
        return {"type": kind, "text": part.get("text")}
    if kind == "image_url":
        image = part.get("image_url") or {}
        detail = image.get("detail") or "auto"
        return {"type": "input_image", "image_url": image.get("url"), "detail": detail}
    if kind == "file":
        return {"type": "input_file", **(part.get("file") or {})}
    return dict(part)


def _joined(parts: Sequence[Body]) -> str:
    return "".join(str(part.get("text") or "") for part in parts)


def _text(body: Body) -> dict[str, Any]:
    """Write ``response_format`` and ``verbosity`` as the ``text`` of a response."""
    text: dict[str, Any] = {}
    wanted = body.get("response_format")
    if wanted:
        text["format"] = {"type": wanted.get("type"), **(wanted.get("json_schema") or {})}
    if body.get("verbosity") is not None:
        text["verbosity"] = body["verbosity"]
    return text


def _flat(tool: Any) -> Any:
    """Put what stands under ``function`` beside the type."""
    if not isinstance(tool, Mapping) or not isinstance(tool.get("function"), Mapping):
        return tool
    return {"type": "function", **tool["function"]}


_WRITERS: Final[Mapping[str, Callable[[Body], dict[str, Any]]]] = MappingProxyType(
    {"/v1/chat/completions": _of_chat, "/v1/responses": _of_responses}
)
