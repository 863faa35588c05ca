"""``/v1/images/generations`` and ``/v1/images/edits``: image files."""

from __future__ import annotations

import base64
import errno
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openai.types import ImagesResponse

import batchframe as bf
import batchframe.local
from batchframe.errors import (
    ColumnError,
    CostError,
    JobError,
    ParameterWarning,
    RequestError,
    TemplateError,
)
from tests.support.pictures import GIF, JPEG, WEBP, data_url, png
from tests.support.result_files import read_table

MADE = "/v1/images/generations"
EDITED = "/v1/images/edits"
MODEL = "gpt-image-2"
FRAME = pd.DataFrame({"text": ["a red kite", "a blue kite", "a red kite", None]})
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'
LONG_SVG = (
    b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a --><!-- b -->\n<!DOCTYPE svg>\n<svg width="1">'
)

# Of ImagesResponse in openai 3.54.0; the numbers are those of the OpenAI API reference's example
# of "Create image" (2026-04).
USAGE = {
    "total_tokens": 100,
    "input_tokens": 50,
    "output_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
}


def images(*contents: bytes, **options: Any) -> dict[str, Any]:
    data = [{"b64_json": base64.b64encode(content).decode()} for content in contents]
    return {"created": 1713833628, "data": data, "usage": USAGE, "object": "whole", **options}


def make(frame: pd.DataFrame = FRAME, **options: Any) -> bf.Requests:
    options = {"prompt": "{{ text }}", "model": MODEL, "endpoint": MADE, **options}
    return frame.bf.requests(**{"on_missing": "skip", **options})


def edit(frame: pd.DataFrame, **options: Any) -> bf.Requests:
    return make(frame, **{"endpoint": EDITED, "images": "photo", **options})


def test_the_shape_is_that_of_the_openai_package() -> None:
    assert ImagesResponse.model_validate(images(png())).data


def test_a_request_has_one_prompt_and_the_parameters() -> None:
    body = make(size="1024x1024", quality="low").preview(1)[0]["body"]
    assert body == {
        "model": MODEL, "prompt": "a red kite", "quality": "low", "size": "1024x1024"
    }  # fmt: skip


def test_an_edit_has_one_prompt_and_the_images_of_the_row() -> None:
    photos = {"photo": [png(), "https://example.org/1.jpg"], "logo": [GIF, None]}
    frame = pd.DataFrame({"text": ["blue", "green"], **photos})
    first = edit(frame, images=["photo", "logo"]).preview(2)
    assert [line["body"]["images"] for line in first] == [
        [{"image_url": data_url(png())}, {"image_url": data_url(GIF, "gif")}]
    ]
    assert edit(frame).preview(2)[1]["body"] == {
        "model": MODEL,
        "prompt": "green",
        "images": [{"image_url": "https://example.org/1.jpg"}],
    }


def test_a_mask_is_passed_unchanged() -> None:
    frame = pd.DataFrame({"text": ["blue"], "photo": [png()]})
    assert edit(frame, mask={"file_id": "file-1"}).preview(1)[0]["body"]["mask"] == {
        "file_id": "file-1"
    }


@pytest.mark.parametrize(
    ("options", "error", "fragment"),
    [
        ({"output": bool}, RequestError, "output: not supported"),
        ({"system": "Be bold."}, RequestError, "system: not supported"),
        ({"images": "text"}, RequestError, "/v1/images/edits"),
        ({"n": 2}, RequestError, "dedupe=False"),
        ({"response_format": "url"}, RequestError, "b64_json"),
        ({"stream": True}, RequestError, "stream: not supported in a batch"),
        (
            {"prompt": [{"role": "user", "content": "{{ text }}"}]},
            TemplateError,
            "takes one string",
        ),
        ({"name": "text"}, ColumnError, "text"),
        ({"endpoint": EDITED}, RequestError, 'images="photo"'),
        ({"endpoint": EDITED, "images": "text", "on_missing": "empty"}, RequestError, "skip"),
        ({"endpoint": EDITED, "images": "text", "image_detail": "low"}, RequestError, "fidelity"),
        ({"endpoint": EDITED, "images": ["text"] * 17}, RequestError, "at most 16"),
    ],
)
def test_unsupported_arguments_are_refused(
    options: Any, error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error) as excinfo:
        make(**options)
    assert fragment in str(excinfo.value)


def test_a_misspelled_parameter_is_reported() -> None:
    with pytest.raises(RequestError, match="quality"):
        make(qualty="low")
    with pytest.warns(ParameterWarning, match="glitter"):
        make(glitter=True)


