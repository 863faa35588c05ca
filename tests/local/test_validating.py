from __future__ import annotations

import json
import threading
from typing import Any

import openai
import pytest

from batchframe import local

CHAT = "/v1/chat/completions"


def without(request: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in request.items() if key != name}


def body(**changes: Any) -> dict[str, Any]:
    request_body = {"model": "gpt-5.6-luna", "messages": [{"role": "user", "content": "Hi"}]}
    return {key: value for key, value in (request_body | changes).items() if value is not None}


def request(custom_id: str, **changes: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body()} | changes


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


GOOD = encoded(request("good"))

CATALOG: list[tuple[str, bytes, str, str | None]] = [
    ("no JSON", b"{nonsense", "invalid_json_line", None),
    ("NaN", GOOD.replace(b'"Hi"', b"NaN"), "invalid_json_line", None),
    ("no object", b"[]", "invalid_json_line", None),
    ("an empty line", b"", "invalid_json_line", None),
    *(
        (f"no {name}", encoded(without(request("a"), name)), "missing_required_parameter", name)
        for name in ("custom_id", "method", "url", "body")
    ),
    ("a number as id", encoded(request("a") | {"custom_id": 7}), "invalid_type", "custom_id"),
    ("a string as body", encoded(request("a", body="Hi")), "invalid_type", "body"),
    ("GET", encoded(request("a", method="GET")), "invalid_value", "method"),
    ("another url", encoded(request("a", url="/v1/responses")), "invalid_url", "url"),
    (
        "no model",
        encoded(request("a", body=body(model=None))),
        "missing_required_parameter",
        "body.model",
    ),
    (
        "no messages",
        encoded(request("a", body=body(messages=None))),
        "missing_required_parameter",
        "body.messages",
    ),
    (
        "a model without batches",
        encoded(request("a", body=body(model="gpt-5.3-chat-latest"))),
        "model_not_found",
        "body.model",
    ),
    (
        "another model",
        encoded(request("a", body=body(model="gpt-5.6-sol"))),
        "mismatched_model",
        "body.model",
    ),
    ("the same id", GOOD, "duplicate_custom_id", "custom_id"),
    (
        "streaming",
        encoded(request("a", body=body(stream=True))),
        "streaming_unsupported",
        "body.stream",
    ),
]


@pytest.mark.parametrize(
    ("bad", "code", "param"),
    [pytest.param(*case[1:], id=case[0]) for case in CATALOG],
)
def test_one_bad_line_fails_the_whole_batch_and_is_named(
    batch_client: Any, server: local.Server, bad: bytes, code: str, param: str | None
) -> None:
    batch = batch_client.run(b"\n".join([GOOD, bad, encoded(request("last"))]))
    assert batch.status == "failed"
    assert [(error.code, error.line, error.param) for error in batch.errors.data] == [
        (code, 2, param)
    ]
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (0, 0, 0)
    assert batch.failed_at
    assert not batch.in_progress_at
    assert not batch.output_file_id
    assert not batch.error_file_id
    assert server.ledger == []


def test_the_error_messages_are_openais(batch_client: Any) -> None:
    missing = encoded(request("a", body=body(messages=None)))
    batch = batch_client.run(b"\n".join([GOOD, missing, GOOD]))
    assert [error.message for error in batch.errors.data] == [
        "Missing required parameter: 'messages'.",
        (
            "The custom_id for this request is a duplicate of another request. "
            "The custom_id parameter must be unique for each request in a batch."
        ),
    ]


def test_every_bad_line_is_listed_up_to_a_hundred(batch_client: Any) -> None:
    batch = batch_client.run(b"\n".join([GOOD] + [b"nonsense"] * 150))
    assert [error.line for error in batch.errors.data] == list(range(2, 102))


def test_a_file_that_is_not_utf8_is_refused_at_upload(batch_client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="utf-8"):
        batch_client.upload(GOOD.replace(b"Hi", b"\xff"))


def test_an_empty_file_fails(batch_client: Any) -> None:
    batch = batch_client.run(b"")
    assert [error.code for error in batch.errors.data] == ["empty_file"]


