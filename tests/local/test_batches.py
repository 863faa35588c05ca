from __future__ import annotations

import threading
from typing import Any

import openai
import pytest

from batchframe import local
from batchframe.errors import LocalServerError
from batchframe.local import AnswerError


def ids(lines: list[dict[str, Any]]) -> set[str]:
    return {each["custom_id"] for each in lines}


def counts(batch: Any) -> tuple[int, int, int]:
    request_counts = batch.request_counts
    return (request_counts.total, request_counts.completed, request_counts.failed)


def text_of(body: dict[str, Any]) -> str:
    text: str = body["messages"][-1]["content"]
    return text


def test_a_good_file_completes_with_one_answer_a_request(
    batch_client: Any, make_lines: Any
) -> None:
    lines = make_lines(20)
    batch = batch_client.run(lines)
    assert batch.status == "completed"
    assert counts(batch) == (20, 20, 0)
    assert not batch.error_file_id
    assert ids(batch_client.read(batch.output_file_id)) == ids(lines)
    assert batch.created_at <= batch.in_progress_at <= batch.finalizing_at <= batch.completed_at


def test_an_answer_line_has_openais_shape(batch_client: Any, make_lines: Any) -> None:
    batch = batch_client.run(make_lines(1))
    (line,) = batch_client.read(batch.output_file_id)
    assert list(line) == ["id", "custom_id", "response", "error"]
    assert line["id"].startswith("batch_req_")
    assert line["error"] is None
    assert list(line["response"]) == ["status_code", "request_id", "body"]
    assert line["response"]["status_code"] == 200
    assert line["response"]["body"]["object"] == "chat.completion"


def test_answers_come_in_another_order_than_the_requests(
    batch_client: Any, make_lines: Any
) -> None:
    lines = make_lines(50)
    answers = batch_client.read(batch_client.run(lines).output_file_id)
    assert [each["custom_id"] for each in answers] != [each["custom_id"] for each in lines]


def test_the_result_files_are_named_after_the_batch_and_listed(
    batch_client: Any, make_lines: Any
) -> None:
    batch = batch_client.run(make_lines(1))
    (file,) = batch_client.client.files.list(purpose="batch_output").data
    assert file.id == batch.output_file_id
    assert file.filename == f"{batch.id}_output.jsonl"
    assert file.expires_at == file.created_at + 30 * 24 * 60 * 60


def test_result_files_expire_as_requested(batch_client: Any, make_lines: Any) -> None:
    expiry = {"anchor": "created_at", "seconds": 7200}
    batch = batch_client.ended(batch_client.submit(make_lines(1), output_expires_after=expiry))
    file = batch_client.client.files.retrieve(batch.output_file_id)
    assert file.expires_at == file.created_at + 7200


def test_the_batchs_usage_is_the_sum_of_its_lines(new_batch_client: Any, make_lines: Any) -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        number = int(text_of(body).strip("Text ?"))
        usage = {
            "prompt_tokens": 100 + number,
            "completion_tokens": 10 + number,
            "total_tokens": 110 + 2 * number,
            "prompt_tokens_details": {"cached_tokens": number},
            "completion_tokens_details": {"reasoning_tokens": 2 * number},
        }
        return {"object": "chat.completion", "choices": [], "usage": usage}

    with local.serve(answer) as server:
        batch = new_batch_client(server).run(make_lines(10))
        (entry,) = server.ledger
    usage = batch.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (1045, 145, 1190)
    assert usage.input_tokens_details.cached_tokens == 45
    assert usage.output_tokens_details.reasoning_tokens == 90
    assert (entry.input_tokens, entry.output_tokens) == (1045, 145)
    assert (entry.cached_tokens, entry.reasoning_tokens) == (45, 90)


@pytest.mark.parametrize(
    ("endpoint", "part"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi there"}]}),
        ("/v1/responses", {"input": "Hi there"}),
        ("/v1/completions", {"prompt": "Hi there"}),
        ("/v1/embeddings", {"input": ["Hi", "there"], "dimensions": 8}),
    ],
)
def test_usage_is_summed_on_every_endpoint(batch_client: Any, endpoint: str, part: Any) -> None:
    lines = [
        {
            "custom_id": str(n),
            "method": "POST",
            "url": endpoint,
            "body": {"model": "m", "user": str(n), **part},
        }
        for n in range(5)
    ]
    batch = batch_client.run(lines, endpoint)
    bodies = [line["response"]["body"] for line in batch_client.read(batch.output_file_id)]
    assert batch.usage.total_tokens == sum(body["usage"]["total_tokens"] for body in bodies)
    assert batch.usage.input_tokens > 0