def test_response_format_b64_json_is_accepted() -> None:
    body = make(response_format="b64_json").preview(1)[0]["body"]
    assert body["response_format"] == "b64_json"


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        (png(), "png"),
        (JPEG, "jpg"),
        (GIF, "gif"),
        (WEBP, "webp"),
        (SVG, "svg"),
        pytest.param(LONG_SVG, "svg", id="an SVG that begins with comments and a doctype"),
    ],
)
def test_an_image_is_a_file_named_by_its_request_and_its_bytes(
    content: bytes, ending: str, joined: Callable[..., pd.DataFrame]
) -> None:
    # The extension follows from the bytes, whatever the service calls it.
    body = images(content, output_format="../../etc/passwd")
    row = joined(body, endpoint=MADE, model=MODEL).loc[0]
    path = Path(row["image"])
    assert path.read_bytes() == content
    assert path.name.startswith(row["bf_custom_id"])
    assert path.suffix == f".{ending}"
    assert (row["bf_status"], row["bf_input_tokens"], row["bf_output_tokens"]) == ("ok", 50, 50)


def test_files_and_their_folder_are_private(server: batchframe.local.Server) -> None:
    before = os.umask(0)
    try:
        job = make().submit(client=server.client()).wait()
        paths = [Path(path) for path in job.results()["image"].dropna()]
    finally:
        os.umask(before)
    assert {path.parent for path in paths} == {job.folder / "files"}
    assert stat.S_IMODE((job.folder / "files").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}


def test_all_images_are_kept_and_the_column_has_the_first(
    joined: Callable[..., pd.DataFrame],
) -> None:
    row = joined(images(png(shade=1), png(shade=2)), endpoint=MADE, model=MODEL).loc[0]
    contents = sorted(path.read_bytes() for path in Path(row["image"]).parent.iterdir())
    assert Path(row["image"]).read_bytes() == png(shade=1)
    assert contents == sorted([png(shade=1), png(shade=2)])


@pytest.mark.parametrize(
    ("body", "fragment"),
    [
        ({"data": []}, "no image"),
        ({"data": [{"b64_json": "!!!"}]}, "not a PNG"),
        ({"data": [{"b64_json": base64.b64encode(b"MZ\x90").decode()}]}, "not a PNG"),
        ({"data": [{"b64_json": base64.b64encode(b"<html>").decode()}]}, "not a PNG"),
        ({"data": [{"b64_json": ""}]}, "not a PNG"),
        ({"data": [{"url": "https://example.org/1.png"}]}, "a URL instead of the image"),
        ({"data": [{"b64_json": None}]}, "neither an image nor a URL"),
        ({"data": [{"b64_json": 7}]}, "is not one of"),
        ({"data": None}, "is not one of"),
        ({}, "is not one of"),
    ],
)
def test_a_malformed_image_is_invalid_and_makes_no_file(
    body: Any, fragment: str, joined: Callable[..., pd.DataFrame], home: Path
) -> None:
    row = joined({"usage": USAGE, "object": "whole", **body}, endpoint=MADE, model=MODEL).loc[0]
    assert row["bf_status"] == "invalid"
    assert fragment in row["bf_error"]
    assert pd.isna(row["image"])
    assert row["bf_output_tokens"] == 50  # still billed
    assert not list(home.rglob("files/*"))


def test_a_url_instead_of_an_image_is_shown_and_not_fetched(
    joined: Callable[..., pd.DataFrame],
) -> None:
    body = {"data": [{"url": "https://example.org/1.png"}], "object": "whole"}
    row = joined(body, endpoint=MADE, model=MODEL).loc[0]
    assert "https://example.org/1.png" in row["bf_raw"]


def test_a_data_url_instead_of_base64_is_read(joined: Callable[..., pd.DataFrame]) -> None:
    body = {"data": [{"b64_json": data_url(png())}], "object": "whole"}
    row = joined(body, endpoint=MADE, model=MODEL).loc[0]
    assert Path(row["image"]).read_bytes() == png()


def test_duplicates_share_one_image_and_a_later_job_reuses_it() -> None:
    with batchframe.local.serve(answer=lambda _: png()) as server:
        client = server.client()
        first = make().submit("first", client=client).wait()
        again = make(FRAME.head(1)).submit("again", client=client).wait()
        assert sum(batch.requests for batch in server.ledger) == 2
    assert first.counts == {"ok": 3, "skipped": 1}
    assert first.results()["image"].nunique() == 2
    bf.job("first").forget()
    path = Path(bf.job("again").results().loc[0, "image"])
    assert path.is_relative_to(again.folder)
    assert path.read_bytes() == png()


