from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from typing import Any

import openai
import pytest

from batchframe import local
from batchframe.errors import LocalServerError
from batchframe.local import AnswerError
from tests.support.proxy import Handler

CHAT = "/v1/chat/completions"


def text(line: dict[str, Any]) -> str:
    content: str = line["response"]["body"]["choices"][0]["message"]["content"]
    return content


def test_a_text_becomes_the_content(new_desk: Any, make_lines: Any) -> None:
    with local.serve(lambda body: f"You said {body['messages'][0]['content']}") as server:
        desk = new_desk(server)
        answers = desk.answers(desk.run(make_lines(2)))
    assert {key: text(line) for key, line in answers.items()} == {
        "row-0": "You said Text 0?",
        "row-1": "You said Text 1?",
    }


@pytest.mark.parametrize("value", [{"label": "é\u2028"}, [1, 2], {"a": {"b": None}}])
def test_a_dict_or_list_becomes_json(new_desk: Any, make_lines: Any, value: Any) -> None:
    with local.serve(lambda _: value) as server:
        desk = new_desk(server)
        (line,) = desk.answers(desk.run(make_lines(1))).values()
    assert json.loads(text(line)) == value


def test_a_whole_response_body_is_taken_as_it_is(new_desk: Any, make_lines: Any) -> None:
    body = {"object": "chat.completion", "choices": [], "mine": 1}
    with local.serve(lambda _: body) as server:
        desk = new_desk(server)
        (line,) = desk.answers(desk.run(make_lines(1))).values()
    assert line["response"]["body"] == body


def test_an_async_function_answers_several_at_a_time(new_desk: Any, make_lines: Any) -> None:
    running = most = 0

    async def answer(_: dict[str, Any]) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return "fine"

    with local.serve(answer, concurrency=4) as server:
        assert new_desk(server).run(make_lines(20)).status == "completed"
    assert most == 4


def test_a_plain_function_is_called_once_at_a_time_and_leaves_polls_served(
    new_desk: Any, make_lines: Any
) -> None:
    running = most = 0
    released = threading.Event()

    def answer(_: dict[str, Any]) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        released.wait(60)
        running -= 1
        return "fine"

    with local.serve(answer) as server:
        desk = new_desk(server)
        first, second = desk.submit(make_lines(3)), desk.submit(make_lines(3))
        desk.until(first, lambda batch: batch.status == "in_progress")
        released.set()
        assert {desk.ended(first).status, desk.ended(second).status} == {"completed"}
    assert most == 1


@pytest.mark.parametrize("way", ["raised", "returned"])
def test_an_answer_error_fails_the_request(new_desk: Any, make_lines: Any, way: str) -> None:
    error = AnswerError(429, "Slow down.", code="rate_limit_exceeded", type="tokens")

    def answer(_: dict[str, Any]) -> AnswerError:
        if way == "raised":
            raise error
        return error

    with local.serve(answer) as server:
        desk = new_desk(server)
        (line,) = desk.read(desk.run(make_lines(1)).error_file_id)
    assert line["response"]["status_code"] == 429
    assert line["response"]["body"]["error"]["type"] == "tokens"


@pytest.mark.parametrize("status", [200, 399, 600])
def test_an_answer_error_needs_a_status_of_failure(status: int) -> None:
    with pytest.raises(LocalServerError, match="400 to 599"):
        AnswerError(status, "")


