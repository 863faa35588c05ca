"""``/v1/videos``, read-only: OpenAI shut the API down on 2026-09-24.

A batch line was answered with a video object, and the video was downloaded afterwards. Earlier jobs
are still listed, and the videos in their folders can still be joined.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pyarrow as pa

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.safe_text import NextStep
from batchframe._endpoints.endpoint import (
    Answer,
    AnswerKind,
    Response,
    encode,
    error_message,
    first_files,
    only_good,
    tokens_of,
)
from batchframe._endpoints.prompts import TextEndpoint, text_leaf
from batchframe._frames.attached.columns import image_column
from batchframe._output import Field, ParsedAnswers
from batchframe._recipe.recipe import Recipe
from batchframe._recipe.slots import TextColumn

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_VIDEO_ID: Final = "video_id"


class _Video(Response):
    id: Any = None
    status: Any = None
    model: Any = None
    seconds: Any = None
    size: Any = None
    created_at: Any = None
    completed_at: Any = None
    expires_at: Any = None
    error: Any = None
    usage: Any = None

    def answer(self) -> Answer:
        tokens, status = tokens_of(self.usage), str(self.status)
        if status in {"failed", "cancelled"}:
            reason = f"the video {status}, and the service gave no reason"
            return Answer("failed", error_message(self.error) or reason, None, status, *tokens)
        if status == "expired":
            return Answer("expired", "the video expired before it was made", None, status, *tokens)
        if not isinstance(self.id, str) or not _ID.fullmatch(self.id):
            return Answer("invalid", "the response has no video id", None, status, *tokens)
        names = self.__struct_fields__[: self.__struct_fields__.index("error")]
        content = {name: getattr(self, name) for name in names}
        plain = {
            key: value for key, value in content.items() if isinstance(value, str | int | float)
        }
        return Answer("ok", None, encode(plain).decode(), status, *tokens)


class _Videos(TextEndpoint):
    path = EndpointPath.VIDEOS
    response = _Video
    response_name = "a video"
    answer_kind: AnswerKind = "reference"
    prompt_key = "prompt"
    answer_name = "video"
    retired = (
        "endpoint: /v1/videos was shut down by OpenAI on 2026-09-24. Fix: generate images, "
        'endpoint="/v1/images/generations". Earlier jobs stay readable: '
        + NextStep("bf.job(NAME).results()", "`batchframe fetch JOB --to OUTPUT.csv`")
        + "."
    )

    def body(self, recipe: Recipe) -> dict[str, Any]:
        # `join` matches rows to answers by these bytes.
        body = {"model": recipe.model, "prompt": text_leaf(recipe)}
        if recipe.images is not None:
            body["input_reference"] = {"image_url": TextColumn(image_column(0))}
        return body | dict(recipe.body)

    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        return super().recipe_of({key: body[key] for key in body.keys() - {"input_reference"}})

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:
        return (Field(recipe.output.fields[0].name, (), "file"), Field(_VIDEO_ID, (), "string"))

    def read(self, recipe: Recipe, answers: pa.Table, good: pa.ChunkedArray) -> ParsedAnswers:
        # The id is known even if the file was never downloaded.
        ids = [file_named_in(text) for text in answers["text"].to_pylist()]
        names = first_files(only_good(answers["text"], good).to_pylist())
        columns = {
            recipe.output.fields[0].name: names,
            _VIDEO_ID: pa.array(ids, pa.large_string()),
        }
        return ParsedAnswers(pa.table(columns), pa.nulls(len(names), pa.large_string()))


def file_named_in(text: str | None) -> str | None:
    """Return the id of the video that an answer references, or None.

    Examples
    --------
    >>> file_named_in('{"id":"video_1"}'), file_named_in('{"id":"../files"}'), file_named_in(None)
    ('video_1', None, None)
    """
    try:
        name = _decode(text).id if text else None
    except (msgspec.DecodeError, RecursionError):
        return None
    return name if isinstance(name, str) and _ID.fullmatch(name) else None


_decode = msgspec.json.Decoder(_Video).decode

VIDEOS: Final = _Videos()
