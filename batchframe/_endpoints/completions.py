"""``/v1/completions``: one text in, its continuation out. OpenAI keeps it for older models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._endpoints.endpoint import Answer, Wording
from batchframe._endpoints.texts import (
    TextPrompts,
    recipe_of,
    refuse_output,
    text_leaf,
)
from batchframe._endpoints.usage import tokens_of
from batchframe._output import Field, OutputSpec, ParsedAnswers, output_spec, parse_answers
from batchframe._recipe.recipe import Recipe
from batchframe._tokens.bodies import COUNTERS
from batchframe._tokens.counter import TokenCount


class _Completions(TextPrompts):
    path = EndpointPath.COMPLETIONS
    wording: Final = Wording("max_tokens")
    ordinary: Final = None

    def output_spec(self, output: object, name: str | None) -> OutputSpec:
        refuse_output(self.path, output, _ANSWERS)
        return output_spec(None, name)

    def body(self, recipe: Recipe) -> dict[str, Any]:
        return {"model": recipe.model, "prompt": text_leaf(recipe), **recipe.body}

    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        return recipe_of(self.path, body, "prompt", None)

    def count_tokens(self, body: Mapping[str, Any]) -> TokenCount:
        return COUNTERS[self.path](body)

    def prompt_text(self, body: Mapping[str, Any]) -> str:
        return str(body["prompt"])

    def output_limit(self, body: Mapping[str, Any]) -> int | None:
        limit, drafts = body.get("max_tokens"), body.get("best_of")
        each = limit if isinstance(limit, int) else _UNLESS_TOLD
        # The drafts that are thrown away are billed, too.
        return each * max(drafts, 1) if isinstance(drafts, int) else each

    def answer(self, body: bytes) -> Answer:
        try:
            completion = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
            return Answer("invalid", f"the response is not a completion: {reason}", None)
        return _read(completion)

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:
        return recipe.output.fields

    def read(self, recipe: Recipe, answers: pa.Table, good: pa.ChunkedArray) -> ParsedAnswers:
        texts = pc.if_else(good, answers["text"], pa.scalar(None, pa.large_string()))
        return parse_answers(recipe.output, texts)


class _Choice(msgspec.Struct):
    text: str | None = None
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: Any = None


_decode = msgspec.json.Decoder(_Completion).decode


def _read(completion: _Completion) -> Answer:
    tokens = tokens_of(completion.usage)
    if not completion.choices:
        return Answer("invalid", "the response has no choices", None, None, *tokens)
    text, ended = completion.choices[0].text, completion.choices[0].finish_reason
    if ended == "content_filter":
        return Answer("refused", "stopped by the content filter", text, ended, *tokens)
    if ended == "length":
        return Answer("truncated", _TRUNCATED, text, ended, *tokens)
    if text is None:
        return Answer("invalid", "the response has no text", None, ended, *tokens)
    return Answer("ok", None, text, ended, *tokens)


# OpenAI API reference, 2026-11: what max_tokens is here where nobody names it.
_UNLESS_TOLD: Final = 16
_ANSWERS: Final = 'it writes text only; for labels or fields use endpoint="/v1/chat/completions"'
_TRUNCATED: Final = (
    f"the answer was cut off at the token limit: raise max_tokens, which is {_UNLESS_TOLD} "
    "unless you name it"
)

COMPLETIONS: Final = _Completions()
