"""Images the whole way: counted, sent by the genuine client, answered, joined, asked again."""

from __future__ import annotations

import base64
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe.errors import CellError, RequestError
from batchframe.local import AnswerError
from tests.support.pictures import GIF, data_url, png, urls_of

ENDPOINTS = ["/v1/chat/completions", "/v1/responses"]
every = pytest.mark.parametrize("endpoint", ENDPOINTS)
URL = "https://example.org/cat.jpg"


def shade_of(url: str) -> str:
    """Say something that tells one image from another."""
    return url if url.startswith("https:") else str(len(base64.b64decode(url.partition(",")[2])))


def answer(body: dict[str, Any]) -> str:
    return " ".join(map(shade_of, urls_of(body)))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.png").write_bytes(png(padding=number))
    return folder


@pytest.fixture
def frame() -> pd.DataFrame:
    cells = ["0.png", png(padding=50), URL, data_url(png(padding=9)), "3.png", "0.png"]
    return pd.DataFrame({"photo": cells}, index=list("abcabc"))


def expected(frame: pd.DataFrame, folder: Path) -> list[str]:
    said = []
    for cell in frame["photo"]:
        held = cell if isinstance(cell, bytes) else (folder / str(cell)[:9])
        data = held if isinstance(held, bytes) else held.read_bytes() if held.is_file() else cell
        said.append(str(len(data)) if isinstance(data, bytes) else shade_of(data))
    return said


@every
def test_images_are_sent_answered_and_joined(
    endpoint: str, frame: pd.DataFrame, photos: Path
) -> None:
    def ask() -> bf.Requests:
        return frame.bf.requests(
            "How large?", model="gpt-4.1", endpoint=endpoint, images="photo", image_root=photos
        )

    with batchframe.local.serve(answer=answer) as server:
        job = ask().submit("sizes", client=server.client()).wait()
        assert ask().submit(client=server.client()).wait().counts == {"ok": 6}
    # The cell that runs again finds its job.
    assert [batch.requests for batch in server.ledger] == [5]
    assert job.counts == {"ok": 6}
    before = frame.copy(deep=True)
    for sample in (frame, frame.iloc[::-1], frame.iloc[[3, 3, 0]]):
        joined = sample.bf.join("sizes")
        assert joined["response"].tolist() == expected(sample, photos)
    pd.testing.assert_frame_equal(frame, before)


@every
def test_a_file_that_changed_or_went_makes_its_own_row_missing(
    endpoint: str, frame: pd.DataFrame, photos: Path
) -> None:
    asked = frame.bf.requests(
        "?", model="gpt-4.1", endpoint=endpoint, images="photo", image_root=photos
    )
    with batchframe.local.serve(answer=answer) as server:
        job = asked.submit("sizes", client=server.client()).wait()
    good = expected(frame, photos)
    (photos / "3.png").unlink()
    (photos / "0.png").write_bytes(png(padding=77))
    joined = frame.bf.join(job)
    assert joined["bf_status"].tolist() == ["missing", "ok", "ok", "ok", "missing", "missing"]
    assert joined["response"].tolist()[1:4] == good[1:4]
    assert "an image has changed" in joined["bf_error"].iloc[0]
    assert "column 'photo' names a missing file" in joined["bf_error"].iloc[4]
    photos.rename(photos.parent / "elsewhere")
    gone = frame.bf.join(job)
    assert gone["bf_status"].tolist() == ["missing", "ok", "ok", "ok", "missing", "missing"]
    assert "which is not a folder" in gone["bf_error"].iloc[0]
    assert job.results()["bf_status"].tolist() == ["ok"] * 6  # the ledger needs no images


def test_an_edited_cell_is_missing_whatever_it_holds_now(frame: pd.DataFrame, photos: Path) -> None:
    asked = frame.bf.requests("?", model="gpt-4.1", images="photo", image_root=photos)
    with batchframe.local.serve(answer=answer) as server:
        job = asked.submit(client=server.client()).wait()
    edited = frame.assign(photo=["/etc/passwd", 7, None, "http://x", "3.png", "\0"])
    joined = edited.bf.join(job)
    assert joined["bf_status"].tolist() == [
        "missing", "missing", "skipped", "missing", "ok", "missing"
    ]  # fmt: skip
    assert "outside image_root" in joined["bf_error"].iloc[0]


