"""``/v1/videos``: the name of a video out of the batch, the file fetched behind it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pandas as pd
import pytest
from openai.types import Video

import batchframe as bf
from batchframe._models.rules import check_model
from batchframe.errors import CostError, RequestError
from tests.support.pictures import data_url, png

PATH = "/v1/videos"
MODEL = "sora-2"
FRAME = pd.DataFrame({"text": ["a red kite", "a blue kite", "a red kite"]})
ID = "video_" + "0a" * 16

# A video object of the OpenAI API reference (2026-04); in a batch it is in a terminal state.
VIDEO = {
    "id": ID,
    "object": "video",
    "model": "sora-2",
    "status": "completed",
    "progress": 100,
    "created_at": 1712697600,
    "completed_at": 1712697900,
    "expires_at": 1712784300,
    "size": "1024x1792",
    "seconds": "8",
    "quality": "standard",
    "error": None,
    "remixed_from_video_id": None,
}


def film(frame: pd.DataFrame = FRAME, **asked: Any) -> bf.Requests:
    asked = {"prompt": "{{ text }}", "model": MODEL, "endpoint": PATH, **asked}
    return frame.bf.requests(**asked)


def test_the_shape_is_that_of_the_openai_package() -> None:
    assert Video.model_validate({**VIDEO, "prompt": None}).status == "completed"


def test_a_request_is_one_text_and_perhaps_a_first_frame() -> None:
    assert film(seconds="8").preview(1)[0]["body"] == {
        "model": MODEL,
        "prompt": "a red kite",
        "seconds": "8",
    }
    frame = FRAME.assign(photo=[png(), None, png()])
    with_frame = film(frame, images="photo", on_missing="skip").preview()
    assert [line["body"]["input_reference"] for line in with_frame] == [
        {"image_url": data_url(png())}
    ]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"output": bool}, "leave output= out"),
        ({"system": "Be bold."}, "no system message"),
        ({"images": ["text", "text"]}, "1 at most"),
        ({"images": "text", "on_missing": "empty"}, "skip"),
        ({"images": "text", "image_detail": "low"}, "leave image_detail= out"),
    ],
)
def test_what_has_no_place_is_refused(asked: Any, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        film(**asked)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("told", "status", "words"),
    [
        (
            {"status": "failed", "error": {"code": "moderation_blocked", "message": "Blocked."}},
            "failed",
            "moderation_blocked: Blocked.",
        ),
        ({"status": "failed"}, "failed", "gave no reason"),
        ({"status": "expired"}, "expired", "expired"),
        ({"id": None}, "invalid", "names no video"),
        ({"id": "../files/file-1"}, "invalid", "names no video"),
        ({"id": "video_1?variant=x"}, "invalid", "names no video"),
        ({"id": ["video_1"]}, "invalid", "names no video"),
    ],
)
def test_what_names_no_video_is_told(
    told: dict[str, Any], status: str, words: str, read: Callable[[str, Any], dict[str, Any]]
) -> None:
    answer = read(PATH, {**VIDEO, **told})
    assert (answer["status"], answer["text"]) == (status, None)
    assert words in answer["error"]


@pytest.mark.parametrize("told", [None, [], "video_1", 7])
def test_what_is_no_object_is_invalid(
    told: Any, read: Callable[[str, Any], dict[str, Any]]
) -> None:
    assert read(PATH, told)["status"] == "invalid"


def test_what_videos_cost_is_not_guessed() -> None:
    estimate = film().estimate(prices={"input": 1, "output": 2})
    assert (estimate.cost, estimate.standard_cost) == (None, None)
    assert any("by the second" in note for note in estimate.notes)
    assert not any("prices=" in note for note in estimate.notes)
    with pytest.raises(CostError, match="by the second"):
        film(allow=["model"]).submit(max_cost=1, prices={"input": 1, "output": 2})


def test_openai_shut_its_own_down_and_the_estimate_says_so() -> None:
    assert any("shut sora-2 down on 2026-09-24" in note for note in film().estimate().notes)
    with pytest.raises(RequestError, match="sora-2"):
        check_model("sora-2", date(2026, 9, 24))


def test_a_pilot_says_what_to_do_instead() -> None:
    with pytest.raises(RequestError, match=r"head\(5\)"):
        film().pilot(2)


def test_a_name_that_is_the_other_columns_is_refused() -> None:
    with pytest.raises(RequestError, match="Choose another name"):
        film(name="video_id")


def test_a_comparison_prices_no_video_by_tokens() -> None:
    assert film().compare(["sora-2", "gpt-4.1"])["low"].isna().all()
