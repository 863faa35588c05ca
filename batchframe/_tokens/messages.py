"""Messages of a request, as strings to count and framing tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from batchframe._frames.image_size import data_url_size
from batchframe._models.names import base_model, is_reasoning
from batchframe._tokens.counter import TokenCounter
from batchframe._tokens.images import ImageTokens, image_tokens

SYSTEM_ROLES: Final = frozenset({"system", "developer"})
_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})
_IMAGE_PARTS: Final = frozenset({"image_url", "input_image"})
# Recorded: framing tokens of one function call, without its name, which counts twice.
_CHAT_CALL: Final = 4
_RESPONSES_CALL: Final = 6
# Recorded in 2025: gpt-4o exceeded the rule by this for an image on /v1/responses.
_RESPONSES_IMAGE: Final = 230

Message = Mapping[str, Any]
_ANSWERS: Final = "Earlier model answers are approximate (within 4 tokens each)."
_CALLS: Final = "Function calls and their results are approximate (within 5 tokens each)."
_EMPTY: Final = "Empty messages are approximate (within 4 tokens each)."
_SEVERAL: Final = "Several texts in one message are approximate (within 2 tokens per text)."
_NOT_COUNTED: Final = "Files, audio and other content besides text and images are not counted."
_OTHER_ITEMS: Final = "Input items besides messages and function calls are only partly counted."
# OpenAI Cookbook, "How to count tokens": tokens_per_message and tokens_per_name.
MESSAGE_TOKENS: Final = 3
NAME_TOKENS: Final = 1
# Recorded: o1-mini and the search models do not follow the rule of their family. There are no
# recordings of audio models, chat aliases and the old snapshot with four tokens per message.
_CONFIRMED = re.compile(
    r"(gpt-3\.5-turbo|gpt-4|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-5|o1|o3|o4)(?![a-z0-9])"
)
_EXCEPTION = re.compile(r"^o1-(mini|preview)|-(search|audio|realtime|vision|chat|0301)(-|$)")


@dataclass(frozen=True)
class Parts:
    """Strings to count, framing tokens, and their uncertainty.

    Attributes
    ----------
    texts
        Strings to count.
    overhead
        Tokens in addition to the strings.
    fewer, more
        Possible error in tokens, down and up; None if unbounded.
    notes
        Why the count is not exact; empty if exact.
    """

    texts: tuple[str, ...] = ()
    overhead: int = 0
    fewer: int = 0
    more: int | None = 0
    notes: tuple[str, ...] = ()

    def __add__(self, other: Parts) -> Parts:
        return Parts(
            self.texts + other.texts,
            self.overhead + other.overhead,
            self.fewer + other.fewer,
            None if self.more is None or other.more is None else self.more + other.more,
            tuple(dict.fromkeys(self.notes + other.notes)),
        )


def about(note: str, *, fewer: int = 0, more: int | None = 0, overhead: int = 0) -> Parts:
    """Return an approximate number of tokens with its reason."""
    return Parts((), overhead, fewer, more, (note,))


def sum_of(parts: Iterable[Parts]) -> Parts:
    """Return the sum of parts."""
    return sum(parts, start=Parts())


def message(entry: Message, model: str) -> Parts:
    """Split a chat message into countable parts.

    Examples
    --------
    >>> message({"role": "user", "content": "Hi"}, "gpt-4o")
    Parts(texts=('user', 'Hi'), overhead=3, fewer=0, more=0, notes=())
    """
    role = str(entry.get("role", "user"))
    calls = [call.get("function") or {} for call in entry.get("tool_calls") or ()]
    if entry.get("function_call"):
        calls.append(entry["function_call"])
    parts = Parts((role,), MESSAGE_TOKENS)
    content = entry.get("content")
    if content or not calls:
        parts += _content(content, model, responses=False)
    elif content is not None:
        parts += about(_CALLS, overhead=1)
    if entry.get("name"):
        parts += Parts((str(entry["name"]),), NAME_TOKENS)
    if entry.get("refusal"):
        parts += Parts((str(entry["refusal"]),)) + about(_ANSWERS, fewer=4, more=4)
    for call in calls:
        parts += _call(call.get("name"), call.get("arguments"), _CHAT_CALL)
    if role in {"tool", "function"}:
        parts += about(_CALLS, fewer=2, more=2)
    # Recorded: earlier answers take up to four tokens more or fewer than this rule.
    return parts + (
        about(_ANSWERS, fewer=4, more=4) if role == "assistant" and not calls else Parts()
    )


def item(entry: Message, model: str) -> Parts:
    """Split an input item of ``/v1/responses`` into countable parts.

    Examples
    --------
    >>> item({"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}, "gpt-4o").texts
    ('user', 'Hi')
    """
    kind = entry.get("type", "message")
    if kind == "message":
        role = str(entry.get("role", "user"))
        parts = Parts((role,), MESSAGE_TOKENS)
        parts += _content(entry.get("content"), model, responses=True)
        return parts + (about(_ANSWERS, fewer=4, more=4) if role == "assistant" else Parts())
    if kind == "function_call":
        frame = Parts(("assistant",), MESSAGE_TOKENS)
        return frame + _call(entry.get("name"), entry.get("arguments"), _RESPONSES_CALL)
    if kind == "function_call_output" and isinstance(entry.get("output"), str):
        texts = ("tool", entry["output"])
        return Parts(texts, MESSAGE_TOKENS) + about(_CALLS, fewer=2, more=2)
    # Reasoning, files, calls of other tools: their text, in an unpublished frame.
    keys = ("name", "arguments", "output", "input")
    texts = tuple(entry[key] for key in keys if isinstance(entry.get(key), str))
    return Parts(texts, MESSAGE_TOKENS) + about(_OTHER_ITEMS, more=None)


def _call(name: Any, arguments: Any, frame: int) -> Parts:
    texts = (str(name or ""), str(name or ""), str(arguments or ""))
    return Parts(texts, frame) + about(_CALLS, fewer=3, more=3)


def _content(content: str | Sequence[Message] | None, model: str, *, responses: bool) -> Parts:
    if content is None or isinstance(content, str):
        # Recorded: the service frames an empty message differently.
        return Parts((content,)) if content else about(_EMPTY, fewer=4, more=4)
    parts = sum_of(_part(part, model, responses=responses) for part in content)
    texts = sum(part.get("type") in _TEXT_PARTS for part in content)
    if texts > 1:
        parts += about(_SEVERAL, fewer=2 * (texts - 1), more=2 * (texts - 1))
    return parts if content else about(_EMPTY, fewer=4, more=4)


def _part(part: Message, model: str, *, responses: bool) -> Parts:
    kind = part.get("type")
    if kind in _TEXT_PARTS:
        return Parts((str(part.get("text") or part.get("refusal") or ""),))
    if kind in _IMAGE_PARTS:
        return _image(part, model, responses=responses)
    return about(_NOT_COUNTED, more=None)


def _image(part: Message, model: str, *, responses: bool) -> Parts:
    """Count an image by its size, which is known for ``data:`` URLs only."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    detail = image.get("detail") if isinstance(image, Mapping) else part.get("detail")
    size = data_url_size(url) if isinstance(url, str) else None
    count = image_tokens(model, size, detail if isinstance(detail, str) else None)
    more = count.high - count.tokens + _RESPONSES_IMAGE * responses
    return Parts((), count.tokens, count.tokens - count.low, more, (_image_note(count, size),))


def _image_note(count: ImageTokens, size: tuple[int, int] | None) -> str:
    if size is not None:
        return f"Images are counted by size ({count.evidence})."
    return (
        f"Images of unknown size are counted as 1,024 by 1,024 pixels: {count.tokens:,} tokens "
        f"each, {count.low:,} to {count.high:,} possible ({count.evidence}). A data: URL contains "
        "the size."
    )


def overhead_is_known(model: str) -> bool:
    """Return whether the rules here are confirmed for a model's family.

    Examples
    --------
    >>> [overhead_is_known(m) for m in ("gpt-5.6-luna", "gpt-4o-search-preview", "gpt-oss-20b")]
    [True, False, False]
    """
    name = base_model(model)
    return _CONFIRMED.match(name) is not None and _EXCEPTION.search(name) is None


def priming_tokens(model: str) -> int:
    """Return the tokens that open a model's reply, once per request.

    Three (OpenAI Cookbook), but two for reasoning models (recorded for o3-mini, o3, gpt-5,
    gpt-5.2, gpt-5.5 and gpt-5.6).

    Examples
    --------
    >>> priming_tokens("gpt-4o-mini"), priming_tokens("gpt-5.6-luna")
    (3, 2)
    """
    return 2 if is_reasoning(model) else 3


def schema_tokens(counter: TokenCounter, spec: Mapping[str, Any], *, has_system: bool) -> int:
    """Return the tokens that a JSON schema adds to a request.

    The schema as compact JSON, and twice its name, minus two; ``additionalProperties`` of the root
    is not counted. Four more without a system or developer message or tools (recorded for gpt-4o).
    The API's counts of nine recorded requests differ by -3 to +2, so the number is never exact.

    Parameters
    ----------
    counter
        A counter for the model's encoding.
    spec
        The schema, its name, and its optional description, which becomes a comment above it.
    has_system
        Whether the request has a system or developer message, ``instructions``, or tools.

    Examples
    --------
    >>> from batchframe._tokens.counter import token_counter
    >>> spec = {"name": "label", "schema": {"type": "object"}}
    >>> schema_tokens(token_counter("gpt-4o"), spec, has_system=True)
    5
    """
    carrier = 0 if has_system else 4
    comment = f"// {spec['description']}\n" if spec.get("description") else ""
    schema = (spec.get("schema") or {}).items()
    properties = {key: value for key, value in schema if key != "additionalProperties"}
    name = str(spec.get("name", ""))
    texts = counter.count([msgspec.json.encode(properties).decode(), name, comment])
    return max(0, int(texts[0]) + 2 * int(texts[1]) - 2 + int(texts[2]) + carrier)
