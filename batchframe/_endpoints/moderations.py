"""``/v1/moderations``: text in, flagged categories out; free at OpenAI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pyarrow as pa

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import RequestError
from batchframe._endpoints.endpoint import Answer, Response, only_good, tokens_of
from batchframe._endpoints.prompts import TextEndpoint
from batchframe._output import Field, OutputSpec, ParsedAnswers
from batchframe._recipe.recipe import Recipe

# OpenAI moderation guide, 2026-11. Older text models omit "illicit" and its subcategories.
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


class _Verdict(msgspec.Struct):
    flagged: bool
    categories: dict[str, bool | None]
    category_scores: dict[str, float | None]


class _Verdicts(msgspec.Struct):
    results: list[_Verdict]


_decode_verdict = msgspec.json.Decoder(_Verdict).decode


class _Moderation(Response):
    # Unchanged, for bf_raw.
    results: list[msgspec.Raw]
    usage: Any = None

    def answer(self) -> Answer:
        for raw in self.results:
            _decode_verdict(raw)
        # Services other than OpenAI may count and bill input tokens.
        tokens = tokens_of(self.usage)
        if len(self.results) != 1:
            wrong = f"the response has {len(self.results)} results for one input"
            return Answer("invalid", wrong, None, None, *tokens)
        return Answer("ok", None, bytes(self.results[0]).decode(), None, *tokens)


class _Moderations(TextEndpoint):
    path = EndpointPath.MODERATIONS
    response = _Moderation
    response_name = "a moderation"
    prompt_key = "input"
    has_framing = False
    answer_type = "flags and scores, each in a column"

    def output_spec(self, output: object, name: str | None) -> OutputSpec:
        """Reject ``output=`` and ``name=``."""
        spec = super().output_spec(output, None)
        if name is not None:
            raise RequestError(
                f"name: not supported by {self.path}, which has several answer columns ({name!r}). "
                f"Fix: df.bf.join(job, prefix={name + '_'!r})."
            )
        return spec

    def max_output_tokens(self, body: Mapping[str, Any]) -> int:
        return 0

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:
        return _FIELDS

    def read(self, recipe: Recipe, answers: pa.Table, good: pa.ChunkedArray) -> ParsedAnswers:
        texts = only_good(answers["text"], good).to_pylist()
        verdicts = [None if text is None else _decode_verdict(text) for text in texts]
        kinds = {"boolean": pa.bool_(), "number": pa.float64()}
        columns = {
            field.name: pa.array([_value(v, field.path) for v in verdicts], kinds[field.kind])
            for field in _FIELDS
        }
        return ParsedAnswers(pa.table(columns), pa.nulls(len(texts), pa.large_string()))


def _value(verdict: _Verdict | None, path: tuple[str, ...]) -> bool | float | None:
    if verdict is None:
        return None
    value = getattr(verdict, path[0])
    answer: bool | float | None = value.get(path[1]) if len(path) > 1 else value
    return answer


def flagged_categories(response: Any) -> list[tuple[str, ...] | None]:
    """Return the categories of each flagged result, None if not flagged.

    Raises
    ------
    msgspec.ValidationError
        If the body is not a response of this endpoint.

    Examples
    --------
    >>> flags = {"categories": {"hate": True, "violence": False}, "category_scores": {}}
    >>> fine = {"flagged": False, "categories": {}, "category_scores": {}}
    >>> flagged_categories({"results": [{"flagged": True, **flags}, fine]})
    [('hate',), None]
    """
    return [
        tuple(name for name, is_flagged in result.categories.items() if is_flagged)
        if result.flagged
        else None
        for result in msgspec.convert(response, _Verdicts).results
    ]


MODERATIONS: Final = _Moderations()