def test_failed_requests_are_in_the_error_file(new_batch_client: Any, make_lines: Any) -> None:
    def answer(body: dict[str, Any]) -> str:
        if text_of(body) == "Text 1?":
            raise AnswerError(400, "Too long.", code="context_length_exceeded")
        return "fine"

    with local.serve(answer) as server:
        batch_client = new_batch_client(server)
        batch = batch_client.run(make_lines(3))
        assert batch.status == "completed"
        assert counts(batch) == (3, 2, 1)
        assert ids(batch_client.read(batch.output_file_id)) == {"row-0", "row-2"}
        (line,) = batch_client.read(batch.error_file_id)
        assert [entry.requests for entry in server.ledger] == [2]
    assert line["custom_id"] == "row-1"
    assert line["error"] is None
    assert line["response"]["status_code"] == 400
    assert line["response"]["body"]["error"] == {
        "message": "Too long.",
        "type": "invalid_request_error",
        "param": None,
        "code": "context_length_exceeded",
    }


def test_a_batch_whose_requests_all_failed_is_completed_without_output(
    new_batch_client: Any, make_lines: Any
) -> None:
    with local.serve(lambda _: AnswerError(500, "No.")) as server:
        batch_client = new_batch_client(server)
        batch = batch_client.run(make_lines(3))
        assert batch.status == "completed"
        assert batch.output_file_id is None
        assert ids(batch_client.read(batch.error_file_id)) == {"row-0", "row-1", "row-2"}
        assert server.ledger == []


def test_a_cancelled_batch_keeps_what_was_answered(
    batch_client: Any, server: local.Server, make_lines: Any
) -> None:
    server.pause(after=3)
    batch = batch_client.submit(make_lines(10))
    batch = batch_client.until(batch, lambda batch: batch.request_counts.completed == 3)
    assert batch.status == "in_progress"
    batch = batch_client.client.batches.cancel(batch.id)
    assert batch.status == "cancelling"
    assert batch_client.client.batches.cancel(batch.id).status == "cancelling"
    server.resume()
    batch = batch_client.ended(batch)
    assert batch.status == "cancelled"
    assert batch.cancelling_at <= batch.cancelled_at
    assert counts(batch) == (10, 3, 0)
    assert len(batch_client.read(batch.output_file_id)) == 3
    assert batch.error_file_id is None
    assert [entry.requests for entry in server.ledger] == [3]


def test_a_batch_cancelled_while_validating_has_no_results(
    batch_client: Any, server: local.Server, make_lines: Any
) -> None:
    server.pause()
    batch = batch_client.submit(make_lines(3))
    batch_client.client.batches.cancel(batch.id)
    server.resume()
    batch = batch_client.ended(batch)
    assert batch.status == "cancelled"
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    assert server.ledger == []


def test_running_requests_are_answered_before_a_batch_is_cancelled(
    new_batch_client: Any, make_lines: Any
) -> None:
    entered, released = threading.Event(), threading.Event()

    def answer(_: dict[str, Any]) -> str:
        entered.set()
        released.wait(60)
        return "done"

    with local.serve(answer) as server:
        batch_client = new_batch_client(server)
        batch = batch_client.submit(make_lines(5))
        assert entered.wait(60)
        assert batch_client.client.batches.cancel(batch.id).status == "cancelling"
        released.set()
        assert counts(batch_client.ended(batch)) == (5, 1, 0)


@pytest.mark.parametrize("status", ["completed", "failed", "expired"])
def test_an_ended_batch_cannot_be_cancelled(
    batch_client: Any, server: local.Server, make_lines: Any, status: str
) -> None:
    if status == "expired":
        server.pause()
        batch = batch_client.submit(make_lines(1))
        server.expire(batch.id)
    else:
        batch = batch_client.run(b"nonsense" if status == "failed" else make_lines(1))
    with pytest.raises(openai.ConflictError, match=f"with status '{status}'"):
        batch_client.client.batches.cancel(batch.id)


def test_a_cancelled_batch_may_be_cancelled_again(
    batch_client: Any, server: local.Server, make_lines: Any
) -> None:
    server.pause()
    batch = batch_client.submit(make_lines(1))
    batch_client.client.batches.cancel(batch.id)
    server.resume()
    batch_client.ended(batch)
    assert batch_client.client.batches.cancel(batch.id).status == "cancelled"


def test_an_expired_batch_keeps_its_answers_and_names_the_rest(
    batch_client: Any, server: local.Server, make_lines: Any
) -> None:
    server.pause(after=6)
    batch = batch_client.submit(make_lines(10))
    batch_client.until(batch, lambda batch: batch.request_counts.completed == 6)
    server.expire(batch.id)
    batch = batch_client.client.batches.retrieve(batch.id)
    assert batch.status == "expired"
    assert batch.expired_at
    assert counts(batch) == (10, 6, 4)
    answered = ids(batch_client.read(batch.output_file_id))
    errors = batch_client.read(batch.error_file_id)
    assert len(answered) == 6
    assert answered | ids(errors) == ids(make_lines(10))
    assert {each["error"]["code"] for each in errors} == {"batch_expired"}
    assert {each["response"] for each in errors} == {None}
    assert [entry.requests for entry in server.ledger] == [6]


