"""A result file is downloaded whole or not at all, and never replaces a better one."""

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
    handler.answer(*handler.usual(handler.path))


def send(handler: Any, *heads: str, body: bytes, reset: bool = False) -> None:
    handler.close_connection = True
    handler.wfile.write("\r\n".join(("HTTP/1.1 200 OK", *heads, "", "")).encode() + body)
    if reset:
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.wfile = open("/dev/null", "wb")  # noqa: SIM115, PTH123 - nothing more is answered
        handler.connection.close()


def content(handler: Any) -> bytes:
    return bytes(handler.imitation.content("file-out"))


def chunk(part: bytes) -> bytes:
    return f"{len(part):x}\r\n".encode() + part + b"\r\n"


def cut_with_length(handler: Any) -> None:
    whole = content(handler)
    send(handler, f"Content-Length: {len(whole)}", body=whole[:-40])


def cut_without_length(handler: Any) -> None:
    send(handler, "Connection: close", body=content(handler)[:-40])


def cut_between_lines(handler: Any) -> None:
    first = content(handler).partition(b"\n")[0]
    send(handler, "Connection: close", body=first + b"\n")


def chunks_without_end(handler: Any) -> None:
    send(handler, "Transfer-Encoding: chunked", body=chunk(content(handler)))


def reset_in_the_middle(handler: Any) -> None:
    whole = content(handler)
    send(handler, f"Content-Length: {len(whole)}", body=whole[:20], reset=True)


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


@pytest.mark.parametrize("cut", CUTS)
def test_d1_a_download_cut_short_is_begun_again(
    cut: str, imitation: Any, requests: bf.Requests
) -> None:
    imitation.reply("GET", CONTENT, CUTS[cut], CUTS[cut], usual)
    job = requests.submit(client=imitation.client()).wait()
    assert job.counts == {"ok": 3}
    assert (job.folder / "output-000.jsonl").read_bytes() == imitation.content("file-out")


@pytest.mark.parametrize("cut", CUTS)
def test_d1_a_download_that_is_always_cut_short_is_told_and_leaves_nothing(
    cut: str, imitation: Any, requests: bf.Requests
) -> None:
    job = requests.submit(client=imitation.client())
    imitation.reply("GET", CONTENT, CUTS[cut])
    for _ in range(6):
        with pytest.raises(ServiceError, match=r"of .* bytes|broke off"):
            job.refresh()
    assert (job.counts, left_behind(job)) == ({"pending": 3}, [])
    imitation.replies.clear()
    assert job.wait().counts == {"ok": 3}


@pytest.mark.parametrize("cut", ["cut_without_length", "cut_between_lines", "torn_gzip", "nothing"])
def test_d1_a_cut_that_no_size_gives_away_shows_by_its_lines(
    cut: str, imitation: Any, requests: bf.Requests
) -> None:
    imitation.reply("GET", FILE, (405, b""))
    imitation.reply("GET", CONTENT, CUTS[cut], CUTS[cut], usual)
    assert requests.submit(client=imitation.client()).wait().counts == {"ok": 3}


def test_d2_what_stays_torn_is_fetched_again_and_then_told(
    imitation: Any, requests: bf.Requests
) -> None:
    imitation.reply("GET", FILE, (405, b""))
    imitation.reply("GET", CONTENT, CUTS["cut_without_length"])
    job = requests.submit(client=imitation.client()).wait()
    assert job.counts == {"ok": 2, "invalid": 1}
    assert "unreadable result line" in job.results()["bf_error"][2]
    assert imitation.looks(CONTENT) > 1
    imitation.replies.clear()
    assert job.refresh().counts == {"ok": 3}


def test_d1_a_portals_page_is_never_a_result_file(imitation: Any, requests: bf.Requests) -> None:
    imitation.reply("GET", FILE, (405, b""))
    imitation.reply("GET", CONTENT, PAGE)
    job = requests.submit(client=imitation.client())
    for _ in range(6):
        with pytest.raises(ServiceError, match="web page"):
            job.refresh()
    assert (job.counts, left_behind(job)) == ({"pending": 3}, [])
    imitation.replies.clear()
    assert job.wait().counts == {"ok": 3}


WORSE: dict[str, Callable[[Any], None]] = {
    "portal": lambda handler: handler.answer(*PAGE),
    "an error as an answer": lambda handler: handler.answer(200, b'{"detail": "sign in"}'),
    "nothing": nothing,
    "less": cut_between_lines,
    "gone": lambda handler: handler.answer(404, b"{}"),
    "cut": cut_with_length,
}


