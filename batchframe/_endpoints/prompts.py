"""Prompts, as several endpoints take them: a text or messages, of templates or from a function.

Must not know: how an endpoint answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from batchframe._base.errors import TemplateError
from batchframe._frames.image_columns import image_column
from batchframe._frames.image_options import ImageInput
from batchframe._recipe.arguments import Message, checked_prompt
from batchframe._recipe.slots import MoreItems
from batchframe._recipe.template import parse

Prompt: TypeAlias = str | Sequence[Message]


def with_templates(prompt: Prompt) -> Any:
    """Read every text of a prompt as a template: those of messages, and of their parts, too."""
    if isinstance(prompt, str):
        return parse(prompt)
    return [{**message, "content": _content(message["content"])} for message in prompt]


def with_images(
    messages: Sequence[Message], images: ImageInput, text: str, before: str, after: str
) -> list[Message]:
    """Put the images of a row behind the content of the last user message.

    Parameters
    ----------
    text
        The type of a part that is a text.
    before, after
        The JSON of an image part around its URL.

    Raises
    ------
    TemplateError
        If no message of the user has a content.
    """
    has_content = [bool(one["content"]) and one["role"] == "user" for one in messages]
    if True not in has_content:
        raise TemplateError(
            "images= goes behind the text of the last message of the user, and the prompt has no "
            'message with role="user" and a content. Add one: {"role": "user", "content": '
            '"Describe the picture."}.'
        )
    last = len(has_content) - 1 - has_content[::-1].index(True)
    content = messages[last]["content"]
    parts = content if isinstance(content, list) else [{"type": text, "text": content}]
    columns = tuple(image_column(position) for position in range(len(images.columns)))
    with_them = {**messages[last], "content": [*parts, MoreItems(columns, before, after)]}
    return [*messages[:last], with_them, *messages[last + 1 :]]


def detail_json(images: ImageInput, default: str | None = None) -> str:
    """Write the ``detail`` of an image part, with its comma; nothing where nobody gives one."""
    detail = images.detail or default
    return "" if detail is None else f',"detail":"{detail}"'


def _content(content: Any) -> Any:
    if isinstance(content, str):
        return parse(content)
    if isinstance(content, Mapping):
        return {key: _content(value) for key, value in content.items()}
    return [_content(part) for part in content] if isinstance(content, list) else content


def prompts_of(
    function: Callable[[Mapping[Any, Any]], Any], finished: Callable[[Prompt], Any]
) -> Callable[[Mapping[Any, Any]], Any]:
    """Wrap a prompt function: what it returns is checked, and finished for the body."""

    def prompt_of(row: Mapping[Any, Any]) -> Any:
        prompt = function(row)
        if prompt is None:
            return None
        checked = checked_prompt(prompt)
        if checked is None:
            raise TemplateError.not_a_prompt(prompt)
        return finished(checked)

    return prompt_of


def contents(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return what messages say, for a person to read."""
    said = [message.get("content", message) for message in messages]
    return "\n\n".join(
        one if isinstance(one, str) else _shown(one) if isinstance(one, list) else repr(one)
        for one in said
    )


def _shown(parts: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(_shown_part(part) for part in parts)


def _shown_part(part: Mapping[str, Any]) -> str:
    if isinstance(part.get("text"), str):
        return str(part["text"])
    given = part.get("image_url")
    url = given.get("url") if isinstance(given, Mapping) else given
    if not isinstance(url, str):
        return repr(part)
    kind, comma, payload = url.partition(";base64,")
    return f"[{kind[5:]}, {len(payload) * 3 // 4:,} bytes]" if comma else f"[{url[:200]}]"
