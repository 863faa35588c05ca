"""Batches without metadata, and batches that the user names."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
from batchframe.local import Fault, Server, serve
from tests.support.commands import run_command
from tests.support.profiles import change_local

CREATE, LIST, RETRIEVE = "POST /v1/batches", "GET /v1/batches", "GET /v1/batches/{id}"
FOREVER = float("inf")


@pytest.fixture(autouse=True)
def _polls_often(monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, first_poll=0.01, last_poll=0.05, settle=0.1)


def changed(**changes: Any) -> Callable[[bytes], bytes]:
    """Change fields of a batch in the response."""
    return lambda body: json.dumps({**json.loads(body), **changes}).encode()


BLANK = changed(input_file_id="", metadata=None)


def unlisted(*faults: Fault) -> Server:
    """Serve a gateway that lists nothing."""
    empty = {"object": "list", "data": [], "has_more": False}
    return serve(faults=[Fault(LIST, 200, body=empty, times=FOREVER), *faults])


def lost(server: Server, requests: bf.Requests, name: str = "lost") -> str:
    """Submit a job whose create has no answer; return the id of its batch."""
    server.faults.add(Fault(CREATE, "close", after=True))
    with pytest.raises(bf.errors.SubmissionUncertain, match=r'resume\(batch="batch_\.\.\."\)'):
        requests.submit(name, client=server.client())
    assert server._engine is not None
    return server._engine.store.batches()[-1].id


def other(texts: str = "xyz") -> bf.Requests:
    frame = pd.DataFrame({"text": list(texts)})
    return frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])


def test_a_created_batch_without_an_input_file_id_is_accepted_with_a_warning(
    requests: bf.Requests,
) -> None:
    blank = [Fault(route, rewrite=BLANK, times=FOREVER) for route in (CREATE, RETRIEVE)]
    with unlisted(*blank) as server:
        with pytest.warns(bf.errors.UnverifiedBatchWarning, match="without naming its input file"):
            job = requests.submit("silent", client=server.client())
        assert job.wait(60).counts == {"ok": 3}
        assert requests.submit("silent", client=server.client()).id == job.id
        assert len(server.ledger) == 1


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"input_file_id": "file-other"}, "is another batch"),
        ({"input_file_id": "", "error": {"message": "Try later."}}, r"not a batch \(Try later"),
        ({"input_file_id": "", "object": "error"}, "object 'error'"),
        ({"input_file_id": "", "endpoint": "/v1/embeddings"}, "is another batch"),
    ],
)
def test_a_create_response_about_another_batch_is_not_accepted(
    changes: dict[str, Any], advice: str, requests: bf.Requests
) -> None:
    with (
        unlisted(Fault(CREATE, rewrite=changed(**changes))) as server,
        pytest.raises(bf.errors.SubmissionUncertain, match=advice),
    ):
        requests.submit("silent", client=server.client())


EVIDENCE = {
    "the fingerprint in its metadata": {"input_file_id": None},
    "its input file": {"metadata": {}},
    "its result file": {"metadata": None, "input_file_id": ""},
}


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_a_batch_that_the_user_names_is_adopted(evidence: str, requests: bf.Requests) -> None:
    with unlisted(Fault(RETRIEVE, rewrite=changed(**EVIDENCE[evidence]), times=FOREVER)) as server:
        batch = lost(server, requests)
        job = bf.job("lost", client=server.client())
        while server.client().batches.retrieve(batch).status != "completed":
            pass
        assert job.resume(batch=batch).wait(60).counts == {"ok": 3}
        assert [one.id for one in job.batches] == [batch]
        assert len(server.ledger) == 1


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_a_batch_that_holds_something_else_is_refused(evidence: str, requests: bf.Requests) -> None:
    with unlisted(Fault(RETRIEVE, rewrite=changed(**EVIDENCE[evidence]), times=FOREVER)) as server:
        elsewhere = other().submit("other", client=server.client()).wait(60).batches[0].id
        lost(server, requests)
        job = bf.job("lost", client=server.client())
        with pytest.raises(
            bf.errors.SubmissionError, match=f"not a batch of .*: {evidence} belongs"
        ):
            job.resume(batch=elsewhere)
        assert (job.status, job.batches) == ("uncertain", [])


def test_a_copy_of_the_input_file_shows_what_a_batch_holds(requests: bf.Requests) -> None:
    with unlisted() as server:
        batch = lost(server, requests)
        job = bf.job("lost", client=server.client())
        content = (job.folder / "input-000.jsonl").read_bytes()
        copy = server.client().files.create(file=("copy.jsonl", content), purpose="batch").id
        change = changed(input_file_id=copy, metadata=None)
        server.faults.add(Fault(RETRIEVE, rewrite=change, times=FOREVER))
        assert job.resume(batch=batch).wait(60).counts == {"ok": 3}


def test_a_batch_of_unknown_content_is_not_adopted_yet(requests: bf.Requests) -> None:
    with unlisted(Fault(RETRIEVE, rewrite=BLANK, times=FOREVER)) as server:
        server.pause()
        batch = lost(server, requests)
        job = bf.job("lost", client=server.client())
        with pytest.raises(bf.errors.SubmissionError, match=r"content of .* is unknown"):
            job.resume(batch=batch)
        server.resume()
        while server.client().batches.retrieve(batch).status != "completed":
            pass
        assert job.resume(batch=batch).wait(60).counts == {"ok": 3}


@pytest.mark.usefixtures("one_request_a_file")
def test_a_second_batch_of_an_input_file_is_not_adopted(requests: bf.Requests) -> None:
    with unlisted() as server:
        server.faults.add(Fault(CREATE, "close", after=True, skip=1))
        with pytest.raises(bf.errors.SubmissionUncertain):
            requests.submit("parts", client=server.client())
        job = bf.job("parts", client=server.client())
        first = job.batches[0]
        again = server.client().batches.create(
            input_file_id=first.input_file_id or "",
            endpoint="/v1/chat/completions",
            completion_window="24h",
        )
        with pytest.raises(bf.errors.SubmissionError, match="needs no batch"):
            job.resume(batch=again.id)
        assert server._engine is not None
        second = server._engine.store.batches()[1].id
        assert job.resume(batch=second).wait(60).counts == {"ok": 3}


@pytest.mark.parametrize("batch", ["", "../files", 7])
def test_an_invalid_batch_id_is_refused(batch: Any, requests: bf.Requests, server: Server) -> None:
    job = requests.submit("plain", client=server.client())
    with pytest.raises(bf.errors.RequestError, match="batch: not an id"):
        job.resume(batch=batch)
    job.wait(60)
    with pytest.raises(bf.errors.JobError, match="needs no batch"):
        job.resume(batch="batch_7")


def test_a_batch_is_named_on_the_command_line(
    requests: bf.Requests, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with unlisted() as server:
        batch = lost(server, requests)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "local")
        assert run_command("resume", "lost") == 4
        assert "batchframe resume lost --batch batch_..." in capsys.readouterr().err
        assert run_command("resume", "lost", "--batch", batch) == 0
        assert bf.job("lost", client=server.client()).wait(60).counts == {"ok": 3}
