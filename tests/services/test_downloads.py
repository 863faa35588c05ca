"""Downloads of result files: complete or not at all."""

from __future__ import annotations

import gzip
import socket
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import batchframe as bf
from batchframe.errors import ServiceError
from tests.support.seams import service_of

FILE = "/files/file-out"
CONTENT = "/files/file-out/content"
PAGE = (200, b"\n<!doctype html><html>Sign in</html>", "text/html")


def usual(handler: Any) -> None:
    handler.answer(*handler.default_reply(handler.path))


def send(handler: Any, *heads: str, body: bytes, reset: bool = False) -> None:
    handler.close_connection = True
    handler.wfile.write("\r\n".join(("HTTP/1.1 200 OK", *heads, "", "")).encode() + body)
    if reset:
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.wfile = open("/dev/null", "wb")  # noqa: SIM115, PTH123 - nothing more is answered
        handler.connection.close()


def content(handler: Any) -> bytes:
    return bytes(handler.fake_server.content("file-out"))


def chunk(part: bytes) -> bytes:
    return f"{len(part):x}\r\n".encode() + part + b"\r\n"


def cut_with_length(handler: Any) -> None:
    result_content = content(handler)
    send(handler, f"Content-Length: {len(result_content)}", body=result_content[:-40])


def cut_without_length(handler: Any) -> None:
    send(handler, "Connection: close", body=content(handler)[:-40])


def cut_between_lines(handler: Any) -> None:
    first = content(handler).partition(b"\n")[0]
    send(handler, "Connection: close", body=first + b"\n")


def chunks_without_end(handler: Any) -> None:
    send(handler, "Transfer-Encoding: chunked", body=chunk(content(handler)))


def reset_in_the_middle(handler: Any) -> None:
    result_content = content(handler)
    send(handler, f"Content-Length: {len(result_content)}", body=result_content[:20], reset=True)


def nothing(handler: Any) -> None:
    send(handler, "Connection: close", body=b"")


def torn_gzip(handler: Any) -> None:
    packed = gzip.compress(content(handler))[:-30]
    send(handler, "Content-Encoding: gzip", "Connection: close", body=packed)


def no_gzip(handler: Any) -> None:
    send(handler, "Content-Encoding: gzip", "Connection: close", body=content(handler))


CUTS: dict[str, Callable[[Any], None]] = {
    one.__name__: one
    for one in (
        cut_with_length, cut_without_length, cut_between_lines, chunks_without_end,
        reset_in_the_middle, nothing, torn_gzip, no_gzip,
    )
}  # fmt: skip
CUTS["portal"] = lambda handler: handler.answer(*PAGE)


def left_behind(job: bf.Job) -> list[Path]:
    return [*job.folder.glob("output-*"), *job.folder.glob("*.part")]


