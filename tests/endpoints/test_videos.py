"""``/v1/videos``: jobs of the time before it was shut down are read; nothing is asked any more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

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
    """Bring the folder of a job that an earlier version finished.

    The video of "a green kite" was never fetched, and the service had "a lost kite" no more.
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
    # Nothing is left to be asked of the service, which is not there.
    assert job.refresh().wait().done


def test_stored_videos_and_the_ids_of_all_are_results(job: bf.Job) -> None:
    results = job.results()
    assert results.columns.tolist() == ["video", "video_id", "bf_status", "bf_error"]
    assert results["bf_status"].tolist() == STATUSES
    paths = [Path(path) for path in results["video"].dropna()]
    assert all(path.parent == job.folder / "files" for path in paths)
    assert all(path.read_bytes()[4:8] == b"ftyp" for path in paths)
    assert len(paths) == 3
    ids = [f"video_{digits * 16}" for digits in ("0a", "0b", "0a", "0c")]
    assert results["video_id"].tolist()[:5] == [*ids, "video_lost"]


def test_why_a_video_is_not_there_is_said(job: bf.Job) -> None:
    errors = job.results()["bf_error"]
    assert "no longer fetches videos" in errors[3]
    assert "2026-09-24" in errors[3]
    assert "video_lost no more" in errors[4]
    assert errors[5] == "moderation_blocked: Blocked."


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
