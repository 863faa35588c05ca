"""Images from counting to join and retry."""

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
    """Return a value that identifies an image."""
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
    answers = []
    for cell in frame["photo"]:
        content = cell if isinstance(cell, bytes) else (folder / str(cell)[:9])
        data = (
            content
            if isinstance(content, bytes)
            else content.read_bytes()
            if content.is_file()
            else cell
        )
        answers.append(str(len(data)) if isinstance(data, bytes) else shade_of(data))
    return answers


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
    # A rerun finds the job.
    assert [batch.requests for batch in server.ledger] == [5]
    assert job.counts == {"ok": 6}
    before = frame.copy(deep=True)
    for sample in (frame, frame.iloc[::-1], frame.iloc[[3, 3, 0]]):
        joined = sample.bf.join("sizes")
        assert joined["response"].tolist() == expected(sample, photos)
    pd.testing.assert_frame_equal(frame, before)


@every
def test_a_changed_or_deleted_image_file_makes_its_row_missing(
    endpoint: str, frame: pd.DataFrame, photos: Path
) -> None:
    requests = frame.bf.requests(
        "?", model="gpt-4.1", endpoint=endpoint, images="photo", image_root=photos
    )
    with batchframe.local.serve(answer=answer) as server:
        job = requests.submit("sizes", client=server.client()).wait()
    good = expected(frame, photos)
    (photos / "3.png").unlink()
    (photos / "0.png").write_bytes(png(padding=77))
    joined = frame.bf.join(job)
    assert joined["bf_status"].tolist() == ["missing", "ok", "ok", "ok", "missing", "missing"]
    assert joined["response"].tolist()[1:4] == good[1:4]
    assert "an image or a file has changed" in joined["bf_error"].iloc[0]
    assert "column 'photo' names a missing file" in joined["bf_error"].iloc[4]
    photos.rename(photos.parent / "elsewhere")
    gone = frame.bf.join(job)
    assert gone["bf_status"].tolist() == ["missing", "ok", "ok", "ok", "missing", "missing"]
    assert "which is not a folder" in gone["bf_error"].iloc[0]
    assert job.results()["bf_status"].tolist() == ["ok"] * 6  # the server keeps no images


def test_a_row_with_an_edited_image_cell_is_missing(frame: pd.DataFrame, photos: Path) -> None:
    requests = frame.bf.requests("?", model="gpt-4.1", images="photo", image_root=photos)
    with batchframe.local.serve(answer=answer) as server:
        job = requests.submit(client=server.client()).wait()
    edited = frame.assign(photo=["/etc/passwd", 7, None, "http://x", "3.png", "\0"])
    with pytest.warns(bf.errors.JoinWarning, match="1 of 5 rows"):
        joined = edited.bf.join(job)
    assert joined["bf_status"].tolist() == [
        "missing", "missing", "skipped", "missing", "ok", "missing"
    ]  # fmt: skip
    assert "outside image_root" in joined["bf_error"].iloc[0]


