"""Image endpoints: ``/v1/images/generations`` and ``/v1/images/edits``.

In a batch, an edit passes images in the JSON body as ``images``, each with an ``image_url`` that is
an https: or a data: URL (``EditImageBodyJsonParam`` in OpenAI's OpenAPI description, 2026); a line
cannot contain the multipart form that the openai package sends.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pyarrow as pa

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import RequestError
from batchframe._base.file_types import ending_of
from batchframe._base.ranges import Range
from batchframe._base.safe_text import SKIP, option_step, requests_step
from batchframe._endpoints.endpoint import (
    Answer,
    AnswerKind,
    Response,
    encode,
    first_files,
    only_good,
    tokens_of,
)
from batchframe._endpoints.prompts import (
    TextEndpoint,
    image_columns,
    refuse_all_but_text,
    text_leaf,
)
from batchframe._models.names import base_model
from batchframe._output import Field, ParsedAnswers
from batchframe._recipe.recipe import Recipe
from batchframe._recipe.slots import MoreItems

# OpenAI image generation guide, "Cost and latency", 2026-04, for gpt-image-1; its image costs for
# gpt-image-1.5 imply the same token counts. Other models: not published.
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
_WITH_PUBLISHED_TOKENS: Final = frozenset({"gpt-image-1", "gpt-image-1.5"})
_MOST: Final = 16
"""Maximum images of one edit (openai 3.54.0, ImageEditParams)."""


class _Image(msgspec.Struct):
    b64_json: str | None = None
    url: Any = None
    revised_prompt: Any = None


class _Images(Response):
    # Follows `ImagesResponse` of openai 3.54.0.
    data: list[_Image]
    usage: Any = None

    def answer(self) -> Answer:
        tokens = tokens_of(self.usage)
        if not self.data:
            return Answer("invalid", "the response has no image", None, None, *tokens)
        revised = [
            image.revised_prompt for image in self.data if isinstance(image.revised_prompt, str)
        ]
        content = {"revised_prompt": revised[0]} if revised else {}
        if any(image.b64_json is None for image in self.data):
            links = [image.url for image in self.data if isinstance(image.url, str)]
            text = encode({**content, "urls": links}).decode() if links else None
            return Answer("invalid", _LINKS if links else _NOTHING, text, None, *tokens)
        files = tuple(_decode_base64(image.b64_json or "") for image in self.data)
        if not all(map(ending_of, files)):
            return Answer("invalid", _NO_IMAGE, None, None, *tokens)
        return Answer("ok", None, encode(content).decode(), None, *tokens, files=files)


def _decode_base64(encoded: str) -> bytes:
    """Decode base64; return empty bytes for invalid input."""
    if encoded.startswith("data:"):  # as some servers write it
        encoded = encoded.partition(",")[2]
    try:
        return binascii.a2b_base64(encoded)
    except (binascii.Error, ValueError):
        return b""


class _Generations(TextEndpoint):
    path = EndpointPath.IMAGES
    response = _Images
    answer_kind: AnswerKind = "file"
    prompt_key = "prompt"
    answer_name = "image"
    answer_type = "images; the answer column has their paths"

    def output_tokens(self, body: Mapping[str, Any]) -> Range[int] | None:
        """Return the output tokens of an image, if published.

        Examples
        --------
        >>> asked = {"model": "gpt-image-1.5", "quality": "low", "size": "1024x1024"}
        >>> IMAGES.output_tokens(asked)
        Range(low=272, expected=272, high=None)
        """
        if base_model(str(body["model"])) not in _WITH_PUBLISHED_TOKENS:
            return None
        tokens = _TOKENS.get((str(body.get("quality")), str(body.get("size"))))
        # gpt-image-1.5 may also output text, without an upper bound.
        return None if tokens is None else Range(tokens, tokens, None)

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:
        return (Field(recipe.output.fields[0].name, (), "file"),)

    def read(self, recipe: Recipe, answers: pa.Table, good: pa.ChunkedArray) -> ParsedAnswers:
        """Read the paths of the files; the first for answers with several images."""
        names = first_files(only_good(answers["text"], good).to_pylist())
        table = pa.table({recipe.output.fields[0].name: names})
        return ParsedAnswers(table, pa.nulls(len(names), pa.large_string()))


class _Edits(_Generations):
    path = EndpointPath.IMAGE_EDITS

    def check(self, recipe: Recipe) -> None:
        """Raise for arguments besides the text and the images, or missing images."""
        refuse_all_but_text(recipe)
        if recipe.images is None:
            raise RequestError(
                f"images: required by {self.path}. Fix: "
                + requests_step('images="photo"')
                + '. To generate images from text: endpoint="/v1/images/generations".'
            )
        if recipe.images.detail is not None:
            raise RequestError(
                f"image_detail: not supported by {self.path}. Fix: omit it; for gpt-image-1.5, "
                'pass input_fidelity="high" instead.'
            )
        if len(recipe.images.columns) > _MOST:
            raise RequestError(
                f"images: more columns ({len(recipe.images.columns):,}) than {self.path} accepts. "
                f"Fix: pass at most {_MOST}."
            )
        if recipe.on_missing not in {"raise", "skip"}:
            raise RequestError(
                option_step("on_missing", repr(recipe.on_missing))
                + f": not supported by {self.path}, which needs an image in every request.",
                next_step="Fix: " + SKIP + " leaves out rows without an image.",
            )

    def body(self, recipe: Recipe) -> dict[str, Any]:
        columns = () if recipe.images is None else image_columns(recipe.images)
        images = [MoreItems(columns, '{"image_url":', "}", alone=True)]
        prompt = text_leaf(recipe)
        return {"model": recipe.model, "prompt": prompt, "images": images, **recipe.body}

    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        return super().recipe_of({key: body[key] for key in body.keys() - {"images"}})


_LINKS: Final = (
    'the response has a URL instead of the image (see bf_raw): pass response_format="b64_json"'
)
_NOTHING: Final = "the response has neither an image nor a URL"
_NO_IMAGE: Final = "the response is not a PNG, JPEG, GIF, WebP or SVG image"

IMAGES: Final = _Generations()
EDITS: Final = _Edits()
