"""What the image endpoints have in common: how images come back, and what they take.

In: a response body, as ``ImagesResponse`` of openai 3.54.0 has it. Out: an answer with the bytes of
its images; a column of paths.
Must not know: folders, what is asked.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pyarrow as pa

from batchframe._base.file_types import IMAGES, ending_of
from batchframe._base.ranges import Range
from batchframe._endpoints.endpoint import Answer, Brings, Wording
from batchframe._endpoints.files import first_files, good_texts
from batchframe._endpoints.texts import TextPrompts, recipe_of, refuse_output
from batchframe._endpoints.usage import tokens_of
from batchframe._models.names import base_model
from batchframe._output import Field, OutputSpec, ParsedAnswers, output_spec
from batchframe._recipe.recipe import Recipe
from batchframe._tokens.bodies import count_images
from batchframe._tokens.counter import TokenCount

# OpenAI image generation guide, "Cost and latency", 2026-04, for gpt-image-1; what gpt-image-1.5
# costs an image there is the same numbers at its price. Other models: not published in tokens.
_TOKENS: Final[Mapping[tuple[str, str], int]] = {
    ("low", "1024x1024"): 272,
    ("low", "1024x1536"): 408,
    ("low", "1536x1024"): 400,
    ("medium", "1024x1024"): 1_056,
    ("medium", "1024x1536"): 1_584,
    ("medium", "1536x1024"): 1_568,
    ("high", "1024x1024"): 4_160,
    ("high", "1024x1536"): 6_240,
    ("high", "1536x1024"): 6_208,
}
_COUNTED_SO: Final = frozenset({"gpt-image-1", "gpt-image-1.5"})


class Pictures(TextPrompts):
    """What an endpoint answers in the same way as all whose answers are images."""

    path: str
    brings: Brings = "files"
    wording: Final = Wording("")  # an image has the tokens that its size and quality have
    ordinary: Final = None

    def output_spec(self, output: object, name: str | None) -> OutputSpec:
        """Refuse ``output=``; the column is called ``image`` unless `name` says otherwise."""
        refuse_output(self.path, output, "its answers are images, and the column image their paths")
        return output_spec(None, "image" if name is None else name)

    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        """Return what a request body tells of its recipe: all but the prompt."""
        return recipe_of(self.path, body, "prompt", "image")

    def count_tokens(self, body: Mapping[str, Any]) -> TokenCount:
        """Count the input tokens of one request body, as far as that is published."""
        return count_images(body)

    def prompt_text(self, body: Mapping[str, Any]) -> str:
        """Return what a request asks, for a person to read."""
        return str(body["prompt"])

    def output_limit(self, body: Mapping[str, Any]) -> int | None:  # noqa: ARG002 - of the protocol
        """Return None: no parameter bounds it."""
        return None

    def output_tokens(self, body: Mapping[str, Any]) -> Range[int] | None:
        """Return the tokens of an image where they are published.

        Examples
        --------
        >>> from batchframe._endpoints.images import IMAGES
        >>> asked = {"model": "gpt-image-1.5", "quality": "low", "size": "1024x1024"}
        >>> IMAGES.output_tokens(asked)
        Range(low=272, expected=272, high=None)
        """
        known = base_model(str(body["model"])) in _COUNTED_SO
        how = (str(body.get("quality")), str(body.get("size")))
        tokens = _TOKENS.get(how) if known else None
        # gpt-image-1.5 may also write some text on its way, which nothing bounds.
        return None if tokens is None else Range(tokens, tokens, None)

    def answer(self, body: bytes) -> Answer:
        """Read one response body."""
        try:
            made = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
            return Answer("invalid", f"the response is not one of {self.path}: {reason}", None)
        return _read(made)

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:
        """Return the column of paths."""
        return (Field(recipe.output.fields[0].name, (), "file"),)

    def read(self, recipe: Recipe, answers: pa.Table, good: pa.ChunkedArray) -> ParsedAnswers:
        """Read the names of the files; of several images of one answer, the first."""
        names = first_files(good_texts(answers, good))
        table = pa.table({recipe.output.fields[0].name: names})
        return ParsedAnswers(table, pa.nulls(len(names), pa.large_string()))


class _Image(msgspec.Struct):
    b64_json: str | None = None
    url: Any = None
    revised_prompt: Any = None


class _Images(msgspec.Struct):
    data: list[_Image]
    usage: Any = None


_decode = msgspec.json.Decoder(_Images).decode
_encode = msgspec.json.Encoder().encode


def _read(made: _Images) -> Answer:
    tokens = tokens_of(made.usage)
    if not made.data:
        return Answer("invalid", "the response has no image", None, None, *tokens)
    revised = [one.revised_prompt for one in made.data if isinstance(one.revised_prompt, str)]
    told = {"revised_prompt": revised[0]} if revised else {}
    if any(one.b64_json is None for one in made.data):
        links = [one.url for one in made.data if isinstance(one.url, str)]
        text = _encode({**told, "urls": links}).decode() if links else None
        return Answer("invalid", _LINKS if links else _NOTHING, text, None, *tokens)
    files = tuple(map(_bytes_of, (one.b64_json or "" for one in made.data)))
    if not all(ending_of(file) in IMAGES for file in files):
        return Answer("invalid", _NO_IMAGE, None, None, *tokens)
    return Answer("ok", None, _encode(told).decode(), None, *tokens, files=files)


def _bytes_of(encoded: str) -> bytes:
    """Decode base64; nothing of what is none."""
    if encoded.startswith("data:"):  # as some servers write it
        encoded = encoded.partition(",")[2]
    try:
        return binascii.a2b_base64(encoded)
    except (binascii.Error, ValueError):
        return b""


_LINKS: Final = (
    "the response names a URL in place of the image, and batchframe fetches none: it is in bf_raw; "
    'ask with response_format="b64_json"'
)
_NOTHING: Final = "the response has neither an image nor a URL"
_NO_IMAGE: Final = (
    "the response has no PNG, JPEG, GIF, WebP or SVG: its first bytes are of something else"
)