def test_a_relative_root_is_kept_as_it_was_written(
    frame: pd.DataFrame, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    asked = frame.bf.requests(
        "?", model="gpt-4.1", images=["photo"], image_root="photos", image_detail="high"
    )
    with batchframe.local.serve(answer=answer) as server:
        job = asked.submit(client=server.client()).wait()
    kept = json.loads((job.folder / "manifest.json").read_text())["recipe"]
    assert [kept[key] for key in ("images", "image_root", "image_detail")] == [
        ["photo"], "photos", "high"
    ]  # fmt: skip
    assert set(frame.bf.join(bf.job(job.id))["bf_status"]) == {"ok"}


def test_a_file_that_changes_before_it_is_sent_stops_the_job(
    frame: pd.DataFrame, photos: Path
) -> None:
    asked = frame.bf.requests("?", model="gpt-4.1", images="photo", image_root=photos)
    (photos / "3.png").write_bytes(png(padding=77))
    with batchframe.local.serve(answer=answer) as server:
        with pytest.raises(CellError, match=r"row 4 .*changed after the requests were made"):
            asked.submit("once", client=server.client())
        assert not server.ledger
        (photos / "3.png").unlink()
        with pytest.raises(CellError, match="a missing file"):
            asked.submit("once", client=server.client())
        assert not server.ledger
        (photos / "3.png").write_bytes(png(padding=3))
        assert asked.submit("once", client=server.client()).wait().counts == {"ok": 6}


@every
def test_what_failed_is_asked_again_with_its_image(
    endpoint: str, frame: pd.DataFrame, photos: Path
) -> None:
    def only_links(body: dict[str, Any]) -> Any:
        links = urls_of(body) == [URL]
        return answer(body) if links else AnswerError(429, "No quota.", code="insufficient_quota")

    asked = frame.bf.requests(
        "?", model="gpt-4.1", endpoint=endpoint, images="photo", image_root=photos
    )
    with batchframe.local.serve(answer=only_links) as server:
        job = asked.submit("first", client=server.client()).wait()
    with batchframe.local.serve(answer=answer) as server:
        again = job.unanswered().submit(client=server.client()).wait()
    joined = frame.bf.join(job, again)
    assert joined["response"].tolist() == expected(frame, photos)


@every
def test_tokens_are_counted_by_the_size_of_each_image(endpoint: str, photos: Path) -> None:
    (photos / "large.png").write_bytes(png(2560, 1669))
    cells = ["large.png", GIF, png(800, 400)]
    frame = pd.DataFrame({"photo": cells})

    def tokens(rows: pd.DataFrame, **more: Any) -> int:
        asked = rows.bf.requests(
            "?", model="gpt-4o", endpoint=endpoint, images="photo", image_root=photos, **more
        )
        return asked.estimate().input_tokens.expected

    text = tokens(frame.iloc[[1]], image_detail="low") - 85
    assert [tokens(frame.iloc[[row]]) - text for row in range(3)] == [1105, 425, 425]
    assert tokens(frame) == 3 * text + 1105 + 425 + 425
    assert tokens(frame, image_detail="low") == 3 * text + 3 * 85


def test_a_picture_that_is_scaled_down_is_counted_as_it_is_sent() -> None:
    pytest.importorskip("PIL")
    frame = pd.DataFrame({"photo": [png(2560, 1669)]})
    asked = frame.bf.requests("?", model="gpt-4o", images="photo", image_max_size=512)
    [body] = [line["body"] for line in asked.preview()]
    assert asked.estimate().input_tokens.expected == bf.count_tokens(body).tokens


def test_the_estimate_says_what_is_not_known_of_a_link() -> None:
    estimate = pd.DataFrame({"photo": [URL]}).bf.requests(
        "?", model="gpt-4o", images="photo"
    ).estimate()  # fmt: skip
    assert any("of unknown size" in note for note in estimate.notes)
    low, high = estimate.input_tokens.low, estimate.input_tokens.high
    assert (low, high) == (255 + 8, 1445 + 8)


def test_the_estimate_reads_the_beginning_of_a_file_only(photos: Path) -> None:
    (photos / "0.png").write_bytes(png(padding=2**24))
    frame = pd.DataFrame({"photo": ["0.png"]})
    first, asked = (
        frame.bf.requests("?", model="gpt-4o", images="photo", image_root=photos) for _ in range(2)
    )
    first.estimate()  # what is loaded once is not measured
    tracemalloc.start()
    try:
        asked.estimate()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**23


def test_base64_counts_against_the_size_of_a_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"photo": [png(padding=3_000_000 + i) for i in range(5)]})
    requests = frame.bf.requests("?", model="gpt-4.1", images="photo")
    paths = requests.to_jsonl(tmp_path, provider=bf.provider("openai", max_bytes=10_000_000))
    assert [path.read_bytes().count(b"\n") for path in paths] == [2, 2, 1]
    assert paths[2].stat().st_size > 4_000_000
    small = bf.provider("openai", max_bytes=3_000_000)
    with pytest.raises(RequestError, match=r"limit of OpenAI for an input file \(3,000,000\)"):
        requests.to_jsonl(tmp_path / "small", provider=small)


