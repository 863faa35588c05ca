"""Messages of a request, as strings to count and framing tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._frames.attached.pdf_files import INSTALL_FILES, can_count_pages, pages_of
from batchframe._frames.image_size import data_url_size
from batchframe._models.names import base_model
from batchframe._tokens.calls import Turn, grouped, turn_parts
from batchframe._tokens.framing import frame, framing, other_state
from batchframe._tokens.images import ImageTokens, file_source, image_tokens, page_tokens
from batchframe._tokens.parts import Parts, about, sum_of
from batchframe._tokens.tools import function_of, tools_block

SYSTEM_ROLES: Final = frozenset({"system", "developer"})
_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text", "refusal"})
_FILE_PARTS: Final = frozenset({"file", "input_file"})
_IMAGE_PARTS: Final = frozenset({"image_url", "input_image"})

Message = Mapping[str, Any]
_ANSWERS: Final = "Earlier model answers are approximate (within {tokens} tokens each)."
_RESULTS: Final = "Results of function calls that the request does not contain are approximate."
_EMPTY: Final = "Empty messages are approximate (within {tokens} tokens each)."
_SEVERAL: Final = "Several texts in one message are approximate (within {tokens} tokens per text)."
_NOT_COUNTED: Final = "Audio and other content besides text, images and files is not counted."
_FILES: Final = (
    "The tokens of files are not published: {low} or more for each page ({evidence}), without an "
    "upper bound."
)
_UNCOUNTED: Final = "Each file is counted as one page. To count the pages: {install}."
_LINKED: Final = "A file that a URL or an id names is counted as one page."
_OTHER_ITEMS: Final = "Input items besides messages and function calls are only partly counted."
_STATES: Final = (
    "The service sometimes bills {more} tokens more for the same text (this model and endpoint)."
)
# Recorded: o1-mini and the search models do not follow the rule of their family. There are no
# recordings of audio models and chat aliases.
_CONFIRMED = re.compile(
    r"(gpt-3\.5-turbo|gpt-4|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-5|o1|o3|o4)(?![a-z0-9])"
)
_EXCEPTION = re.compile(r"^o1-(mini|preview)|-(search|audio|realtime|vision|chat|0301)(-|$)")


def conversation(entries: Sequence[Message], model: str, endpoint: str) -> Parts:
    """Split the messages or input items of a request into countable parts.

    Examples
    --------
    >>> hello = [{"role": "user", "content": "Hi"}]
    >>> conversation(hello, "gpt-4o", "/v1/chat/completions")
    Parts(texts=('user', 'Hi'), overhead=6, fewer=0, more=0, notes=())
    """
    around = frame("text", model, endpoint)
    parts = sum_of(
        turn_parts(entry, model, endpoint)
        if isinstance(entry, Turn)
        else _entry(entry, model, endpoint)
        for entry in grouped(entries)
    )
    parts += Parts(overhead=around["reply"])
    state = other_state(model, endpoint)
    return (
        parts if state is None else parts + about(_STATES.format(more=state.text), more=state.text)
    )


def answers_in(entries: Sequence[Message]) -> int:
    """Count the earlier answers that are text."""
    return sum(_is_answer(entry) for entry in entries)


def _is_answer(entry: Message) -> bool:
    has_text = bool(entry.get("content")) or not _has_calls(entry)
    return (
        entry.get("role") == "assistant" and entry.get("type", "message") == "message" and has_text
    )


def _has_calls(entry: Message) -> bool:
    return bool(entry.get("tool_calls") or entry.get("function_call"))


def _entry(entry: Message, model: str, endpoint: str) -> Parts:
    """Split a message, or an input item that is not a call of a function."""
    around = frame("text", model, endpoint)
    kind, role = entry.get("type", "message"), str(entry.get("role", "user"))
    if kind == "function_call_output":
        entry, role = {"content": entry.get("output")}, "tool"
    elif kind == "additional_tools":
        return _additional_tools(entry, model, endpoint)
    elif kind != "message":
        # Reasoning, files, calls of other tools: their text, in an unpublished frame.
        texts = [entry.get(key) for key in ("name", "arguments", "output", "input")]
        found = tuple(text for text in texts if isinstance(text, str))
        return Parts(found, around["message"]) + about(_OTHER_ITEMS, more=None)
    if _has_calls(entry) and not _is_answer(entry):
        return Parts()
    parts = Parts((role,), around["message"]) + _name(entry.get("name"), role, model, endpoint)
    parts += _content(entry.get("content"), model, endpoint)
    if entry.get("refusal"):
        parts += Parts((str(entry["refusal"]),)) + _within(_ANSWERS, framing().margins.answer)
    if role in {"tool", "function"}:
        parts += _within(_RESULTS, framing().margins.lone_result)
    if not _is_answer(entry):
        return parts
    parts += Parts(overhead=around["answer"])
    is_sure = endpoint == EndpointPath.CHAT and not around["answer"]
    return parts if is_sure else parts + _within(_ANSWERS, framing().margins.answer)


def _additional_tools(entry: Message, model: str, endpoint: str) -> Parts:
    """Count functions that are added within a conversation.

    Recorded for gpt-5: they are framed as those of a chat, within 9 tokens.
    """
    functions = [function for tool in entry.get("tools") or () if (function := function_of(tool))]
    tokens = frame("text", model, endpoint)["message"]
    tokens += frame("tools", model, EndpointPath.CHAT)["request"]
    return Parts((tools_block(functions),), tokens) + about(_OTHER_ITEMS, fewer=tokens, more=None)


def _within(note: str, tokens: int, count: int = 1) -> Parts:
    """Return an error of some tokens each, in both directions."""
    return about(note.format(tokens=tokens), fewer=tokens * count, more=tokens * count)


def _name(name: Any, role: str, model: str, endpoint: str) -> Parts:
    around = frame("text", model, endpoint)
    if not name or role in {"tool", "function"}:
        return Parts()
    if name == role:
        return Parts((role,), around["repeated_name"])
    return Parts((str(name),), around["name"])


def _content(content: Any, model: str, endpoint: str) -> Parts:
    if content is None or isinstance(content, str):
        # Recorded: the service frames an empty message differently.
        return Parts((content,)) if content else _within(_EMPTY, framing().margins.empty)
    texts = [_text(part) for part in content if part.get("type") in _TEXT_PARTS]
    others = [part for part in content if part.get("type") not in _TEXT_PARTS]
    # Recorded: the texts of one message are counted as one string.
    parts = Parts(("".join(texts),) if texts else ())
    parts += sum_of(_part(part, model, endpoint) for part in others)
    if len(texts) > 1:
        parts += _within(_SEVERAL, framing().margins.further_text, len(texts) - 1)
    return parts if content else _within(_EMPTY, framing().margins.empty)


def text_of(content: Any) -> str:
    """Return the text of a message's content."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(_text(part) for part in content if part.get("type") in _TEXT_PARTS)


