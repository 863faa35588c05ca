"""``/v1/responses``: an input in, a list of output items out.

Messages among the items make the text, function calls the tool columns; of reasoning only the
summary is kept. What else a model did to find its answer (searches, programs) is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import RequestError
from batchframe._endpoints.bulk import Places, absent, at, only_items, part, where
from batchframe._endpoints.endpoint import Answer, OrdinaryBody, Wording
from batchframe._endpoints.prompts import (
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
from batchframe._endpoints.usage import RESPONSES_USAGE, token_columns, tokens_of
from batchframe._frames.image_options import ImageInput
from batchframe._models.names import is_reasoning
from batchframe._output import Field, OutputSpec, ParsedAnswers, output_spec
from batchframe._recipe.arguments import Message
from batchframe._recipe.recipe import UNKNOWN_COLUMNS, Recipe
from batchframe._recipe.slots import PROMPT, JsonColumn
from batchframe._recipe.template import parse
from batchframe._tokens.bodies import count_responses
from batchframe._tokens.counter import TokenCount

# The names that chat completions have for them, and those of this endpoint.
_CHAT_WORDS: Final = {
    "max_tokens": "max_output_tokens=...",
    "max_completion_tokens": "max_output_tokens=...",
    "reasoning_effort": 'reasoning={"effort": "low"}',
    "verbosity": 'text={"verbosity": "low"}',
    "functions": "tools=[...]",
    "function_call": "tool_choice=...",
    "instructions": "system=...",
}


class _Responses:
    path = EndpointPath.RESPONSES
    wording: Final = Wording("max_output_tokens", 'reasoning={"effort": "none"}')
    brings: Final = "words"

    @property
    def ordinary(self) -> OrdinaryBody:
        return OrdinaryBody(_PLAIN, _columns)

    def output_spec(self, output: object, name: str | None) -> OutputSpec:
        return output_spec(output, name)

    def check(self, recipe: Recipe) -> None:
        for name, spelling in _CHAT_WORDS.items():
            if name in recipe.body:
                raise RequestError(
                    f"{self.path} does not know {name}=, and would refuse every row. Pass "
                    f"{spelling}."
                )
        if recipe.output.schema is not None and "format" in _mapping(recipe.body.get("text")):
            raise RequestError(
                f"output= and text= both say what form the answers of {self.path} have. Take the "
                '"format" out of text=; what else it holds may stay.'
            )
        check_tools(recipe, "name")

    def body(self, recipe: Recipe) -> dict[str, Any]:
        prompt = JsonColumn(PROMPT) if recipe.prompt is None else with_templates(recipe.prompt)
        if recipe.images is not None:
            prompt = _seen(prompt, recipe.images)
        body: dict[str, Any] = {"model": recipe.model}
        if recipe.system is not None:
            body["instructions"] = parse(recipe.system)
        body["input"] = prompt
        more = dict(recipe.body)
        if recipe.output.schema is not None:
            body["text"] = {**_mapping(more.pop("text", None)), "format": _format(recipe)}
        return body | more

    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        text = dict(_mapping(body.get("text")))
        asked = _mapping(text.get("format"))
        if "schema" in asked:
            del text["format"]
        more = {key: body[key] for key in body.keys() - {"model", "instructions", "input", "text"}}
        return Recipe(
            endpoint=self.path,
            model=str(body["model"]),
            prompt=None,
            system=None,
            output=OutputSpec.of_schema(asked.get("schema"), str(asked.get("name", ""))),
            on_missing="raise",
            dedupe=True,
            body=more | ({"text": text} if text else {}),
            columns=UNKNOWN_COLUMNS,
        )

    def prompts_of(
        self,
        recipe: Recipe,  # noqa: ARG002 - of the protocol
        function: Callable[[Mapping[Any, Any]], Any],
    ) -> Callable[[Mapping[Any, Any]], Any]:
        return prompts_of(function, lambda prompt: prompt)

    def count_tokens(self, body: Mapping[str, Any]) -> TokenCount:
        return count_responses(body)

    def prompt_text(self, body: Mapping[str, Any]) -> str:
        asked = body["input"]
        said = asked if isinstance(asked, str) else contents(asked)
        return "\n\n".join(filter(None, (body.get("instructions"), said)))

    def output_limit(self, body: Mapping[str, Any]) -> int | None:
        limit = body.get("max_output_tokens")
        return limit if isinstance(limit, int) else None

    def output_tokens(self, body: Mapping[str, Any]) -> None:
        """Return None: how much is written depends on the answer."""

    def may_reason(self, body: Mapping[str, Any]) -> bool:
        effort = _mapping(body.get("reasoning")).get("effort")
        return is_reasoning(str(body["model"])) and effort != "none"

    def answer(self, body: bytes) -> Answer:
        try:
            response = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
            return Answer("invalid", f"the response is not one of {self.path}: {reason}", None)
        return _read(response)

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:
        return fields_with_tools(recipe)

    def read(self, recipe: Recipe, answers: pa.Table, good: pa.ChunkedArray) -> ParsedAnswers:
        return read_with_tools(recipe, answers, good)


def _seen(prompt: Any, images: ImageInput) -> list[Message]:
    """Write an input as messages, the images of a row in the last one of the user."""
    messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    # The openai package has `detail` as required here; "auto" is the service's own default.
    before, after = '{"type":"input_image","image_url":', detail_json(images, "auto") + "}"
    return with_images(messages, images, "input_text", before, after)


def _format(recipe: Recipe) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "name": recipe.output.schema_name,
        "strict": True,
        "schema": recipe.output.schema,
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


class _Item(msgspec.Struct):
    """One output item, as far as any kind of it is read; each kind has fields of its own."""

    type: str = ""
    phase: Any = None
    content: Any = None
    summary: Any = None
    name: Any = None
    arguments: Any = None
    input: Any = None


class _Response(msgspec.Struct):
    output: list[_Item]
    status: str | None = None
    error: Any = None
    incomplete_details: Any = None
    usage: Any = None


_decode = msgspec.json.Decoder(_Response).decode


def _read(response: _Response) -> Answer:
    tokens = tokens_of(response.usage)
    messages = [item for item in response.output if item.type == "message"]
    text, refusal = _said(messages)
    why = _mapping(response.incomplete_details).get("reason")
    ended = str(why) if why else response.status
    if response.error is not None or response.status in {"failed", "cancelled"}:
        return Answer("failed", _failure(response), text, ended, *tokens)
    if refusal:
        return Answer("refused", f"the model refused: {refusal}", text, ended, *tokens)
    if why == "content_filter":
        return Answer("refused", "stopped by the content filter", text, ended, *tokens)
    thoughts = _summary(response.output)
    if response.status == "incomplete":
        cut = _TRUNCATED if why == "max_output_tokens" else f"the answer is incomplete: {why}"
        return Answer("truncated", cut, text, ended, *tokens, None, thoughts)
    if response.status in {"queued", "in_progress"}:
        return Answer("invalid", _UNFINISHED.format(response.status), text, ended, *tokens)
    calls = as_json(_calls(response.output))
    if text is None and calls is None:
        return Answer("invalid", "the response has no text", None, ended, *tokens)
    return Answer("ok", None, text, ended, *tokens, calls, thoughts)


_PART: Final = pa.struct({"type": pa.string(), "text": pa.string()})
_PLAIN: Final = pa.struct(
    {
        "output": pa.list_(
            pa.struct(
                {
                    "type": pa.string(),
                    "content": pa.list_(_PART),
                    "summary": pa.list_(_PART),
                }
            )
        ),
        "status": pa.string(),
        "error": pa.struct({"code": pa.string()}),
        "incomplete_details": pa.struct({"reason": pa.string()}),
        "usage": RESPONSES_USAGE,
    }
)


def _columns(responses: pa.StructArray) -> tuple[Places, Mapping[str, pa.Array]]:
    """Return the responses that say one text, to its end, and tell no thoughts."""
    rows, texts = _only_texts(part(responses, "output"))
    whole = at(responses, rows)
    fits, tokens = token_columns(part(whole, "usage"))
    ended = part(whole, "status")
    nothing_wrong = absent(whole, ("error", "incomplete_details"))
    said = where(fits, pc.equal(ended, "completed"), *nothing_wrong)
    columns = {"text": texts, "finish_reason": ended, **tokens}
    return rows[said], {name: at(column, said) for name, column in columns.items()}


def _only_texts(outputs: pa.ListArray) -> tuple[Places, pa.Array]:
    """Return the outputs of one message with one text, beside reasoning that is not told."""
    rows, item = only_items(outputs, ignored=_is_untold)
    of, piece = only_items(part(item, "content"))
    text = part(piece, "text")
    said = where(
        pc.equal(at(part(item, "type"), of), "message"),
        pc.equal(part(piece, "type"), "output_text"),
        pc.is_valid(text),
    )
    return rows[of[said]], at(text, said)


def _is_untold(items: pa.StructArray) -> pa.Array:
    """Tell which items are reasoning without a word of it."""
    reasoning = pc.fill_null(pc.equal(part(items, "type"), "reasoning"), fill_value=False)
    told = pc.or_(*(_has_items(part(items, name)) for name in ("summary", "content")))
    return pc.and_not(reasoning, told)


def _has_items(lists: pa.ListArray) -> pa.Array:
    return pc.fill_null(pc.greater(pc.list_value_length(lists), 0), fill_value=False)


def _said(messages: list[_Item]) -> tuple[str | None, str]:
    """Return what the messages say, and what they refuse."""
    # A model may comment on its work before it answers; the answer is not to be mixed with that.
    final = [item for item in messages if item.phase != "commentary"] or messages
    parts = [part for item in final for part in _list_of_mappings(item.content)]
    texts = [str(part.get("text") or "") for part in parts if part.get("type") == "output_text"]
    refusals = [str(part.get("refusal")) for part in parts if part.get("type") == "refusal"]
    return "".join(texts) if texts else None, " ".join(refusals)


def _summary(items: Iterable[_Item]) -> str | None:
    thoughts = [
        str(part.get("text") or "")
        for item in items
        if item.type == "reasoning"
        for part in (*_list_of_mappings(item.summary), *_list_of_mappings(item.content))
    ]
    return "\n\n".join(filter(None, thoughts)) or None


def _calls(items: Iterable[_Item]) -> list[dict[str, str]]:
    return [
        called(item.name, item.arguments)
        if item.type == "function_call"
        else called_with_text(item.name, item.input)
        for item in items
        if item.type in {"function_call", "custom_tool_call"}
    ]


def _list_of_mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _failure(response: _Response) -> str:
    error = _mapping(response.error)
    told = ": ".join(str(error[key]) for key in ("code", "message") if error.get(key))
    return told or f"the response is {response.status}, and the service gave no reason"


_TRUNCATED: Final = "the answer was cut off at the token limit: raise max_output_tokens"
_UNFINISHED: Final = "the response is {} and not finished: leave background= out"

RESPONSES: Final = _Responses()
