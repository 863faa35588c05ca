"""Servers that are not OpenAI: none makes a job crash, hang or mislead."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import batchframe as bf
from batchframe.errors import JobTimeout, ServiceError

ALL = ["to a", "to b", "to c"]


def usual(handler: Any) -> None:
    handler.answer(*handler.usual(handler.path))


def submit(requests: bf.Requests, imitation: Any) -> bf.Job:
    return requests.submit("job", client=imitation.client())


def test_d8_a_status_never_seen_before_is_waited_out_and_shown(
    imitation: Any, requests: bf.Requests
) -> None:
    imitation.batch = lambda look: {"status": "paused"} if look < 3 else {}
    job = submit(requests, imitation)
    job.refresh()
    assert (job.status, job.done, job.counts) == ("paused", False, {"pending": 3})
    assert "paused" in repr(job)
    assert "paused" in job._repr_html_()
    assert job.wait().counts == {"ok": 3}


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("canceled", "cancelled"),
        ("COMPLETED", "completed"),
        (" Expired ", "expired"),
    ],
)
def test_d8_a_status_spelt_otherwise_is_understood(
    word: str, known: str, imitation: Any, requests: bf.Requests
) -> None:
    imitation.batch = {"status": word}
    job = submit(requests, imitation).wait()
    assert (job.status, job.counts) == (known, {"ok": 3})


@pytest.mark.parametrize("word", ["preparing", "submitting", "uncertain", "pending", "x" * 9999])
def test_d8_a_status_is_never_taken_for_one_of_ours(
    word: str, imitation: Any, requests: bf.Requests
) -> None:
    imitation.batch = {"status": word}
    job = submit(requests, imitation).refresh()
    assert "job.wait()" in repr(job)
    assert len(repr(job)) < 2000
    assert not job.done


@pytest.mark.parametrize("status", [None, 7, True, ["completed"], {}])
def test_d8_a_status_that_is_no_word_is_waited_out(
    status: Any, imitation: Any, requests: bf.Requests
) -> None:
    imitation.batch = lambda look: {"status": status} if look < 2 else {}
    job = submit(requests, imitation).refresh()
    assert job.status == "unknown"
    assert job.wait().counts == {"ok": 3}


def test_d8_a_batch_that_is_not_there_is_told_and_nothing_is_lost(
    imitation: Any, requests: bf.Requests
) -> None:
    job = submit(requests, imitation)
    imitation.reply("GET", "/batches/batch_1", (404, b'{"detail":"Not Found"}'))
    with pytest.raises(ServiceError, match=r"does not see .*HTTP 404"):
        job.wait()
    assert job.counts == {"pending": 3}
    imitation.replies.clear()
    assert job.wait().counts == {"ok": 3}


@pytest.mark.parametrize("status", ["expired", "cancelled", "failed"])
def test_d8_what_a_batch_had_answered_before_its_end_is_kept(
    status: str, imitation: Any, requests: bf.Requests
) -> None:
    imitation.batch = {"status": status}
    imitation.files["file-out"] = lambda asked: imitation_lines(asked[1:2])
    job = submit(requests, imitation).wait()
    assert job.results()["response"][1] == "to b"
    assert job.counts == {"ok": 1, status: 2}


def imitation_lines(asked: Any) -> bytes:
    return b"".join(json.dumps(line(*one)).encode() + b"\n" for one in asked)


def line(custom_id: str, prompt: str, **more: Any) -> dict[str, Any]:
    choice = {"message": {"content": f"to {prompt}"}, "finish_reason": "stop"}
    response = {"status_code": 200, "body": {"choices": [choice]}}
    return {"custom_id": custom_id, "response": response, **more}


def test_d8_only_an_error_file_although_the_counts_say_that_all_is_well(
    imitation: Any, requests: bf.Requests
) -> None:
    imitation.batch = {
        "output_file_id": None, "error_file_id": "file-err",
        "request_counts": {"total": 3, "completed": 3, "failed": 0},
    }  # fmt: skip
    imitation.files["file-err"] = lambda asked: b"".join(
        json.dumps(
            {"custom_id": custom_id, "response": {"status_code": 0, "body": {}}, "error": None}
        ).encode()
        + b"\n"
        for custom_id, _ in asked
    )
    job = submit(requests, imitation).wait()
    assert job.counts == {"failed": 3}
    assert job.results()["bf_error"][0] == "HTTP 0: the service gave no reason"


def test_d5_rows_in_neither_file_are_missing_although_the_counts_say_that_all_is_well(
    imitation: Any, requests: bf.Requests
) -> None:
    imitation.batch = {"request_counts": {"total": 3, "completed": 3, "failed": 0}}
    imitation.files["file-out"] = lambda asked: imitation_lines(asked[:1])
    job = submit(requests, imitation).wait()
    assert job.counts == {"ok": 1, "missing": 2}
    imitation.files["file-out"] = imitation_lines
    assert job.wait().counts == {"ok": 1, "missing": 2}
    assert job.refresh().counts == {"ok": 3}


@pytest.mark.parametrize("ids", [(None, None), ("", ""), (None, ""), (7, [])])
def test_no_file_ids_are_no_files(ids: Any, imitation: Any, requests: bf.Requests) -> None:
    imitation.batch = dict(zip(("output_file_id", "error_file_id"), ids, strict=True))
    job = submit(requests, imitation).wait()
    assert job.counts == {"missing": 3}
    assert "no line for this request" in job.results()["bf_error"][0]


@pytest.mark.parametrize("content", [(200, b""), (404, b'{"detail":"Not Found"}')])
@pytest.mark.parametrize("about", [(200, b'{"bytes":0}'), (404, b"")])
def test_an_empty_error_file_beside_a_whole_output_is_nothing(
    about: Any, content: Any, imitation: Any, requests: bf.Requests
) -> None:
    imitation.batch = {"error_file_id": "file-empty"}
    imitation.reply("GET", "/files/file-empty", about)
    imitation.reply("GET", "/files/file-empty/content", content)
    assert submit(requests, imitation).wait().counts == {"ok": 3}


def test_one_file_named_twice_is_fetched_once(imitation: Any, requests: bf.Requests) -> None:
    imitation.batch = {"error_file_id": "file-out"}
    assert submit(requests, imitation).wait().counts == {"ok": 3}
    assert imitation.looks("/files/file-out/content") == 1


def test_a_result_file_that_is_not_there_is_given_up_in_words_and_looked_for_when_told(
    imitation: Any, requests: bf.Requests
) -> None:
    whole = imitation.files.pop("file-out")
    job = submit(requests, imitation).wait()
    assert (job.status, job.counts) == ("completed", {"missing": 3})
    assert "did not return result file file-out" in job.results()["bf_error"][0]
    looks = imitation.looks("/files/file-out/content")
    assert 1 < looks < 10
    job.wait()
    assert imitation.looks("/files/file-out/content") == looks
    journal = (job.folder / "journal.jsonl").read_bytes()
    assert job.refresh().counts == {"missing": 3}
    assert (job.folder / "journal.jsonl").read_bytes() == journal
    imitation.files["file-out"] = whole
    assert job.refresh().counts == {"ok": 3}
    assert bf.job("job").counts == {"ok": 3}


def test_a_result_file_that_shows_late_is_waited_for(imitation: Any, requests: bf.Requests) -> None:
    late = (404, b'{"detail":"Not Found"}')
    for path in ("/files/file-out", "/files/file-out/content"):
        imitation.reply("GET", path, late, late, usual)
    assert submit(requests, imitation).wait().counts == {"ok": 3}


@pytest.mark.parametrize("status", [400, 404, 405, 410, 501])
def test_files_that_are_never_described_are_fetched_all_the_same(
    status: int, imitation: Any, requests: bf.Requests
) -> None:
    imitation.reply("GET", "/files/file-out", (status, b"no such route", "text/plain"))
    assert submit(requests, imitation).wait().counts == {"ok": 3}


@pytest.mark.parametrize(
    "said", [None, 0, -1, 7, 10**6, True, "700", 1.5, 10**4000], ids=lambda said: str(said)[:8]
)
def test_a_wrong_size_does_not_hold_back_a_whole_file(
    said: Any, imitation: Any, requests: bf.Requests
) -> None:
    told = b'{"bytes":' + (b"1" * 5000 if said == 10**4000 else json.dumps(said).encode()) + b"}"
    imitation.reply("GET", "/files/file-out", (200, told))
    assert submit(requests, imitation).wait().counts == {"ok": 3}


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
def test_a_wrong_size_is_overruled_by_lines_that_prove_the_file_whole(
    case: tuple[int, bool, int, Any], imitation: Any, requests: bf.Requests
) -> None:
    lines, torn, said, counts = case
    imitation.files["file-out"] = lambda asked: (
        imitation_lines(asked[:lines]) + (b'{"custom_id": "bf' if torn else b"")
    )
    imitation.reply("GET", "/files/file-out", (200, json.dumps({"bytes": said}).encode()))
    job = submit(requests, imitation)
    if counts is not None:
        assert job.wait().counts == counts
        return
    for _ in range(6):
        with pytest.raises(ServiceError, match="incomplete after 3 downloads"):
            job.refresh()
    assert job.counts == {"pending": 3}


@pytest.mark.parametrize(
    "odd",
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
    ids=lambda odd: str(odd)[:50],
)
def test_an_odd_batch_object_is_read_as_far_as_it_goes(
    odd: dict[str, Any], imitation: Any, requests: bf.Requests
) -> None:
    imitation.batch = lambda look: {"status": "in_progress", **odd} if look < 2 else odd
    job = submit(requests, imitation).refresh()
    assert repr(job)
    assert job._repr_html_()
    assert job.wait().counts == {"ok": 3}
    assert repr(bf.job("job"))


def test_a_number_of_5000_digits_costs_itself_only(imitation: Any, requests: bf.Requests) -> None:
    job = submit(requests, imitation)
    told = json.dumps(imitation.described()).encode()
    imitation.reply(
        "GET", "/batches/batch_1", (200, told[:-1] + b',"expires_at":' + b"9" * 5000 + b"}")
    )
    assert job.wait().counts == {"ok": 3}


def test_the_least_that_a_server_may_say_is_enough(imitation: Any, requests: bf.Requests) -> None:
    job = submit(requests, imitation)
    least = {"id": "batch_1", "status": "completed", "output_file_id": "file-out"}
    imitation.reply("GET", "/batches/batch_1", (200, json.dumps(least).encode(), "text/plain"))
    assert job.wait().counts == {"ok": 3}


def test_a_failed_batch_says_why_however_its_errors_are_written(
    imitation: Any, requests: bf.Requests
) -> None:
    for errors in (["no GPU"], {"data": ["no GPU"]}, {"data": [{"message": "no GPU"}]}):
        imitation.batch = {"status": "failed", "output_file_id": None, "errors": errors}
        job = requests.submit(client=imitation.client(), rerun=str(errors)[:30]).wait()
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
def test_an_answer_that_is_no_batch_is_told_and_asked_for_again(
    case: str, imitation: Any, requests: bf.Requests
) -> None:
    job = submit(requests, imitation)
    imitation.reply("GET", "/batches/batch_1", (200, UNUSABLE[case]), (200, UNUSABLE[case]), usual)
    with pytest.raises(ServiceError, match="base_url"):
        job.refresh()
    assert job.wait().counts == {"ok": 3}


@pytest.mark.parametrize(
    ("body", "words"),
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
def test_a_refusal_in_any_form_is_told_in_its_own_words(
    body: bytes, words: str, imitation: Any, requests: bf.Requests
) -> None:
    job = submit(requests, imitation)
    imitation.reply("GET", "/batches/batch_1", (403, body))
    with pytest.raises(ServiceError, match="HTTP 403") as caught:
        job.wait()
    assert words in str(caught.value)
    assert str(caught.value).encode()


def close_after(status: int) -> Callable[[Any], None]:
    def act(handler: Any) -> None:
        handler.answer(status, b"no", "text/plain")
        handler.close_connection = True

    return act


def test_connections_closed_after_a_refusal_do_not_end_a_job(
    imitation: Any, requests: bf.Requests
) -> None:
    imitation.reply("GET", "/files/file-out", close_after(400))
    imitation.reply("GET", "/batches/batch_1", close_after(503), close_after(500), usual)
    assert submit(requests, imitation).wait().counts == {"ok": 3}
    assert imitation.seen.count(("POST", "/v1/batches")) == 1


def test_a_create_whose_connection_is_closed_is_never_sent_twice(
    imitation: Any, requests: bf.Requests
) -> None:
    def drop(handler: Any) -> None:
        handler.close_connection = True
        handler.connection.close()
        handler.wfile = open("/dev/null", "wb")  # noqa: SIM115, PTH123 - nothing is answered

    imitation.reply("POST", "/batches", drop)
    imitation.reply("GET", "/batches", (200, b'{"data": []}'))
    with pytest.raises(bf.errors.SubmissionUncertain):
        submit(requests, imitation)
    assert imitation.seen.count(("POST", "/v1/batches")) == 1


def test_a_batch_that_never_ends_is_left_after_the_time_given(
    imitation: Any, requests: bf.Requests
) -> None:
    imitation.batch = {"status": "simmering"}
    job = submit(requests, imitation)
    with pytest.raises(JobTimeout, match=r"last status: 'simmering'.*bf.job\('job'\).wait\(\)"):
        job.wait(timeout=0.2)
    imitation.batch = {}
    assert bf.job("job", client=imitation.client()).wait().counts == {"ok": 3}


@pytest.mark.parametrize("path", ["/batches/batch_1", "/files/file-out", "/files/file-out/content"])
def test_a_service_that_hangs_does_not_hold_up_a_wait_for_long(
    path: str, imitation: Any, requests: bf.Requests
) -> None:
    # The client's own time-out is ten minutes: the test would not end before the suite's.
    job = submit(requests, imitation)
    imitation.reply("GET", path, lambda _: imitation.over.wait(60))
    with pytest.raises(JobTimeout, match="The last poll failed"):
        job.wait(timeout=0.2)
    imitation.replies.clear()
    assert job.wait().counts == {"ok": 3}


def test_no_time_at_all_is_time_for_one_look(imitation: Any, requests: bf.Requests) -> None:
    assert submit(requests, imitation).wait(timeout=0).counts == {"ok": 3}


def test_an_answer_without_an_end_is_left(
    imitation: Any, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchframe._services.openai_client._MAX_RESPONSE", 1 << 20)

    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        while not imitation.over.is_set():
            handler.wfile.write(b" " * 65536)

    job = submit(requests, imitation)
    imitation.reply("GET", "/batches/batch_1", endless)
    with pytest.raises(ServiceError, match="more than 1,048,576 bytes of batch batch_1"):
        job.refresh()