@pytest.mark.parametrize("framing", CUTS)
def test_d1_a_truncated_download_is_restarted(
    framing: str, fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.reply("GET", CONTENT, CUTS[framing], CUTS[framing], usual)
    job = requests.submit(client=fake_server.client()).wait()
    assert job.counts == {"ok": 3}
    assert (job.folder / "output-000.jsonl").read_bytes() == fake_server.content("file-out")


@pytest.mark.parametrize("framing", CUTS)
def test_d1_a_download_that_is_always_truncated_is_reported_and_leaves_no_file(
    framing: str, fake_server: Any, requests: bf.Requests
) -> None:
    job = requests.submit(client=fake_server.client())
    fake_server.reply("GET", CONTENT, CUTS[framing])
    for _ in range(6):
        with pytest.raises(ServiceError, match=r"of .* bytes|broke off"):
            job.refresh()
    assert (job.counts, left_behind(job)) == ({"pending": 3}, [])
    fake_server.replies.clear()
    assert job.wait().counts == {"ok": 3}


@pytest.mark.parametrize(
    "framing", ["cut_without_length", "cut_between_lines", "torn_gzip", "nothing"]
)
def test_d1_a_truncation_without_a_size_is_found_by_its_lines(
    framing: str, fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.reply("GET", FILE, (405, b""))
    fake_server.reply("GET", CONTENT, CUTS[framing], CUTS[framing], usual)
    assert requests.submit(client=fake_server.client()).wait().counts == {"ok": 3}


def test_d2_a_torn_file_is_downloaded_again_and_then_reported(
    fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.reply("GET", FILE, (405, b""))
    fake_server.reply("GET", CONTENT, CUTS["cut_without_length"])
    job = requests.submit(client=fake_server.client()).wait()
    assert job.counts == {"ok": 2, "invalid": 1}
    assert "unreadable result line" in job.results()["bf_error"][2]
    assert fake_server.count_gets(CONTENT) > 1
    fake_server.replies.clear()
    assert job.refresh().counts == {"ok": 3}


def test_d1_a_login_page_is_never_a_result_file(fake_server: Any, requests: bf.Requests) -> None:
    fake_server.reply("GET", FILE, (405, b""))
    fake_server.reply("GET", CONTENT, PAGE)
    job = requests.submit(client=fake_server.client())
    for _ in range(6):
        with pytest.raises(ServiceError, match="web page"):
            job.refresh()
    assert (job.counts, left_behind(job)) == ({"pending": 3}, [])
    fake_server.replies.clear()
    assert job.wait().counts == {"ok": 3}


WORSE: dict[str, Callable[[Any], None]] = {
    "portal": lambda handler: handler.answer(*PAGE),
    "an error with status 200": lambda handler: handler.answer(200, b'{"detail": "sign in"}'),
    "nothing": nothing,
    "less": cut_between_lines,
    "gone": lambda handler: handler.answer(404, b"{}"),
    "cut": cut_with_length,
}


@pytest.mark.parametrize("worse", WORSE)
def test_d1_a_good_file_is_never_replaced_by_a_worse_one(
    worse: str, fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.files["file-out"] = lambda prompts: b"".join(
        line + b"\n" for line in answers(prompts)[:2]
    )
    fake_server.reply("GET", FILE, (405, b""))
    job = requests.submit(client=fake_server.client()).refresh()
    home = job.folder / "output-000.jsonl"
    good = home.read_bytes()
    assert good.count(b"\n") == 2
    fake_server.reply("GET", CONTENT, WORSE[worse])
    for _ in range(8):
        try:
            job.refresh()
        except ServiceError as error:
            assert " lost" in str(error)  # noqa: PT017 - only some of them raise
        assert home.read_bytes() == good
    assert not list(job.folder.glob("*.part"))
    fake_server.replies.clear()
    assert job.wait().counts == {"ok": 2, "missing": 1}
    fake_server.files["file-out"] = lambda prompts: b"\n".join(answers(prompts))
    assert job.refresh().counts == {"ok": 3}


def answers(prompts: Any) -> list[bytes]:
    lines = (
        b'{"custom_id":"%s","response":{"status_code":200,"body":{"choices":[{"message":'
        b'{"content":"to %s"}}]}}}'
    )
    return [lines % (custom_id.encode(), prompt.encode()) for custom_id, prompt in prompts]


def test_d11_only_the_lost_file_is_downloaded_again(
    fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.batch = {"error_file_id": "file-err"}
    fake_server.files["file-err"] = lambda prompts: answers(prompts)[0]
    job = requests.submit(client=fake_server.client()).wait()
    (job.folder / "errors-000.jsonl").unlink()
    fake_server.reply("GET", CONTENT, PAGE)
    assert job.refresh().counts == {"ok": 3}
    (job.folder / "output-000.jsonl").write_bytes(b"")
    fake_server.reply("GET", FILE, (404, b"{}"))
    fake_server.reply("GET", CONTENT, (404, b"{}"))
    with pytest.raises(ServiceError, match=r"no longer has file-out.*copy"):
        job.refresh()
    (job.folder / "answers.parquet").unlink()
    with pytest.raises(bf.errors.JobError, match="changed since the download"):
        bf.job(job.folder).results()
    fake_server.replies.clear()
    assert job.refresh().counts == {"ok": 3}


def drip(handler: Any) -> None:
    result_content = content(handler)
    handler.wfile.write(
        f"HTTP/1.1 200 OK\r\nContent-Length: {len(result_content)}\r\n\r\n".encode()
    )
    for byte in result_content:
        handler.wfile.write(bytes([byte]))
        if handler.fake_server.stopped.wait(0.02):
            return


def silence(handler: Any) -> None:
    handler.fake_server.stopped.wait(60)


@pytest.mark.parametrize("slow", [drip, silence])
@pytest.mark.parametrize("path", [CONTENT, FILE, "/batches/batch_1"])
def test_d1_a_download_that_is_too_slow_is_aborted(
    slow: Any, path: str, fake_server: Any, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchframe._services.openai_client._MAX_TIMEOUT", 0.2)
    job = requests.submit(client=fake_server.client(max_retries=0))
    fake_server.reply("GET", path, slow)
    with pytest.raises(ServiceError, match=r"timed out|could not be reached"):
        job.refresh()
    assert (job.counts, left_behind(job)) == ({"pending": 3}, [])
    fake_server.replies.clear()
    assert job.wait().counts == {"ok": 3}


def test_d1_a_slow_but_steady_download_is_completed(
    fake_server: Any, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchframe._services.openai_client._MAX_TIMEOUT", 0.5)

    def steady(handler: Any) -> None:
        result_content = content(handler)
        handler.wfile.write(
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(result_content)}\r\n\r\n".encode()
        )
        for start in range(0, len(result_content), 150):
            handler.wfile.write(result_content[start : start + 150])
            handler.fake_server.stopped.wait(0.02)

    fake_server.files["file-out"] = lambda prompts: b"\n".join(answers(prompts)) + b"\n" * 20_000
    fake_server.reply("GET", CONTENT, steady)
    # A timeout does not end a running download.
    assert requests.submit(client=fake_server.client()).wait(timeout=2).counts == {"ok": 3}


def zeros() -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    while True:
        yield packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH)


def bomb(handler: Any) -> None:
    send(handler, "Content-Encoding: gzip", "Connection: close", body=b"")
    for part in zeros():
        handler.wfile.write(part)


def endless(handler: Any) -> None:
    send(handler, "Connection: close", body=b"")
    while not handler.fake_server.stopped.is_set():
        handler.wfile.write(b" " * 65536)


@pytest.mark.parametrize("flood", [bomb, endless])
@pytest.mark.parametrize("stated_size", [True, False])
def test_x9_an_endless_body_is_aborted_at_the_limit(
    flood: Any,
    stated_size: bool,
    fake_server: Any,
    requests: bf.Requests,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cap = "_SLACK" if stated_size else "_MOST"
    monkeypatch.setattr(f"batchframe._jobs.downloads.{cap}", 1 << 22)
    job = requests.submit(client=fake_server.client())
    if not stated_size:
        fake_server.reply("GET", FILE, (405, b""))
    fake_server.reply("GET", CONTENT, flood)
    with pytest.raises(ServiceError, match=r"more than 4,19\d,\d{3} bytes of file file-out"):
        job.refresh()
    assert (job.counts, left_behind(job)) == ({"pending": 3}, [])
    fake_server.replies.clear()
    assert job.wait().counts == {"ok": 3}


def test_d9_a_download_is_never_held_in_memory(fake_server: Any, tmp_path: Path) -> None:
    size = 64 << 20

    def large(handler: Any) -> None:
        handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(size >> 16):
            handler.wfile.write(bytes(1 << 16))

    fake_server.reply("GET", CONTENT, large)
    service = service_of(fake_server.client())
    tracemalloc.start()
    assert service.download("file-out", tmp_path / "large", size) == size
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