def _text(part: Message) -> str:
    return str(part.get("text") or part.get("refusal") or "")


def _part(part: Message, model: str, endpoint: str) -> Parts:
    if part.get("type") in _IMAGE_PARTS:
        return _image(part, model, endpoint)
    if part.get("type") in _FILE_PARTS:
        return _file(part, model, endpoint)
    return about(_NOT_COUNTED, more=None)


def _file(part: Message, model: str, endpoint: str) -> Parts:
    """Count the fewest tokens of a file, by its pages."""
    low, evidence = page_tokens(model, endpoint)
    parts, source = Parts(), file_source(part)
    pages = 1
    if not can_count_pages():
        parts = about(_UNCOUNTED.format(install=INSTALL_FILES))
    elif isinstance(source, str) and source[:5].lower() == "data:":
        pages = pages_of(source)
    else:
        parts = about(_LINKED)
    return about(_FILES.format(low=low, evidence=evidence), more=None, overhead=low * pages) + parts


def _image(part: Message, model: str, endpoint: str) -> Parts:
    """Count an image by its size, which is known for ``data:`` URLs only."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    detail = image.get("detail") if isinstance(image, Mapping) else part.get("detail")
    size = data_url_size(url) if isinstance(url, str) else None
    count = image_tokens(model, size, detail if isinstance(detail, str) else None)
    further = framing().margins.image_on_responses * (endpoint == EndpointPath.RESPONSES)
    more = count.high - count.tokens + further
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
