"""Services that are busy, unreachable, behind a proxy, or slow to list.

Test names begin with their case ids; S1 to S10 are in tests/crash.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
from batchframe import local
from batchframe.local import Fault
from tests.support.clocks import FakeTime, submit_by
from tests.support.profiles import change_local
from tests.support.seams import wrap_service

CREATE, LIST = "POST /v1/batches", "GET /v1/batches"
FOREVER = float("inf")


@pytest.fixture
def fake_time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return on_fake_time(monkeypatch)


def on_fake_time(monkeypatch: pytest.MonkeyPatch, off: float = 0.0) -> FakeTime:
    time = FakeTime(off)
    submit_by(monkeypatch, time.clock)
    return time


@pytest.fixture(autouse=True)
def _settles_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, settle=0.3)


def batches(server: local.Server) -> list[Any]:
    return list(server.client().batches.list())


HONORED = [
    ({"Retry-After": "7"}, 7.0),
    ({"Retry-After": "1.5"}, 1.5),
    ({"Retry-After-Ms": "1500"}, 1.5),
    ({"Retry-After": "0"}, 0.0),
    # An invalid Retry-After gets batchframe's own pause.
    ({"Retry-After": "-5"}, 2.0),
    ({"Retry-After": "nan"}, 2.0),
    ({"Retry-After": "soon"}, 2.0),
    ({"Retry-After": "Sun, 99 Nov 2026 10:00:00 GMT"}, 2.0),
    ({}, 2.0),
]


@pytest.mark.parametrize(("headers", "pause"), HONORED, ids=[str(case[0]) for case in HONORED])
def test_s13_retry_after_in_seconds_is_obeyed(
    headers: dict[str, str], pause: float, requests: bf.Requests, fake_time: FakeTime
) -> None:
    with local.serve(faults=[Fault(CREATE, 429, headers=headers)]) as server:
        requests.submit(client=server.client()).wait()
        assert fake_time.slept == [pause]
        assert len(server.ledger) == 1


@pytest.mark.parametrize(("ahead", "least", "most"), [(60, 50, 60), (-60, 0, 0)])
def test_s13_retry_after_as_a_date_is_obeyed(
    ahead: int, least: float, most: float, requests: bf.Requests, fake_time: FakeTime
) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
    with local.serve(faults=[Fault(CREATE, 429, headers={"Retry-After": moment})]) as server:
        requests.submit(client=server.client()).wait()
        assert least <= fake_time.slept[0] <= most


@pytest.mark.parametrize("fragment", ["121", "3600", "inf"])
def test_s13_a_retry_after_that_is_too_long_is_reported(
    fragment: str, requests: bf.Requests, fake_time: FakeTime
) -> None:
    with local.serve(faults=[Fault(CREATE, 429, headers={"Retry-After": fragment})]) as server:
        with pytest.raises(bf.errors.SubmissionError, match="429"):
            requests.submit(client=server.client())
        assert fake_time.slept == []
        assert requests.submit(client=server.client()).wait().counts == {"ok": 3}
        assert len(server.ledger) == 1


@pytest.fixture
def full_queue() -> Iterator[str]:
    """Listen without accepting, until the backlog is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].settimeout(0)
            waiting[-1].connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        for each in waiting:
            each.close()


@pytest.mark.parametrize("where", ["refused", "no such host", "times out"])
def test_s14_a_create_that_provably_never_left_is_retried(
    where: str, requests: bf.Requests, fake_time: FakeTime, request: pytest.FixtureRequest
) -> None:
    server: local.Server = request.getfixturevalue("server")
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    nowhere = {
        "refused": "http://127.0.0.1:9/v1",
        "no such host": "http://nowhere.invalid/v1",
        "times out": request.getfixturevalue("full_queue"),
    }
    tries = iter([True, True])

    def lost_at_first(create: Any) -> Any:
        def creating(service: Any, *arguments: Any, **options: Any) -> Any:
            if next(tries, False):
                away = service._client.with_options(base_url=nowhere[where], timeout=0.2)
                service = type(service)(away)
            return create(service, *arguments, **options)

        return creating

    wrap_service(monkeypatch, "create_batch", lost_at_first)
    job = requests.submit(client=server.client())
    assert fake_time.slept == [1.0, 2.0]
    journal = (job.folder / "journal.jsonl").read_text(encoding="utf-8")
    assert journal.count("UNSENT") == 2
    assert len(batches(server)) == 1
    assert job.wait().counts == {"ok": 3}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_s15_a_redirected_create_is_not_followed(
    status: int, after: bool, requests: bf.Requests
) -> None:
    with local.serve(faults=[Fault(CREATE, status, after=after)]) as server:
        if after:
            requests.submit("once", client=server.client())
        else:
            with pytest.raises(bf.errors.SubmissionUncertain):
                requests.submit("once", client=server.client())
        assert len(batches(server)) == after


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_s16_an_error_in_the_services_format_is_trusted(status: int, requests: bf.Requests) -> None:
    with local.serve(faults=[Fault(CREATE, status)]) as server:
        with pytest.raises(bf.errors.SubmissionError, match=str(status)):
            requests.submit("once", client=server.client())
        assert bf.job("once").status == "submitting"
        assert requests.submit("once", client=server.client()).wait().counts == {"ok": 3}


