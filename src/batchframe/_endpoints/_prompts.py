"""Prompts, as several endpoints take them: a text or messages, of templates or from a function.

Must not know: how an endpoint answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from batchframe._recipe import Message, checked_prompt
from batchframe._template import parse
from batchframe.errors import TemplateError

Prompt: TypeAlias = str | Sequence[Message]


def with_templates(prompt: Prompt) -> Any:
    """Read every text of a prompt as a template: those of messages, and of their parts, too."""
    if isinstance(prompt, str):
        return parse(prompt)
    return [{**message, "content": _content(message["content"])} for message in prompt]


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
    return "\n\n".join(one if isinstance(one, str) else repr(one) for one in said)