def test_a_deleted_image_file_is_restored_from_the_result_file(
    server: batchframe.local.Server,
) -> None:
    job = make().submit("kites", client=server.client()).wait()
    before = job.results()
    contents = [Path(path).read_bytes() for path in before["image"].dropna()]
    shutil.rmtree(job.folder / "files")
    after = bf.job("kites").results()
    pd.testing.assert_frame_equal(before, after)
    assert [Path(path).read_bytes() for path in after["image"].dropna()] == contents


def test_a_deleted_reused_image_is_missing_with_a_fix(
    server: batchframe.local.Server,
) -> None:
    client = server.client()
    make().submit("first", client=client).wait()
    job = make(FRAME.head(1)).submit("again", client=client).wait()
    bf.job("first").forget()
    shutil.rmtree(job.folder / "files")
    row = bf.job("again").results().loc[0]
    assert (row["bf_status"], pd.isna(row["image"])) == ("missing", True)
    assert "rerun" in row["bf_error"]
    assert len(bf.job("again").unanswered()) == 0


def test_a_job_folder_that_was_copied_shows_the_paths_where_it_is(
    server: batchframe.local.Server, tmp_path: Path
) -> None:
    job = make().submit(client=server.client()).wait()
    shutil.copytree(job.folder, tmp_path / "copy")
    paths = bf.job(tmp_path / "copy").results()["image"].dropna()
    assert all(Path(path).is_relative_to(tmp_path / "copy") for path in paths)
    assert all(Path(path).is_file() for path in paths)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_in_place_of_the_files_folder_is_refused(
    server: batchframe.local.Server, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    job = make().submit(client=server.client())
    (job.folder / "files").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JobError, match="link"):
        job.wait()
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_in_place_of_a_file_is_replaced_and_not_written_through(
    server: batchframe.local.Server, tmp_path: Path
) -> None:
    job = make().submit("kites", client=server.client()).wait()
    path = Path(job.results().loc[0, "image"])
    content = path.read_bytes()
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    path.unlink()
    path.symlink_to(victim)
    assert Path(bf.job("kites").results().loc[0, "image"]).read_bytes() == content
    assert not path.is_symlink()
    assert victim.read_bytes() == b"untouched"


def test_two_different_images_for_one_request_are_invalid(tmp_path: Path) -> None:

    contents: list[bytes] = []

    def keep(custom_id: str, content: bytes) -> str:
        contents.append(content)
        return f"{custom_id}-{len(content)}.png"

    lines = [
        json.dumps({"custom_id": "a", "response": {"status_code": 200, "body": images(content)}})
        for content in (png(), png(), png(9, 9))
    ]
    file = tmp_path / "output.jsonl"
    for result_lines, status in ((lines[:2], "ok"), (lines, "invalid")):
        file.write_text("\n".join(result_lines), encoding="utf-8")
        table = read_table([file], ["a"], MADE, keep=keep)
        assert table["status"].to_pylist() == [status]


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    import tracemalloc

    size, number = 400_000, 40
    body = json.dumps(images(png(padding=size)))
    file = tmp_path / "output.jsonl"
    with file.open("w", encoding="utf-8") as lines:
        for i in range(number):
            response = f'"response":{{"status_code":200,"body":{body}}}'
            lines.write(f'{{"custom_id":"r{i}",{response}}}\n')
    ids = [f"r{i}" for i in range(number)]
    tracemalloc.start()
    read_table([file], ids, MADE, keep=lambda name, _: name)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * size < number * size


def test_the_estimate_states_published_image_tokens_and_notes_unknown_ones() -> None:
    estimate = make(model="gpt-image-1.5", quality="low", size="1024x1024").estimate()
    assert (estimate.output_tokens.low, estimate.output_tokens.high) == (2 * 272, None)
    assert any("per image: 272" in note for note in estimate.notes)
    unknown = make().estimate()
    assert (unknown.output_tokens.expected, unknown.output_tokens.high) == (None, None)
    assert any("unknown for this size" in note for note in unknown.notes)
    assert estimate.cost is not None
    # $16 per million tokens of images: the book's rate for text is $5.
    assert estimate.cost.low >= Decimal(2 * 272) * 16 / 10**6


def test_input_images_are_priced_at_the_higher_rate_with_a_note() -> None:
    frame = pd.DataFrame({"text": ["blue"], "photo": [png()]})
    estimate = edit(frame).estimate()
    assert any("as images, $4 per million" in note for note in estimate.notes)


def test_max_cost_is_refused_without_published_token_counts() -> None:
    with pytest.raises(CostError, match="without max_cost"):
        make().submit(max_cost=1)