@pytest.mark.parametrize("worse", WORSE)
def test_d1_nothing_worse_replaces_a_good_file(
    worse: str, imitation: Any, requests: bf.Requests
) -> None:
    imitation.files["file-out"] = lambda asked: b"".join(
        line + b"\n" for line in answers(asked)[:2]
    )
    imitation.reply("GET", FILE, (405, b""))
    job = requests.submit(client=imitation.client()).refresh()
    home = job.folder / "output-000.jsonl"
    good = home.read_bytes()
    assert good.count(b"\n") == 2
    imitation.reply("GET", CONTENT, WORSE[worse])
    for _ in range(8):
        try:
            job.refresh()
        except ServiceError as told:
            assert " lost" in str(told)  # noqa: PT017 - only some of them raise
        assert home.read_bytes() == good
    assert not list(job.folder.glob("*.part"))
    imitation.replies.clear()
    assert job.wait().counts == {"ok": 2, "missing": 1}
    imitation.files["file-out"] = lambda asked: b"\n".join(answers(asked))
    assert job.refresh().counts == {"ok": 3}


def answers(asked: Any) -> list[bytes]:
    told = (
        b'{"custom_id":"%s","response":{"status_code":200,"body":{"choices":[{"message":'
        b'{"content":"to %s"}}]}}}'
    )
    return [told % (custom_id.encode(), prompt.encode()) for custom_id, prompt in asked]


def test_d11_one_lost_file_is_fetched_again_and_the_other_left_alone(
    imitation: Any, requests: bf.Requests
) -> None:
    imitation.batch = {"error_file_id": "file-err"}
    imitation.files["file-err"] = lambda asked: answers(asked)[0]
    job = requests.submit(client=imitation.client()).wait()
    (job.folder / "errors-000.jsonl").unlink()
    imitation.reply("GET", CONTENT, PAGE)
    assert job.refresh().counts == {"ok": 3}
    (job.folder / "output-000.jsonl").write_bytes(b"")
    imitation.reply("GET", FILE, (404, b"{}"))
    imitation.reply("GET", CONTENT, (404, b"{}"))
    with pytest.raises(ServiceError, match=r"no longer has file-out.*copy"):
        job.refresh()
    (job.folder / "answers.parquet").unlink()
    with pytest.raises(bf.errors.JobError, match="changed since the download"):
        bf.job(job.folder).results()
    imitation.replies.clear()
    assert job.refresh().counts == {"ok": 3}


def drip(handler: Any) -> None:
    whole = content(handler)
    handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(whole)}\r\n\r\n".encode())
    for byte in whole:
        handler.wfile.write(bytes([byte]))
        if handler.imitation.over.wait(0.02):
            return


def silence(handler: Any) -> None:
    handler.imitation.over.wait(60)


@pytest.mark.parametrize("slow", [drip, silence])
@pytest.mark.parametrize("path", [CONTENT, FILE, "/batches/batch_1"])
def test_d1_an_answer_that_drips_is_left(
    slow: Any, path: str, imitation: Any, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchframe._services.openai_client._MAX_TIMEOUT", 0.2)
    job = requests.submit(client=imitation.client(max_retries=0))
    imitation.reply("GET", path, slow)
    with pytest.raises(ServiceError, match=r"timed out|could not be reached"):
        job.refresh()
    assert (job.counts, left_behind(job)) == ({"pending": 3}, [])
    imitation.replies.clear()
    assert job.wait().counts == {"ok": 3}


def test_d1_a_slow_answer_that_goes_on_is_waited_for(
    imitation: Any, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchframe._services.openai_client._MAX_TIMEOUT", 0.1)

    def steady(handler: Any) -> None:
        whole = content(handler)
        handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(whole)}\r\n\r\n".encode())
        for start in range(0, len(whole), 500):
            handler.wfile.write(whole[start : start + 500])
            handler.imitation.over.wait(0.02)

    imitation.files["file-out"] = lambda asked: b"\n".join(answers(asked)) + b"\n" * 20_000
    imitation.reply("GET", CONTENT, steady)
    # A wait that is over does not end a download that is under way.
    assert requests.submit(client=imitation.client()).wait(timeout=0).counts == {"ok": 3}


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
    while not handler.imitation.over.is_set():
        handler.wfile.write(b" " * 65536)


@pytest.mark.parametrize("flood", [bomb, endless])
@pytest.mark.parametrize("stated", [True, False])
def test_x9_a_body_without_an_end_is_left_at_the_cap(
    flood: Any, stated: bool, imitation: Any, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    cap = "_SLACK" if stated else "_MOST"
    monkeypatch.setattr(f"batchframe._jobs.downloads.{cap}", 1 << 22)
    job = requests.submit(client=imitation.client())
    if not stated:
        imitation.reply("GET", FILE, (405, b""))
    imitation.reply("GET", CONTENT, flood)
    with pytest.raises(ServiceError, match=r"more than 4,19\d,\d{3} bytes of file file-out"):
        job.refresh()
    assert (job.counts, left_behind(job)) == ({"pending": 3}, [])
    imitation.replies.clear()
    assert job.wait().counts == {"ok": 3}


def test_d9_a_download_is_never_held_in_memory(imitation: Any, tmp_path: Path) -> None:
    size = 64 << 20

    def large(handler: Any) -> None:
        handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(size >> 16):
            handler.wfile.write(bytes(1 << 16))

    imitation.reply("GET", CONTENT, large)
    service = service_of(imitation.client())
    tracemalloc.start()
    assert service.download("file-out", tmp_path / "large", size) == size
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
