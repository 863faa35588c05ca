"""Correct counted input tokens by the API's own count of a small sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from statistics import NormalDist
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import RequestError
from batchframe._endpoints import endpoint_of
from batchframe._estimate.counting import SEED, InputTokens, Numbers, part_of, scaled
from batchframe._estimate.sampling import CONFIDENCE, sample_of
from batchframe._requests.lines import body_of
from batchframe._requests.table import RequestTable
from batchframe._services.protocol import Service

CHECKED: Final = 20
"""Requests that are counted by the API, one call each."""

Body = Mapping[str, Any]
# What the route reads, of a body of /v1/responses.
_READ: Final = (
    "model", "input", "instructions", "tools", "tool_choice", "text", "reasoning",
    "parallel_tool_calls", "previous_response_id", "conversation", "truncation",
)  # fmt: skip


def check_input(table: RequestTable, input_tokens: InputTokens, service: Service) -> InputTokens:
    """Compare counted tokens with the API's own count of a few requests, and correct them.

    Raises
    ------
    RequestError
        If the API counts no requests of this endpoint.
    ServiceError
        If the service does not count.
    """
    if not table.to_send:
        return input_tokens
    endpoint = endpoint_of(table.recipe.endpoint)
    chosen = sample_of(table.to_send, CHECKED, SEED)
    ours, theirs = [], []
    for body in map(body_of, part_of(table, chosen).requests_to_send()):
        question = counting_body(endpoint.path, body)
        if question is None:
            raise RequestError(
                "The API counts the input tokens of chat completions and responses, not those of "
                f"{endpoint.path}. Leave check=True out: estimate()."
            )
        ours.append(endpoint.count_tokens(body).tokens)
        theirs.append(service.count_input_tokens(question))
    return corrected(input_tokens, np.array(ours), np.array(theirs))


def corrected(input_tokens: InputTokens, ours: Numbers, theirs: Numbers) -> InputTokens:
    """Correct input tokens by what the API counted of a sample.

    Where the API counts the same number more for each, that number is added to each; else all are
    raised or lowered by the ratio, and the range is widened by how far the sample strays from it.
    Where only some were counted, it is widened too by what these cannot tell: of n that are alike,
    up to 3 in n may not be (the rule of three, Hanley and Lippman-Hand, JAMA, 1983).

    Parameters
    ----------
    ours, theirs
        The tokens of each request of the sample, as counted here and by the API.

    Examples
    --------
    >>> tokens = np.array([10, 20])
    >>> read = InputTokens(tokens, low=tokens, high=tokens, exact=True, notes=())
    >>> found = corrected(read, np.array([10, 20]), np.array([12, 22]))
    >>> found.tokens.tolist(), found.total.expected, found.notes
    ([12, 22], 34, ('The API counts 2 tokens more than batchframe for each of 2 requests...
    """
    off = theirs - ours
    who = f"{len(ours)} requests drawn at random (seed {SEED})"
    if not off.any():
        note = f"Checked: the API counts the same input tokens for {who}."
        return replace(input_tokens, notes=(*input_tokens.notes, note))
    requests = len(input_tokens.tokens)
    # What the requests that were not checked may be off otherwise.
    unchecked = 0
    if len(ours) < requests:
        unchecked = math.ceil(min(3 / len(ours), 1) * requests * int(np.abs(off).max()))
    if (off == off[0]).all():
        more = "more" if off[0] > 0 else "fewer"
        note = (
            f"The API counts {abs(off[0])} tokens {more} than batchframe for each of {who}: "
            "corrected by that."
        )
        tokens, half = np.maximum(input_tokens.tokens + off[0], 0), unchecked
    else:
        ratio = float(theirs.sum() / max(ours.sum(), 1))
        residuals = theirs - ratio * ours
        error = float(np.sqrt((residuals**2).sum() / max(len(ours) - 1, 1) / len(ours))) * requests
        note = (
            f"The API counts {ratio - 1:+.1%} input tokens against batchframe for {who}: corrected "
            "by that."
        )
        tokens = np.rint(input_tokens.tokens * ratio).astype(np.int64)
        half = max(math.ceil(_quantile(len(ours) - 1) * error), unchecked)
    # What the chance of a sample adds stays in the range.
    total, half = int(tokens.sum()), half + (input_tokens.chance or 0)
    low, high = scaled(tokens, max(total - half, 0)), scaled(tokens, total + half)
    notes = (*input_tokens.notes, note)
    return InputTokens(tokens, low, high, exact=False, notes=notes, chance=input_tokens.chance)


def _quantile(freedom: int) -> float:
    """Give Student's quantile, by its first correction (Abramowitz and Stegun, 26.7.5)."""
    normal = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    return normal + (normal**3 + normal) / (4 * max(freedom, 1))


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
    return _stated({key: body.get(key) for key in _READ})


def _of_chat(body: Body) -> dict[str, Any]:
    tools = [_flat(tool) for tool in body.get("tools") or ()]
    tools += [{"type": "function", **function} for function in body.get("functions") or ()]
    effort = body.get("reasoning_effort")
    question = {
        "model": body["model"],
        "input": [item for message in body["messages"] for item in _items(message)],
        "text": _text(body) or None,
        "tools": tools or None,
        "tool_choice": _flat(body.get("tool_choice")),
        "reasoning": None if effort is None else {"effort": effort},
        "parallel_tool_calls": body.get("parallel_tool_calls"),
    }
    return _stated(question)


def _items(message: Body) -> Iterator[dict[str, Any]]:
    """Write one chat message as input items: calls and results stand by themselves there."""
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        yield {
            "type": "function_call_output",
            "call_id": message.get("tool_call_id"),
            "output": _joined(content),
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


def _joined(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text") or "") for part in content or ())


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


def _text(body: Body) -> dict[str, Any]:
    """Write ``response_format`` and ``verbosity`` as the ``text`` of a response."""
    wanted = body.get("response_format")
    form = {"type": wanted.get("type"), **(wanted.get("json_schema") or {})} if wanted else None
    return _stated({"format": form, "verbosity": body.get("verbosity")})


def _stated(question: Body) -> dict[str, Any]:
    return {key: value for key, value in question.items() if value is not None}


def _flat(tool: Any) -> Any:
    """Put what stands under ``function`` beside the type."""
    if not isinstance(tool, Mapping) or not isinstance(tool.get("function"), Mapping):
        return tool
    return {"type": "function", **tool["function"]}


_WRITERS: Final[Mapping[str, Callable[[Body], dict[str, Any]]]] = MappingProxyType(
    {EndpointPath.CHAT: _of_chat, EndpointPath.RESPONSES: _of_responses}
)
