"""``/v1/embeddings``: one string in, one vector out.

One request embeds one row. OpenAI accepts up to 2,048 strings and 300,000 tokens per request, but
packing them is not cheaper: tokens are billed, a batch is limited to 50,000 strings either way, and
one rejected string would fail the entire request. A single string, of at most 8,192 tokens, is far
below the limit of a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import RequestError
from batchframe._endpoints.endpoint import Answer, Response, tokens_of
from batchframe._endpoints.prompts import TextEndpoint, text_leaf
from batchframe._output import Field, ParsedAnswers
from batchframe._recipe.recipe import Recipe

# Exactly the model's 32-bit floats, in half the bytes of decimal digits.
_TRANSPORT: Final = {"encoding_format": "base64"}
_BYTES: Final = 4


class _Embedding(msgspec.Struct):
    # The decoder reads base64 into bytes.
    embedding: bytes | list[float]


class _Embeddings(Response):
    data: list[_Embedding]
    usage: Any = None

    def answer(self) -> Answer:
        tokens = tokens_of(self.usage)
        if len(self.data) != 1:
            wrong = f"the response has {len(self.data)} vectors for one input"
            return Answer("invalid", wrong, None, None, *tokens)
        vector = self.data[0].embedding
        if not isinstance(vector, bytes):
            vector = np.asarray(vector, "<f4").tobytes()
        if not vector or len(vector) % _BYTES:
            return Answer(
                "invalid", "the vector does not consist of 32-bit floats", None, None, *tokens
            )
        return Answer("ok", None, None, None, *tokens, vector=vector)


class _EmbeddingsEndpoint(TextEndpoint):
    path = EndpointPath.EMBEDDINGS
    response = _Embeddings
    response_name = "an embedding"
    prompt_key = "input"
    has_framing = False
    answer_name = "embedding"
    answer_type = "vectors"

    def check(self, recipe: Recipe) -> None:
        """Raise unless the prompt is one string and dimensions are an int."""
        super().check(recipe)
        dimensions = recipe.body.get("dimensions")
        if dimensions is not None and not _is_dimensions(dimensions):
            raise RequestError.invalid_argument("dimensions", dimensions, "an int such as 512")

    def body(self, recipe: Recipe) -> dict[str, Any]:
        return {"model": recipe.model, "input": text_leaf(recipe), **_TRANSPORT, **recipe.body}

    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        parameters = {key: value for key, value in body.items() if _TRANSPORT.get(key) != value}
        return super().recipe_of(parameters)

    def max_output_tokens(self, body: Mapping[str, Any]) -> int:
        return 0

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:
        return (Field(recipe.output.fields[0].name, (), "vector"),)

    def read(self, recipe: Recipe, answers: pa.Table, good: pa.ChunkedArray) -> ParsedAnswers:
        name, dimensions = recipe.output.fields[0].name, recipe.body.get("dimensions")
        # A manifest is not validated like user input.
        length = dimensions if _is_dimensions(dimensions) else None
        return read_vectors(answers["vector"], good, name, length)


def _is_dimensions(value: object) -> bool:
    return type(value) is int and 1 <= value <= _MOST_DIMENSIONS


_MOST_DIMENSIONS: Final = 1 << 20


def read_vectors(
    vectors: pa.ChunkedArray, good: pa.ChunkedArray, name: str, dimensions: int | None = None
) -> ParsedAnswers:
    """Read the vectors of the requested, or else the most common, length.

    Nothing is copied if every answer is good.

    Examples
    --------
    >>> one, two = np.array([[1, 2], [3, 4]], "<f4")
    >>> vectors = pa.chunked_array([[one.tobytes(), None, two.tobytes()]], pa.large_binary())
    >>> read_vectors(vectors, pc.is_valid(vectors), "embedding").columns["embedding"].to_pylist()
    [[1.0, 2.0], None, [3.0, 4.0]]
    """
    lengths = np.asarray(pc.fill_null(pc.binary_length(vectors), 0).to_numpy())
    sizes = lengths // _BYTES
    nonempty = np.asarray(good.to_numpy(), dtype=bool) & (sizes > 0)
    length = dimensions or _most_common(sizes[nonempty])
    valid = nonempty & (lengths == length * _BYTES)
    columns, start = [], 0
    for chunk in vectors.chunks:
        columns.append(_vectors(chunk, valid[start : start + len(chunk)], length))
        start += len(chunk)
    kind = pa.list_(pa.float32(), length)
    table = pa.table({name: pa.chunked_array(columns, kind)})
    return ParsedAnswers(table, _errors(sizes, nonempty & ~valid, length))


def _most_common(sizes: npt.NDArray[Any]) -> int:
    lengths, often = np.unique(sizes, return_counts=True)
    return int(lengths[often.argmax()]) if len(lengths) else 1


def _vectors(chunk: pa.Array, valid: npt.NDArray[np.bool_], length: int) -> pa.Array:
    if valid.all() and len(chunk):
        _, offsets, data = chunk.buffers()
        first = np.frombuffer(offsets, np.int64)[chunk.offset]
        numbers = np.frombuffer(data, "<f4", len(chunk) * length, int(first))
        return pa.FixedSizeListArray.from_arrays(pa.array(numbers), length)
    matrix = np.zeros((len(chunk), length), np.float32)
    if valid.any():
        texts = chunk.filter(pa.array(valid)).to_pylist()
        matrix[valid] = np.frombuffer(b"".join(texts), "<f4").reshape(-1, length)
    return pa.FixedSizeListArray.from_arrays(
        pa.array(matrix.ravel()), length, mask=pa.array(~valid)
    )


def _errors(sizes: npt.NDArray[Any], wrong: npt.NDArray[np.bool_], length: int) -> pa.Array:
    errors = np.full(len(sizes), None, dtype=object)
    errors[wrong] = [f"the vector has {n:,} dimensions instead of {length:,}" for n in sizes[wrong]]
    return pa.array(errors, pa.large_string())


EMBEDDINGS: Final = _EmbeddingsEndpoint()