@pytest.mark.parametrize("form", ["detail", "text", "html"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429])
def test_s16_an_error_in_a_proxys_format_is_not_trusted(
    status: int, form: Any, requests: bf.Requests
) -> None:
    with local.serve(faults=[Fault(CREATE, status, form=form, after=True)]) as server:
        job = requests.submit("once", client=server.client())
        assert [batch.id for batch in job.batches] == [batch.id for batch in batches(server)]


@pytest.mark.parametrize("seconds", [0.1, 1.5])
def test_s17_an_uploaded_file_that_is_not_visible_yet_is_awaited(
    seconds: float, requests: bf.Requests
) -> None:
    with local.serve(faults=[Fault(CREATE, "lag", seconds=seconds)]) as server:
        assert requests.submit(client=server.client()).wait().counts == {"ok": 3}
        assert len(server.ledger) == 1
        assert len(batches(server)) == 1


@pytest.mark.parametrize("off", [-86_400.0, 86_400.0], ids=["a day behind", "a day ahead"])
def test_s19_a_clock_that_is_wrong_by_a_day_loses_no_batch(
    off: float, requests: bf.Requests, server: local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults.add(Fault(CREATE, "reset", after=True), Fault(LIST, 503, skip=1, times=9))
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("once", client=server.client())
    server.faults.clear()
    on_fake_time(monkeypatch, off)
    job = requests.submit("once", client=server.client())
    assert job.wait().counts == {"ok": 3}
    assert len(server.ledger) == 1


def test_s20_a_rerun_cell_works_after_the_server_deleted_the_files(
    requests: bf.Requests, server: local.Server
) -> None:
    client = server.client()
    requests.submit("once", client=client).wait()
    for file in client.files.list():
        client.files.delete(file.id)
    job = requests.submit("once", client=client).wait()
    assert job.counts == {"ok": 3}
    server.close()
    assert requests.submit("once", client=client).wait().counts == {"ok": 3}
    assert len(server.ledger) == 1


CHANGES: dict[str, dict[str, Any]] = {
    "row": {"text": ["a", "b", "d"]},
    "prompt": {"prompt": "Rate: {{ text }}"},
    "model": {"model": "gpt-4.1-mini"},
    "parameter": {"temperature": 0.5},
    "output": {"output": ["+", "-", "?"]},
}


@pytest.mark.parametrize("changed", CHANGES)
def test_s21_changed_requests_are_a_separate_job_with_a_warning(
    changed: str, server: local.Server
) -> None:
    def requests(
        text: Any = ("a", "b", "c"), prompt: str = "{{ text }}", **body: Any
    ) -> bf.Requests:
        options = {"model": "gpt-4.1", "output": ["+", "-"], **body}
        return pd.DataFrame({"text": list(text)}).bf.requests(prompt, **options)

    first = requests().submit("signs", client=server.client()).wait()
    with pytest.warns(UserWarning, match="named 'signs' exists"):
        second = requests(**CHANGES[changed]).submit("signs", client=server.client())
    assert second.id != first.id


def test_s22_a_job_is_not_searched_for_at_another_service(
    requests: bf.Requests, server: local.Server
) -> None:
    server.faults.add(Fault(CREATE, "reset"))
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("once", client=server.client())
    for file in server.client().files.list():  # a visible input file would show the same account
        server.client().files.delete(file.id)
    with local.serve() as other:
        for client in (other.client(), server.client().with_options(project="proj_2")):
            with pytest.raises(bf.errors.ClientError):
                bf.job("once", client=client).resume(recreate=True)
        assert batches(other) == batches(server) == []


@pytest.mark.usefixtures("one_request_a_file")
def test_s23_a_rejected_input_file_is_sent_later_without_affecting_the_others(
    requests: bf.Requests, server: local.Server
) -> None:
    broke = {"error": {"message": "Hard limit reached.", "code": "billing_hard_limit_reached"}}
    server.faults.add(Fault(CREATE, 400, body=broke, skip=1))
    with pytest.raises(bf.errors.SubmissionError, match="input file 2 of 3"):
        requests.submit("parts", client=server.client())
    assert len(batches(server)) == 1
    assert requests.submit("parts", client=server.client()).wait().counts == {"ok": 3}
    assert len(server.ledger) == len(batches(server)) == 3


def crowd(server: local.Server, number: int) -> None:
    """Add batches of other clients to the server."""
    assert server._engine is not None
    store = server._engine.store
    for _ in range(number):
        batch = store.add_batch(
            "file-of-others",
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"bf_fp": "of others"},
            output_lifetime=3600,
        )
        store.update(batch.id, status="completed")