@pytest.mark.slow
def test_images_too_large_for_any_file_are_named_before_anything_is_sent() -> None:
    columns = [f"p{i}" for i in range(9)]
    large = png(padding=18 * 2**20)
    frame = pd.DataFrame({name: [png(), large] for name in columns})
    asked = frame.bf.requests("?", model="gpt-4.1", images=columns)
    with batchframe.local.serve() as server:
        with pytest.raises(RequestError, match="request of row 1 has 2"):
            asked.submit(client=server.client())
        assert not server.ledger


@pytest.mark.slow
def test_base64_is_held_for_a_few_rows_at_a_time(tmp_path: Path) -> None:
    size, rows = 100_000, 400
    for row in range(rows):
        noise = np.random.default_rng(row).bytes(size)
        (tmp_path / f"{row}.png").write_bytes(png() + noise)
    frame = pd.DataFrame({"photo": [f"{row}.png" for row in range(rows)]})
    # Memory for what is loaded once, such as the tokenizer, does not count.
    frame.head(1).bf.requests("?", model="gpt-4o", images="photo", image_root=tmp_path).estimate()
    tracemalloc.start()
    try:
        asked = frame.bf.requests("?", model="gpt-4o", images="photo", image_root=tmp_path)
        asked.estimate()
        for _ in asked._table.lines():
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert asked._table.size.sum() > rows * size
    # A batch of 4 MiB is held as text, as JSON and as lines; all rows would be 53 MB each time.
    assert peak < 32 * 2**20


def test_the_card_shows_what_an_image_is_and_not_its_bytes() -> None:
    frame = pd.DataFrame({"photo": [png(padding=9000)]})
    card = repr(frame.bf.requests("What is this?", model="gpt-4o", images="photo"))
    assert "[image/png, 9,0" in card
    assert len(card) < 3000


def test_json_mode_is_not_fooled_by_base64() -> None:
    said = base64.b64decode("JSON" * 3)
    frame = pd.DataFrame({"photo": [png() + bytes(-len(png()) % 3) + said]})
    assert b"JSON" in base64.b64encode(frame["photo"][0])
    with pytest.raises(RequestError, match="JSON"):
        frame.bf.requests(
            "?", model="gpt-4o", images="photo", response_format={"type": "json_object"}
        )


def test_other_models_are_compared_by_their_own_rules_for_images() -> None:
    asked = pd.DataFrame({"photo": [png(1024, 1024)]}).bf.requests(
        "?", model="gpt-4o", images="photo", max_completion_tokens=5
    )
    tokens = asked.compare(["gpt-4o", "gpt-4.1-nano"], tiers=["batch"])["input_tokens"]
    assert tokens["gpt-4.1-nano", "batch"] > tokens["gpt-4o", "batch"] + 1000