@pytest.mark.parametrize("deleted", [True, False])
def test_a_file_that_does_not_exist_fails_the_batch_later(
    batch_client: Any, server: local.Server, *, deleted: bool
) -> None:
    server.pause()
    file_id = batch_client.upload(GOOD) if deleted else "file-unknown"
    if deleted:
        batch_client.client.files.delete(file_id)
    batch = batch_client.client.batches.create(
        input_file_id=file_id, endpoint=CHAT, completion_window="24h"
    )
    assert batch.status == "validating"
    server.resume()
    batch = batch_client.ended(batch)
    assert batch.status == "failed"
    error = batch.errors.data[0]
    assert (error.code, error.param) == ("invalid_request", "file_id")
    assert file_id in error.message


def test_an_input_deleted_after_the_create_is_still_answered(
    batch_client: Any, server: local.Server
) -> None:
    server.pause()
    batch = batch_client.submit(GOOD)
    batch_client.client.files.delete(batch.input_file_id)
    server.resume()
    assert batch_client.ended(batch).status == "completed"


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\r", "\u001e", "\v"])
def test_only_a_newline_ends_a_line(batch_client: Any, separator: str) -> None:
    text = f"one{separator}two"
    lines = [request("a", body=body(messages=[{"role": "user", "content": text}]))]
    raw = json.dumps(lines[0], ensure_ascii=False).encode() + b"\n"
    batch = batch_client.run(raw)
    assert batch.status == "completed"
    assert batch.request_counts.total == 1


def test_a_batch_holds_as_many_requests_as_the_limit(new_batch_client: Any) -> None:
    with local.serve(limits=local.Limits(requests=3)) as server:
        batch_client = new_batch_client(server)
        assert batch_client.run([request(str(n)) for n in range(3)]).status == "completed"
        batch = batch_client.run([request(str(n)) for n in range(4)])
    assert [error.code for error in batch.errors.data] == ["too_many_tasks"]
    assert "4 requests" in batch.errors.data[0].message


def test_a_batch_holds_fifty_thousand_requests_by_default(batch_client: Any) -> None:
    requests = (encoded(request(str(n))) for n in range(50_001))
    batch = batch_client.run(b"\n".join(requests))
    assert [error.code for error in batch.errors.data] == ["too_many_tasks"]


def test_embedding_inputs_are_counted_over_the_whole_batch(new_batch_client: Any) -> None:
    def embed(custom_id: str, value: Any) -> dict[str, Any]:
        request_body = {"model": "text-embedding-3-small", "input": value, "dimensions": 4}
        return request(custom_id, url="/v1/embeddings", body=request_body)

    with local.serve(limits=local.Limits(embedding_inputs=5)) as server:
        batch_client = new_batch_client(server)
        fits = [embed("a", ["x", "y"]), embed("b", "x"), embed("c", [1, 2, 3])]
        assert batch_client.run(fits, "/v1/embeddings").status == "completed"
        batch = batch_client.run([*fits, embed("d", ["x", "y"])], "/v1/embeddings")
    assert "6 embedding inputs" in batch.errors.data[0].message


def test_the_tokens_of_a_models_running_batches_are_limited_together(new_batch_client: Any) -> None:
    released = threading.Event()

    def answer(_: dict[str, Any]) -> str:
        released.wait(60)
        return "done"

    limits = local.Limits(enqueued_tokens=30)
    with local.serve(answer, limits=limits, count_tokens=lambda _: 10) as server:
        batch_client = new_batch_client(server)
        first = batch_client.submit([request(str(n)) for n in range(3)])
        batch_client.until(first, lambda batch: batch.status == "in_progress")
        refused = batch_client.run([request("one")])
        other = batch_client.submit([request("one", body=body(model="gpt-5.6-sol"))])
        released.set()
        assert batch_client.ended(first).status == "completed"
        assert batch_client.ended(other).status == "completed"
        assert batch_client.run([request("one")]).status == "completed"
    assert [error.code for error in refused.errors.data] == ["token_limit_exceeded"]
    assert "Enqueued token limit reached for gpt-5.6-luna" in refused.errors.data[0].message


def test_the_model_of_the_lines_becomes_the_batchs(batch_client: Any) -> None:
    assert batch_client.run(GOOD).model == "gpt-5.6-luna"