def test_a_pilot_is_refused_with_an_alternative() -> None:
    with pytest.raises(RequestError, match=r"head\(5\)"):
        make().pilot(2)


def test_the_cost_follows_from_the_usage() -> None:
    with batchframe.local.serve(answer=lambda _: images(png())) as server:
        job = make().submit(client=server.client()).wait()
    # gpt-image-2 in a batch: $2.50 in, $15 out (genai-prices 0.2.3, 2026-10-14).
    assert job.cost == 2 * (50 * Decimal("2.5") + 50 * Decimal(15)) / 10**6


def test_an_edit_completes_and_joins_by_text_and_image() -> None:
    frame = pd.DataFrame({"text": ["blue", "blue"], "photo": [png(shade=1), png(shade=2)]})
    with batchframe.local.serve(answer=lambda body: base64.b64decode(
        body["images"][0]["image_url"].partition(",")[2]
    )) as server:  # fmt: skip
        edit(frame).submit("edits", client=server.client()).wait()
    joined = frame.iloc[::-1].bf.join("edits")
    assert [Path(path).read_bytes() for path in joined["image"]] == joined["photo"].tolist()


def test_the_genuine_client_reads_what_the_local_server_answers(
    server: batchframe.local.Server,
) -> None:
    response = server.client().images.generate(model=MODEL, prompt="a red kite")
    assert response.data
    assert base64.b64decode(response.data[0].b64_json or "").startswith(b"\x89PNG")
    ImagesResponse.model_validate(response.model_dump())


def test_recovery_from_the_server_restores_the_images(
    server: batchframe.local.Server,
) -> None:
    client = server.client()
    job = make().submit(client=client).wait()
    before = [Path(path).read_bytes() for path in job.results()["image"].dropna().unique()]
    shutil.rmtree(job.folder)
    [recovered] = bf.recover(client)
    paths = recovered.wait().results()["image"]
    assert [Path(path).read_bytes() for path in paths] == before


def test_parquet_of_the_joined_frame_is_read_by_plain_pandas(
    server: batchframe.local.Server, tmp_path: Path
) -> None:
    joined = FRAME.bf.join(make().submit(client=server.client()).wait())
    joined.to_parquet(tmp_path / "joined.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "joined.parquet"), joined)


def test_bytes_that_resemble_an_image_are_rejected_quickly() -> None:
    contents = [
        b"<!---->" * 580,
        b"<!--" + b"-->" * 1300,
        b"<?xml" + b" " * 4000,
        b" " * 5000 + b"<svg>",
        b"<svg",
        b"<svgx>",
        b"\0\0\0\0ftyp",
        b"",
    ]
    frame = pd.DataFrame({"text": [str(number) for number in range(len(contents))]})
    with batchframe.local.serve(lambda body: images(contents[int(body["prompt"])])) as server:
        results = make(frame).submit(client=server.client()).wait().results()
    assert results["bf_status"].tolist() == ["invalid"] * len(contents)
    assert results["bf_error"].str.contains("is not a PNG").all()


def test_a_full_disk_is_reported_and_a_later_poll_saves_the_image(
    server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    job = make().submit("kites", client=server.client())
    with monkeypatch.context() as disk:
        disk.setattr("batchframe._store.answer_files.replacing", full)
        with pytest.raises(JobError, match="free some space"):
            job.wait()
    assert bf.job("kites", server.client()).wait().counts == {"ok": 3, "skipped": 1}


def test_several_readers_at_once_write_the_same_files(server: batchframe.local.Server) -> None:
    job = make().submit("kites", client=server.client()).wait()
    shutil.rmtree(job.folder / "files")
    with ThreadPoolExecutor(4) as pool:
        path_lists = list(pool.map(lambda _: bf.job("kites").results()["image"].tolist(), range(4)))
    assert len({str(paths) for paths in path_lists}) == 1
    assert len(list((job.folder / "files").iterdir())) == 2


def test_a_path_outside_the_folder_is_not_a_file(server: batchframe.local.Server) -> None:
    client = server.client()
    make().submit("first", client=client).wait()
    job = make(FRAME.head(1)).submit("again", client=client).wait()
    path = job.folder / "reused.parquet"
    table = pq.read_table(path)
    forged = pa.array(['{"files":["../manifest.json"]}'], pa.large_string())
    table = table.set_column(table.column_names.index("text"), "text", forged)
    pq.write_table(table, path, write_page_checksum=True)
    (job.folder / "answers.parquet").unlink()
    row = bf.job("again").results().loc[0]
    assert (row["bf_status"], pd.isna(row["image"])) == ("missing", True)
