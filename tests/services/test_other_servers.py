"""Servers that are not OpenAI: no crash, no hang, no wrong status."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import batchframe as bf
from batchframe.errors import JobTimeout, ServiceError

ALL = ["to a", "to b", "to c"]


def usual(handler: Any) -> None:
    handler.answer(*handler.default_reply(handler.path))


def submit(requests: bf.Requests, fake_server: Any) -> bf.Job:
    return requests.submit("job", client=fake_server.client())


def test_d8_an_unknown_status_is_shown_and_polled(fake_server: Any, requests: bf.Requests) -> None:
    fake_server.batch = lambda poll: {"status": "paused"} if poll < 3 else {}
    job = submit(requests, fake_server)
    job.refresh()
    assert (job.status, job.done, job.counts) == ("paused", False, {"pending": 3})
    assert "paused" in repr(job)
    assert "paused" in job._repr_html_()
    assert job.wait().counts == {"ok": 3}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("canceled", "cancelled"),
        ("COMPLETED", "completed"),
        (" Expired ", "expired"),
    ],
)
def test_d8_other_spellings_of_a_status_are_understood(
    word: str, expected: str, fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.batch = {"status": word}
    job = submit(requests, fake_server).wait()
    assert (job.status, job.counts) == (expected, {"ok": 3})


@pytest.mark.parametrize("word", ["preparing", "submitting", "uncertain", "pending", "x" * 9999])
def test_d8_a_status_is_never_confused_with_batchframes_own(
    word: str, fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.batch = {"status": word}
    job = submit(requests, fake_server).refresh()
    assert "bf.job('job').wait()" in repr(job)
    assert len(repr(job)) < 2000
    assert not job.done


@pytest.mark.parametrize("status", [None, 7, True, ["completed"], {}])
def test_d8_a_status_that_is_not_a_string_is_polled(
    status: Any, fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.batch = lambda poll: {"status": status} if poll < 2 else {}
    job = submit(requests, fake_server).refresh()
    assert job.status == "unknown"
    assert job.wait().counts == {"ok": 3}


def test_d8_a_missing_batch_is_reported_and_nothing_is_lost(
    fake_server: Any, requests: bf.Requests
) -> None:
    job = submit(requests, fake_server)
    fake_server.reply("GET", "/batches/batch_1", (404, b'{"detail":"Not Found"}'))
    with pytest.raises(ServiceError, match=r"does not see .*HTTP 404"):
        job.wait()
    assert job.counts == {"pending": 3}
    fake_server.replies.clear()
    assert job.wait().counts == {"ok": 3}


@pytest.mark.parametrize("status", ["expired", "cancelled", "failed"])
def test_d8_answers_of_a_batch_that_ended_early_are_kept(
    status: str, fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.batch = {"status": status}
    fake_server.files["file-out"] = lambda prompts: answer_lines(prompts[1:2])
    job = submit(requests, fake_server).wait()
    assert job.results()["response"][1] == "to b"
    assert job.counts == {"ok": 1, status: 2}


def answer_lines(prompts: Any) -> bytes:
    return b"".join(json.dumps(line(*one)).encode() + b"\n" for one in prompts)


def line(custom_id: str, prompt: str, **options: Any) -> dict[str, Any]:
    choice = {"message": {"content": f"to {prompt}"}, "finish_reason": "stop"}
    response = {"status_code": 200, "body": {"choices": [choice]}}
    return {"custom_id": custom_id, "response": response, **options}


def test_d8_an_error_file_counts_despite_good_counts(
    fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.batch = {
        "output_file_id": None, "error_file_id": "file-err",
        "request_counts": {"total": 3, "completed": 3, "failed": 0},
    }  # fmt: skip
    fake_server.files["file-err"] = lambda prompts: b"".join(
        json.dumps(
            {"custom_id": custom_id, "response": {"status_code": 0, "body": {}}, "error": None}
        ).encode()
        + b"\n"
        for custom_id, _ in prompts
    )
    job = submit(requests, fake_server).wait()
    assert job.counts == {"failed": 3}
    assert job.results()["bf_error"][0] == "HTTP 0: the service gave no reason"


def test_d5_rows_in_neither_file_are_missing_despite_good_counts(
    fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.batch = {"request_counts": {"total": 3, "completed": 3, "failed": 0}}
    fake_server.files["file-out"] = lambda prompts: answer_lines(prompts[:1])
    job = submit(requests, fake_server).wait()
    assert job.counts == {"ok": 1, "missing": 2}
    fake_server.files["file-out"] = answer_lines
    assert job.wait().counts == {"ok": 1, "missing": 2}
    assert job.refresh().counts == {"ok": 3}


@pytest.mark.parametrize("ids", [(None, None), ("", ""), (None, ""), (7, [])])
def test_missing_file_ids_mean_no_files(ids: Any, fake_server: Any, requests: bf.Requests) -> None:
    fake_server.batch = dict(zip(("output_file_id", "error_file_id"), ids, strict=True))
    job = submit(requests, fake_server).wait()
    assert job.counts == {"missing": 3}
    assert "no line for this request" in job.results()["bf_error"][0]


@pytest.mark.parametrize("content", [(200, b""), (404, b'{"detail":"Not Found"}')])
@pytest.mark.parametrize("about", [(200, b'{"bytes":0}'), (404, b"")])
def test_an_empty_error_file_beside_a_complete_output_is_ignored(
    about: Any, content: Any, fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.batch = {"error_file_id": "file-empty"}
    fake_server.reply("GET", "/files/file-empty", about)
    fake_server.reply("GET", "/files/file-empty/content", content)
    assert submit(requests, fake_server).wait().counts == {"ok": 3}


def test_a_file_that_is_named_twice_is_downloaded_once(
    fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.batch = {"error_file_id": "file-out"}
    assert submit(requests, fake_server).wait().counts == {"ok": 3}
    assert fake_server.count_gets("/files/file-out/content") == 1


def test_a_missing_result_file_has_a_reason_and_refresh_tries_again(
    fake_server: Any, requests: bf.Requests
) -> None:
    make_file = fake_server.files.pop("file-out")
    job = submit(requests, fake_server).wait()
    assert (job.status, job.counts) == ("completed", {"missing": 3})
    assert "did not return result file file-out" in job.results()["bf_error"][0]
    requests_before = fake_server.count_gets("/files/file-out/content")
    assert 1 < requests_before < 10
    job.wait()
    assert fake_server.count_gets("/files/file-out/content") == requests_before
    journal = (job.folder / "journal.jsonl").read_bytes()
    assert job.refresh().counts == {"missing": 3}
    assert (job.folder / "journal.jsonl").read_bytes() == journal
    fake_server.files["file-out"] = make_file
    assert job.refresh().counts == {"ok": 3}
    assert bf.job("job").counts == {"ok": 3}


def test_a_late_result_file_is_awaited(fake_server: Any, requests: bf.Requests) -> None:
    late = (404, b'{"detail":"Not Found"}')
    for path in ("/files/file-out", "/files/file-out/content"):
        fake_server.reply("GET", path, late, late, usual)
    assert submit(requests, fake_server).wait().counts == {"ok": 3}


@pytest.mark.parametrize("status", [400, 404, 405, 410, 501])
def test_files_without_metadata_are_downloaded(
    status: int, fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.reply("GET", "/files/file-out", (status, b"no such route", "text/plain"))
    assert submit(requests, fake_server).wait().counts == {"ok": 3}


@pytest.mark.parametrize(
    "size", [None, 0, -1, 7, 10**6, True, "700", 1.5, 10**4000], ids=lambda size: str(size)[:8]
)
def test_a_complete_file_with_a_wrong_size_is_accepted(
    size: Any, fake_server: Any, requests: bf.Requests
) -> None:
    metadata = (
        b'{"bytes":' + (b"1" * 5000 if size == 10**4000 else json.dumps(size).encode()) + b"}"
    )
    fake_server.reply("GET", "/files/file-out", (200, metadata))
    assert submit(requests, fake_server).wait().counts == {"ok": 3}


@pytest.mark.parametrize(
    "case",
    [
        (3, True, 7, {"ok": 3}),
        (3, True, 10**6, {"ok": 3}),
        (2, False, 7, {"ok": 2, "missing": 1}),
        (2, True, 7, None),
        (2, False, 10**6, None),
        (0, True, 7, None),
    ],
)
def test_complete_lines_overrule_a_wrong_size(
    case: tuple[int, bool, int, Any], fake_server: Any, requests: bf.Requests
) -> None:
    lines, torn, size, counts = case
    fake_server.files["file-out"] = lambda prompts: (
        answer_lines(prompts[:lines]) + (b'{"custom_id": "bf' if torn else b"")
    )
    fake_server.reply("GET", "/files/file-out", (200, json.dumps({"bytes": size}).encode()))
    job = submit(requests, fake_server)
    if counts is not None:
        assert job.wait().counts == counts
        return
    for _ in range(6):
        with pytest.raises(ServiceError, match="incomplete after 3 downloads"):
            job.refresh()
    assert job.counts == {"pending": 3}


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"a": "\ud83d", "\ud83d": "b"}},
        {"metadata": ["a"]},
        {"metadata": {"a": 1, "b": None}},
        {"request_counts": {"total": -3, "completed": -1, "failed": True}},
        {"request_counts": [1, 2]},
        {"request_counts": None, "errors": None, "created_at": None},
        {"request_counts": {"total": float("nan"), "completed": float("inf"), "failed": "3"}},
        {"expires_at": int("9" * 4000)},
        {"expires_at": float("inf"), "created_at": float("nan")},
        {"expires_at": 1_763_700_000_000},
        {"expires_at": True, "created_at": "soon"},
        {"expires_at": -(10**18)},
        {"errors": {"data": "bad"}},
        {"errors": ["bad", None, {"line": "3"}]},
        {"errors": "bad"},
        {"errors": {"data": [{"message": None, "code": None, "line": True}]}},
        {"endpoint": 7, "input_file_id": None},
        {"model": {"deep": [[[]]]}, "usage": "none"},
    ],
    ids=lambda changes: str(changes)[:50],
)
def test_an_unusual_batch_object_is_read_as_far_as_possible(
    changes: dict[str, Any], fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.batch = lambda poll: {"status": "in_progress", **changes} if poll < 2 else changes
    job = submit(requests, fake_server).refresh()
    assert repr(job)
    assert job._repr_html_()
    assert job.wait().counts == {"ok": 3}
    assert repr(bf.job("job"))


def test_a_number_of_5000_digits_does_not_affect_other_fields(
    fake_server: Any, requests: bf.Requests
) -> None:
    job = submit(requests, fake_server)
    batch = json.dumps(fake_server.batch_object()).encode()
    fake_server.reply(
        "GET", "/batches/batch_1", (200, batch[:-1] + b',"expires_at":' + b"9" * 5000 + b"}")
    )
    assert job.wait().counts == {"ok": 3}


def test_a_minimal_batch_object_is_enough(fake_server: Any, requests: bf.Requests) -> None:
    job = submit(requests, fake_server)
    least = {"id": "batch_1", "status": "completed", "output_file_id": "file-out"}
    fake_server.reply("GET", "/batches/batch_1", (200, json.dumps(least).encode(), "text/plain"))
    assert job.wait().counts == {"ok": 3}


def test_the_errors_of_a_failed_batch_are_read_in_any_format(
    fake_server: Any, requests: bf.Requests
) -> None:
    for errors in (["no GPU"], {"data": ["no GPU"]}, {"data": [{"message": "no GPU"}]}):
        fake_server.batch = {"status": "failed", "output_file_id": None, "errors": errors}
        job = requests.submit(client=fake_server.client(), rerun=str(errors)[:30]).wait()
        assert job.results()["bf_error"].tolist() == ["the service rejected the batch: no GPU"] * 3


UNUSABLE = {
    "web page": b"<html>Sign in</html>",
    "list": b"[]",
    "nothing": b"",
    "torn": b'{"id": "batch_',
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "no text": b"\xff\xfe{}",
    "no id": b'{"status": "completed"}',
    "an id that is not a string": b'{"id": 7, "status": "completed"}',
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_response_that_is_not_a_batch_is_reported_and_polled_again(
    case: str, fake_server: Any, requests: bf.Requests
) -> None:
    job = submit(requests, fake_server)
    fake_server.reply(
        "GET", "/batches/batch_1", (200, UNUSABLE[case]), (200, UNUSABLE[case]), usual
    )
    with pytest.raises(ServiceError, match="base_url"):
        job.refresh()
    assert job.wait().counts == {"ok": 3}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"detail": "no such batch here"}', "no such batch here"),
        (b'{"detail": [{"loc": ["path"], "msg": "field required"}]}', "field required"),
        (b"upstream said no", "upstream said no"),
        (b"<html>Forbidden by the proxy</html>", "Forbidden by the proxy"),
        (b'{"error": "a plain text"}', "a plain text"),
        (b'{"error": {"message": "half of a pair: \\ud83d"}}', "half of a pair: "),
        (b"", "403"),
    ],
)
def test_an_error_in_any_format_is_quoted(
    body: bytes, message: str, fake_server: Any, requests: bf.Requests
) -> None:
    job = submit(requests, fake_server)
    fake_server.reply("GET", "/batches/batch_1", (403, body))
    with pytest.raises(ServiceError, match="HTTP 403") as excinfo:
        job.wait()
    assert message in str(excinfo.value)
    assert str(excinfo.value).encode()


def close_after(status: int) -> Callable[[Any], None]:
    def act(handler: Any) -> None:
        handler.answer(status, b"no", "text/plain")
        handler.close_connection = True

    return act


def test_connections_closed_after_an_error_do_not_end_a_job(
    fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.reply("GET", "/files/file-out", close_after(400))
    fake_server.reply("GET", "/batches/batch_1", close_after(503), close_after(500), usual)
    assert submit(requests, fake_server).wait().counts == {"ok": 3}
    assert fake_server.calls.count(("POST", "/v1/batches")) == 1


def test_a_create_whose_connection_is_closed_is_never_sent_twice(
    fake_server: Any, requests: bf.Requests
) -> None:
    def drop(handler: Any) -> None:
        handler.close_connection = True
        handler.connection.close()
        handler.wfile = open("/dev/null", "wb")  # noqa: SIM115, PTH123 - nothing is answered

    fake_server.reply("POST", "/batches", drop)
    fake_server.reply("GET", "/batches", (200, b'{"data": []}'))
    with pytest.raises(bf.errors.SubmissionUncertain):
        submit(requests, fake_server)
    assert fake_server.calls.count(("POST", "/v1/batches")) == 1


def test_the_timeout_ends_the_wait_for_an_endless_batch(
    fake_server: Any, requests: bf.Requests
) -> None:
    fake_server.batch = {"status": "simmering"}
    job = submit(requests, fake_server)
    with pytest.raises(JobTimeout, match=r"last status: 'simmering'.*bf.job\('job'\).wait\(\)"):
        job.wait(timeout=0.2)
    fake_server.batch = {}
    assert bf.job("job", client=fake_server.client()).wait().counts == {"ok": 3}


@pytest.mark.parametrize("path", ["/batches/batch_1", "/files/file-out", "/files/file-out/content"])
def test_a_hanging_service_delays_a_wait_only_briefly(
    path: str, fake_server: Any, requests: bf.Requests
) -> None:
    # The client's default timeout of ten minutes exceeds the suite's.
    job = submit(requests, fake_server)
    fake_server.reply("GET", path, lambda _: fake_server.stopped.wait(60))
    with pytest.raises(JobTimeout, match="The last poll failed"):
        job.wait(timeout=0.2)
    fake_server.replies.clear()
    assert job.wait().counts == {"ok": 3}


def test_a_timeout_of_zero_allows_one_poll(fake_server: Any, requests: bf.Requests) -> None:
    assert submit(requests, fake_server).wait(timeout=0).counts == {"ok": 3}


def test_an_endless_response_is_aborted(
    fake_server: Any, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchframe._services.openai_client.MAX_RESPONSE", 1 << 20)

    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        while not fake_server.stopped.is_set():
            handler.wfile.write(b" " * 65536)

    job = submit(requests, fake_server)
    fake_server.reply("GET", "/batches/batch_1", endless)
    with pytest.raises(ServiceError, match="more than 1,048,576 bytes of batch batch_1"):
        job.refresh()