def test_a_running_request_is_abandoned_when_its_batch_expires(
    new_batch_client: Any, make_lines: Any
) -> None:
    entered, released = threading.Event(), threading.Event()

    def answer(_: dict[str, Any]) -> str:
        entered.set()
        released.wait(60)
        return "too late"

    with local.serve(answer) as server:
        batch_client = new_batch_client(server)
        batch = batch_client.submit(make_lines(2))
        assert entered.wait(60)
        server.expire(batch.id)
        assert counts(batch_client.client.batches.retrieve(batch.id)) == (2, 0, 2)
        released.set()


def test_a_batch_expires_by_itself_after_a_day(
    batch_client: Any, server: local.Server, make_lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.pause(after=1)
    batch = batch_client.submit(make_lines(3))
    batch_client.until(batch, lambda batch: batch.request_counts.completed == 1)
    monkeypatch.setattr("time.time", lambda: float(batch.expires_at))
    server.resume()
    batch = batch_client.ended(batch)
    assert batch.status == "expired"
    assert counts(batch) == (3, 1, 2)


def test_expiring_an_ended_batch_changes_nothing(
    batch_client: Any, server: local.Server, make_lines: Any
) -> None:
    batch = batch_client.run(make_lines(1))
    server.expire(batch.id)
    assert batch_client.client.batches.retrieve(batch.id) == batch


def test_expiring_an_unknown_batch_is_an_error(server: local.Server) -> None:
    with pytest.raises(LocalServerError, match=r"unknown \('batch_unknown'\)"):
        server.expire("batch_unknown")


def test_a_paused_server_responds_and_can_resume(
    batch_client: Any, server: local.Server, make_lines: Any
) -> None:
    server.pause()
    batch = batch_client.submit(make_lines(2))
    assert batch_client.client.batches.retrieve(batch.id).status == "validating"
    assert batch_client.client.files.list().data
    server.resume()
    assert batch_client.ended(batch).status == "completed"


def test_counts_and_statuses_progress_while_a_batch_runs(
    new_batch_client: Any, make_lines: Any
) -> None:
    progress: list[tuple[str, int]] = []
    with local.serve(seconds=2.0) as server:
        batch_client = new_batch_client(server)

        def observe(batch: Any) -> bool:
            progress.append((batch.status, batch.request_counts.completed))
            return bool(batch.status == "completed")

        batch_client.until(batch_client.submit(make_lines(40)), observe)
    states = list(dict.fromkeys(status for status, _ in progress))
    assert states == ["validating", "in_progress", "finalizing", "completed"]
    growing = [completed for _, completed in progress]
    assert growing == sorted(growing)
    assert len(set(growing)) > 5


def test_batches_run_in_parallel(new_batch_client: Any, make_lines: Any) -> None:
    with local.serve(seconds=0.2) as server:
        batch_client = new_batch_client(server)
        batches = [batch_client.submit(make_lines(5)) for _ in range(40)]
        assert {batch_client.ended(batch).status for batch in batches} == {"completed"}
        assert len(server.ledger) == 40


@pytest.mark.slow
def test_polls_are_served_while_a_batch_runs(batch_client: Any, make_lines: Any) -> None:
    batch = batch_client.submit(make_lines(20_000))
    statuses = set()

    def observe(batch: Any) -> bool:
        statuses.add(batch.request_counts.completed)
        return bool(batch.status == "completed")

    batch_client.until(batch, observe)
    assert len(statuses) > 3


def test_the_ledger_shows_requests_that_were_billed_twice(
    batch_client: Any, server: local.Server, make_lines: Any
) -> None:
    first, second = batch_client.run(make_lines(2)), batch_client.run(make_lines(2))
    other = batch_client.run(make_lines(3))
    entries = {entry.batch_id: entry for entry in server.ledger}
    assert entries[first.id].input_sha256 == entries[second.id].input_sha256
    assert entries[first.id].input_sha256 != entries[other.id].input_sha256
    assert [entry.batch_id for entry in server.ledger] == [first.id, second.id, other.id]


def test_the_ledger_can_be_read_after_closing(new_batch_client: Any, make_lines: Any) -> None:
    with local.serve() as server:
        batch = new_batch_client(server).run(make_lines(2))
    (entry,) = server.ledger
    assert (entry.batch_id, entry.requests, entry.status) == (batch.id, 2, "completed")
