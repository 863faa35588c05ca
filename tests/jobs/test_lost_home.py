"""A lost state folder, and a service that does not list its batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
from batchframe import local
from batchframe.errors import SubmissionError, SubmissionUncertain
from batchframe.local import Fault
from tests.support.profiles import change_local

CREATE, LIST, FILES = "POST /v1/batches", "GET /v1/batches", "GET /v1/files"
FOREVER = float("inf")


def without_metadata(body: bytes) -> bytes:
    page = json.loads(body)
    return json.dumps(
        {**page, "data": [{**batch, "metadata": None} for batch in page["data"]]}
    ).encode()


HIDING: dict[str, Fault] = {
    "empty": Fault(LIST, 200, body={"object": "list", "data": []}, times=FOREVER),
    "not found": Fault(LIST, 404, form="detail", times=FOREVER),
}
NO_METADATA = Fault(LIST, rewrite=without_metadata, times=FOREVER)
NO_FILES = Fault(FILES, 404, form="detail", times=FOREVER)


@pytest.fixture
def lose_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    return lambda: monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "another home"))


def ask(*texts: str) -> bf.Requests:
    return pd.DataFrame({"text": texts}).bf.requests("{{ text }}", model="gpt-4.1")


def test_without_metadata_the_batch_is_found_by_its_file(
    server: local.Server, requests: bf.Requests, lose_home: Callable[[], None]
) -> None:
    server.faults.add(NO_METADATA)
    first = requests.submit(client=server.client()).wait()
    lose_home()
    again = requests.submit(client=server.client()).wait()
    assert again.batches[0].id == first.batches[0].id
    assert len(server.ledger) == 1


@pytest.mark.parametrize("how", HIDING)
def test_an_earlier_upload_without_a_batch_is_reported(
    how: str, server: local.Server, requests: bf.Requests, lose_home: Callable[[], None]
) -> None:
    server.faults.add(HIDING[how])
    first = requests.submit("hidden", client=server.client()).wait()
    lose_home()
    for _ in range(2):
        with pytest.raises(SubmissionUncertain, match="it was uploaded before") as raised:
            requests.submit("hidden", client=server.client())
    assert "bf.job('hidden').resume(recreate=True)" in str(raised.value)
    assert len(server.ledger) == 1
    server.faults.clear()
    job = requests.submit("hidden", client=server.client()).wait()
    assert job.batches[0].id == first.batches[0].id


def test_with_consent_it_is_sent_again(
    server: local.Server, requests: bf.Requests, lose_home: Callable[[], None]
) -> None:
    server.faults.add(HIDING["empty"])
    requests.submit("hidden", client=server.client()).wait()
    lose_home()
    with pytest.raises(SubmissionUncertain):
        requests.submit("hidden", client=server.client())
    job = bf.job("hidden", client=server.client()).resume(recreate=True)
    assert job.wait().counts == {"ok": 3}
    assert len(server.ledger) == 2


@pytest.mark.usefixtures("one_request_a_file")
def test_consent_does_not_send_again_what_is_found(
    server: local.Server, requests: bf.Requests, lose_home: Callable[[], None]
) -> None:
    server.faults.add(NO_METADATA, Fault(CREATE, 403, skip=2))
    with pytest.raises(SubmissionError):
        requests.submit("half", client=server.client())
    lose_home()
    with pytest.raises(SubmissionUncertain, match="input file 3 of 3"):
        requests.submit("half", client=server.client())
    job = bf.job("half", client=server.client()).resume(recreate=True).wait()
    assert job.counts == {"ok": 3}
    assert len(server.ledger) == 3


@pytest.mark.parametrize("how", HIDING)
def test_without_any_list_each_state_folder_asks_once(how: str, server: local.Server) -> None:
    server.faults.add(HIDING[how], NO_FILES)
    with pytest.raises(SubmissionUncertain, match="neither batches nor files"):
        ask("a").submit("first", client=server.client())
    assert bf.job("first").status == "preparing"
    job = bf.job("first", client=server.client()).resume(recreate=True).wait()
    assert job.counts == {"ok": 1}
    assert ask("b").submit("second", client=server.client()).wait().counts == {"ok": 1}
    assert len(server.ledger) == 2


@pytest.mark.parametrize("how", HIDING)
def test_a_list_of_files_without_an_upload_allows_sending(how: str, server: local.Server) -> None:
    server.faults.add(HIDING[how])
    assert ask("a").submit(client=server.client()).wait().counts == {"ok": 1}


@pytest.mark.parametrize("batches", ["a complete list", "a list with fingerprints"])
def test_the_files_are_listed_only_if_the_batches_prove_nothing(
    batches: str, proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_local(monkeypatch, list_is_complete=batches == "a complete list")
    ask("a").submit(client=proxy.client())
    proxy.calls.clear()
    ask("b").submit(client=proxy.client())
    assert ("GET", "/v1/files") not in proxy.calls


@pytest.mark.usefixtures("one_request_a_file")
@pytest.mark.parametrize("files", ["files listed", "no files"])
@pytest.mark.parametrize("how", HIDING)
def test_the_user_names_the_batches_of_a_lost_home(
    how: str,
    files: str,
    server: local.Server,
    requests: bf.Requests,
    lose_home: Callable[[], None],
) -> None:
    server.faults.add(HIDING[how])
    first = requests.submit("hidden", client=server.client()).wait()
    server.faults.add(*([NO_FILES] if files == "no files" else []))
    lose_home()
    with pytest.raises(SubmissionUncertain, match=r'resume\(batch="batch_\.\.\."\)'):
        requests.submit("hidden", client=server.client())
    job = bf.job("hidden", client=server.client())
    for batch in first.batches[:-1]:
        with pytest.raises(SubmissionUncertain, match=r"resume\(batch="):
            job.resume(batch=batch.id)
    assert job.resume(batch=first.batches[-1].id).wait().counts == {"ok": 3}
    assert len(server.ledger) == 3


def test_an_unreachable_list_of_files_does_not_allow_sending(server: local.Server) -> None:
    server.faults.add(Fault(FILES, 503, times=FOREVER))
    with pytest.raises(bf.errors.ServiceError, match="503"):
        ask("a").submit("later", client=server.client().with_options(max_retries=0))
    server.faults.clear()
    assert ask("a").submit("later", client=server.client()).wait().counts == {"ok": 1}
