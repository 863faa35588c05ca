"""Limits of size and time that hold for every call of the service."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

import batchframe as bf
from batchframe.errors import ServiceError, SubmissionUncertain
from tests.support.other_server import DEFAULT_BATCH

MUCH = 1 << 26
"""Bytes of a body that is endless, so that a reader without a limit ends, too."""
TRANSPORT = "batchframe._services.openai_transport"
CALLS = [("POST", "/files"), ("POST", "/batches"), ("GET", "/batches"), ("GET", "/batches/batch_1")]


def send(handler: Any, status: int, *headers: str) -> None:
    lines = [f"HTTP/1.1 {status} X", "Connection: close", *headers]
    handler.close_connection = True
    handler.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode())


class Endless:
    """A body that ends when the client leaves, or after much of it."""

    def __init__(self, status: int, *headers: str) -> None:
        self.status, self.headers = status, headers
        self.sent = 0

    def __call__(self, handler: Any) -> None:
        send(handler, self.status, *self.headers)
        try:
            while self.sent < MUCH:
                self.sent += handler.wfile.write(b" " * (1 << 16))
        except OSError:
            handler.wfile = open("/dev/null", "wb")  # noqa: SIM115, PTH123 - the client left


def submit_and_wait(requests: bf.Requests, fake_server: Any) -> bf.Job:
    client = fake_server.client(max_retries=0, timeout=10)
    return requests.submit("job", client=client).wait(timeout=0)


@pytest.mark.parametrize(("method", "path"), CALLS, ids=lambda part: part)
def test_an_endless_error_is_quoted_as_far_as_it_is_read(
    method: str, path: str, fake_server: Any, requests: bf.Requests
) -> None:
    body = Endless(500)
    fake_server.reply(method, path, body)
    with pytest.raises(bf.errors.BatchframeError, match="500"):
        submit_and_wait(requests, fake_server)
    assert 0 < body.sent < MUCH / 4


def test_an_endless_redirect_is_followed_without_its_body(
    fake_server: Any, requests: bf.Requests
) -> None:
    body = Endless(302, "Location: /v1/elsewhere")
    fake_server.reply("GET", "/batches", body)
    fake_server.reply("GET", "/elsewhere", (200, b'{"data": [], "has_more": false}'))
    assert submit_and_wait(requests, fake_server).counts == {"ok": 3}
    assert 0 < body.sent < MUCH / 4


def test_redirects_without_end_are_left(fake_server: Any, requests: bf.Requests) -> None:
    fake_server.reply(
        "GET", "/batches", lambda handler: send(handler, 302, "Location: /v1/batches")
    )
    with pytest.raises(ServiceError, match="redirected"):
        submit_and_wait(requests, fake_server)


@pytest.mark.parametrize("path", ["/files", "/batches"])
def test_an_endless_success_is_left_at_a_limit(
    path: str, fake_server: Any, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{TRANSPORT}.MAX_RESPONSE", 1 << 20)
    body = Endless(200)
    fake_server.reply("POST", path, body)
    with pytest.raises(bf.errors.BatchframeError, match=r"more than 1,048,576 bytes|may exist"):
        submit_and_wait(requests, fake_server)
    assert 0 < body.sent < MUCH / 4


def test_a_compressed_error_is_left_at_its_size_when_unpacked(
    fake_server: Any, requests: bf.Requests
) -> None:
    bomb = gzip.compress(b'{"error": {"message": "' + b"x" * (1 << 27))

    def act(handler: Any) -> None:
        send(handler, 400, "Content-Encoding: gzip", f"Content-Length: {len(bomb)}")
        handler.wfile.write(bomb)

    fake_server.reply("POST", "/files", act)
    with pytest.raises(ServiceError, match="HTTP 400") as excinfo:
        submit_and_wait(requests, fake_server)
    assert len(str(excinfo.value)) < 2000


def drip_body(handler: Any) -> Any:
    send(handler, 200)
    return b" "


def drip_error(handler: Any) -> Any:
    send(handler, 500)
    return b" "


def drip_headers(handler: Any) -> Any:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    return b"x"


def drip_continue(_: Any) -> Any:
    return b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("begin", [drip_body, drip_headers, drip_continue, drip_error])
@pytest.mark.parametrize("call", CALLS, ids=lambda part: part)
def test_one_byte_at_a_time_is_left_at_a_limit(
    begin: Callable[[Any], bytes],
    call: tuple[str, str],
    fake_server: Any,
    requests: bf.Requests,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"{TRANSPORT}._PATIENCE", 0.2)
    monkeypatch.setattr(f"{TRANSPORT}._INTERVAL", 0.05)

    def drip(handler: Any) -> None:
        byte = begin(handler)
        try:
            for _ in range(400):
                handler.wfile.write(byte)
                if fake_server.stopped.wait(0.02):
                    return
        except OSError:
            pass  # the client left
        handler.wfile = open("/dev/null", "wb")  # noqa: SIM115, PTH123 - the client left
        handler.close_connection = True

    fake_server.reply(*call, drip)
    client = fake_server.client(max_retries=0, timeout=0.3)
    with pytest.raises(
        bf.errors.BatchframeError, match=r"timed out|no response|may exist|HTTP 500"
    ):
        requests.submit("job", client=client).wait(timeout=0)
    assert fake_server.calls.count((call[0], f"/v1{call[1]}")) == 1


def batches(handler: Any) -> None:
    """Answer with another page of new batches."""
    server = handler.fake_server
    page = len([one for one in server.calls if one == ("GET", "/v1/batches")])
    items = [
        {
            **DEFAULT_BATCH,
            "id": f"batch_{page}_{number}",
            "created_at": 4_000_000_000,
            "input_file_id": "file-other",
            "status": "failed",
        }
        for number in range(100)
    ]
    body = {"data": items, "has_more": page < 300}
    handler.answer(200, json.dumps(body).encode())


@pytest.mark.parametrize("limit", ["_MAX_LIST", "LONGEST"])
def test_a_list_without_end_is_left_at_a_limit(
    limit: str, fake_server: Any, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = {"_MAX_LIST": 200_000, "LONGEST": 0.2}[limit]
    monkeypatch.setattr(f"batchframe._services.openai_client.{limit}", most)
    client = fake_server.client(max_retries=0)
    fake_server.reply("GET", "/batches", batches)
    fake_server.reply("POST", "/batches", (500, b"lost"))
    with pytest.raises(SubmissionUncertain, match="returned an incomplete list"):
        requests.submit("job", client=client)
    with pytest.raises(ServiceError, match="The list of batches did not end within"):
        bf.recover(client=client)
    assert fake_server.count_gets("/batches") < 300
    bf.job("job").abandon()


def test_the_limits_keep_the_users_own_http_client(fake_server: Any, requests: bf.Requests) -> None:
    import openai

    seen: list[str] = []
    own = openai.DefaultHttpxClient(
        headers={"X-Gateway": "mine"},
        event_hooks={"request": [lambda request: seen.append(request.headers["X-Gateway"])]},
    )
    client = fake_server.client(http_client=own)
    assert requests.submit("job", client=client).wait().counts == {"ok": 3}
    assert len(seen) == len(fake_server.calls)
    assert client.files.with_raw_response.list().http_response.status_code == 200


def test_a_late_create_is_searched_for(fake_server: Any, requests: bf.Requests) -> None:
    fake_server.reply("POST", "/batches", lambda _: fake_server.stopped.wait(5))
    with pytest.raises(SubmissionUncertain):
        requests.submit("job", client=fake_server.client(max_retries=0, timeout=0.3))
    assert fake_server.calls.count(("POST", "/v1/batches")) == 1
