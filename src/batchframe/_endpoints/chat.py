"""``/v1/chat/completions``: messages in, one choice out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from batchframe._endpoints._endpoint import Answer
from batchframe._lines import JsonColumn
from batchframe._model_names import is_reasoning
from batchframe._output import OutputSpec
from batchframe._recipe import Message, Recipe, checked_prompt
from batchframe._request_tokens import count_chat
from batchframe._source import MESSAGES
from batchframe._template import parse
from batchframe._tokens import TokenCount
from batchframe.errors import TemplateError


class _Chat:
    path: Final = "/v1/chat/completions"

    def body(self, recipe: Recipe) -> dict[str, Any]:
        messages: Any = JsonColumn(MESSAGES)
        if recipe.prompt is not None:
            messages = [_with_templates(message) for message in _messages(recipe, recipe.prompt)]
        body = {"model": recipe.model, "messages": messages}
        if recipe.output.schema is not None:
            body["response_format"] = _response_format(recipe)
        return body | dict(recipe.body)

    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        asked = _mapping(_mapping(body.get("response_format")).get("json_schema"))
        return Recipe(
            endpoint=self.path,
            model=str(body["model"]),
            prompt=None,
            system=None,
            output=OutputSpec.of_schema(asked.get("schema"), str(asked.get("name", ""))),
            on_missing="raise",
            dedupe=True,
            body={key: body[key] for key in body.keys() - {"model", "messages", "response_format"}},
        )

    def messages_of(
        self, recipe: Recipe, function: Callable[[Mapping[Any, Any]], Any]
    ) -> Callable[[Mapping[Any, Any]], Sequence[Message] | None]:
        def messages(row: Mapping[Any, Any]) -> Sequence[Message] | None:
            prompt = function(row)
            if prompt is None:
                return None
            checked = checked_prompt(prompt)
            if checked is None:
                raise TemplateError.not_a_prompt(prompt)
            return _messages(recipe, checked)

        return messages

    def count_tokens(self, body: Mapping[str, Any]) -> TokenCount:
        return count_chat(body)

    def prompt_text(self, body: Mapping[str, Any]) -> str:
        contents = [message["content"] for message in body["messages"]]
        return "\n\n".join(one if isinstance(one, str) else repr(one) for one in contents)

    def output_limit(self, body: Mapping[str, Any]) -> int | None:
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        return limit if isinstance(limit, int) else None

    def may_reason(self, body: Mapping[str, Any]) -> bool:
        return is_reasoning(str(body["model"])) and body.get("reasoning_effort") != "none"

    def answer(self, body: bytes) -> Answer:
        try:
            completion = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
            return Answer("invalid", f"the response is not a chat completion: {reason}", None)
        return _read(completion)


def _messages(recipe: Recipe, prompt: str | Sequence[Message]) -> list[Message]:
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    system = [] if recipe.system is None else [{"role": "system", "content": recipe.system}]
    return [*system, *messages]


def _with_templates(message: Message) -> dict[str, Any]:
    return {**message, "content": _content(message["content"])}


def _content(content: Any) -> Any:
    """Read every text of a message's content as a template: those of parts, too."""
    if isinstance(content, str):
        return parse(content)
    if isinstance(content, Mapping):
        return {key: _content(value) for key, value in content.items()}
    return [_content(part) for part in content] if isinstance(content, list) else content


def _response_format(recipe: Recipe) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {
            "name": recipe.output.schema_name,
            "strict": True,
            "schema": recipe.output.schema,
        },
    }


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: Any = None


_decode = msgspec.json.Decoder(_Completion).decode


def _read(completion: _Completion) -> Answer:
    tokens = _usage(completion.usage)
    if not completion.choices:
        return Answer("invalid", "the response has no choices", None, None, *tokens)
    choice = completion.choices[0]
    text, finish_reason = choice.message.content, choice.finish_reason
    if choice.message.refusal:
        refusal = f"the model refused: {choice.message.refusal}"
        return Answer("refused", refusal, text, finish_reason, *tokens)
    if finish_reason == "content_filter":
        return Answer("refused", "stopped by the content filter", text, finish_reason, *tokens)
    if finish_reason == "length":
        return Answer("truncated", _TRUNCATED, text, finish_reason, *tokens)
    if text is None:
        return Answer("invalid", "the response has no content", None, finish_reason, *tokens)
    return Answer("ok", None, text, finish_reason, *tokens)


def _usage(usage: Any) -> tuple[int | None, int | None, int | None]:
    if not isinstance(usage, dict):
        return None, None, None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return (
        _tokens(usage.get("prompt_tokens")),
        _tokens(usage.get("completion_tokens")),
        _tokens(cached),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _tokens(value: Any) -> int | None:
    # What is no number of tokens is none: an odd count must not cost the answer beside it.
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


_MOST_TOKENS: Final = 2**40
_TRUNCATED: Final = "the answer was cut off at the token limit: raise max_completion_tokens"

CHAT: Final = _Chat()
