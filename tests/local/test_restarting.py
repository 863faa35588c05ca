from __future__ import annotations

import collections
import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import openai
import pytest

from batchframe import local
from batchframe.errors import LocalServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

posix = pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")

SERVER = """
import os, signal, sys, time
from batchframe import local
from batchframe.local._batches import store

folder, calls, fatal_status, moment, seconds = sys.argv[1:]

def answer(body):
    with open(calls, "a") as handle:
        handle.write(body["messages"][0]["content"] + "\\n")
    time.sleep(0.005)
    return "from the first server"

update = store.Store.update

def deadly_update(self, batch_id, **changes):
    if changes.get("status") == fatal_status and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    update(self, batch_id, **changes)
    if changes.get("status") == fatal_status and moment == "after":
        os.kill(os.getpid(), signal.SIGKILL)

store.Store.update = deadly_update
server = local.serve(answer, folder=folder, seconds=float(seconds))
print(server.url, flush=True)
time.sleep(600)
"""


ENDING = """
import sys, time
from batchframe import local

def answer(body):
    time.sleep(0.005)
    return "from the first server"

server = local.serve(answer, folder=sys.argv[1])
print(server.url, flush=True)
sys.stdin.readline()
"""
"""A script that started a server and simply comes to its end."""


class Doomed:
    """A server in a separate process, to be killed."""

    def __init__(
        self, folder: Path, status: str = "", moment: str = "", seconds: float = 0
    ) -> None:
        self.folder = folder / "state"
        self.calls = folder / "calls.txt"
        arguments = [self.folder, self.calls, status, moment, seconds]
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, *map(str, arguments)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def killed(self) -> None:
        """Wait until the process is dead."""
        assert self.process.wait(60) == -signal.SIGKILL

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self.process.kill()
        self.killed()

    def successor(self) -> local.Server:
        """Start a server on the same folder."""

        def answer(body: dict[str, Any]) -> str:
            with self.calls.open("a") as handle:
                handle.write(body["messages"][0]["content"] + "\n")
            return "from the second server"

        return local.serve(answer, folder=self.folder)

    def called(self) -> collections.Counter[str]:
        """Return how often each request was answered."""
        return collections.Counter(self.calls.read_text().splitlines())


@pytest.fixture
def doomed(tmp_path: Path) -> Iterator[Callable[..., Doomed]]:
    started: list[Doomed] = []

    def start(**options: Any) -> Doomed:
        started.append(Doomed(tmp_path, **options))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()
        assert each.process.stdout is not None
        each.process.stdout.close()


@pytest.fixture
def batch_client_at(new_batch_client: Any) -> Callable[[str], Any]:
    class Address:
        def __init__(self, url: str) -> None:
            self.url = url

        def client(self) -> openai.OpenAI:
            return openai.OpenAI(base_url=self.url, api_key="local")

    return lambda url: new_batch_client(Address(url))