def uncertain(server: local.Server, requests: bf.Requests) -> None:
    """Create a batch with a lost response and an unreadable list."""
    server.faults.add(Fault(CREATE, "reset", after=True), Fault(LIST, 503, skip=1, times=99))
    with pytest.raises(bf.errors.SubmissionUncertain, match="returned an incomplete list"):
        requests.submit("once", client=server.client().with_options(max_retries=0))
    server.faults.clear()


@pytest.mark.slow
def test_s24_one_batch_among_five_thousand_is_found(
    requests: bf.Requests, server: local.Server
) -> None:
    uncertain(server, requests)
    crowd(server, 5000)
    job = requests.submit("once", client=server.client())
    assert job.batches[0].metadata["bf_job"] == job.id
    assert len(batches(server)) == 5001


def endless(_: bytes) -> bytes:
    others = b'{"id": "batch_x", "object": "batch", "created_at": 9999999999}'
    return b'{"object": "list", "has_more": true, "data": [%b]}' % others


SPOILT_PAGES = {
    "a page fails": Fault(LIST, 503, skip=2, times=99),
    "a page is cut": Fault(LIST, "cut short", skip=2, times=99),
    "a page is a login page": Fault(LIST, "login page", skip=2, times=99),
    "a page is empty": Fault(LIST, "empty object", skip=2, times=99),
    "the cursor is unknown": Fault(LIST, 404, skip=2, times=99),
    "a page comes again": Fault(LIST, times=FOREVER, skip=1, rewrite=endless),
}


@pytest.mark.parametrize("spoilt", SPOILT_PAGES)
def test_s24_an_incomplete_list_proves_nothing(
    spoilt: str, requests: bf.Requests, server: local.Server
) -> None:
    server.faults.add(Fault(CREATE, "reset"))
    with pytest.raises(bf.errors.SubmissionUncertain, match="does not list the batch"):
        requests.submit("once", client=server.client())
    crowd(server, 250)
    server.faults.add(SPOILT_PAGES[spoilt])
    client = server.client().with_options(max_retries=0)
    for _ in range(2):
        # Each search fails midway, also with recreate=True.
        with pytest.raises(bf.errors.SubmissionUncertain, match="returned an incomplete list"):
            bf.job("once", client=client).resume(recreate=True)
        if len(server.faults):
            server.faults.clear()
            server.faults.add(SPOILT_PAGES[spoilt])
    server.faults.clear()
    assert len(batches(server)) == 250


def test_s24_a_list_that_ends_too_early_is_uncertain(
    requests: bf.Requests, server: local.Server
) -> None:
    uncertain(server, requests)
    crowd(server, 150)

    def ends(page: bytes) -> bytes:
        return page.replace(b'"has_more":true', b'"has_more":false')

    server.faults.add(Fault(LIST, rewrite=ends, times=FOREVER))
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("once", client=server.client(), on_uncertain="recreate")
    server.faults.clear()
    assert requests.submit("once", client=server.client()).wait().counts == {"ok": 3}
    assert len(server.ledger) == 1


def test_s25_a_batch_that_a_gateway_hides_is_adopted_once_it_is_listed(
    requests: bf.Requests,
) -> None:
    hidden = Fault(LIST, "lag", seconds=FOREVER)
    with local.serve(faults=[Fault(CREATE, "close", after=True), hidden]) as server:
        for _ in range(2):
            with pytest.raises(bf.errors.SubmissionUncertain, match="does not list the batch"):
                requests.submit("once", client=server.client(), on_uncertain="recreate")
        server.faults.clear()
        assert requests.submit("once", client=server.client()).wait().counts == {"ok": 3}
        assert len(server.ledger) == 1


@pytest.mark.parametrize("remaining_key", ["null", "{}", '{"bf_fp": 7}'])
def test_s26_a_batch_without_metadata_is_recognized_by_its_input_file(
    remaining_key: str, requests: bf.Requests
) -> None:
    def drop(page: bytes) -> bytes:
        before, key, rest = page.partition(b'"metadata":{')
        return (
            page
            if not key
            else before + b'"metadata":' + remaining_key.encode() + rest.partition(b"}")[2]
        )

    dropped = Fault(LIST, rewrite=drop, times=FOREVER)
    with local.serve(faults=[Fault(CREATE, 500, after=True), dropped]) as server:
        job = requests.submit("once", client=server.client())
        assert job.wait().counts == {"ok": 3}
        assert len(server.ledger) == 1


