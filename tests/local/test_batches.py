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
    found = batch.request_counts
    return (found.total, found.completed, found.failed)


def asked(body: dict[str, Any]) -> str:
    text: str = body["messages"][-1]["content"]
    return text


def test_a_good_file_completes_with_one_answer_a_request(desk: Any, make_lines: Any) -> None:
    lines = make_lines(20)
    batch = desk.run(lines)
    assert batch.status == "completed"
    assert counts(batch) == (20, 20, 0)
    assert not batch.error_file_id
    assert ids(desk.read(batch.output_file_id)) == ids(lines)
    assert batch.created_at <= batch.in_progress_at <= batch.finalizing_at <= batch.completed_at


def test_an_answer_line_has_openais_shape(desk: Any, make_lines: Any) -> None:
    batch = desk.run(make_lines(1))
    (line,) = desk.read(batch.output_file_id)
    assert list(line) == ["id", "custom_id", "response", "error"]
    assert line["id"].startswith("batch_req_")
    assert line["error"] is None
    assert list(line["response"]) == ["status_code", "request_id", "body"]
    assert line["response"]["status_code"] == 200
    assert line["response"]["body"]["object"] == "chat.completion"


def test_answers_come_in_another_order_than_the_requests(desk: Any, make_lines: Any) -> None:
    lines = make_lines(50)
    answers = desk.read(desk.run(lines).output_file_id)
    assert [each["custom_id"] for each in answers] != [each["custom_id"] for each in lines]


def test_the_result_files_are_named_after_the_batch_and_listed(desk: Any, make_lines: Any) -> None:
    batch = desk.run(make_lines(1))
    (file,) = desk.client.files.list(purpose="batch_output").data
    assert file.id == batch.output_file_id
    assert file.filename == f"{batch.id}_output.jsonl"
    assert file.expires_at == file.created_at + 30 * 24 * 60 * 60


def test_result_files_live_as_long_as_was_asked(desk: Any, make_lines: Any) -> None:
    expiry = {"anchor": "created_at", "seconds": 7200}
    batch = desk.ended(desk.submit(make_lines(1), output_expires_after=expiry))
    file = desk.client.files.retrieve(batch.output_file_id)
    assert file.expires_at == file.created_at + 7200


def test_the_batchs_usage_is_the_sum_of_its_lines(new_desk: Any, make_lines: Any) -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        number = int(asked(body).strip("Text ?"))
        usage = {
            "prompt_tokens": 100 + number,
            "completion_tokens": 10 + number,
            "total_tokens": 110 + 2 * number,
            "prompt_tokens_details": {"cached_tokens": number},
            "completion_tokens_details": {"reasoning_tokens": 2 * number},
        }
        return {"object": "chat.completion", "choices": [], "usage": usage}

    with local.serve(answer) as server:
        batch = new_desk(server).run(make_lines(10))
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
def test_usage_is_summed_on_every_endpoint(desk: Any, endpoint: str, part: Any) -> None:
    lines = [
        {
            "custom_id": str(n),
            "method": "POST",
            "url": endpoint,
            "body": {"model": "m", "user": str(n), **part},
        }
        for n in range(5)
    ]
    batch = desk.run(lines, endpoint)
    bodies = [line["response"]["body"] for line in desk.read(batch.output_file_id)]
    assert batch.usage.total_tokens == sum(body["usage"]["total_tokens"] for body in bodies)
    assert batch.usage.input_tokens > 0


def test_failed_requests_stand_in_the_error_file(new_desk: Any, make_lines: Any) -> None:
    def answer(body: dict[str, Any]) -> str:
        if asked(body) == "Text 1?":
            raise AnswerError(400, "Too long.", code="context_length_exceeded")
        return "fine"

    with local.serve(answer) as server:
        desk = new_desk(server)
        batch = desk.run(make_lines(3))
        assert batch.status == "completed"
        assert counts(batch) == (3, 2, 1)
        assert ids(desk.read(batch.output_file_id)) == {"row-0", "row-2"}
        (line,) = desk.read(batch.error_file_id)
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
    new_desk: Any, make_lines: Any
) -> None:
    with local.serve(lambda _: AnswerError(500, "No.")) as server:
        desk = new_desk(server)
        batch = desk.run(make_lines(3))
        assert batch.status == "completed"
        assert batch.output_file_id is None
        assert ids(desk.read(batch.error_file_id)) == {"row-0", "row-1", "row-2"}
        assert server.ledger == []


