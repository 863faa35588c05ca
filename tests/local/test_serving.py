from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import openai
import pandas as pd
import pytest

from batchframe import local
from batchframe.errors import LocalServerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def listens(url: str) -> bool:
    address = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) == 0


def test_the_server_listens_on_loopback_by_default(server: local.Server) -> None:
    assert urlsplit(server.url).hostname == "127.0.0.1"
    assert server.url.endswith("/v1")


def test_the_client_is_a_genuine_openai_client(server: local.Server) -> None:
    with server.client() as client:
        assert type(client) is openai.OpenAI
        assert str(client.base_url).rstrip("/") == server.url
        assert client.max_retries == openai.DEFAULT_MAX_RETRIES


def test_the_client_does_not_go_through_a_proxy(
    server: local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY")
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with server.client() as client:
        assert client.models.list().data


def test_a_copy_of_the_client_outlives_it(server: local.Server) -> None:
    copy = server.client().with_options(max_retries=0)
    gc.collect()
    assert copy.models.list().data


def test_another_host_than_loopback_is_logged_as_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING), local.serve(host="0.0.0.0") as server:  # noqa: S104
        assert server.client().models.list().data
    assert "without authentication" in caplog.text


@pytest.mark.parametrize(
    "headers", [{"Host": "rebound.example.com"}, {"Origin": "https://page.example.com"}]
)
def test_web_pages_are_refused(server: local.Server, headers: dict[str, str]) -> None:
    address = f"{server.url}/models"
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - an HTTP URL
    with pytest.raises(urllib.error.HTTPError) as excinfo:
        urllib.request.urlopen(request)  # noqa: S310 - an HTTP URL
    with excinfo.value as answer:
        assert answer.code == 403
        assert json.load(answer)["error"]["code"] == "forbidden"


KEY = "sk-CANARY-local"


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[local.Server]:
    with local.serve(key=KEY, folder=tmp_path / "state") as server:
        yield server


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "provide an API key"),
        ({"Authorization": ""}, "provide an API key"),
        ({"Authorization": "Bearer sk-wrong"}, "Incorrect API key"),
        ({"Authorization": "Bearer "}, "Incorrect API key"),
        ({"api-key": "sk-wrong"}, "Incorrect API key"),
    ],
)
@pytest.mark.parametrize("path", ["/models", "/files", "/batches/batch_1", "/nowhere"])
def test_a_request_without_the_key_is_refused(
    locked: local.Server, path: str, headers: dict[str, str], message: str
) -> None:
    request = urllib.request.Request(locked.url + path, headers=headers)  # noqa: S310 - HTTP
    with pytest.raises(urllib.error.HTTPError) as excinfo:
        urllib.request.urlopen(request)  # noqa: S310 - an HTTP URL
    with excinfo.value as answer:
        assert answer.code == 401
        error = json.load(answer)["error"]
    assert message in error["message"]
    assert error["type"] == "invalid_request_error"
    assert "sk-" not in str(error)


@pytest.mark.parametrize("profile", ["openai", "azure"])
def test_the_client_of_a_server_has_its_key(profile: str) -> None:
    with local.serve(key=KEY, profile=profile) as server, server.client() as client:
        assert client.models.list().data
        other = client.with_options(api_key="sk-wrong", max_retries=0)
        with pytest.raises(openai.AuthenticationError) as excinfo:
            other.models.list()
    assert excinfo.value.code == "invalid_api_key"


def test_a_job_runs_on_a_server_with_a_key_that_is_written_nowhere(
    locked: local.Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = pd.DataFrame({"text": ["a", "b"]})
    with locked.client() as client:
        job = frame.bf.requests("{{ text }}", model="gpt-4.1").submit(client=client).wait()
    assert job.counts == {"ok": 2}
    assert KEY not in repr(locked) + caplog.text
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert all(KEY.encode() not in path.read_bytes() for path in files)


def test_with_a_key_another_host_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), local.serve(host="0.0.0.0", key=KEY):  # noqa: S104
        assert "without authentication" not in caplog.text


