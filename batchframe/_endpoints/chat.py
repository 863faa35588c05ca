"""``/v1/chat/completions``: messages in, one choice out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._endpoints.bulk import Places, absent, at, only_items, part, where
from batchframe._endpoints.endpoint import Answer, OrdinaryBody, Wording
from batchframe._endpoints.prompts import (
    Prompt,
    contents,
    detail_json,
    prompts_of,
    with_images,
    with_templates,
)
from batchframe._endpoints.tools import (
    as_json,
    called,
    called_with_text,
    check_tools,
    fields_with_tools,
    read_with_tools,
)
from batchframe._endpoints.usage import CHAT_USAGE, token_columns, tokens_of
from batchframe._models.names import is_reasoning
from batchframe._output import Field, OutputSpec, ParsedAnswers, output_spec
from batchframe._recipe.arguments import Message
from batchframe._recipe.recipe import UNKNOWN_COLUMNS, Recipe
from batchframe._recipe.slots import PROMPT, JsonColumn
from batchframe._tokens.bodies import count_chat
from batchframe._tokens.counter import TokenCount


class _Chat:
    path = EndpointPath.CHAT
    wording: Final = Wording("max_completion_tokens", 'reasoning_effort="none"')
    brings: Final = "words"

    @property
    def ordinary(self) -> OrdinaryBody:
        return OrdinaryBody(_PLAIN, _columns)

    def output_spec(self, output: object, name: str | None) -> OutputSpec:
        return output_spec(output, name)

    def check(self, recipe: Recipe) -> None:
        check_tools(recipe, "function")

    def body(self, recipe: Recipe) -> dict[str, Any]:
        messages: Any = JsonColumn(PROMPT)
        if recipe.prompt is not None:
            messages = with_templates(_messages(recipe, recipe.prompt))
        if recipe.images is not None:
            detail = detail_json(recipe.images)
            before, after = '{"type":"image_url","image_url":{"url":', f"{detail}}}}}"
            messages = with_images(messages, recipe.images, "text", before, after)
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
            columns=UNKNOWN_COLUMNS,
        )

    def prompts_of(
        self, recipe: Recipe, function: Callable[[Mapping[Any, Any]], Any]
    ) -> Callable[[Mapping[Any, Any]], Any]:
        return prompts_of(function, lambda prompt: _messages(recipe, prompt))

    def count_tokens(self, body: Mapping[str, Any]) -> TokenCount:
        return count_chat(body)

    def prompt_text(self, body: Mapping[str, Any]) -> str:
        return contents(body["messages"])

    def output_limit(self, body: Mapping[str, Any]) -> int | None:
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        return limit if isinstance(limit, int) else None

    def output_tokens(self, body: Mapping[str, Any]) -> None:
        """Return None: how much is written depends on the answer."""

    def may_reason(self, body: Mapping[str, Any]) -> bool:
        return is_reasoning(str(body["model"])) and body.get("reasoning_effort") != "none"

    def answer(self, body: bytes) -> Answer:
        try:
            completion = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
            return Answer("invalid", f"the response is not a chat completion: {reason}", None)
        return _read(completion)

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:
        return fields_with_tools(recipe)

    def read(self, recipe: Recipe, answers: pa.Table, good: pa.ChunkedArray) -> ParsedAnswers:
        return read_with_tools(recipe, answers, good)


def _messages(recipe: Recipe, prompt: Prompt) -> list[Message]:
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    system = [] if recipe.system is None else [{"role": "system", "content": recipe.system}]
    return [*system, *messages]


def _response_format(recipe: Recipe) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {
            "name": recipe.output.schema_name,
            "strict": True,
            "schema": recipe.output.schema,
        },
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: Any = None
    function_call: Any = None
    # Not OpenAI's: where DeepSeek, vLLM and others put what their models thought.
    reasoning_content: Any = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: Any = None


_decode = msgspec.json.Decoder(_Completion).decode


def _read(completion: _Completion) -> Answer:
    tokens = tokens_of(completion.usage)
    if not completion.choices:
        return Answer("invalid", "the response has no choices", None, None, *tokens)
    choice = completion.choices[0]
    message, finish_reason = choice.message, choice.finish_reason
    text = message.content
    thoughts = message.reasoning_content if isinstance(message.reasoning_content, str) else None
    if message.refusal:
        refusal = f"the model refused: {message.refusal}"
        return Answer("refused", refusal, text, finish_reason, *tokens)
    if finish_reason == "content_filter":
        return Answer("refused", "stopped by the content filter", text, finish_reason, *tokens)
    if finish_reason == "length":
        return Answer("truncated", _TRUNCATED, text, finish_reason, *tokens, None, thoughts)
    calls = as_json(_calls(message)) if message.tool_calls or message.function_call else None
    if text is None and calls is None:
        return Answer("invalid", "the response has no content", None, finish_reason, *tokens)
    return Answer("ok", None, text, finish_reason, *tokens, calls, thoughts)


_PLAIN: Final = pa.struct(
    {
        "choices": pa.list_(
            pa.struct(
                {
                    "message": pa.struct(
                        {
                            "content": pa.string(),
                            "refusal": pa.string(),
                            "tool_calls": pa.list_(pa.struct({"type": pa.string()})),
                            "function_call": pa.struct({"name": pa.string()}),
                            "reasoning_content": pa.string(),
                        }
                    ),
                    "finish_reason": pa.string(),
                }
            )
        ),
        "usage": CHAT_USAGE,
    }
)


def _columns(completions: pa.StructArray) -> tuple[Places, Mapping[str, pa.Array]]:
    """Return the completions that say one text, to its end, and call nothing."""
    rows, choices = only_items(part(completions, "choices"))
    message, ended = part(choices, "message"), part(choices, "finish_reason")
    fits, tokens = token_columns(at(part(completions, "usage"), rows))
    text = part(message, "content")
    said = where(
        fits,
        pc.equal(ended, "stop"),
        pc.is_valid(text),
        *absent(message, ("refusal", "tool_calls", "function_call")),
    )
    columns = {
        "text": text,
        "finish_reason": ended,
        "reasoning": part(message, "reasoning_content"),
        **tokens,
    }
    return rows[said], {name: at(column, said) for name, column in columns.items()}


def _calls(message: _Message) -> list[dict[str, str]]:
    if not isinstance(message.tool_calls, list):
        # What OpenAI had before tools, and some servers still answer.
        call = _mapping(message.function_call)
        return [called(call["name"], call.get("arguments"))] if "name" in call else []
    found = []
    for call in map(_mapping, message.tool_calls):
        function, custom = _mapping(call.get("function")), _mapping(call.get("custom"))
        if "name" in function:
            found.append(called(function["name"], function.get("arguments")))
        elif "name" in custom:
            found.append(called_with_text(custom["name"], custom.get("input")))
    return found


_TRUNCATED: Final = "the answer was cut off at the token limit: raise max_completion_tokens"

CHAT: Final = _Chat()