@pytest.mark.slow
def test_a_script_that_ends_fails_no_waiting_request(
    tmp_path: Path, batch_client_at: Any, make_lines: Any
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENDING, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        batch_client = batch_client_at(process.stdout.readline().strip())
        batch = batch_client.submit(make_lines(300))
        batch_client.until(batch, lambda batch: batch.request_counts.completed >= 5)
        _, err = process.communicate("\n", timeout=60)
    assert (process.returncode, err) == (0, "")
    with local.serve(lambda _: "from the second server", folder=tmp_path):
        batch = batch_client.ended(batch)
        answers = batch_client.answers(batch)
    assert (batch.status, batch.request_counts.failed) == ("completed", 0)
    assert len(answers) == 300
    assert any("from the second server" in str(answer) for answer in answers.values())


@posix
def test_a_killed_server_continues_and_answers_nothing_twice(
    doomed: Any, batch_client_at: Any, make_lines: Any
) -> None:
    first = doomed()
    batch_client = batch_client_at(first.url)
    batch = batch_client.submit(make_lines(200), metadata={"job": "one"})
    batch_client.until(batch, lambda batch: batch.request_counts.completed >= 20)
    first.kill()
    with first.successor() as server:
        assert server.url == first.url
        batch = batch_client.ended(batch)
        answers = batch_client.read(batch.output_file_id)
        (entry,) = server.ledger
    assert batch.status == "completed"
    assert sorted(line["custom_id"] for line in answers) == sorted(f"row-{n}" for n in range(200))
    origins = collections.Counter(
        line["response"]["body"]["choices"][0]["message"]["content"] for line in answers
    )
    assert origins["from the first server"] >= 20
    assert origins["from the second server"] > 0
    # Only the request running at the kill may have been sent twice.
    assert first.called().total() <= 201
    assert (entry.requests, entry.metadata) == (200, {"job": "one"})
    usages = [line["response"]["body"]["usage"]["prompt_tokens"] for line in answers]
    assert entry.input_tokens == batch.usage.input_tokens == sum(usages)


@posix
@pytest.mark.parametrize("moment", ["before", pytest.param("after", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "status",
    [
        *(pytest.param(status, marks=pytest.mark.slow) for status in ("in_progress", "finalizing")),
        "completed",
        pytest.param("failed", marks=pytest.mark.slow),
    ],
)
def test_a_server_killed_at_any_change_of_state_finishes_the_batch_once(
    doomed: Any, batch_client_at: Any, make_lines: Any, status: str, moment: str
) -> None:
    first = doomed(status=status, moment=moment)
    batch_client = batch_client_at(first.url)
    lines = b"nonsense" if status == "failed" else make_lines(5)
    batch = batch_client.submit(lines)
    first.killed()
    with first.successor() as server:
        batch = batch_client.ended(batch)
        assert batch.status == ("failed" if status == "failed" else "completed")
        ledger = server.ledger
        files = batch_client.client.files.list(purpose="batch_output").data
    if status != "failed":
        assert [entry.requests for entry in ledger] == [5]
        assert first.called() == dict.fromkeys((f"Text {n}?" for n in range(5)), 1)
        assert [file.id for file in files] == [batch.output_file_id]


@pytest.mark.slow
@posix
def test_a_cancelled_batch_stays_cancelled_after_a_kill(
    doomed: Any, batch_client_at: Any, make_lines: Any
) -> None:
    first = doomed(status="cancelling", moment="after", seconds=600)
    batch_client = batch_client_at(first.url)
    batch = batch_client.submit(make_lines(5))
    with pytest.raises(Exception, match="Connection"):
        batch_client.client.batches.cancel(batch.id)
    first.killed()
    with first.successor():
        assert batch_client.ended(batch).status == "cancelled"


def test_a_torn_last_line_is_dropped_and_answered_again(
    tmp_path: Path, new_batch_client: Any, make_lines: Any
) -> None:
    with local.serve(folder=tmp_path) as server:
        server.pause(after=3)
        batch_client = new_batch_client(server)
        batch = batch_client.submit(make_lines(6))
        batch_client.until(batch, lambda batch: batch.request_counts.completed == 3)
    output = tmp_path / "batches" / batch.id / "output.jsonl"
    output.write_bytes(output.read_bytes()[:-20])
    with local.serve(folder=tmp_path):
        batch = batch_client.ended(batch)
        lines = batch_client.read(batch.output_file_id)
    assert sorted(line["custom_id"] for line in lines) == [f"row-{n}" for n in range(6)]


def test_all_state_is_there_after_a_restart(
    tmp_path: Path, new_batch_client: Any, make_lines: Any
) -> None:
    with local.serve(folder=tmp_path) as server:
        batch_client = new_batch_client(server)
        batches = [batch_client.run(make_lines(n + 1)) for n in range(3)]
        files = list(batch_client.client.files.list())
        ledger = server.ledger
        deleted = files.pop(0)
        batch_client.client.files.delete(deleted.id)
    with local.serve(folder=tmp_path) as again:
        assert list(batch_client.client.batches.list()) == batches[::-1]
        assert list(batch_client.client.files.list()) == files
        assert again.ledger == ledger
        assert len(batch_client.read(batches[1].output_file_id)) == 2


def test_an_ended_batch_leaves_no_working_files(
    tmp_path: Path, new_batch_client: Any, make_lines: Any
) -> None:
    with local.serve(folder=tmp_path) as server:
        batch = new_batch_client(server).run(make_lines(2))
    assert [path.name for path in (tmp_path / "batches").iterdir()] == [f"{batch.id}.json"]


def test_the_port_is_stored_in_the_folder(tmp_path: Path) -> None:
    urls = set()
    for _ in range(3):
        with local.serve(folder=tmp_path) as server:
            urls.add(server.url)
    assert len(urls) == 1


def test_a_stored_port_in_use_is_replaced_with_a_warning(tmp_path: Path) -> None:
    with local.serve(folder=tmp_path) as server:
        port = int(server.url.split(":")[2].split("/")[0])
    with socket.create_server(("127.0.0.1", port)):
        with pytest.warns(UserWarning, match=f"Port {port}.* is in use"):
            server = local.serve(folder=tmp_path)
        assert f":{port}/" not in server.url
        assert server.client().models.list().data
        server.close()


def test_a_folder_has_one_server_at_a_time(tmp_path: Path) -> None:
    with (
        local.serve(folder=tmp_path),
        pytest.raises(LocalServerError, match="in use by another local server"),
    ):
        local.serve(folder=tmp_path)
    with local.serve(folder=tmp_path):
        pass


def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "batches").mkdir()
    (tmp_path / "batches" / "batch_1.json").write_text('{"torn":')
    with pytest.raises(LocalServerError, match=r"batch_1\.json is damaged"):
        local.serve(folder=tmp_path)


def test_a_folder_of_another_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text(json.dumps({"layout": 99}))
    with pytest.raises(LocalServerError, match="layout 99"):
        local.serve(folder=tmp_path)


def test_without_a_folder_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_batch_client: Any, make_lines: Any
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with local.serve() as server:
        new_batch_client(server).run(make_lines(1))
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_a_server_can_be_closed_in_one_cell_and_started_again(tmp_path: Path) -> None:
    server = local.Server(folder=tmp_path)
    assert server.start() is server.start()
    first = server.url
    server.close()
    server.close()
    assert server.start().url == first
    server.close()