def test_a_cancelled_batch_keeps_what_was_answered(
    desk: Any, server: local.Server, make_lines: Any
) -> None:
    server.pause(after=3)
    batch = desk.submit(make_lines(10))
    batch = desk.until(batch, lambda batch: batch.request_counts.completed == 3)
    assert batch.status == "in_progress"
    batch = desk.client.batches.cancel(batch.id)
    assert batch.status == "cancelling"
    assert desk.client.batches.cancel(batch.id).status == "cancelling"
    server.resume()
    batch = desk.ended(batch)
    assert batch.status == "cancelled"
    assert batch.cancelling_at <= batch.cancelled_at
    assert counts(batch) == (10, 3, 0)
    assert len(desk.read(batch.output_file_id)) == 3
    assert batch.error_file_id is None
    assert [entry.requests for entry in server.ledger] == [3]


def test_a_batch_cancelled_while_validating_has_no_results(
    desk: Any, server: local.Server, make_lines: Any
) -> None:
    server.pause()
    batch = desk.submit(make_lines(3))
    desk.client.batches.cancel(batch.id)
    server.resume()
    batch = desk.ended(batch)
    assert batch.status == "cancelled"
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    assert server.ledger == []


def test_requests_under_way_are_answered_before_a_batch_is_cancelled(
    new_desk: Any, make_lines: Any
) -> None:
    entered, released = threading.Event(), threading.Event()

    def answer(_: dict[str, Any]) -> str:
        entered.set()
        released.wait(60)
        return "done"

    with local.serve(answer) as server:
        desk = new_desk(server)
        batch = desk.submit(make_lines(5))
        assert entered.wait(60)
        assert desk.client.batches.cancel(batch.id).status == "cancelling"
        released.set()
        assert counts(desk.ended(batch)) == (5, 1, 0)


@pytest.mark.parametrize("status", ["completed", "failed", "expired"])
def test_an_ended_batch_cannot_be_cancelled(
    desk: Any, server: local.Server, make_lines: Any, status: str
) -> None:
    if status == "expired":
        server.pause()
        batch = desk.submit(make_lines(1))
        server.expire(batch.id)
    else:
        batch = desk.run(b"nonsense" if status == "failed" else make_lines(1))
    with pytest.raises(openai.ConflictError, match=f"with status '{status}'"):
        desk.client.batches.cancel(batch.id)


def test_a_cancelled_batch_may_be_cancelled_again(
    desk: Any, server: local.Server, make_lines: Any
) -> None:
    server.pause()
    batch = desk.submit(make_lines(1))
    desk.client.batches.cancel(batch.id)
    server.resume()
    desk.ended(batch)
    assert desk.client.batches.cancel(batch.id).status == "cancelled"


def test_an_expired_batch_keeps_its_answers_and_names_the_rest(
    desk: Any, server: local.Server, make_lines: Any
) -> None:
    server.pause(after=6)
    batch = desk.submit(make_lines(10))
    desk.until(batch, lambda batch: batch.request_counts.completed == 6)
    server.expire(batch.id)
    batch = desk.client.batches.retrieve(batch.id)
    assert batch.status == "expired"
    assert batch.expired_at
    assert counts(batch) == (10, 6, 4)
    answered = ids(desk.read(batch.output_file_id))
    errors = desk.read(batch.error_file_id)
    assert len(answered) == 6
    assert answered | ids(errors) == ids(make_lines(10))
    assert {each["error"]["code"] for each in errors} == {"batch_expired"}
    assert {each["response"] for each in errors} == {None}
    assert [entry.requests for entry in server.ledger] == [6]


