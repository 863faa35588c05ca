"""Input tokens of request bodies, including tokens beyond their text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import RequestError
from batchframe._tokens.attachments import Attachments, attached
from batchframe._tokens.counter import TokenCount, TokenCounter, token_counter
from batchframe._tokens.framing import framing
from batchframe._tokens.messages import (
    SYSTEM_ROLES,
    answers_in,
    conversation,
    overhead_is_known,
    text_of,
)
from batchframe._tokens.parts import Parts, about

Body = Mapping[str, Any]

_IN_PIECES: Final = 0.01
TOO_LONG: Final = "Strings longer than any context window are counted in pieces (within 1%)."
_UNCONFIRMED: Final = (
    "This model's message format is not confirmed (within {tokens} tokens per request)."
)
_UNSEEN: Final = (
    "Content that requests only reference (earlier responses, stored prompts, audio, the web) is "
    "not counted."
)
_FRAMED: Final = "Framing tokens of this endpoint are not published: up to {tokens} per request."
_IMAGES_IN: Final = "Tokens of input images are not published: only the text is counted."
_EMPTY: Final = "Empty instructions are approximate (within {tokens} tokens)."
_PRO: Final = 'Reasoning mode "pro" adds about {tokens:,} tokens per request (recorded once).'


def count_chat(body: Body) -> TokenCount:
    """Count the input tokens of a ``/v1/chat/completions`` body.

    Examples
    --------
    >>> hello = [{"role": "user", "content": "Say hello"}]
    >>> count_chat({"model": "gpt-5", "messages": hello})
    TokenCount(tokens=8, exact=True)
    """
    messages = needed(body, "messages", EndpointPath.CHAT)
    extra = _unseen(body, "audio", "web_search_options", "prediction")
    return _chat_total(
        body,
        EndpointPath.CHAT,
        extra,
        messages,
        tools=[*(body.get("tools") or ()), *(body.get("functions") or ())],
        choice=body.get("tool_choice") or body.get("function_call"),
        format_=body.get("response_format") or {},
    )


def count_responses(body: Body) -> TokenCount:
    """Count the input tokens of a ``/v1/responses`` body.

    ``instructions`` count as one system message, a string ``input`` as one user message. A stored
    ``prompt`` may take the place of the input.

    Examples
    --------
    >>> count_responses({"model": "gpt-4o-mini", "input": "What's the weather like in SF?"})
    TokenCount(tokens=14, exact=True)
    """
    stored = body.get("prompt") and body.get("input") is None
    input_ = [] if stored else needed(body, "input", EndpointPath.RESPONSES)
    items = [{"role": "user", "content": input_}] if isinstance(input_, str) else list(input_)
    if body.get("instructions"):
        items = [{"role": "system", "content": body["instructions"]}, *items]
    extra = _unseen(body, "previous_response_id", "conversation", "prompt")
    if body.get("instructions") == "":
        tokens = framing().margins.empty
        extra += about(_EMPTY.format(tokens=tokens), fewer=tokens, more=tokens)
    if (body.get("reasoning") or {}).get("mode") == "pro":
        pro = framing().margins.pro
        extra += about(_PRO.format(tokens=pro), overhead=pro, fewer=pro, more=pro)
    return _chat_total(
        body,
        EndpointPath.RESPONSES,
        extra,
        items,
        tools=body.get("tools") or (),
        choice=body.get("tool_choice"),
        format_=(body.get("text") or {}).get("format") or {},
    )


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
    empty = framing().embeddings.empty if endpoint == EndpointPath.EMBEDDINGS else 0
    ids = texts.count("") * empty + sum(
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
    tokens = framing().margins.unpublished_endpoint
    unknown = about(_FRAMED.format(tokens=tokens), more=tokens)
    if body.get("images"):
        unknown = about(_IMAGES_IN, more=None)
    return _total(Parts((prompt,)) + unknown, token_counter(_model_of(body, endpoint)))


def _unseen(body: Body, *keys: str) -> Parts:
    """Note content that the service reads but that cannot be counted here."""
    return about(_UNSEEN, more=None) if any(body.get(key) for key in keys) else Parts()


def _chat_total(
    body: Body,
    endpoint: EndpointPath,
    extra: Parts,
    messages: Sequence[Body],
    *,
    tools: Sequence[Any],
    choice: Any,
    format_: Body,
) -> TokenCount:
    """Count messages or input items, with their tools and output format."""
    model = _model_of(body, endpoint)
    counter = token_counter(model)
    systems = (
        text_of(message.get("content"))
        for message in messages
        if message.get("role") in SYSTEM_ROLES
    )
    parts = conversation(messages, model, endpoint) + extra
    system, answers = next(systems, None), answers_in(messages)
    given = Attachments(model, endpoint, tools, choice, format_, system is None, answers)
    parts += attached(given, counter, system)
    if not overhead_is_known(model):
        tokens = framing().margins.unconfirmed_model
        parts += about(_UNCONFIRMED.format(tokens=tokens), fewer=tokens, more=tokens)
    return _total(parts, counter)


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
