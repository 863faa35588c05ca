"""Counting the input tokens of one whole request body.

In: a request body, as it would be sent. Out: a `TokenCount`, exact only where the service is known
to count the same. Texts are counted by `_tokens`; what stands around them is in `_chat_overhead`.
This module knows no frames and no files.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from batchframe._chat_overhead import (
    MESSAGE_TOKENS,
    NAME_TOKENS,
    overhead_is_known,
    priming_tokens,
    schema_tokens,
)
from batchframe._tokens import TokenCount, token_counter
from batchframe.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from batchframe._tokens import TokenCounter

Body = Mapping[str, Any]

_SYSTEM_ROLES: Final = frozenset({"system", "developer"})
_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})
# Texts, or what stands for them, that the service reads but this module cannot see or render.
_UNCOUNTED_CHAT: Final = ("audio", "web_search_options", "prediction")
_UNCOUNTED_RESPONSES: Final = ("previous_response_id", "conversation", "prompt")


def count_tokens(body: Body, *, endpoint: str = "/v1/chat/completions") -> TokenCount:
    """Count the input tokens of one request body.

    Texts, roles and names are counted as the service does. Images, files and audio add nothing to
    the number, and tools and JSON schemas add an approximation: with any of them, with earlier
    answers of the model or an empty message, ``exact`` is False. It is also False where the
    tokenizer or the rules of the model are not published, and where no tokenizer is installed.

    Parameters
    ----------
    body
        The request's body, with its ``model``.
    endpoint
        ``"/v1/chat/completions"``, ``"/v1/responses"``, ``"/v1/embeddings"`` or
        ``"/v1/completions"``.

    Raises
    ------
    RequestError
        If the endpoint is another, or the body has no model or nothing to count.

    Examples
    --------
    >>> body = {
    ...     "model": "gpt-4o",
    ...     "messages": [{"role": "user", "content": "What's the weather like in SF?"}],
    ... }
    >>> count_tokens(body)
    TokenCount(tokens=14, exact=True)
    """
    count = COUNTERS.get(endpoint)
    if count is None:
        near = difflib.get_close_matches(endpoint, COUNTERS, n=1)
        raise RequestError.unknown_endpoint(endpoint, near, list(COUNTERS))
    return count(body)


def count_chat(body: Body) -> TokenCount:
    """Count the input tokens of a ``/v1/chat/completions`` body.

    Examples
    --------
    >>> hello = [{"role": "user", "content": "Say hello"}]
    >>> count_chat({"model": "gpt-5", "messages": hello})
    TokenCount(tokens=8, exact=True)
    """
    model = _model_of(body, "/v1/chat/completions")
    messages = _needed(body, "messages", "/v1/chat/completions")
    counter = token_counter(model)
    parts = _sum(map(_message, messages))
    has_system = any(message.get("role") in _SYSTEM_ROLES for message in messages)
    wanted = body.get("response_format") or {}
    parts += _output_format(wanted.get("json_schema") or wanted, wanted, counter, has_system)
    parts += _tools([*(body.get("tools") or ()), *(body.get("functions") or ())])
    parts += _Parts(exact=not any(body.get(key) for key in _UNCOUNTED_CHAT))
    return _chat_total(parts, model, counter)


def count_responses(body: Body) -> TokenCount:
    """Count the input tokens of a ``/v1/responses`` body.

    ``instructions`` count as one system message, a string ``input`` as one user message.

    Examples
    --------
    >>> count_responses({"model": "gpt-4o-mini", "input": "What's the weather like in SF?"})
    TokenCount(tokens=14, exact=True)
    """
    model = _model_of(body, "/v1/responses")
    given = _needed(body, "input", "/v1/responses")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else list(given)
    if body.get("instructions") is not None:
        items = [{"role": "system", "content": body["instructions"]}, *items]
    counter = token_counter(model)
    parts = _sum(map(_item, items))
    has_system = any(item.get("role") in _SYSTEM_ROLES for item in items)
    wanted = (body.get("text") or {}).get("format") or {}
    parts += _output_format(wanted, wanted, counter, has_system)
    parts += _tools(body.get("tools") or ())
    unseen = any(body.get(key) for key in _UNCOUNTED_RESPONSES)
    # Recorded: mode "pro" adds about 1,500 tokens of its own.
    pro = (body.get("reasoning") or {}).get("mode") == "pro"
    parts += _Parts(exact=not (unseen or pro))
    return _chat_total(parts, model, counter)


def count_embeddings(body: Body) -> TokenCount:
    """Count the input tokens of a ``/v1/embeddings`` body: its texts, or its lists of tokens.

    Examples
    --------
    >>> count_embeddings({"model": "text-embedding-3-large", "input": ["Say hello", "Hello"]})
    TokenCount(tokens=3, exact=True)
    """
    model = _model_of(body, "/v1/embeddings")
    return _plain_total(_needed(body, "input", "/v1/embeddings"), model)


def count_completions(body: Body) -> TokenCount:
    """Count the input tokens of a ``/v1/completions`` body: its prompts, with nothing around them.

    Examples
    --------
    >>> count_completions({"model": "gpt-3.5-turbo-instruct", "prompt": "Say hello"})
    TokenCount(tokens=2, exact=True)
    """
    model = _model_of(body, "/v1/completions")
    return _plain_total(_needed(body, "prompt", "/v1/completions"), model)


COUNTERS: Final[Mapping[str, Callable[[Body], TokenCount]]] = MappingProxyType(
    {
        "/v1/chat/completions": count_chat,
        "/v1/responses": count_responses,
        "/v1/embeddings": count_embeddings,
        "/v1/completions": count_completions,
    }
)


@dataclass(frozen=True)
class _Parts:
    """Texts still to be counted, the tokens around them, and whether that is all."""

    texts: tuple[str, ...] = ()
    around: int = 0
    exact: bool = True

    def __add__(self, other: _Parts) -> _Parts:
        return _Parts(
            self.texts + other.texts, self.around + other.around, self.exact and other.exact
        )


def _sum(parts: Iterable[_Parts]) -> _Parts:
    return sum(parts, start=_Parts())


def _message(message: Body) -> _Parts:
    role = str(message.get("role", "user"))
    parts = _Parts((role,), MESSAGE_TOKENS) + _content(message.get("content"))
    if message.get("name"):
        parts += _Parts((str(message["name"]),), NAME_TOKENS)
    if message.get("refusal"):
        parts += _Parts((str(message["refusal"]),), exact=False)
    calls = [call.get("function") or {} for call in message.get("tool_calls") or ()]
    called = [str(call.get(key, "")) for call in calls for key in ("name", "arguments")]
    # Recorded: earlier answers cost up to four tokens more or fewer than this rule says.
    exact = not calls and role not in {"assistant", "tool", "function"}
    return parts + _Parts(tuple(called), exact=exact)


def _item(item: Body) -> _Parts:
    if item.get("type", "message") == "message":
        return _message(item)
    # Tool calls, their outputs and reasoning: what text they hold, in a frame nobody published.
    keys = ("name", "arguments", "output", "input")
    texts = tuple(item[key] for key in keys if isinstance(item.get(key), str))
    return _Parts(texts, MESSAGE_TOKENS, exact=False)


def _content(content: str | Sequence[Body] | None) -> _Parts:
    if content is None or isinstance(content, str):
        # Recorded: the service does not frame an empty message like the others.
        return _Parts((content,)) if content else _Parts(exact=False)
    texts = tuple(part["text"] for part in content if part.get("type") in _TEXT_PARTS)
    # How several texts are put together is not published, and images have no text.
    return _Parts(texts, exact=len(content) == len(texts) == 1)


def _output_format(spec: Body, wanted: Body, counter: TokenCounter, has_system: bool) -> _Parts:  # noqa: FBT001 - private, one call each
    kind = wanted.get("type", "text")
    if kind != "json_schema":
        return _Parts(exact=kind == "text")
    schema = _compact(spec.get("schema") or {})
    name = str(spec.get("name", ""))
    description = spec.get("description")
    around = schema_tokens(counter, name, schema, has_system=has_system)
    return _Parts((str(description),) if description else (), around, exact=False)


def _tools(tools: Sequence[Any]) -> _Parts:
    # The service renders tools in a form of its own, shorter than their JSON.
    return _Parts((_compact(tools),), exact=False) if tools else _Parts()


def _compact(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _chat_total(parts: _Parts, model: str, counter: TokenCounter) -> TokenCount:
    tally = counter.tally(parts.texts)
    tokens = int(tally.tokens.sum()) + parts.around + priming_tokens(model)
    exact = counter.exact and parts.exact and bool(tally.exact.all()) and overhead_is_known(model)
    return TokenCount(tokens, exact)


def _plain_total(given: str | Sequence[Any], model: str) -> TokenCount:
    """Count a text, texts, a list of token ids, or lists of token ids."""
    inputs = [given] if isinstance(given, str) else list(given)
    texts = [one for one in inputs if isinstance(one, str)]
    ids = sum(1 if isinstance(one, int) else len(one) for one in inputs if not isinstance(one, str))
    counter = token_counter(model)
    tally = counter.tally(texts)
    return TokenCount(
        int(tally.tokens.sum()) + ids, not texts or (counter.exact and bool(tally.exact.all()))
    )


def _model_of(body: Body, endpoint: str) -> str:
    return str(_needed(body, "model", endpoint))


def _needed(body: Body, field: str, endpoint: str) -> Any:
    if body.get(field) is None:
        raise RequestError.missing_field(field, endpoint)
    return body[field]
