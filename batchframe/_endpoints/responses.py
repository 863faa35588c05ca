"""``/v1/responses``: an input in, a list of output items out.

Message items become the text, function calls the tool columns, and reasoning its summary. Other
steps of the model (searches, programs) are omitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import RequestError
from batchframe._base.lenient_json import as_mapping, objects_in
from batchframe._base.safe_text import NextStep
from batchframe._endpoints.bulk import RESPONSES as COLUMNAR
from batchframe._endpoints.endpoint import (
    Answer,
    OutputLimit,
    PromptFunction,
    Response,
    error_message,
    recovered_recipe,
    tokens_of,
)
from batchframe._endpoints.prompts import (
    FILE_NAME,
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
from batchframe._recipe.arguments import Message
from batchframe._recipe.recipe import Recipe
from batchframe._recipe.slots import PROMPT, JsonColumn, MoreItems
from batchframe._recipe.template import parse
from batchframe._tokens.bodies import count_responses

# Maps parameter names of chat completions to those of this endpoint.
_CHAT_NAMES: Final = {
    "max_tokens": "max_output_tokens=...",
    "max_completion_tokens": "max_output_tokens=...",
    "reasoning_effort": 'reasoning={"effort": "low"}',
    "verbosity": 'text={"verbosity": "low"}',
    "functions": "tools=[...]",
    "function_call": "tool_choice=...",
    "instructions": "system=...",
}
_TRUNCATED: Final = "the answer was cut off at the token limit: raise max_output_tokens"
_UNFINISHED: Final = "the response is still {}: omit background="


class _Item(msgspec.Struct):
    """One output item of any type, with the fields that batchframe reads."""

    type: str = ""
    phase: Any = None
    content: Any = None
    summary: Any = None
    name: Any = None
    arguments: Any = None
    input: Any = None


class _Response(Response):
    output: list[_Item]
    status: str | None = None
    error: Any = None
    incomplete_details: Any = None
    usage: Any = None

    def answer(self) -> Answer:
        tokens = tokens_of(self.usage)
        text, refusal = _text_and_refusal([item for item in self.output if item.type == "message"])
        reason = as_mapping(self.incomplete_details).get("reason")
        ended = str(reason) if reason else self.status
        if self.error is not None or self.status in {"failed", "cancelled"}:
            silent = f"the response is {self.status}, and the service gave no reason"
            return Answer("failed", error_message(self.error) or silent, text, ended, *tokens)
        if refusal:
            return Answer("refused", f"the model refused: {refusal}", text, ended, *tokens)
        if reason == "content_filter":
            return Answer("refused", "stopped by the content filter", text, ended, *tokens)
        reasoning = _reasoning(self.output)
        if self.status == "incomplete":
            limited = reason == "max_output_tokens"
            error = _TRUNCATED if limited else f"the answer is incomplete: {reason}"
            return Answer("truncated", error, text, ended, *tokens, None, reasoning)
        if self.status in {"queued", "in_progress"}:
            return Answer("invalid", _UNFINISHED.format(self.status), text, ended, *tokens)
        calls = as_json(_calls(self.output))
        if text is None and calls is None:
            return Answer("invalid", "the response has no text", None, ended, *tokens)
        return Answer("ok", None, text, ended, *tokens, calls, reasoning)


def _text_and_refusal(messages: list[_Item]) -> tuple[str | None, str]:
    # A model may comment before it answers; comments are not part of the answer.
    final = [item for item in messages if item.phase != "commentary"] or messages
    parts = [part for item in final for part in objects_in(item.content)]
    texts = [str(part.get("text") or "") for part in parts if part.get("type") == "output_text"]
    refusals = [str(part.get("refusal")) for part in parts if part.get("type") == "refusal"]
    return "".join(texts) if texts else None, " ".join(refusals)


def _reasoning(items: Iterable[_Item]) -> str | None:
    texts = [
        str(part.get("text") or "")
        for item in items
        if item.type == "reasoning"
        for part in (*objects_in(item.summary), *objects_in(item.content))
    ]
    return "\n\n".join(filter(None, texts)) or None


def _calls(items: Iterable[_Item]) -> list[dict[str, str]]:
    return [
        function_call(item.name, item.arguments)
        if item.type == "function_call"
        else custom_call(item.name, item.input)
        for item in items
        if item.type in {"function_call", "custom_tool_call"}
    ]


class _Responses(ToolEndpoint):
    path = EndpointPath.RESPONSES
    response = _Response
    output_limit = OutputLimit("max_output_tokens", 'reasoning={"effort": "none"}')
    columnar = COLUMNAR
    tool_key = "name"
    count_tokens = staticmethod(count_responses)

    def check(self, recipe: Recipe) -> None:
        """Reject parameters of chat completions, and a second output format."""
        for name, spelling in _CHAT_NAMES.items():
            if name in recipe.body:
                raise RequestError(
                    f"{name}: not a parameter of {self.path}; the service would reject every "
                    f"request. Fix: {spelling}."
                )
        if recipe.output.schema is not None and "format" in as_mapping(recipe.body.get("text")):
            raise RequestError(
                NextStep("output", "--output") + ", text: both define the answer format.",
                next_step='Fix: remove "format" from text=; other keys can stay.',
            )
        super().check(recipe)

    def body(self, recipe: Recipe) -> dict[str, Any]:
        prompt = JsonColumn(PROMPT) if recipe.prompt is None else with_templates(recipe.prompt)
        if recipe.attached:
            prompt = _with_attached(prompt, recipe)
        body: dict[str, Any] = {"model": recipe.model}
        if recipe.system is not None:
            body["instructions"] = parse(recipe.system)
        body["input"] = prompt
        more = dict(recipe.body)
        if recipe.output.schema is not None:
            form = _format(recipe.output)
            body["text"] = {**as_mapping(more.pop("text", None)), "format": form}
        return body | more

    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        text = as_mapping(body.get("text"))
        form = as_mapping(text.get("format"))
        output = OutputSpec.of_schema(form.get("schema"), str(form.get("name", "")))
        text_options = {
            name: text[name] for name in text if name != "format" or "schema" not in form
        }
        parameters = {name: body[name] for name in body if name != "text"}
        if text_options:
            parameters["text"] = text_options
        return recovered_recipe(self.path, parameters, output, {"instructions", "input"})

    def prompts_of(self, recipe: Recipe, function: PromptFunction) -> PromptFunction:
        return prompts_of(function, lambda prompt: prompt)

    def prompt_text(self, body: Mapping[str, Any]) -> str:
        prompt = body["input"]
        text = prompt if isinstance(prompt, str) else contents(prompt)
        return "\n\n".join(filter(None, (body.get("instructions"), text)))

    def may_reason(self, body: Mapping[str, Any]) -> bool:
        effort = as_mapping(body.get("reasoning")).get("effort")
        return is_reasoning(str(body["model"])) and effort != "none"


def _with_attached(prompt: Any, recipe: Recipe) -> list[Message]:
    """Convert an input to messages, with images and files in the last one."""
    messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    items = []
    if recipe.images is not None:
        # The openai package requires `detail` here; "auto" is the service's default.
        before, after = '{"type":"input_image","image_url":', detail_json(recipe.images, "auto")
        items.append(MoreItems(image_columns(recipe.images), before, after + "}"))
    if recipe.files is not None:
        url = '{"type":"input_file","file_url":'
        data = f'{{"type":"input_file","filename":"{FILE_NAME}","file_data":'
        items += file_items(recipe.files, (data, "}"), (url, "}"))
    return with_attached(messages, items, "input_text")


def _format(output: OutputSpec) -> dict[str, Any]:
    header = {"type": "json_schema", "name": output.schema_name}
    return {**header, "strict": True, "schema": output.schema}


RESPONSES: Final = _Responses()
