from __future__ import annotations

import hashlib
import io
import os
import stat
from typing import TYPE_CHECKING

import openai
import pytest

from batchframe import local

if TYPE_CHECKING:
    from pathlib import Path


def test_an_uploaded_file_comes_back_byte_for_byte(client: openai.OpenAI) -> None:
    content = os.urandom(3_000_000)
    file = client.files.create(file=("any.bin", content), purpose="user_data")
    assert (file.bytes, file.filename, file.purpose) == (3_000_000, "any.bin", "user_data")
    assert client.files.content(file.id).content == content


def test_a_download_states_its_length_and_can_be_streamed(client: openai.OpenAI) -> None:
    file = client.files.create(file=("a.jsonl", b"x" * 200_000), purpose="batch")
    with client.files.with_streaming_response.content(file.id) as response:
        assert response.headers["content-length"] == "200000"
        digest = hashlib.sha256(b"".join(response.iter_bytes())).hexdigest()
    assert digest == hashlib.sha256(b"x" * 200_000).hexdigest()


def test_a_batch_file_expires_after_thirty_days_and_others_never(client: openai.OpenAI) -> None:
    batch = client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
    other = client.files.create(file=("a.txt", b"{}"), purpose="user_data")
    assert batch.expires_at == batch.created_at + 30 * 24 * 60 * 60
    assert other.expires_at is None


def test_an_upload_may_set_its_own_expiry(client: openai.OpenAI) -> None:
    file = client.files.create(
        file=("a.jsonl", b"{}"),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert file.expires_at == file.created_at + 3600


def test_a_file_past_its_expiry_is_gone(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
    monkeypatch.setattr("time.time", lambda: float(file.expires_at or 0))
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_files_are_listed_newest_first_and_in_pages(client: openai.OpenAI) -> None:
    ids = [client.files.create(file=(f"{n}.jsonl", b"{}"), purpose="batch").id for n in range(5)]
    assert [file.id for file in client.files.list(limit=2)] == ids[::-1]
    assert [file.id for file in client.files.list(order="asc", limit=3)] == ids


def test_files_are_listed_by_purpose(client: openai.OpenAI) -> None:
    batch = client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
    other = client.files.create(file=("a.txt", b"{}"), purpose="user_data")
    assert [file.id for file in client.files.list(purpose="batch")] == [batch.id]
    assert [file.id for file in client.files.list(purpose="user_data")] == [other.id]


def test_a_deleted_file_is_gone(client: openai.OpenAI) -> None:
    file = client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
    assert client.files.delete(file.id).deleted
    for ask in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            ask(file.id)


def test_an_unknown_file_is_refused_in_openais_shape(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as excinfo:
        client.files.retrieve("file-unknown")
    assert excinfo.value.body == {
        "message": "No such File object: file-unknown",
        "type": "invalid_request_error",
        "param": "id",
        "code": None,
    }


def test_a_batch_file_must_end_in_jsonl(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"Must be \.jsonl"):
        client.files.create(file=("input.json", b"{}"), purpose="batch")


@pytest.mark.parametrize("content", [b'{"a": 1}', io.BytesIO(b'{"a": 1}')])
def test_bytes_without_a_name_are_taken_as_a_batch_file(
    client: openai.OpenAI, content: bytes | io.BytesIO
) -> None:
    """The client calls them "upload", without an extension."""
    file = client.files.create(file=content, purpose="batch")
    assert (file.filename, file.bytes) == ("upload", 8)


@pytest.mark.parametrize("content", [b"\xff\xfe{}", '{"a": "é"}'.encode("latin-1"), b"{}\n\xc3"])
def test_a_batch_file_must_be_utf_8(client: openai.OpenAI, content: bytes) -> None:
    with pytest.raises(openai.BadRequestError, match="Must be utf-8 encoded"):
        client.files.create(file=("a.jsonl", content), purpose="batch")
    assert client.files.list().data == []
    assert client.files.create(file=("a.jsonl", content), purpose="user_data").bytes == len(content)


def test_a_character_may_be_split_between_chunks(client: openai.OpenAI) -> None:
    content = b"x" + "é".encode() * 1_000_000
    assert client.files.create(file=("a.jsonl", content), purpose="batch").bytes == len(content)


def test_an_unknown_purpose_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as excinfo:
        client.files.create(file=("a.jsonl", b"{}"), purpose="nonsense")  # type: ignore[arg-type]
    assert (excinfo.value.code, excinfo.value.param) == ("invalid_value", "purpose")


@pytest.mark.parametrize("seconds", [3599, 2_592_001])
def test_an_expiry_out_of_range_is_refused(client: openai.OpenAI, seconds: int) -> None:
    with pytest.raises(openai.BadRequestError, match="seconds"):
        client.files.create(
            file=("a.jsonl", b"{}"),
            purpose="batch",
            expires_after={"anchor": "created_at", "seconds": seconds},
        )


def test_an_upload_that_is_no_form_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="multipart"):
        client.post("/files", body={"purpose": "batch"}, cast_to=object)


@pytest.mark.parametrize(
    ("purpose", "limits"),
    [
        ("batch", local.Limits(batch_bytes=1000)),
        ("user_data", local.Limits(file_bytes=1000)),
    ],
)
def test_a_file_over_its_limit_is_refused_and_not_kept(
    purpose: str, limits: local.Limits, tmp_path: Path
) -> None:
    with local.serve(folder=tmp_path, limits=limits) as server, server.client() as client:
        options = client.with_options(max_retries=0)
        options.files.create(file=("a.jsonl", b"x" * 1000), purpose=purpose)  # type: ignore[arg-type]
        with pytest.raises(openai.APIStatusError) as excinfo:
            options.files.create(file=("b.jsonl", b"x" * 1001), purpose=purpose)  # type: ignore[arg-type]
        assert excinfo.value.status_code == 413
        assert len(options.files.list().data) == 1
    assert len(list((tmp_path / "files").iterdir())) == 2


def test_a_file_name_is_never_a_path(tmp_path: Path) -> None:
    name = "../../../outside/é\u2028.jsonl"
    with local.serve(folder=tmp_path / "state") as server, server.client() as client:
        file = client.files.create(file=(name, b"{}"), purpose="batch")
        assert client.files.retrieve(file.id).filename.endswith(".jsonl")
        assert "outside" in client.files.retrieve(file.id).filename
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_the_folder_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with local.serve(folder=folder) as server, server.client() as client:
        client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert files
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
