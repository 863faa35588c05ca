"""``/v1/videos``: old jobs are read; new requests are refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
from batchframe.errors import InputError, RequestError

PATH = "/v1/videos"
JOB = "9d46d28b5871b5f91eca"
FRAME = pd.DataFrame(
    {
        "text": [
            "a red kite", "a blue kite", "a red kite", "a green kite", "a lost kite",
            "a blocked kite",
        ],
        "photo": "https://example.org/1.png",
    }
)  # fmt: skip
STATUSES = ["ok", "ok", "ok", "invalid", "invalid", "failed"]
VIDEO = {
    "id": "video_" + "0a" * 16,
    "object": "video",
    "model": "sora-2",
    "status": "completed",
    "seconds": "8",
    "size": "1024x1792",
    "error": None,
}


@pytest.fixture
def job(home: Path) -> bf.Job:
    """Copy the folder of a job that an earlier version finished.

    The video of "a green kite" was never fetched, and the service no longer had "a lost kite".
    """
    folder = home / "jobs" / JOB
    shutil.copytree(Path(__file__).parent / "video_job" / JOB, folder)
    for path in (home, home / "jobs", folder, *folder.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return bf.job("kites")


def test_a_finished_job_is_done_and_counts_every_row(job: bf.Job) -> None:
    assert (job.status, job.done) == ("completed", True)
    assert job.counts == {"ok": 3, "invalid": 2, "failed": 1}
    assert (job.cost, job.usage.input_tokens) == (None, 0)
    # No service is needed.
    assert job.refresh().wait().done


def test_results_have_stored_videos_and_all_ids(job: bf.Job) -> None:
    results = job.results()
    assert results.columns.tolist() == ["video", "video_id", "bf_status", "bf_error"]
    assert results["bf_status"].tolist() == STATUSES
    paths = [Path(path) for path in results["video"].dropna()]
    assert all(path.parent == job.folder / "files" for path in paths)
    assert all(path.read_bytes()[4:8] == b"ftyp" for path in paths)
    assert len(paths) == 3
    ids = [f"video_{digits * 16}" for digits in ("0a", "0b", "0a", "0c")]
    assert results["video_id"].tolist()[:5] == [*ids, "video_lost"]


def test_a_missing_video_has_a_reason(job: bf.Job) -> None:
    errors = job.results()["bf_error"]
    assert "no longer fetches videos" in errors[3]
    assert "2026-09-24" in errors[3]
    assert "video_lost no more" in errors[4]
    assert errors[5] == "moderation_blocked: Blocked."


def test_rows_find_their_videos_in_any_order(job: bf.Job) -> None:
    joined = FRAME.iloc[::-1].bf.join(job, details=True)
    assert joined["bf_status"].tolist() == STATUSES[::-1]
    stored = joined["video"].dropna()
    assert [Path(path).stem for path in stored] == joined["bf_custom_id"][stored.index].tolist()


def test_the_answer_cache_is_rebuilt_from_the_result_file(job: bf.Job) -> None:
    before = job.results()
    (job.folder / "answers.parquet").unlink()
    pd.testing.assert_frame_equal(bf.job("kites").results(), before)


def test_a_list_counts_videos_that_can_no_longer_be_fetched(job: bf.Job) -> None:
    listed = bf.jobs().iloc[0]
    assert (listed["name"], listed["status"]) == (job.name, "completed")
    assert (listed["ok"], listed["failed"]) == (3, 3)


def test_its_card_does_not_suggest_resubmitting_and_forget_works(job: bf.Job) -> None:
    assert "unanswered" not in repr(job)
    with pytest.raises(RequestError, match="2026-09-24"):
        job.unanswered()
    job.forget()
    assert not job.folder.exists()


def test_new_video_requests_are_refused() -> None:
    with pytest.raises(InputError, match="2026-09-24") as excinfo:
        FRAME.bf.requests("{{ text }}", model="sora-2", endpoint=PATH)
    assert "/v1/images/generations" in str(excinfo.value)
    with pytest.raises(RequestError) as unknown:
        FRAME.bf.requests("{{ text }}", model="sora-2", endpoint="/v1/vids")
    assert PATH not in str(unknown.value)
    with pytest.raises(RequestError, match="2026-09-24"):
        bf.count_tokens({"model": "sora-2", "prompt": "a kite"}, endpoint=PATH)


@pytest.mark.parametrize(
    ("body", "status", "fragment"),
    [
        (
            {"status": "failed", "error": {"code": "moderation_blocked", "message": "Blocked."}},
            "failed",
            "moderation_blocked: Blocked.",
        ),
        ({"status": "failed"}, "failed", "gave no reason"),
        ({"status": "expired"}, "expired", "expired"),
        ({"id": None}, "invalid", "no video id"),
        ({"id": "../files/file-1"}, "invalid", "no video id"),
        ({"id": "video_1?variant=x"}, "invalid", "no video id"),
        ({"id": ["video_1"]}, "invalid", "no video id"),
    ],
)
def test_a_response_without_a_video_has_a_reason(
    body: dict[str, Any], status: str, fragment: str, read: Callable[[str, Any], dict[str, Any]]
) -> None:
    answer = read(PATH, {**VIDEO, **body})
    assert (answer["status"], answer["text"]) == (status, None)
    assert fragment in answer["error"]


@pytest.mark.parametrize("body", [None, [], "video_1", 7])
def test_a_response_that_is_not_an_object_is_invalid(
    body: Any, read: Callable[[str, Any], dict[str, Any]]
) -> None:
    assert read(PATH, body)["status"] == "invalid"