def test_a_relative_image_root_is_stored_as_given(
    frame: pd.DataFrame, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    requests = frame.bf.requests(
        "?", model="gpt-4.1", images=["photo"], image_root="photos", image_detail="high"
    )
    with batchframe.local.serve(answer=answer) as server:
        job = requests.submit(client=server.client()).wait()
    recipe = json.loads((job.folder / "manifest.json").read_text())["recipe"]
    assert [recipe[key] for key in ("images", "image_root", "image_detail")] == [
        ["photo"], "photos", "high"
    ]  # fmt: skip
    assert set(frame.bf.join(bf.job(job.id))["bf_status"]) == {"ok"}


def test_a_file_that_changes_before_it_is_sent_stops_the_job(
    frame: pd.DataFrame, photos: Path
) -> None:
    requests = frame.bf.requests("?", model="gpt-4.1", images="photo", image_root=photos)
    (photos / "3.png").write_bytes(png(padding=77))
    with batchframe.local.serve(answer=answer) as server:
        with pytest.raises(CellError, match=r"row 4 .*changed after the requests were made"):
            requests.submit("once", client=server.client())
        assert not server.ledger
        (photos / "3.png").unlink()
        with pytest.raises(CellError, match="a missing file"):
            requests.submit("once", client=server.client())
        assert not server.ledger
        (photos / "3.png").write_bytes(png(padding=3))
        assert requests.submit("once", client=server.client()).wait().counts == {"ok": 6}


@every
def test_failed_rows_are_sent_again_with_their_images(
    endpoint: str, frame: pd.DataFrame, photos: Path
) -> None:
    def only_links(body: dict[str, Any]) -> Any:
        links = urls_of(body) == [URL]
        return answer(body) if links else AnswerError(429, "No quota.", code="insufficient_quota")

    requests = frame.bf.requests(
        "?", model="gpt-4.1", endpoint=endpoint, images="photo", image_root=photos
    )
    with batchframe.local.serve(answer=only_links) as server:
        job = requests.submit("first", client=server.client()).wait()
    with batchframe.local.serve(answer=answer) as server:
        again = job.unanswered().submit(client=server.client()).wait()
    joined = frame.bf.join(job, again)
    assert joined["response"].tolist() == expected(frame, photos)


@every
def test_tokens_are_counted_by_the_size_of_each_image(endpoint: str, photos: Path) -> None:
    (photos / "large.png").write_bytes(png(2560, 1669))
    cells = ["large.png", GIF, png(800, 400)]
    frame = pd.DataFrame({"photo": cells})

    def tokens(rows: pd.DataFrame, **options: Any) -> int:
        requests = rows.bf.requests(
            "?", model="gpt-4o", endpoint=endpoint, images="photo", image_root=photos, **options
        )
        return requests.estimate().input_tokens.expected

    text = tokens(frame.iloc[[1]], image_detail="low") - 85
    assert [tokens(frame.iloc[[row]]) - text for row in range(3)] == [1105, 425, 425]
    assert tokens(frame) == 3 * text + 1105 + 425 + 425
    assert tokens(frame, image_detail="low") == 3 * text + 3 * 85


def test_a_scaled_image_is_counted_at_the_size_that_is_sent() -> None:
    pytest.importorskip("PIL")
    frame = pd.DataFrame({"photo": [png(2560, 1669)]})
    requests = frame.bf.requests("?", model="gpt-4o", images="photo", image_max_size=512)
    [body] = [line["body"] for line in requests.preview()]
    assert requests.estimate().input_tokens.expected == bf.count_tokens(body).tokens


def test_the_estimate_notes_the_unknown_size_of_a_linked_image() -> None:
    estimate = pd.DataFrame({"photo": [URL]}).bf.requests(
        "?", model="gpt-4o", images="photo"
    ).estimate()  # fmt: skip
    assert any("of unknown size" in note for note in estimate.notes)
    low, high = estimate.input_tokens.low, estimate.input_tokens.high
    assert (low, high) == (255 + 8, 1445 + 8)


def test_the_estimate_reads_only_the_beginning_of_an_image_file(photos: Path) -> None:
    (photos / "0.png").write_bytes(png(padding=2**24))
    frame = pd.DataFrame({"photo": ["0.png"]})
    first, requests = (
        frame.bf.requests("?", model="gpt-4o", images="photo", image_root=photos) for _ in range(2)
    )
    first.estimate()  # one-time loading is not measured
    tracemalloc.start()
    try:
        requests.estimate()
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
    requests = frame.bf.requests("?", model="gpt-4.1", images=columns)
    with batchframe.local.serve() as server:
        with pytest.raises(RequestError, match="request of row 1 has 2"):
            requests.submit(client=server.client())
        assert not server.ledger


@pytest.mark.slow
def test_base64_is_in_memory_for_a_few_rows_at_a_time(tmp_path: Path) -> None:
    size, rows = 100_000, 400
    for row in range(rows):
        noise = np.random.default_rng(row).bytes(size)
        (tmp_path / f"{row}.png").write_bytes(png() + noise)
    frame = pd.DataFrame({"photo": [f"{row}.png" for row in range(rows)]})
    # Memory for what is loaded once, such as the tokenizer, does not count.
    frame.head(1).bf.requests("?", model="gpt-4o", images="photo", image_root=tmp_path).estimate()
    tracemalloc.start()
    try:
        requests = frame.bf.requests("?", model="gpt-4o", images="photo", image_root=tmp_path)
        requests.estimate()
        for _ in requests._table.lines():
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert requests._table.size.sum() > rows * size
    # A batch of 4 MiB exists as text, JSON and lines; all rows would take 53 MB for each.
    assert peak < 32 * 2**20


def test_the_card_describes_an_image_without_its_bytes() -> None:
    frame = pd.DataFrame({"photo": [png(padding=9000)]})
    card = repr(frame.bf.requests("What is this?", model="gpt-4o", images="photo"))
    assert "[image/png, 9,0" in card
    assert len(card) < 3000


def test_the_word_json_inside_base64_does_not_count() -> None:
    image = base64.b64decode("JSON" * 3)
    frame = pd.DataFrame({"photo": [png() + bytes(-len(png()) % 3) + image]})
    assert b"JSON" in base64.b64encode(frame["photo"][0])
    with pytest.raises(RequestError, match="JSON"):
        frame.bf.requests(
            "?", model="gpt-4o", images="photo", response_format={"type": "json_object"}
        )


def test_compare_uses_the_image_rules_of_each_model() -> None:
    requests = pd.DataFrame({"photo": [png(1024, 1024)]}).bf.requests(
        "?", model="gpt-4o", images="photo", max_completion_tokens=5
    )
    tokens = requests.compare(["gpt-4o", "gpt-4.1-nano"], tiers=["batch"])["input_tokens"]
    assert tokens["gpt-4.1-nano", "batch"] > tokens["gpt-4o", "batch"] + 1000
