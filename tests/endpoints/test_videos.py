"""``/v1/videos``: the name of a video out of the batch, the file fetched behind it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import openai
import pandas as pd
import pytest
from openai.types import Video

import batchframe as bf
import batchframe.local
from batchframe._models.rules import check_model
from batchframe.errors import CostError, RequestError, ServiceError
from batchframe.local import Fault
from tests.images.pictures import data_url, png

PATH = "/v1/videos"
MODEL = "sora-2"
FRAME = pd.DataFrame({"text": ["a red kite", "a blue kite", "a red kite"]})
CONTENT = "GET /v1/videos/{id}/content"
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


def test_the_file_is_fetched_and_its_path_is_the_column(server: batchframe.local.Server) -> None:
    job = film().submit("films", client=server.client()).wait()
    assert (job.done, job.counts, job.cost) == (True, {"ok": 3}, None)
    joined = FRAME.iloc[::-1].bf.join("films", details=True)
    paths = [Path(path) for path in joined["video"]]
    assert {path.parent for path in paths} == {job.folder / "files"}
    assert [path.stem for path in paths] == joined["bf_custom_id"].tolist()
    assert all(path.suffix == ".mp4" and path.read_bytes()[4:8] == b"ftyp" for path in paths)
    assert joined["video_id"].str.startswith("video_").all()
    assert joined["bf_finish_reason"].tolist() == ["completed"] * 3


def test_a_later_job_takes_the_video_over() -> None:
    with batchframe.local.serve() as server:
        client = server.client()
        film().submit("first", client=client).wait()
        film(FRAME.head(1)).submit("again", client=client).wait()
        assert sum(batch.requests for batch in server.ledger) == 2
    bf.job("first").forget()
    row = bf.job("again").results().loc[0]
    assert row["bf_status"] == "ok"
    assert Path(row["video"]).read_bytes()[4:8] == b"ftyp"


def looked_at(job: bf.Job) -> bf.Job:
    """Look until the batch is at home; a video that gives trouble is told at each look."""
    while job.counts.keys() != {"pending"} or not job.results()["video_id"].notna().all():
        with contextlib.suppress(ServiceError):
            job.refresh()
    return job


@pytest.mark.parametrize("kind", [500, "cut short", "reset", "login page", "empty object"])
def test_a_download_that_fails_leaves_the_id_and_the_way_and_a_later_look_fetches_it(
    kind: Any,
) -> None:
    with batchframe.local.serve(faults=[Fault(CONTENT, kind, times=float("inf"))]) as server:
        client = server.client().with_options(max_retries=0)
        job = looked_at(film().submit("films", client=client))
        with pytest.raises(ServiceError):
            job.refresh()
        waiting, done = bf.job("films").results(), job.done
        server.faults.clear()
        job.refresh()
    assert not done
    assert set(waiting["bf_status"]) == {"pending"}
    assert waiting["video"].isna().all()
    assert waiting["bf_error"].str.contains("/content").all()
    assert waiting["video_id"].str.startswith("video_").all()
    assert (job.done, job.counts) == (True, {"ok": 3})
    assert not list((job.folder / "files").glob("*.part"))


def test_what_the_service_has_no_more_is_invalid_and_not_asked_for_again(
    joined: Callable[..., pd.DataFrame],
) -> None:
    # Such an id the local server has never given.
    row = joined({**VIDEO, "id": "video_gone"}, endpoint=PATH, model=MODEL).loc[0]
    assert (row["bf_status"], row["video_id"]) == ("invalid", "video_gone")
    assert "no more" in row["bf_error"]
    assert pd.isna(row["video"])


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


def test_a_file_that_was_deleted_is_fetched_again(server: batchframe.local.Server) -> None:
    job = film().submit("films", client=server.client()).wait()
    shutil.rmtree(job.folder / "files")
    assert bf.job("films").counts == {"pending": 3}
    assert bf.job("films", server.client()).refresh().counts == {"ok": 3}


def test_while_a_video_may_still_come_nobody_pays_for_it_again() -> None:
    with batchframe.local.serve(faults=[Fault(CONTENT, 500, times=float("inf"))]) as server:
        client = server.client().with_options(max_retries=0)
        job = looked_at(film().submit("films", client=client))
        with pytest.raises(RequestError, match="films"):
            film(FRAME.head(1)).submit("again", client=client)
        assert len(job.unanswered()) == 0


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


@pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
def test_the_genuine_client_reads_what_the_local_server_answers(
    server: batchframe.local.Server,
) -> None:
    client = server.client()
    # As JSON, which a batch takes; the package's own method sends a form.
    video = client.post("/videos", cast_to=Video, body={"prompt": "a red kite"})
    assert client.videos.retrieve(video.id).status == "completed"
    assert client.videos.download_content(video.id).read()[4:8] == b"ftyp"
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve("video_1")


def test_a_name_that_is_the_other_columns_is_refused() -> None:
    with pytest.raises(RequestError, match="Choose another name"):
        film(name="video_id")


def test_a_comparison_prices_no_video_by_tokens() -> None:
    assert film().compare(["sora-2", "gpt-4.1"])["low"].isna().all()


def test_a_video_that_is_still_made_is_waited_for(joined: Callable[..., pd.DataFrame]) -> None:
    # Some servers end the batch before the video; theirs is asked for until it is there.
    row = joined({**VIDEO, "status": "queued"}, endpoint=PATH, model=MODEL).loc[0]
    assert (row["bf_status"], row["video_id"]) == ("ok", ID)
    assert Path(row["video"]).is_file()