@pytest.mark.parametrize("kind", ["login page", "empty object", "broken json", 204, 500])
def test_a_failed_file_deletion_is_not_a_fence(kind: Any, requests: bf.Requests) -> None:
    options = {"body": ""} if kind == 204 else {}
    faults = [Fault(CREATE, "reset"), Fault("DELETE /v1/files/{id}", kind, times=9, **options)]
    with local.serve(faults=faults) as server:
        with pytest.raises(bf.errors.SubmissionUncertain):
            requests.submit("once", client=server.client())
        job = bf.job("once", client=server.client().with_options(max_retries=0))
        if kind == 204:
            # Azure's response to a deletion.
            job.resume(recreate=True)
            return
        with pytest.raises(bf.errors.ServiceError):
            job.resume(recreate=True)
        assert batches(server) == []
        server.faults.clear()
        assert job.resume(recreate=True).wait().counts == {"ok": 3}


@pytest.mark.parametrize("kind", ["login page", "empty object", "broken json", "reset", 500])
@pytest.mark.parametrize("route", ["POST /v1/files", LIST])
def test_an_unreadable_response_is_reported_as_a_service_error(
    kind: Any, route: str, requests: bf.Requests
) -> None:
    with local.serve(faults=[Fault(route, kind, times=9)]) as server:
        with pytest.raises(bf.errors.ServiceError):
            requests.submit("once", client=server.client().with_options(max_retries=0))
        server.faults.clear()
        assert requests.submit("once", client=server.client()).wait().counts == {"ok": 3}


def test_an_input_file_deleted_by_another_party_is_uncertain(requests: bf.Requests) -> None:
    with local.serve(faults=[Fault(CREATE, "reset")]) as server:
        client = server.client()
        with pytest.raises(bf.errors.SubmissionUncertain):
            requests.submit("once", client=client)
        for file in client.files.list():
            client.files.delete(file.id)
        with pytest.raises(bf.errors.SubmissionUncertain, match="batchframe did not delete it"):
            bf.job("once", client=client).resume(recreate=True)
        assert batches(server) == []


def test_a_batch_listed_after_its_file_was_deleted_is_not_sent_again_yet(
    requests: bf.Requests,
) -> None:
    deleted: list[bytes] = []

    def note(answer: bytes) -> bytes:
        deleted.append(answer)
        return answer

    def hide(page: bytes) -> bytes:
        return page if deleted else b'{"object":"list","data":[],"has_more":false}'

    faults = [
        Fault(CREATE, "close", after=True),
        Fault(LIST, rewrite=hide, times=FOREVER),
        Fault("DELETE /v1/files/{id}", rewrite=note, times=FOREVER),
    ]
    with local.serve(faults=faults) as server:
        server.pause()
        with pytest.raises(bf.errors.SubmissionUncertain, match="does not list the batch"):
            requests.submit("once", client=server.client())
        job = bf.job("once", client=server.client())
        with pytest.raises(bf.errors.SubmissionUncertain, match="may still fail validation"):
            job.resume(recreate=True)
        assert len(batches(server)) == 1


def test_a_partly_stored_input_file_makes_no_batch(requests: bf.Requests) -> None:
    def shorter(answer: bytes) -> bytes:
        return json.dumps({**json.loads(answer), "bytes": 1}).encode()

    with local.serve(faults=[Fault("POST /v1/files", rewrite=shorter)]) as server:
        with pytest.raises(bf.errors.ServiceError, match="stored 1 of"):
            requests.submit("once", client=server.client())
        assert batches(server) == []


def test_a_poll_without_time_left_calls_nothing(
    requests: bf.Requests, server: local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.pause()
    job = requests.submit("late", client=server.client())
    wrap_service(
        monkeypatch, "within", lambda _: lambda service, _: type(service)(service._client, 0.0)
    )
    with pytest.raises(bf.errors.JobTimeout, match="was requested"):
        job.wait(timeout=0.1)


@pytest.mark.usefixtures("fake_time")
def test_a_service_out_of_reach_at_the_create_leaves_the_job_unsent(
    requests: bf.Requests, server: local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def once_it_is_gone(create: Any) -> Any:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            server.close()
            return create(*arguments, **options)

        return wrapped

    wrap_service(monkeypatch, "create_batch", once_it_is_gone)
    client = server.client().with_options(max_retries=0)
    with pytest.raises(bf.errors.SubmissionError, match="could not be sent"):
        requests.submit("once", client=client)
