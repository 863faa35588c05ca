"""Correct input token counts by the API's own count of a small sample."""

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

SAMPLE_SIZE: Final = 20
"""Number of requests to count through the API, one call each."""

Body = Mapping[str, Any]
# Fields of a /v1/responses body that the counting endpoint accepts.
_FIELDS: Final = (
    "model", "input", "instructions", "tools", "tool_choice", "text", "reasoning",
    "parallel_tool_calls", "previous_response_id", "conversation", "truncation",
)  # fmt: skip


def check_input(table: RequestTable, input_tokens: InputTokens, service: Service) -> InputTokens:
    """Correct counted tokens by the API's own count of a few requests.

    Raises
    ------
    RequestError
        If the API does not count requests to this endpoint.
    ServiceError
        If the service cannot count tokens.
    """
    if not table.to_send:
        return input_tokens
    endpoint = endpoint_of(table.recipe.endpoint)
    counted = endpoint_of(EndpointPath.RESPONSES)
    positions = sample_of(table.to_send, SAMPLE_SIZE, SEED)
    ours, theirs = [], []
    for body in map(body_of, part_of(table, positions).requests_to_send()):
        count_body = counting_body(endpoint.path, body)
        if count_body is None:
            raise RequestError(
                f"check: the API cannot count the input tokens of {endpoint.path}. "
                "Fix: estimate() without check=True."
            )
        # The API frames the body that it is given, so that one is counted here as well.
        ours.append(counted.count_tokens(count_body).tokens)
        theirs.append(service.count_input_tokens(count_body))
    return corrected(input_tokens, np.array(ours), np.array(theirs))


def corrected(input_tokens: InputTokens, ours: Numbers, theirs: Numbers) -> InputTokens:
    """Correct input tokens by the API's counts of a sample.

    If the difference is the same for each request, it is added to all; otherwise all counts are
    scaled by the ratio, and the range is widened by the residuals of the sample. If only some
    requests were counted, the range also covers requests unlike the sample: after n identical
    results, up to 3 / n of all may differ (the rule of three, Hanley and Lippman-Hand, JAMA, 1983).

    Parameters
    ----------
    ours, theirs
        The tokens of each request in the sample, as counted by batchframe and by the API.

    Examples
    --------
    >>> tokens = np.array([10, 20])
    >>> input_tokens = InputTokens(tokens, low=tokens, high=tokens, exact=True, notes=())
    >>> result = corrected(input_tokens, np.array([10, 20]), np.array([12, 22]))
    >>> result.tokens.tolist(), result.total.expected, result.notes
    ([12, 22], 34, ("Input tokens are corrected by the API's count of 2 random requests: +2...
    """
    diff = theirs - ours
    sample = f"{len(ours)} random requests"
    if not diff.any():
        note = f"The API counts the same input tokens for {sample}."
        return replace(input_tokens, notes=(*input_tokens.notes, note))
    requests = len(input_tokens.tokens)
    # Unchecked requests may differ in other ways.
    unchecked = 0
    if len(ours) < requests:
        unchecked = math.ceil(min(3 / len(ours), 1) * requests * int(np.abs(diff).max()))
    if (diff == diff[0]).all():
        correction = f"{diff[0]:+,} tokens per request"
        tokens, margin = np.maximum(input_tokens.tokens + diff[0], 0), unchecked
    else:
        ratio = float(theirs.sum() / max(ours.sum(), 1))
        residuals = theirs - ratio * ours
        error = float(np.sqrt((residuals**2).sum() / max(len(ours) - 1, 1) / len(ours))) * requests
        correction = f"{ratio - 1:+.1%}"
        tokens = np.rint(input_tokens.tokens * ratio).astype(np.int64)
        margin = max(math.ceil(_quantile(len(ours) - 1) * error), unchecked)
    # The range still includes the sampling error.
    total, margin = int(tokens.sum()), margin + (input_tokens.chance or 0)
    low, high = scaled(tokens, max(total - margin, 0)), scaled(tokens, total + margin)
    note = f"Input tokens are corrected by the API's count of {sample}: {correction}."
    notes = (*input_tokens.notes, note)
    return InputTokens(tokens, low, high, exact=False, notes=notes, chance=input_tokens.chance)


def _quantile(freedom: int) -> float:
    """Approximate Student's t quantile (Abramowitz and Stegun, 26.7.5)."""
    normal = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    return normal + (normal**3 + normal) / (4 * max(freedom, 1))


def counting_body(endpoint: str, body: Body) -> dict[str, Any] | None:
    """Build the body of a token counting call for a request.

    Returns
    -------
    dict or None
        None if the API does not count requests to this endpoint.

    Examples
    --------
    >>> hello = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Say hello"}]}
    >>> counting_body("/v1/chat/completions", hello)
    {'model': 'gpt-4.1', 'input': [{'role': 'user', 'content': 'Say hello'}]}
    >>> counting_body("/v1/embeddings", {"model": "m", "input": "Say hello"}) is None
    True
    """
    write = _BODIES.get(endpoint)
    return None if write is None else write(body)


def _responses_body(body: Body) -> dict[str, Any]:
    return _drop_none({key: body.get(key) for key in _FIELDS})


def _chat_body(body: Body) -> dict[str, Any]:
    tools = [_flatten_tool(tool) for tool in body.get("tools") or ()]
    tools += [{"type": "function", **function} for function in body.get("functions") or ()]
    effort = body.get("reasoning_effort")
    count_body = {
        "model": body["model"],
        "input": [item for message in body["messages"] for item in _items(message)],
        "text": _text(body) or None,
        "tools": tools or None,
        "tool_choice": _flatten_tool(body.get("tool_choice")),
        "reasoning": None if effort is None else {"effort": effort},
        "parallel_tool_calls": body.get("parallel_tool_calls"),
    }
    return _drop_none(count_body)


def _items(message: Body) -> Iterator[dict[str, Any]]:
    """Convert a chat message to input items; tool calls become separate."""
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        yield {
            "type": "function_call_output",
            "call_id": message.get("tool_call_id"),
            "output": _join_texts(content),
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


def _join_texts(content: Any) -> str:
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
    """Convert ``response_format`` and ``verbosity`` to ``text``."""
    response_format = body.get("response_format")
    form = (
        {"type": response_format.get("type"), **(response_format.get("json_schema") or {})}
        if response_format
        else None
    )
    return _drop_none({"format": form, "verbosity": body.get("verbosity")})


def _drop_none(body: Body) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}


def _flatten_tool(tool: Any) -> Any:
    """Move the fields of ``function`` to the top level of a tool."""
    if not isinstance(tool, Mapping) or not isinstance(tool.get("function"), Mapping):
        return tool
    return {"type": "function", **tool["function"]}


_BODIES: Final[Mapping[str, Callable[[Body], dict[str, Any]]]] = MappingProxyType(
    {EndpointPath.CHAT: _chat_body, EndpointPath.RESPONSES: _responses_body}
)
