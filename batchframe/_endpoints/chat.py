"""``/v1/chat/completions``: messages in, one choice out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.lenient_json import as_mapping
from batchframe._endpoints.bulk import CHAT_COMPLETIONS
from batchframe._endpoints.endpoint import (
    Answer,
    OutputLimit,
    PromptFunction,
    Response,
    recovered_recipe,
    tokens_of,
)
from batchframe._endpoints.prompts import (
    FILE_NAME,
    Prompt,
    contents,
    detail_json,
    file_items,
    image_columns,
    prompts_of,
    with_attached,
    with_templates,
)
from batchframe._endpoints.tools import ToolEndpoint, as_json, custom_call, function_call
from batchframe._models.names import is_reasoning
from batchframe._output import OutputSpec
from batchframe._recipe.arguments import Message as PromptMessage
from batchframe._recipe.recipe import Recipe
from batchframe._recipe.slots import PROMPT, JsonColumn, MoreItems
from batchframe._tokens.bodies import count_chat

_TRUNCATED: Final = "the answer was cut off at the token limit: raise max_completion_tokens"


class Message(msgspec.Struct):
    """The answer of a choice."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: Any = None
    function_call: Any = None
    # Not OpenAI's: DeepSeek, vLLM and others return reasoning here.
    reasoning_content: Any = None

    def calls(self) -> list[dict[str, str]]:
        """Return the tool calls."""
        # Some servers still return `function_call`, OpenAI's predecessor of tools.
        is_list = isinstance(self.tool_calls, list)
        calls = self.tool_calls if is_list else [{"function": self.function_call}]
        tool_calls = []
        for call in map(as_mapping, calls):
            function, custom = as_mapping(call.get("function")), as_mapping(call.get("custom"))
            if "name" in function:
                tool_calls.append(function_call(function["name"], function.get("arguments")))
            elif "name" in custom:
                tool_calls.append(custom_call(custom["name"], custom.get("input")))
        return tool_calls


class _Choice(msgspec.Struct):
    message: Message
    finish_reason: str | None = None


class ChatCompletion(Response):
    """A response with choices, of which the first is read."""

    choices: list[_Choice]
    usage: Any = None
    truncated: ClassVar[str] = _TRUNCATED

    def answer(self) -> Answer:
        """Return the answer of the first choice."""
        tokens = tokens_of(self.usage)
        if not self.choices:
            return Answer("invalid", "the response has no choices", None, None, *tokens)
        message, finish_reason = self.choices[0].message, self.choices[0].finish_reason
        text, reasoning = message.content, message.reasoning_content
        reasoning = reasoning if isinstance(reasoning, str) else None
        if message.refusal:
            refusal = f"the model refused: {message.refusal}"
            return Answer("refused", refusal, text, finish_reason, *tokens)
        if finish_reason == "content_filter":
            return Answer("refused", "stopped by the content filter", text, finish_reason, *tokens)
        if finish_reason == "length":
            return Answer(
                "truncated", self.truncated, text, finish_reason, *tokens, None, reasoning
            )
        calls = as_json(message.calls())
        if text is None and calls is None:
            return Answer("invalid", "the response has no text", None, finish_reason, *tokens)
        return Answer("ok", None, text, finish_reason, *tokens, calls, reasoning)


class _Chat(ToolEndpoint):
    path = EndpointPath.CHAT
    response = ChatCompletion
    response_name = "a chat completion"
    output_limit = OutputLimit("max_completion_tokens", 'reasoning_effort="none"')
    columnar = CHAT_COMPLETIONS
    tool_key = "function"
    count_tokens = staticmethod(count_chat)

    def body(self, recipe: Recipe) -> dict[str, Any]:
        messages: Any = JsonColumn(PROMPT)
        if recipe.prompt is not None:
            messages = with_templates(_messages(recipe, recipe.prompt))
        if recipe.attached:
            messages = with_attached(messages, _items(recipe), "text")
        body = {"model": recipe.model, "messages": messages}
        if recipe.output.schema is not None:
            body["response_format"] = _response_format(recipe.output)
        return body | dict(recipe.body)

    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        form = as_mapping(as_mapping(body.get("response_format")).get("json_schema"))
        output = OutputSpec.of_schema(form.get("schema"), str(form.get("name", "")))
        return recovered_recipe(self.path, body, output, {"messages", "response_format"})

    def prompts_of(self, recipe: Recipe, function: PromptFunction) -> PromptFunction:
        return prompts_of(function, lambda prompt: _messages(recipe, prompt))

    def prompt_text(self, body: Mapping[str, Any]) -> str:
        return contents(body["messages"])

    def max_output_tokens(self, body: Mapping[str, Any]) -> int | None:
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        return limit if isinstance(limit, int) else None

    def may_reason(self, body: Mapping[str, Any]) -> bool:
        return is_reasoning(str(body["model"])) and body.get("reasoning_effort") != "none"


def _messages(recipe: Recipe, prompt: Prompt) -> list[PromptMessage]:
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    system = [] if recipe.system is None else [{"role": "system", "content": recipe.system}]
    return [*system, *messages]


def _items(recipe: Recipe) -> list[MoreItems]:
    """Return the slots of the images and files of a row."""
    items = []
    if recipe.images is not None:
        before, after = '{"type":"image_url","image_url":{"url":', detail_json(recipe.images)
        items.append(MoreItems(image_columns(recipe.images), before, f"{after}}}}}"))
    if recipe.files is not None:
        before = f'{{"type":"file","file":{{"filename":"{FILE_NAME}","file_data":'
        items += file_items(recipe.files, (before, "}}"))
    return items


def _response_format(output: OutputSpec) -> dict[str, Any]:
    schema = {"name": output.schema_name, "strict": True, "schema": output.schema}
    return {"type": "json_schema", "json_schema": schema}


CHAT: Final = _Chat()
