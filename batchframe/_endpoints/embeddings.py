"""``/v1/embeddings``: one text in, one vector out.

One request embeds one row. OpenAI takes up to 2,048 texts and 300,000 tokens in a request; to pack
them would not be cheaper, since tokens are what is billed and 50,000 texts are the most of a batch
either way, and one refused text would fail all that travel with it. A text alone, of 8,192 tokens
at most, is far below what a request may have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from batchframe._base.errors import RequestError
from batchframe._endpoints.endpoint import Answer, Wording
from batchframe._endpoints.texts import (
    TextPrompts,
    recipe_of,
    refuse_output,
    text_leaf,
)
from batchframe._endpoints.usage import tokens_of
from batchframe._endpoints.vectors import read_vectors
from batchframe._output import Field, OutputSpec, ParsedAnswers, output_spec
from batchframe._recipe.recipe import Recipe
from batchframe._tokens.bodies import count_embeddings
from batchframe._tokens.counter import TokenCount

# Exactly the model's 32-bit floats, in half the bytes that decimal digits take.
_TRANSPORT: Final = {"encoding_format": "base64"}
_BYTES: Final = 4


class _Embeddings(TextPrompts):
    path: Final = "/v1/embeddings"
    wording: Final = Wording("")  # nothing is written
    ordinary: Final = None

    def output_spec(self, output: object, name: str | None) -> OutputSpec:
        refuse_output(self.path, output, "its answers are vectors, in the column embedding")
        return output_spec(None, "embedding" if name is None else name)

    def check(self, recipe: Recipe) -> None:
        super().check(recipe)
        dimensions = recipe.body.get("dimensions")
        if dimensions is not None and not _is_dimensions(dimensions):
            raise RequestError.not_a_word(
                keyword="dimensions", value=dimensions, wanted="a whole number such as 512"
            )

    def body(self, recipe: Recipe) -> dict[str, Any]:
        return {"model": recipe.model, "input": text_leaf(recipe), **_TRANSPORT, **recipe.body}

    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        own = {key: value for key, value in body.items() if _TRANSPORT.get(key) != value}
        return recipe_of(self.path, own, "input", "embedding")

    def count_tokens(self, body: Mapping[str, Any]) -> TokenCount:
        return count_embeddings(body)

    def prompt_text(self, body: Mapping[str, Any]) -> str:
        return str(body["input"])

    def output_limit(self, body: Mapping[str, Any]) -> int | None:  # noqa: ARG002 - of the protocol
        return 0

    def answer(self, body: bytes) -> Answer:
        try:
            embedded = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
            return Answer("invalid", f"the response is no embedding: {reason}", None)
        return _read(embedded)

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:
        return (Field(recipe.output.fields[0].name, (), "vector"),)

    def read(self, recipe: Recipe, answers: pa.Table, good: pa.ChunkedArray) -> ParsedAnswers:
        name, dimensions = recipe.output.fields[0].name, recipe.body.get("dimensions")
        # A manifest is not checked as what a user writes is.
        length = dimensions if _is_dimensions(dimensions) else None
        return read_vectors(answers["vector"], good, name, length)


def _is_dimensions(value: object) -> bool:
    return type(value) is int and 1 <= value <= _MOST_DIMENSIONS


_MOST_DIMENSIONS: Final = 1 << 20


class _Embedding(msgspec.Struct):
    # The decoder reads base64 where bytes are wanted.
    embedding: bytes | list[float]


class _Embedded(msgspec.Struct):
    data: list[_Embedding]
    usage: Any = None


_decode = msgspec.json.Decoder(_Embedded).decode


def _read(embedded: _Embedded) -> Answer:
    tokens = tokens_of(embedded.usage)
    if len(embedded.data) != 1:
        wrong = f"the response has {len(embedded.data)} vectors for one text"
        return Answer("invalid", wrong, None, None, *tokens)
    told = embedded.data[0].embedding
    vector = told if isinstance(told, bytes) else np.asarray(told, "<f4").tobytes()
    if not vector or len(vector) % _BYTES:
        return Answer("invalid", "the vector is not one of 32-bit floats", None, None, *tokens)
    return Answer("ok", None, None, None, *tokens, vector=vector)


EMBEDDINGS: Final = _Embeddings()
