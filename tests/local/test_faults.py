"""Every fault, seen by the genuine client and by batchframe."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import openai
import pandas as pd
import pytest

import batchframe as bf
from batchframe import local
from batchframe.errors import LocalServerError
from batchframe.local import Fault
from tests.support.profiles import change_local

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT = "GET /v1/files/{id}/content"
FOREVER = float("inf")


def impatient(server: local.Server, timeout: float = 0.5) -> openai.OpenAI:
    return server.client().with_options(max_retries=0, timeout=timeout)


@pytest.fixture
def requests() -> bf.Requests:
    frame = pd.DataFrame({"text": ["a", "b", "c"]})
    return frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])


@pytest.fixture(autouse=True)
def _settles_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, settle=0.1)


def statuses(error: openai.APIStatusError) -> tuple[int, str]:
    return error.status_code, error.response.headers["content-type"].partition(";")[0]


INSTEAD: list[tuple[str | int, dict[str, Any], Callable[[Any], bool]]] = [
    ("reset", {}, lambda seen: "ReadError" in cause_of(seen)),
    ("close", {}, lambda seen: "RemoteProtocolError" in cause_of(seen)),
    ("hang", {}, lambda seen: isinstance(seen, openai.APITimeoutError)),
    ("hang", {"seconds": 0.05}, lambda seen: "RemoteProtocolError" in cause_of(seen)),
    ("broken json", {}, lambda seen: isinstance(seen, json.JSONDecodeError)),
    ("empty object", {}, lambda seen: seen.id is None),
    ("login page", {}, lambda seen: "<h1>Sign in" in seen),
    (500, {}, lambda seen: seen.type == "server_error"),
    (401, {}, lambda seen: isinstance(seen, openai.AuthenticationError)),
    (404, {"form": "html"}, lambda seen: statuses(seen) == (404, "text/html")),
    (503, {"form": "text"}, lambda seen: seen.response.text == "Service Unavailable"),
    (422, {"form": "detail"}, lambda seen: "detail" in seen.response.json()),
    (599, {"body": "odd"}, lambda seen: statuses(seen) == (599, "text/plain")),
    (400, {"body": {"error": {"code": "no"}}}, lambda seen: seen.code == "no"),
    (200, {"body": "[]"}, lambda seen: seen == []),
    (
        429,
        {"headers": {"Retry-After": "1"}},
        lambda seen: seen.response.headers["retry-after"] == "1",
    ),
]


def cause_of(error: Any) -> str:
    return type(error.__cause__).__name__


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("case", INSTEAD, ids=[f"{kind} {options}" for kind, options, _ in INSTEAD])
def test_a_fault_changes_the_response_to_a_create(
    case: Any, after: bool, batch_client: Any, server: local.Server
) -> None:
    kind, options, as_meant = case
    file_id = batch_client.upload([{"custom_id": "r"}])
    server.faults.add(Fault("POST /v1/batches", kind, after=after, **options))
    outcome: Any
    try:
        outcome = impatient(server).batches.create(
            input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
        )
    except (openai.OpenAIError, json.JSONDecodeError) as error:
        outcome = error
    assert as_meant(outcome)
    assert len(batch_client.client.batches.list().data) == after
    assert [fault.kind for fault in server.faults.struck] == [kind]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("kind", "options"), [case[:2] for case in INSTEAD], ids=[f"{k} {how}" for k, how, _ in INSTEAD]
)
def test_batchframe_creates_no_second_batch(
    kind: Any, options: Any, after: bool, requests: bf.Requests
) -> None:
    fault = Fault("POST /v1/batches", kind, after=after, **options)
    with local.serve(faults=[fault]) as server:
        client = server.client().with_options(timeout=0.5)
        try:
            requests.submit("once", client=client)
        except bf.errors.SubmissionUncertain:
            assert not after
            bf.job("once", client=client).resume(recreate=True)
        except bf.errors.SubmissionError as refused:
            # A rejection with a reason is reported.
            assert kind in {400, 401, 422, 429}
            assert str(kind) in str(refused)  # noqa: PT017 - one of three outcomes
            return
        job = bf.job("once", client=client).wait()
        assert job.counts == {"ok": 3}
        if kind != 429:
            assert len(server.ledger) == 1


def test_a_redirect_leads_to_the_same_address(batch_client: Any, server: local.Server) -> None:
    file_id = batch_client.upload([{"custom_id": "r"}])
    server.faults.add(Fault("POST /v1/batches", 307, after=True))
    batch_client.client.batches.create(
        input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert len(batch_client.client.batches.list().data) == 2


@pytest.mark.parametrize(("after", "acted"), [(False, 0), (True, 1)], ids=["before", "after"])
def test_a_delay_is_before_or_after_the_server_acts(
    after: bool, acted: int, batch_client: Any, server: local.Server
) -> None:
    file_id = batch_client.upload([{"custom_id": "r"}])
    server.faults.add(Fault("POST /v1/batches", "delay", seconds=1.0, after=after))
    with pytest.raises(openai.APITimeoutError):
        impatient(server, 0.2).batches.create(
            input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
        )
    assert len(batch_client.client.batches.list().data) == acted


def test_a_delayed_response_is_unchanged(batch_client: Any, server: local.Server) -> None:
    server.faults.add(Fault("GET /v1/models", "delay", seconds=0.05, after=True))
    assert batch_client.client.models.list().data


@pytest.fixture
def result_file(batch_client: Any, make_lines: Any) -> tuple[str, bytes]:
    batch = batch_client.run(make_lines(20))
    return batch.output_file_id, batch_client.client.files.content(batch.output_file_id).content


@pytest.mark.parametrize("kind", ["cut short", "cut chunked"])
def test_a_truncated_download_fails_in_the_client(
    kind: str, result_file: tuple[str, bytes], server: local.Server
) -> None:
    server.faults.add(Fault(CONTENT, kind))
    with pytest.raises(openai.APIConnectionError) as excinfo:
        impatient(server).files.content(result_file[0])
    assert cause_of(excinfo.value) == "RemoteProtocolError"


@pytest.mark.parametrize("keep", [0, 0.25, 1])
def test_a_silently_truncated_download_looks_complete(
    keep: float, result_file: tuple[str, bytes], server: local.Server
) -> None:
    server.faults.add(Fault(CONTENT, "cut silently", keep=keep))
    content = result_file[1]
    assert (
        impatient(server).files.content(result_file[0]).content
        == content[: int(len(content) * keep)]
    )


def test_a_download_can_be_slow(result_file: tuple[str, bytes], server: local.Server) -> None:
    speed = len(result_file[1]) / 0.3
    server.faults.add(Fault(CONTENT, "drip", bytes_per_second=speed))
    began = time.monotonic()
    # Each pause is shorter than the timeout, although the total is longer.
    assert impatient(server, 0.25).files.content(result_file[0]).content == result_file[1]
    assert time.monotonic() - began > 0.25


def test_a_download_is_rewritten(result_file: tuple[str, bytes], server: local.Server) -> None:
    server.faults.add(Fault(CONTENT, rewrite=lambda body: body.replace(b"{", b"[")))
    expected = result_file[1].replace(b"{", b"[")
    assert impatient(server).files.content(result_file[0]).content == expected


def test_an_error_response_is_not_rewritten(batch_client: Any, server: local.Server) -> None:
    server.faults.add(Fault("GET /v1/batches/{id}", rewrite=lambda body: body[1000000:]))
    with pytest.raises(openai.NotFoundError, match="No batch found"):
        batch_client.client.batches.retrieve("batch_0")


def test_a_batch_object_is_rewritten(
    batch_client: Any, make_lines: Any, server: local.Server
) -> None:
    batch = batch_client.run(make_lines(1))
    rewrite: Callable[[bytes], bytes] = lambda body: body.replace(b"completed", b"strange")  # noqa: E731
    server.faults.add(Fault(f"GET /v1/batches/{batch.id}", rewrite=rewrite))
    assert batch_client.client.batches.retrieve(batch.id).status == "strange"
    assert batch_client.client.batches.retrieve(batch.id).status == "completed"


SPOILT = [
    Fault(CONTENT, "cut short"),
    Fault(CONTENT, "cut chunked", keep=0.9),
    Fault(CONTENT, "cut silently"),
    Fault(CONTENT, "drip", bytes_per_second=20_000),
    Fault(CONTENT, "login page"),
    Fault(CONTENT, "reset"),
    Fault(CONTENT, 503, form="html"),
    Fault(CONTENT, "empty object"),
    Fault(CONTENT, rewrite=lambda body: body[:-1]),
    Fault("GET /v1/batches/{id}", "cut silently"),
    Fault("GET /v1/batches/{id}", rewrite=lambda body: body.replace(b"batch_", b"other_")),
    Fault("GET /v1/files/{id}", "login page"),
    Fault("GET /v1/files/{id}", "lag", looks=1),
    Fault("GET /v1/batches/{id}", 500, times=2),
]


@pytest.mark.parametrize("fault", SPOILT, ids=lambda fault: f"{fault.route} {fault.kind}")
def test_batchframe_downloads_every_answer_despite_faults(
    fault: Fault, requests: bf.Requests
) -> None:
    with local.serve(lambda _: {"label": "+"}, faults=[fault]) as server:
        job = requests.submit(client=server.client())
        deadline = time.monotonic() + 30
        while not job.done and time.monotonic() < deadline:
            try:
                job.wait()
            except bf.errors.ServiceError as trouble:
                # A passing problem with a file is reported once; the next poll fixes it.
                assert "sk-" not in str(trouble)  # noqa: PT017
        assert job.results()["label"].tolist() == ["+", "+", "+"]
        assert len(server.ledger) == 1
        assert fault.kind == "lag" or server.faults.struck[0] is fault


def test_a_batch_shows_late_in_lists(batch_client: Any, server: local.Server) -> None:
    server.faults.add(Fault("GET /v1/batches", "lag", looks=2))
    batch = batch_client.submit([{"custom_id": "r"}])
    lists = [[each.id for each in batch_client.client.batches.list().data] for _ in range(3)]
    assert lists == [[], [], [batch.id]]
    assert batch_client.client.batches.retrieve(batch.id).id == batch.id


def test_a_lag_of_seconds_passes(batch_client: Any, server: local.Server) -> None:
    server.faults.add(Fault("GET /v1/*", "lag", seconds=0.3))
    file_id = batch_client.upload(b"{}\n")
    assert batch_client.client.files.list().data == []
    time.sleep(0.3)
    assert [file.id for file in batch_client.client.files.list().data] == [file_id]


def test_a_hidden_object_stays_hidden_until_the_lag_is_cleared(
    batch_client: Any, server: local.Server
) -> None:
    server.faults.add(Fault("* *", "lag", seconds=FOREVER))
    file_id = batch_client.upload(b"{}\n")
    with pytest.raises(openai.NotFoundError):
        batch_client.client.files.retrieve(file_id)
    with pytest.raises(openai.BadRequestError, match="Cannot find file"):
        batch_client.client.batches.create(
            input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
        )
    server.faults.clear()
    assert batch_client.client.files.retrieve(file_id).id == file_id


def test_a_page_is_complete_despite_a_lag(batch_client: Any, server: local.Server) -> None:
    old = [batch_client.submit([{"custom_id": "r"}]).id for _ in range(3)]
    server.faults.add(Fault("GET /v1/batches", "lag", seconds=FOREVER))
    late = [batch_client.submit([{"custom_id": "r"}]).id for _ in range(3)]
    page = batch_client.client.batches.list(limit=2)
    assert [batch.id for batch in page.data] == old[:0:-1]
    assert late[0] not in {batch.id for batch in batch_client.client.batches.list(limit=1)}


def test_faults_strike_in_order_and_as_often_as_set(
    batch_client: Any, server: local.Server
) -> None:
    server.faults.add(
        Fault("GET /v1/models", 500, times=2, skip=1), Fault("GET /v1/models", 503, times=1)
    )
    statuses_in_order = []
    for _ in range(5):
        try:
            statuses_in_order.append(len(batch_client.client.models.list().data))
        except openai.APIStatusError as error:
            statuses_in_order.append(error.status_code)
    assert statuses_in_order == [503, 500, 500, 1, 1]
    assert len(server.faults) == 0
    assert [fault.kind for fault in server.faults.struck] == [503, 500, 500]


def test_faults_are_added_and_cleared_while_the_server_runs(
    batch_client: Any, server: local.Server
) -> None:
    server.faults.add(Fault("*", 500, times=FOREVER))
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            batch_client.client.models.list()
    assert [fault.route for fault in server.faults] == ["*"]
    server.faults.clear()
    assert batch_client.client.models.list().data


def test_a_server_with_a_hanging_request_closes_at_once(server: local.Server) -> None:
    server.faults.add(Fault("GET /v1/models", "hang"))
    with pytest.raises(openai.APITimeoutError):
        impatient(server, 0.1).models.list()
    server.close()
    server.start()
    assert impatient(server, 5).models.list().data


def test_a_large_upload_gets_the_error_response(batch_client: Any, server: local.Server) -> None:
    server.faults.add(Fault("POST /v1/files", 503))
    with pytest.raises(openai.InternalServerError) as excinfo:
        batch_client.upload(b"x" * 20_000_000)
    assert excinfo.value.status_code == 503


BAD: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    (
        ("POST /v1/batch", "reset"),
        {},
        "unknown ('POST /v1/batch'). Did you mean 'POST /v1/batches'",
    ),
    (("/v1/batches", "reset"), {}, "route: unknown"),
    (("PATCH /v1/batches", "reset"), {}, "route: unknown"),
    ((7, "reset"), {}, "route: unknown (7)"),
    (("GET /v1/batches", "rest"), {}, "unknown ('rest'). Did you mean 'reset'"),
    (("GET /v1/batches", 99), {}, "HTTP status from 200 to 599"),
    (("GET /v1/batches", ["reset"]), {}, "kind: unknown"),
    (("GET /v1/batches", "reset"), {"seconds": 1}, "seconds: not an option of the fault 'reset'"),
    (("GET /v1/batches", 503), {"looks": 1}, "looks: not an option"),
    (("GET /v1/batches", "lag"), {"looks": 1, "times": 2}, "times: not an option"),
    (("GET /v1/batches", "lag"), {}, "a lag needs exactly one"),
    (("GET /v1/batches", "lag"), {"looks": 1, "seconds": 1}, "seconds, looks: a lag"),
    (("GET /v1/models", "lag"), {"looks": 1}, "route: nothing to hide on 'GET /v1/models'"),
    (("GET /v1/batches", "delay"), {}, "seconds: missing"),
    (("GET /v1/batches", "delay"), {"seconds": -1}, "not a number of at least 0 (-1)"),
    (
        ("GET /v1/batches", "delay"),
        {"seconds": "soon"},
        "seconds: not a number of at least 0 ('soon')",
    ),
    (("GET /v1/batches",), {}, "rewrite: not a function (None)"),
    (("GET /v1/batches",), {"rewrite": b"x"}, "not a function (b'x')"),
    (("GET /v1/batches", 500), {"times": 0}, "times: not a number of at least 1"),
    (("GET /v1/batches", 500), {"times": float("nan")}, "a number of at least 1"),
    (("GET /v1/batches", 500), {"form": "xml"}, "'openai', 'detail', 'text', 'html'"),
    (("GET /v1/files/{id}/content", "cut short"), {"keep": 2}, "at least 0 and at most 1"),
]


@pytest.mark.parametrize(("arguments", "options", "fragment"), BAD, ids=[case[2] for case in BAD])
def test_an_invalid_fault_raises_a_clear_error(arguments: Any, options: Any, fragment: str) -> None:
    with pytest.raises(LocalServerError) as excinfo:
        Fault(*arguments, **options)
    assert fragment in str(excinfo.value)


def test_an_object_that_is_not_a_fault_is_refused(server: local.Server) -> None:
    with pytest.raises(LocalServerError, match="faults: not a list of Fault"):
        server.faults.add("reset")  # type: ignore[arg-type]
    with pytest.raises(LocalServerError, match="faults: not a list of Fault"):
        local.Server(faults=["reset"])  # type: ignore[list-item]
    with pytest.raises(LocalServerError, match="faults: not a list of Fault"):
        local.Server(faults=Fault("*", 500))  # type: ignore[arg-type]
