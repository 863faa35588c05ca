"""The messages of a request → the texts to count, and the tokens around them.

In: the messages of ``/v1/chat/completions``, or the input items of ``/v1/responses``. Out: `Parts`,
which say of everything that is not exact how far off it may be. This module counts no text and
knows no tools, schemas or endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchframe._frames.image_size import data_url_size
from batchframe._tokens.chat_overhead import MESSAGE_TOKENS, NAME_TOKENS
from batchframe._tokens.images import ImageTokens, image_tokens

SYSTEM_ROLES: Final = frozenset({"system", "developer"})
_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})
_IMAGE_PARTS: Final = frozenset({"image_url", "input_image"})
# Recorded: what frames one call of a function, without its name, which counts twice.
_CHAT_CALL: Final = 4
_RESPONSES_CALL: Final = 6
# Recorded in 2025: gpt-4o charged this above the rule for an image on /v1/responses.
_RESPONSES_IMAGE: Final = 230

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Parts:
    """Texts still to be counted, the tokens around them, and how sure that is.

    Attributes
    ----------
    texts
        What is to be counted as text.
    around
        The tokens beside the texts.
    fewer, more
        How many tokens fewer or more it may be; None where nothing bounds it.
    notes
        Why it is not exact, in words; empty where it is.
    """

    texts: tuple[str, ...] = ()
    around: int = 0
    fewer: int = 0
    more: int | None = 0
    notes: tuple[str, ...] = ()

    def __add__(self, other: Parts) -> Parts:
        return Parts(
            self.texts + other.texts,
            self.around + other.around,
            self.fewer + other.fewer,
            None if self.more is None or other.more is None else self.more + other.more,
            tuple(dict.fromkeys(self.notes + other.notes)),
        )


def about(note: str, *, fewer: int = 0, more: int | None = 0, around: int = 0) -> Parts:
    """Give tokens that are not known exactly, and why."""
    return Parts((), around, fewer, more, (note,))


def sum_of(parts: Iterable[Parts]) -> Parts:
    """Add up."""
    return sum(parts, start=Parts())


def message(given: Message, model: str) -> Parts:
    """Take apart one chat message.

    Examples
    --------
    >>> message({"role": "user", "content": "Hi"}, "gpt-4o")
    Parts(texts=('user', 'Hi'), around=3, fewer=0, more=0, notes=())
    """
    role = str(given.get("role", "user"))
    calls = [call.get("function") or {} for call in given.get("tool_calls") or ()]
    if given.get("function_call"):
        calls.append(given["function_call"])
    parts = Parts((role,), MESSAGE_TOKENS)
    content = given.get("content")
    if content or not calls:
        parts += _content(content, model, responses=False)
    elif content is not None:
        parts += about(_CALLS, around=1)
    if given.get("name"):
        parts += Parts((str(given["name"]),), NAME_TOKENS)
    if given.get("refusal"):
        parts += Parts((str(given["refusal"]),)) + about(_ANSWERS, fewer=4, more=4)
    for call in calls:
        parts += _call(call.get("name"), call.get("arguments"), _CHAT_CALL)
    if role in {"tool", "function"}:
        parts += about(_CALLS, fewer=2, more=2)
    # Recorded: earlier answers cost up to four tokens more or fewer than this rule says.
    return parts + (
        about(_ANSWERS, fewer=4, more=4) if role == "assistant" and not calls else Parts()
    )


def item(given: Message, model: str) -> Parts:
    """Take apart one input item of ``/v1/responses``.

    Examples
    --------
    >>> item({"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}, "gpt-4o").texts
    ('user', 'Hi')
    """
    kind = given.get("type", "message")
    if kind == "message":
        role = str(given.get("role", "user"))
        parts = Parts((role,), MESSAGE_TOKENS)
        parts += _content(given.get("content"), model, responses=True)
        return parts + (about(_ANSWERS, fewer=4, more=4) if role == "assistant" else Parts())
    if kind == "function_call":
        frame = Parts(("assistant",), MESSAGE_TOKENS)
        return frame + _call(given.get("name"), given.get("arguments"), _RESPONSES_CALL)
    if kind == "function_call_output" and isinstance(given.get("output"), str):
        texts = ("tool", given["output"])
        return Parts(texts, MESSAGE_TOKENS) + about(_CALLS, fewer=2, more=2)
    # Reasoning, files, calls of other tools: what text they hold, in a frame nobody published.
    keys = ("name", "arguments", "output", "input")
    texts = tuple(given[key] for key in keys if isinstance(given.get(key), str))
    return Parts(texts, MESSAGE_TOKENS) + about(_OTHER_ITEMS, more=None)


def _call(name: Any, arguments: Any, frame: int) -> Parts:
    texts = (str(name or ""), str(name or ""), str(arguments or ""))
    return Parts(texts, frame) + about(_CALLS, fewer=3, more=3)


def _content(content: str | Sequence[Message] | None, model: str, *, responses: bool) -> Parts:
    if content is None or isinstance(content, str):
        # Recorded: the service does not frame an empty message like the others.
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
    """Count an image by its size, which only a ``data:`` URL tells."""
    given = part.get("image_url")
    url = given.get("url") if isinstance(given, Mapping) else given
    detail = given.get("detail") if isinstance(given, Mapping) else part.get("detail")
    size = data_url_size(url) if isinstance(url, str) else None
    known = image_tokens(model, size, detail if isinstance(detail, str) else None)
    more = known.high - known.tokens + _RESPONSES_IMAGE * responses
    return Parts((), known.tokens, known.tokens - known.low, more, (_image_note(known, size),))


def _image_note(known: ImageTokens, size: tuple[int, int] | None) -> str:
    if size is not None:
        return f"Images are counted by their size ({known.evidence})."
    return (
        f"Images whose size cannot be seen from here are taken for 1,024 by 1,024 pixels: "
        f"{known.tokens:,} tokens each, {known.low:,} to {known.high:,} are possible "
        f"({known.evidence}). A data: URL shows its size."
    )


_ANSWERS: Final = "Earlier answers of the model are counted within 4 tokens each."
_CALLS: Final = "Calls of functions and their results are counted within 5 tokens each."
_EMPTY: Final = "Empty messages are counted within 4 tokens each."
_SEVERAL: Final = "Several texts in one message are counted within 2 tokens for each text."
_NOT_COUNTED: Final = "Files, audio and other parts that are no text or image are not counted."
_OTHER_ITEMS: Final = "Input items that are no message and no function call are counted in part."
