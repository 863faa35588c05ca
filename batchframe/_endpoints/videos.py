"""``/v1/videos``: one text in, and perhaps a first frame; the name of a video out.

A line of a batch is answered with a video object and never with the video (OpenAI video generation
guide, 2026-04): its file is fetched from ``/v1/videos/{id}/content``, for which the service gives
24 hours after the batch. OpenAI shut its own Videos API down on 2026-09-24 (its deprecations page);
other servers speak it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pyarrow as pa

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import RequestError
from batchframe._endpoints.endpoint import Answer, Brings, Wording
from batchframe._endpoints.files import first_files, good_texts
from batchframe._endpoints.texts import (
    TextPrompts,
    recipe_of,
    refuse_all_but_text,
    refuse_output,
    text_leaf,
)
from batchframe._endpoints.usage import tokens_of
from batchframe._frames.image_columns import image_column
from batchframe._output import Field, OutputSpec, ParsedAnswers, output_spec
from batchframe._recipe.recipe import Recipe
from batchframe._recipe.slots import TextColumn
from batchframe._tokens.bodies import count_videos
from batchframe._tokens.counter import TokenCount

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
"""An id that can stand in the path of a URL as it is."""
_VIDEO_ID: Final = "video_id"
_KEPT: Final = (
    "id",
    "status",
    "model",
    "seconds",
    "size",
    "created_at",
    "completed_at",
    "expires_at",
)


class _Videos(TextPrompts):
    path = EndpointPath.VIDEOS
    brings: Brings = "names"
    wording: Final = Wording("")  # nothing is written
    ordinary: Final = None

    def output_spec(self, output: object, name: str | None) -> OutputSpec:
        refuse_output(self.path, output, "its answers are videos, and the column video their paths")
        if name == _VIDEO_ID:
            raise RequestError(
                f"{self.path} has a column {name!r} of its own beside the one that name= calls so. "
                "Choose another name."
            )
        return output_spec(None, "video" if name is None else name)

    def check(self, recipe: Recipe) -> None:
        refuse_all_but_text(recipe)
        if recipe.images is None:
            return
        if recipe.images.detail is not None:
            raise RequestError.no_detail(self.path)
        if len(recipe.images.columns) > 1:
            raise RequestError.too_many_images(self.path, len(recipe.images.columns), 1)
        if recipe.on_missing not in {"raise", "skip"}:
            raise RequestError.nothing_to_edit(self.path, recipe.on_missing)

    def body(self, recipe: Recipe) -> dict[str, Any]:
        first_frame = {}
        if recipe.images is not None:
            first_frame["input_reference"] = {"image_url": TextColumn(image_column(0))}
        return {"model": recipe.model, "prompt": text_leaf(recipe), **first_frame, **recipe.body}

    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        own = {key: body[key] for key in body.keys() - {"input_reference"}}
        return recipe_of(self.path, own, "prompt", "video")

    def count_tokens(self, body: Mapping[str, Any]) -> TokenCount:
        return count_videos(body)

    def prompt_text(self, body: Mapping[str, Any]) -> str:
        return str(body["prompt"])

    def output_limit(self, body: Mapping[str, Any]) -> int | None:  # noqa: ARG002 - of the protocol
        return 0

    def answer(self, body: bytes) -> Answer:
        try:
            video = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
            return Answer("invalid", f"the response is no video: {reason}", None)
        tokens = tokens_of(video.get("usage"))
        name, status = video.get("id"), str(video.get("status"))
        if status in {"failed", "cancelled"}:
            return Answer("failed", _failure(video), None, status, *tokens)
        if status == "expired":
            return Answer("expired", "the video expired before it was made", None, status, *tokens)
        if not isinstance(name, str) or not _ID.fullmatch(name):
            return Answer("invalid", "the response names no video", None, status, *tokens)
        told = {key: video[key] for key in _KEPT if _is_plain(video.get(key))}
        return Answer("ok", None, _encode(told).decode(), status, *tokens)

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:
        return (
            Field(recipe.output.fields[0].name, (), "file"),
            Field(_VIDEO_ID, (), "string"),
        )

    def read(self, recipe: Recipe, answers: pa.Table, good: pa.ChunkedArray) -> ParsedAnswers:
        # The id is there before the file is, and when it never comes.
        ids = [video_of(text) for text in answers["text"].to_pylist()]
        names = first_files(good_texts(answers, good))
        columns = {
            recipe.output.fields[0].name: names,
            _VIDEO_ID: pa.array(ids, pa.large_string()),
        }
        return ParsedAnswers(pa.table(columns), pa.nulls(len(names), pa.large_string()))


def video_of(text: str | None) -> str | None:
    """Return the id of the video that an answer names, if it names one.

    Examples
    --------
    >>> video_of('{"id":"video_1"}'), video_of('{"id":"../files"}'), video_of(None)
    ('video_1', None, None)
    """
    try:
        name = _decode(text).get("id") if text else None
    except (msgspec.DecodeError, RecursionError):
        return None
    return name if isinstance(name, str) and _ID.fullmatch(name) else None


_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _failure(video: Mapping[str, Any]) -> str:
    error = video.get("error")
    error = error if isinstance(error, Mapping) else {}
    told = ": ".join(str(error[key]) for key in ("code", "message") if error.get(key))
    return told or f"the video {video.get('status')}, and the service gave no reason"


VIDEOS: Final = _Videos()