@pytest.mark.parametrize("key", ["", " ", "sk-é", 7])
def test_an_invalid_key_is_refused_and_not_repeated(key: Any) -> None:
    with pytest.raises(
        LocalServerError, match=r"key: not a non-empty ASCII string\. Fix"
    ) as excinfo:
        local.serve(key=key)
    assert repr(key) not in str(excinfo.value)


def test_a_server_runs_inside_a_running_event_loop() -> None:
    async def cell() -> int:
        with local.serve() as server:
            async with openai.AsyncOpenAI(base_url=server.url, api_key="local") as client:
                return len((await client.models.list()).data)

    assert asyncio.run(cell()) == 1


def test_a_closed_server_no_longer_listens() -> None:
    with local.serve() as server:
        assert listens(server.url)
    assert not listens(server.url)
    assert "stopped" in repr(server)


def test_a_forgotten_server_is_closed() -> None:
    server = local.serve()
    url = server.url
    del server
    gc.collect()
    assert not listens(url)


def test_a_server_that_is_not_started_says_so() -> None:
    server = local.Server()
    for ask in (lambda: server.url, server.client, server.pause, lambda: server.expire("x")):
        with pytest.raises(LocalServerError, match=r"server\.start\(\)"):
            ask()
    assert server.ledger == []


def test_a_job_instead_of_a_batch_id_raises_an_error_with_the_fix(server: local.Server) -> None:
    with pytest.raises(LocalServerError, match=r"not a batch id \(<obj.*job\.batches\[0\]"):
        server.expire(object())  # type: ignore[arg-type]


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalServerError, match=f"port {port}"):
            local.serve(port=port)


def test_a_process_that_ends_without_closing_ends_and_cleans_up(tmp_path: Path) -> None:
    program = "from batchframe import local\nserver = local.serve()\nprint(server.url)"
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stderr == ""
    assert not list(tmp_path.glob("batchframe-local-*"))


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent differently there")
def test_run_serves_until_ctrl_c(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom batchframe import local\n"
        "local.run(folder=sys.argv[1], ready=lambda url: print(url, flush=True))\n"
        "print('ended')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert listens(url)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("ended\n", "", 0)
    assert not listens(url)


MISSING = """
import sys

for name in sys.argv[1:]:
    sys.modules[name] = None
    try:
        import batchframe.local
    except ImportError as error:
        print(error.name, error)
    del sys.modules[name]
"""


def test_a_missing_extra_says_how_to_install_it() -> None:
    names = ["starlette", "uvicorn", "python_multipart", "rstr"]
    ended = subprocess.run(
        [sys.executable, "-c", MISSING, *names], capture_output=True, text=True, check=True
    )
    output_lines = ended.stdout.splitlines()
    assert [line.partition(" ")[0] for line in output_lines] == names
    assert all('pip install "batchframe[local]"' in line for line in output_lines)


@pytest.mark.slow
def test_importing_batchframe_imports_no_server() -> None:
    program = (
        "import sys, batchframe\n"
        "servers = ('starlette', 'uvicorn', 'python_multipart', 'batchframe.local')\n"
        "print([name for name in servers if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"


def test_a_fault_of_the_server_is_reported_in_openais_shape(
    server: local.Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        message = "boom"
        raise RuntimeError(message)

    monkeypatch.setattr("batchframe.local._batches.store.Store.batches", broken)
    with (
        server.client() as client,
        caplog.at_level(logging.ERROR),
        pytest.raises(openai.InternalServerError) as excinfo,
    ):
        client.with_options(max_retries=0).batches.list()
    assert excinfo.value.type == "server_error"
    assert "boom" in caplog.text


def test_a_batch_that_cannot_be_processed_ends_as_failed(
    batch_client: Any,
    make_lines: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("batchframe.local._batches.run.Spool.answer", full)
    with caplog.at_level(logging.ERROR):
        batch = batch_client.run(make_lines(3))
    assert batch.status == "failed"
    assert [error.code for error in batch.errors.data] == ["server_error"]
    assert "No space left" in caplog.text


def test_an_unknown_profile_is_refused_with_a_suggestion() -> None:
    with pytest.raises(LocalServerError, match="Did you mean 'groq'"):
        local.serve(profile="grok")