@pytest.mark.parametrize("value", [ZeroDivisionError("boom"), object()])
def test_any_other_exception_fails_one_request_and_the_server_goes_on(
    new_desk: Any, make_lines: Any, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(body: dict[str, Any]) -> Any:
        if body["messages"][0]["content"] == "Text 0?":
            if isinstance(value, Exception):
                raise value
            return value
        return "fine"

    with caplog.at_level(logging.ERROR), local.serve(answer) as server:
        desk = new_desk(server)
        batch = desk.run(make_lines(2))
        (line,) = desk.read(batch.error_file_id)
        assert list(desk.answers(batch)) == ["row-1"]
    assert line["response"]["status_code"] == 500
    assert "The answer function raised" in line["response"]["body"]["error"]["message"]
    assert "The answer function raised" in caplog.text


def test_a_mistake_in_the_function_is_shown_once_however_many_rows_meet_it(
    new_desk: Any, make_lines: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(body: dict[str, Any]) -> Any:
        return body["messages"][1]

    with caplog.at_level(logging.ERROR), local.serve(answer) as server:
        desk = new_desk(server)
        assert len(desk.read(desk.run(make_lines(5)).error_file_id)) == 5
    assert caplog.text.count("IndexError") == 1
    # The trace has the function's line, and none of the server's.
    assert 'body["messages"][1]' in caplog.text
    assert "in _call" not in caplog.text


@pytest.mark.parametrize(
    ("endpoint", "wanted"),
    [
        ("/v1/embeddings", r"a vector \(a list of numbers or a NumPy array\), or a response body"),
        ("/v1/moderations", "True or False, or a response body"),
        ("/v1/images/generations", "the bytes of an image, or a response body"),
    ],
)
def test_an_answer_of_the_wrong_kind_is_told_the_right_one(
    new_desk: Any, endpoint: str, wanted: str, caplog: pytest.LogCaptureFixture
) -> None:
    line = {"custom_id": "a", "method": "POST", "url": endpoint}
    body = {"model": "m", "input": "one", "prompt": "one"}
    with caplog.at_level(logging.ERROR), local.serve(lambda _: "a string") as server:
        desk = new_desk(server)
        (failed,) = desk.read(desk.run([line | {"body": body}], endpoint).error_file_id)
    told = failed["response"]["body"]["error"]["message"]
    assert re.search(wanted, told)
    assert told.endswith("got str")
    assert "Traceback" not in caplog.text


def test_a_function_may_answer_embeddings_with_vectors(new_desk: Any) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings"}
    body = {"model": "m", "input": ["one", "two"]}
    with local.serve(lambda _: [[1.0, 0.0], [0.0, 1.0]]) as server:
        desk = new_desk(server)
        batch = desk.run([line | {"body": body}], "/v1/embeddings")
        (answer,) = desk.read(batch.output_file_id)
    vectors = [each["embedding"] for each in answer["response"]["body"]["data"]]
    assert vectors == [[1.0, 0.0], [0.0, 1.0]]


def test_the_endpoints_themselves_are_answered_without_a_batch(new_desk: Any) -> None:
    with local.serve(lambda _: "fine") as server:
        client = new_desk(server).client
        messages: Any = [{"role": "user", "content": "Hi"}]
        chat = client.chat.completions.create(model="m", messages=messages)
        assert chat.choices[0].message.content == "fine"
        assert client.responses.create(model="m", input="Hi").output_text == "fine"
        assert client.completions.create(model="m", prompt="Hi").choices[0].text == "fine"
        with pytest.raises(openai.BadRequestError, match="not support streaming"):
            client.chat.completions.create(model="m", messages=messages, stream=True)
        with pytest.raises(openai.BadRequestError) as caught:
            client.post("/chat/completions", body={"model": "m"}, cast_to=object)
        assert caught.value.param == "messages"
        assert server.ledger == []


def test_answer_and_upstream_exclude_each_other() -> None:
    with pytest.raises(LocalServerError, match="only one of them"):
        local.serve(lambda _: "", upstream="http://127.0.0.1:1/v1")


def test_upstream_answers_every_request(new_desk: Any, make_lines: Any) -> None:
    with (
        local.serve(lambda body: body["messages"][0]["content"].upper()) as model,
        local.serve(upstream=model.url) as server,
    ):
        desk = new_desk(server)
        batch = desk.run(make_lines(30))
        assert {text(line) for line in desk.answers(batch).values()} == {
            f"TEXT {n}?" for n in range(30)
        }
        assert batch.usage.total_tokens > 0


def test_upstream_is_asked_a_bounded_number_of_times_at_once(
    new_desk: Any, make_lines: Any
) -> None:
    running = most = 0

    async def answer(_: dict[str, Any]) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return "fine"

    with (
        local.serve(answer) as model,
        local.serve(upstream=model.url, concurrency=3) as server,
    ):
        desk = new_desk(server)
        batches = [desk.submit(make_lines(10)) for _ in range(2)]
        assert {desk.ended(batch).status for batch in batches} == {"completed"}
    assert most == 3


def test_upstream_does_not_get_the_openai_organization(
    new_desk: Any, make_lines: Any, proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-private")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-private")
    seen: list[str] = []
    forward = Handler.forward

    def hear(self: Any, body: bytes) -> Any:
        seen.append(str(dict(self.headers)))
        return forward(self, body)

    monkeypatch.setattr(Handler, "forward", hear)
    with local.serve(upstream=proxy.url) as server:
        desk = new_desk(server)
        desk.ended(desk.submit(make_lines(1)))
    assert seen
    assert "private" not in "".join(seen)


def test_what_upstream_refuses_is_an_error_line(new_desk: Any, make_lines: Any) -> None:
    refusal = AnswerError(400, "Too long.", code="context_length_exceeded")
    with local.serve(lambda _: refusal) as model, local.serve(upstream=model.url) as server:
        desk = new_desk(server)
        (line,) = desk.read(desk.run(make_lines(1)).error_file_id)
    assert line["response"]["status_code"] == 400
    assert line["response"]["body"] == refusal.body


def test_upstream_is_asked_again_after_429_and_5xx(new_desk: Any, make_lines: Any) -> None:
    failures = iter([AnswerError(429, "Slow down."), AnswerError(503, "Busy.")])

    with (
        local.serve(lambda _: next(failures, "fine")) as model,
        local.serve(upstream=model.url) as server,
    ):
        desk = new_desk(server)
        (line,) = desk.answers(desk.run(make_lines(1))).values()
    assert text(line) == "fine"


def test_the_upstream_key_is_sent_and_never_written(
    new_desk: Any, make_lines: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTREAM_API_KEY", "sk-CANARY-env")
    keys: list[str] = []
    real = openai.AsyncOpenAI

    def spy(**options: Any) -> openai.AsyncOpenAI:
        keys.append(options["api_key"])
        return real(**options)

    monkeypatch.setattr("openai.AsyncOpenAI", spy)
    with local.serve() as model:
        for given, folder in ((None, tmp_path / "a"), ("sk-CANARY-arg", tmp_path / "b")):
            with local.serve(upstream=model.url, upstream_key=given, folder=folder) as server:
                assert "CANARY" not in repr(server)
                assert new_desk(server).run(make_lines(1)).status == "completed"
    assert keys == ["sk-CANARY-env", "sk-CANARY-arg"]
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"CANARY" not in path.read_bytes()
