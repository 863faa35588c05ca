"""``/v1/moderations``: one text in, a verdict out. OpenAI bills nothing for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import RequestError
from batchframe._endpoints.endpoint import Answer, Wording
from batchframe._endpoints.texts import (
    TextPrompts,
    recipe_of,
    refuse_output,
    text_leaf,
)
from batchframe._endpoints.usage import tokens_of
from batchframe._output import Field, OutputSpec, ParsedAnswers, output_spec
from batchframe._recipe.recipe import Recipe
from batchframe._tokens.bodies import COUNTERS
from batchframe._tokens.counter import TokenCount

# OpenAI moderation guide, 2026-11. The older text models leave out "illicit" and what is under it.
CATEGORIES: Final = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
_FIELDS: Final = (
    Field("flagged", ("flagged",), "boolean"),
    *(Field(f"categories.{name}", ("categories", name), "boolean") for name in CATEGORIES),
    *(Field(f"category_scores.{name}", ("category_scores", name), "number") for name in CATEGORIES),
)


class _Moderations(TextPrompts):
    path = EndpointPath.MODERATIONS
    wording: Final = Wording("")  # nothing is written
    ordinary: Final = None

    def output_spec(self, output: object, name: str | None) -> OutputSpec:
        refuse_output(
            self.path, output, "its answers are flags and scores, in columns of their own"
        )
        if name is not None:
            raise RequestError(
                f"name={name!r} renames one answer column, and {self.path} has several. Put "
                "something before all of them when you join: df.bf.join(job, "
                f"prefix={name + '_'!r})."
            )
        return output_spec(None, None)

    def body(self, recipe: Recipe) -> dict[str, Any]:
        return {"model": recipe.model, "input": text_leaf(recipe), **recipe.body}

    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        return recipe_of(self.path, body, "input", None)

    def count_tokens(self, body: Mapping[str, Any]) -> TokenCount:
        return COUNTERS[self.path](body)

    def prompt_text(self, body: Mapping[str, Any]) -> str:
        return str(body["input"])

    def output_limit(self, body: Mapping[str, Any]) -> int | None:  # noqa: ARG002 - of the protocol
        return 0

    def answer(self, body: bytes) -> Answer:
        try:
            moderated = _decode(body)
            for raw in moderated.results:
                _decode_verdict(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
            return Answer("invalid", f"the response is no moderation: {reason}", None)
        # Others than OpenAI may count, and bill, what they read.
        tokens = tokens_of(moderated.usage)
        if len(moderated.results) != 1:
            wrong = f"the response has {len(moderated.results)} results for one text"
            return Answer("invalid", wrong, None, None, *tokens)
        return Answer("ok", None, bytes(moderated.results[0]).decode(), None, *tokens)

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:  # noqa: ARG002 - of the protocol
        return _FIELDS

    def read(
        self,
        recipe: Recipe,  # noqa: ARG002 - of the protocol
        answers: pa.Table,
        good: pa.ChunkedArray,
    ) -> ParsedAnswers:
        texts = pc.if_else(good, answers["text"], pa.scalar(None, pa.large_string())).to_pylist()
        verdicts = [None if text is None else _decode_verdict(text) for text in texts]
        columns: dict[str, pa.Array] = {}
        for field in _FIELDS:
            kind = pa.bool_() if field.kind == "boolean" else pa.float64()
            columns[field.name] = pa.array([_value(one, field.path) for one in verdicts], kind)
        return ParsedAnswers(pa.table(columns), pa.nulls(len(texts), pa.large_string()))


def flagged_categories(told: Any) -> list[tuple[str, ...] | None]:
    """Return the categories of each result that is flagged, None for one that is not.

    Raises
    ------
    msgspec.ValidationError
        If it is no answer of this endpoint.

    Examples
    --------
    >>> flags = {"categories": {"hate": True, "violence": False}, "category_scores": {}}
    >>> fine = {"flagged": False, "categories": {}, "category_scores": {}}
    >>> flagged_categories({"results": [{"flagged": True, **flags}, fine]})
    [('hate',), None]
    """
    return [
        tuple(name for name, is_flagged in one.categories.items() if is_flagged)
        if one.flagged
        else None
        for one in msgspec.convert(told, _Verdicts).results
    ]


class _Verdict(msgspec.Struct):
    flagged: bool
    categories: dict[str, bool | None]
    category_scores: dict[str, float | None]


class _Verdicts(msgspec.Struct):
    results: list[_Verdict]


class _Moderated(msgspec.Struct):
    results: list[msgspec.Raw]
    usage: Any = None


_decode = msgspec.json.Decoder(_Moderated).decode
_decode_verdict = msgspec.json.Decoder(_Verdict).decode


def _value(verdict: _Verdict | None, path: tuple[str, ...]) -> bool | float | None:
    if verdict is None:
        return None
    told = getattr(verdict, path[0])
    value: bool | float | None = told.get(path[1]) if len(path) > 1 else told
    return value


MODERATIONS: Final = _Moderations()