def test_a_request_under_way_is_abandoned_when_its_batch_expires(
    new_desk: Any, make_lines: Any
) -> None:
    entered, released = threading.Event(), threading.Event()

    def answer(_: dict[str, Any]) -> str:
        entered.set()
        released.wait(60)
        return "too late"

    with local.serve(answer) as server:
        desk = new_desk(server)
        batch = desk.submit(make_lines(2))
        assert entered.wait(60)
        server.expire(batch.id)
        assert counts(desk.client.batches.retrieve(batch.id)) == (2, 0, 2)
        released.set()


def test_a_batch_expires_by_itself_after_a_day(
    desk: Any, server: local.Server, make_lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.pause(after=1)
    batch = desk.submit(make_lines(3))
    desk.until(batch, lambda batch: batch.request_counts.completed == 1)
    monkeypatch.setattr("time.time", lambda: float(batch.expires_at))
    server.resume()
    batch = desk.ended(batch)
    assert batch.status == "expired"
    assert counts(batch) == (3, 1, 2)


def test_expiring_an_ended_batch_changes_nothing(
    desk: Any, server: local.Server, make_lines: Any
) -> None:
    batch = desk.run(make_lines(1))
    server.expire(batch.id)
    assert desk.client.batches.retrieve(batch.id) == batch


def test_expiring_an_unknown_batch_is_an_error(server: local.Server) -> None:
    with pytest.raises(LocalServerError, match=r"unknown \('batch_unknown'\)"):
        server.expire("batch_unknown")


def test_a_paused_server_can_be_used_and_goes_on(
    desk: Any, server: local.Server, make_lines: Any
) -> None:
    server.pause()
    batch = desk.submit(make_lines(2))
    assert desk.client.batches.retrieve(batch.id).status == "validating"
    assert desk.client.files.list().data
    server.resume()
    assert desk.ended(batch).status == "completed"


def test_counts_grow_and_states_follow_each_other_while_a_batch_takes_its_time(
    new_desk: Any, make_lines: Any
) -> None:
    seen: list[tuple[str, int]] = []
    with local.serve(seconds=2.0) as server:
        desk = new_desk(server)

        def look(batch: Any) -> bool:
            seen.append((batch.status, batch.request_counts.completed))
            return bool(batch.status == "completed")

        desk.until(desk.submit(make_lines(40)), look)
    states = list(dict.fromkeys(status for status, _ in seen))
    assert states == ["validating", "in_progress", "finalizing", "completed"]
    growing = [completed for _, completed in seen]
    assert growing == sorted(growing)
    assert len(set(growing)) > 5


def test_batches_are_worked_off_side_by_side(new_desk: Any, make_lines: Any) -> None:
    with local.serve(seconds=0.2) as server:
        desk = new_desk(server)
        batches = [desk.submit(make_lines(5)) for _ in range(40)]
        assert {desk.ended(batch).status for batch in batches} == {"completed"}
        assert len(server.ledger) == 40


@pytest.mark.slow
def test_polls_are_served_while_a_batch_is_at_work(desk: Any, make_lines: Any) -> None:
    batch = desk.submit(make_lines(20_000))
    seen = set()

    def look(batch: Any) -> bool:
        seen.add(batch.request_counts.completed)
        return bool(batch.status == "completed")

    desk.until(batch, look)
    assert len(seen) > 3


def test_the_ledger_tells_when_the_same_requests_were_paid_twice(
    desk: Any, server: local.Server, make_lines: Any
) -> None:
    first, second = desk.run(make_lines(2)), desk.run(make_lines(2))
    other = desk.run(make_lines(3))
    entries = {entry.batch_id: entry for entry in server.ledger}
    assert entries[first.id].input_sha256 == entries[second.id].input_sha256
    assert entries[first.id].input_sha256 != entries[other.id].input_sha256
    assert [entry.batch_id for entry in server.ledger] == [first.id, second.id, other.id]


def test_the_ledger_can_be_read_after_closing(new_desk: Any, make_lines: Any) -> None:
    with local.serve() as server:
        batch = new_desk(server).run(make_lines(2))
    (entry,) = server.ledger
    assert (entry.batch_id, entry.requests, entry.status) == (batch.id, 2, "completed")
