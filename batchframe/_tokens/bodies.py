"""Input tokens of request bodies, including tokens beyond their text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import RequestError
from batchframe._tokens.counter import TokenCount, TokenCounter, token_counter
from batchframe._tokens.messages import (
    SYSTEM_ROLES,
    Parts,
    about,
    item,
    message,
    overhead_is_known,
    priming_tokens,
    schema_tokens,
    sum_of,
)
from batchframe._tokens.tools import tool_tokens

Body = Mapping[str, Any]

_IN_PIECES: Final = 0.01
TOO_LONG: Final = "Strings longer than any context window are counted in pieces (within 1%)."
_SCHEMA: Final = "The output schema's tokens are approximate (within 3 per request)."
_JSON_MODE: Final = "The tokens of response_format are not published (at most 10 per request)."
_UNCONFIRMED: Final = "This model's message format is not confirmed (within 12 tokens per request)."
_UNSEEN: Final = (
    "Content that requests only reference (earlier responses, stored prompts, audio, the web) is "
    "not counted."
)
_FRAMED: Final = "Framing tokens of this endpoint are not published: up to 100 per request."
_IMAGES_IN: Final = "Tokens of input images are not published: only the text is counted."
_PRO: Final = 'Reasoning mode "pro" adds about 1,500 tokens per request (recorded once).'


def count_chat(body: Body) -> TokenCount:
    """Count the input tokens of a ``/v1/chat/completions`` body.

    Examples
    --------
    >>> hello = [{"role": "user", "content": "Say hello"}]
    >>> count_chat({"model": "gpt-5", "messages": hello})
    TokenCount(tokens=8, exact=True)
    """
    model = _model_of(body, EndpointPath.CHAT)
    messages = needed(body, "messages", EndpointPath.CHAT)
    tools = [*(body.get("tools") or ()), *(body.get("functions") or ())]
    extra = _unseen(body, "audio", "web_search_options", "prediction")
    format_ = body.get("response_format") or {}
    return _chat_total(extra, model, messages, tools, format_, responses=False)


def count_responses(body: Body) -> TokenCount:
    """Count the input tokens of a ``/v1/responses`` body.

    ``instructions`` count as one system message, a string ``input`` as one user message.

    Examples
    --------
    >>> count_responses({"model": "gpt-4o-mini", "input": "What's the weather like in SF?"})
    TokenCount(tokens=14, exact=True)
    """
    model = _model_of(body, EndpointPath.RESPONSES)
    input_ = needed(body, "input", EndpointPath.RESPONSES)
    items = [{"role": "user", "content": input_}] if isinstance(input_, str) else list(input_)
    if body.get("instructions") is not None:
        items = [{"role": "system", "content": body["instructions"]}, *items]
    extra = _unseen(body, "previous_response_id", "conversation", "prompt")
    # Recorded: mode "pro" adds about 1,500 tokens.
    if (body.get("reasoning") or {}).get("mode") == "pro":
        extra += about(_PRO, overhead=1_531, fewer=1_531, more=1_531)
    tools, format_ = body.get("tools") or (), (body.get("text") or {}).get("format") or {}
    return _chat_total(extra, model, items, tools, format_, responses=True)


def count_texts(body: Body, field: str, endpoint: str) -> TokenCount:
    """Count strings or lists of token ids, without framing tokens.

    Examples
    --------
    >>> body = {"model": "gpt-3.5-turbo-instruct", "prompt": "Say hello"}
    >>> count_texts(body, "prompt", "/v1/completions")
    TokenCount(tokens=2, exact=True)
    """
    model, input_ = _model_of(body, endpoint), needed(body, field, endpoint)
    inputs = [input_] if isinstance(input_, str) else list(input_)
    texts = tuple(value for value in inputs if isinstance(value, str))
    ids = sum(
        1 if isinstance(value, int) else len(value)
        for value in inputs
        if not isinstance(value, str)
    )
    return _total(Parts(texts, ids), token_counter(model))


def count_prompt(body: Body, prompt: str, endpoint: str) -> TokenCount:
    """Count the text of a prompt whose framing is not published.

    Examples
    --------
    >>> counted = count_prompt({"model": "gpt-image-1.5"}, "A red kite", "/v1/images/generations")
    >>> counted.tokens < counted.more
    True
    """
    unknown = about(_IMAGES_IN, more=None) if body.get("images") else about(_FRAMED, more=100)
    return _total(Parts((prompt,)) + unknown, token_counter(_model_of(body, endpoint)))


def _with_tool_break(messages: Sequence[Body]) -> list[Body]:
    """Add the line break of tools to the first system message.

    The service appends tools to that message (H. Marr, 2023).
    """
    result = list(messages)
    for position, entry in enumerate(result):
        if entry.get("role") in SYSTEM_ROLES and isinstance(entry.get("content"), str):
            result[position] = {**entry, "content": entry["content"] + "\n"}
            break
    return result


def _unseen(body: Body, *keys: str) -> Parts:
    """Note references to content that the service reads but this module cannot render."""
    return about(_UNSEEN, more=None) if any(body.get(key) for key in keys) else Parts()


def _chat_total(
    extra: Parts,
    model: str,
    messages: Sequence[Body],
    tools: Sequence[Any],
    format_: Body,
    *,
    responses: bool,
) -> TokenCount:
    """Count messages or input items, with their tools and output format."""
    counter, split = token_counter(model), item if responses else message
    parts = sum_of(split(one, model) for one in (_with_tool_break(messages) if tools else messages))
    has_system = any(one.get("role") in SYSTEM_ROLES for one in messages)
    parts += _output_format(format_, counter, has_system=has_system or bool(tools))
    parts += tool_tokens(
        tools, counter=counter, model=model, has_system=has_system, responses=responses
    )
    parts += extra + Parts(overhead=priming_tokens(model))
    if not overhead_is_known(model):
        parts += about(_UNCONFIRMED, fewer=12, more=12)
    return _total(parts, counter)


def _output_format(format_: Body, counter: TokenCounter, *, has_system: bool) -> Parts:
    kind = format_.get("type", "text")
    if kind == "text":
        return Parts()
    if kind != "json_schema":
        return about(_JSON_MODE, more=10)
    # Chat completions nest the schema and its name.
    spec = format_.get("json_schema") or format_
    overhead = schema_tokens(counter, spec, has_system=has_system)
    return about(_SCHEMA, fewer=min(3, overhead), more=3, overhead=overhead)


def _total(parts: Parts, counter: TokenCounter) -> TokenCount:
    tally = counter.tally(parts.texts)
    texts = int(tally.tokens.sum())
    tokens, notes = texts + parts.overhead, parts.notes
    error = math.ceil(texts * counter.relative_error)
    if parts.texts and counter.note:
        notes = (counter.note, *notes)
    elif not tally.exact.all():
        notes = (*notes, TOO_LONG)
        error = math.ceil(texts * _IN_PIECES)
    more = None if parts.more is None else parts.more + error
    fewer = min(tokens, parts.fewer + error)
    return TokenCount(tokens, exact=not notes, fewer=fewer, more=more, notes=notes)


def _model_of(body: Body, endpoint: str) -> str:
    return str(needed(body, "model", endpoint))


def needed(body: Body, field: str, endpoint: str) -> Any:
    """Return a field of a request body, or raise if it is missing."""
    if body.get(field) is None:
        raise RequestError(
            f'body: {field!r} is missing ({endpoint}). Fix: {{**body, "{field}": ...}}.'
        )
    return body[field]
