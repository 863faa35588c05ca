from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import threading
from typing import Any

import numpy as np
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


def test_a_text_becomes_the_content(new_batch_client: Any, make_lines: Any) -> None:
    with local.serve(lambda body: f"You said {body['messages'][0]['content']}") as server:
        batch_client = new_batch_client(server)
        answers = batch_client.answers(batch_client.run(make_lines(2)))
    assert {key: text(line) for key, line in answers.items()} == {
        "row-0": "You said Text 0?",
        "row-1": "You said Text 1?",
    }


@pytest.mark.parametrize("value", [{"label": "é\u2028"}, [1, 2], {"a": {"b": None}}])
def test_a_dict_or_list_becomes_json(new_batch_client: Any, make_lines: Any, value: Any) -> None:
    with local.serve(lambda _: value) as server:
        batch_client = new_batch_client(server)
        (line,) = batch_client.answers(batch_client.run(make_lines(1))).values()
    assert json.loads(text(line)) == value


def test_a_complete_response_body_is_used_unchanged(new_batch_client: Any, make_lines: Any) -> None:
    body = {"object": "chat.completion", "choices": [], "mine": 1}
    with local.serve(lambda _: body) as server:
        batch_client = new_batch_client(server)
        (line,) = batch_client.answers(batch_client.run(make_lines(1))).values()
    assert line["response"]["body"] == body


def test_an_async_function_answers_several_at_a_time(
    new_batch_client: Any, make_lines: Any
) -> None:
    running = most = 0

    async def answer(_: dict[str, Any]) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return "fine"

    with local.serve(answer, concurrency=4) as server:
        assert new_batch_client(server).run(make_lines(20)).status == "completed"
    assert most == 4


def test_a_plain_function_is_called_sequentially_while_polls_are_served(
    new_batch_client: Any, make_lines: Any
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
        batch_client = new_batch_client(server)
        first, second = batch_client.submit(make_lines(3)), batch_client.submit(make_lines(3))
        batch_client.until(first, lambda batch: batch.status == "in_progress")
        released.set()
        assert {batch_client.ended(first).status, batch_client.ended(second).status} == {
            "completed"
        }
    assert most == 1


@pytest.mark.parametrize("way", ["raised", "returned"])
def test_an_answer_error_fails_the_request(
    new_batch_client: Any, make_lines: Any, way: str
) -> None:
    error = AnswerError(429, "Slow down.", code="rate_limit_exceeded", type="tokens")

    def answer(_: dict[str, Any]) -> AnswerError:
        if way == "raised":
            raise error
        return error

    with local.serve(answer) as server:
        batch_client = new_batch_client(server)
        (line,) = batch_client.read(batch_client.run(make_lines(1)).error_file_id)
    assert line["response"]["status_code"] == 429
    assert line["response"]["body"]["error"]["type"] == "tokens"


@pytest.mark.parametrize("status", [200, 399, 600])
def test_an_answer_error_needs_a_status_of_failure(status: int) -> None:
    with pytest.raises(LocalServerError, match="400 to 599"):
        AnswerError(status, "")


@pytest.mark.parametrize("value", [ZeroDivisionError("boom"), object()])
def test_any_other_exception_fails_only_one_request(
    new_batch_client: Any, make_lines: Any, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(body: dict[str, Any]) -> Any:
        if body["messages"][0]["content"] == "Text 0?":
            if isinstance(value, Exception):
                raise value
            return value
        return "fine"

    with caplog.at_level(logging.ERROR), local.serve(answer) as server:
        batch_client = new_batch_client(server)
        batch = batch_client.run(make_lines(2))
        (line,) = batch_client.read(batch.error_file_id)
        assert list(batch_client.answers(batch)) == ["row-1"]
    assert line["response"]["status_code"] == 500
    assert "The answer function raised" in line["response"]["body"]["error"]["message"]
    assert "The answer function raised" in caplog.text


def test_an_error_in_the_function_is_shown_once(
    new_batch_client: Any, make_lines: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(body: dict[str, Any]) -> Any:
        return body["messages"][1]

    with caplog.at_level(logging.ERROR), local.serve(answer) as server:
        batch_client = new_batch_client(server)
        assert len(batch_client.read(batch_client.run(make_lines(5)).error_file_id)) == 5
    assert caplog.text.count("IndexError") == 1
    # The traceback has the function's line and none of the server's.
    assert 'body["messages"][1]' in caplog.text
    assert "in _call" not in caplog.text


@pytest.mark.parametrize(
    ("endpoint", "fragment"),
    [
        ("/v1/embeddings", r"a vector \(a list of numbers or a NumPy array\), or a response body"),
        ("/v1/moderations", "True or False, or a response body"),
        ("/v1/images/generations", "the bytes of an image, or a response body"),
    ],
)
def test_an_answer_of_the_wrong_type_names_the_right_one(
    new_batch_client: Any, endpoint: str, fragment: str, caplog: pytest.LogCaptureFixture
) -> None:
    line = {"custom_id": "a", "method": "POST", "url": endpoint}
    body = {"model": "m", "input": "one", "prompt": "one"}
    with caplog.at_level(logging.ERROR), local.serve(lambda _: "a string") as server:
        batch_client = new_batch_client(server)
        (failed,) = batch_client.read(
            batch_client.run([line | {"body": body}], endpoint).error_file_id
        )
    message = failed["response"]["body"]["error"]["message"]
    assert re.search(fragment, message)
    assert message.endswith("got str")
    assert "Traceback" not in caplog.text


def test_a_function_may_answer_embeddings_with_vectors(new_batch_client: Any) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings"}
    body = {"model": "m", "input": ["one", "two"]}
    with local.serve(lambda _: [[1.0, 0.0], [0.0, 1.0]]) as server:
        batch_client = new_batch_client(server)
        batch = batch_client.run([line | {"body": body}], "/v1/embeddings")
        (answer,) = batch_client.read(batch.output_file_id)
    vectors = [each["embedding"] for each in answer["response"]["body"]["data"]]
    assert vectors == [[1.0, 0.0], [0.0, 1.0]]


def test_the_endpoints_answer_in_real_time_too(new_batch_client: Any) -> None:
    with local.serve(lambda _: "fine") as server:
        client = new_batch_client(server).client
        messages: Any = [{"role": "user", "content": "Hi"}]
        chat = client.chat.completions.create(model="m", messages=messages)
        assert chat.choices[0].message.content == "fine"
        assert client.responses.create(model="m", input="Hi").output_text == "fine"
        assert client.completions.create(model="m", prompt="Hi").choices[0].text == "fine"
        with pytest.raises(openai.BadRequestError) as excinfo:
            client.post("/chat/completions", body={"model": "m"}, cast_to=object)
        assert excinfo.value.param == "messages"
        assert server.ledger == []


def test_answer_and_upstream_exclude_each_other() -> None:
    with pytest.raises(LocalServerError, match="only one of them"):
        local.serve(lambda _: "", upstream="http://127.0.0.1:1/v1")


def test_upstream_answers_every_request(new_batch_client: Any, make_lines: Any) -> None:
    with (
        local.serve(lambda body: body["messages"][0]["content"].upper()) as model,
        local.serve(upstream=model.url) as server,
    ):
        batch_client = new_batch_client(server)
        batch = batch_client.run(make_lines(30))
        assert {text(line) for line in batch_client.answers(batch).values()} == {
            f"TEXT {n}?" for n in range(30)
        }
        assert batch.usage.total_tokens > 0


def test_upstream_is_called_with_bounded_concurrency(
    new_batch_client: Any, make_lines: Any
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
        batch_client = new_batch_client(server)
        batches = [batch_client.submit(make_lines(10)) for _ in range(2)]
        assert {batch_client.ended(batch).status for batch in batches} == {"completed"}
    assert most == 3


def test_upstream_does_not_get_the_openai_organization(
    new_batch_client: Any, make_lines: Any, proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-private")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-private")
    header_names: list[str] = []
    forward = Handler.forward

    def hear(self: Any, body: bytes) -> Any:
        header_names.append(str(dict(self.headers)))
        return forward(self, body)

    monkeypatch.setattr(Handler, "forward", hear)
    with local.serve(upstream=proxy.url) as server:
        batch_client = new_batch_client(server)
        batch_client.ended(batch_client.submit(make_lines(1)))
    assert header_names
    assert "private" not in "".join(header_names)


def test_an_upstream_error_is_an_error_line(new_batch_client: Any, make_lines: Any) -> None:
    refusal = AnswerError(400, "Too long.", code="context_length_exceeded")
    with local.serve(lambda _: refusal) as model, local.serve(upstream=model.url) as server:
        batch_client = new_batch_client(server)
        (line,) = batch_client.read(batch_client.run(make_lines(1)).error_file_id)
    assert line["response"]["status_code"] == 400
    assert line["response"]["body"] == refusal.body


def test_upstream_is_retried_after_429_and_5xx(new_batch_client: Any, make_lines: Any) -> None:
    failures = iter([AnswerError(429, "Slow down."), AnswerError(503, "Busy.")])

    with (
        local.serve(lambda _: next(failures, "fine")) as model,
        local.serve(upstream=model.url) as server,
    ):
        batch_client = new_batch_client(server)
        (line,) = batch_client.answers(batch_client.run(make_lines(1))).values()
    assert text(line) == "fine"


def test_the_upstream_key_is_sent_and_never_written(
    new_batch_client: Any, make_lines: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTREAM_API_KEY", "sk-CANARY-env")
    keys: list[str] = []
    real = openai.AsyncOpenAI

    def spy(**options: Any) -> openai.AsyncOpenAI:
        keys.append(options["api_key"])
        return real(**options)

    monkeypatch.setattr("openai.AsyncOpenAI", spy)
    with local.serve() as model:
        for key, folder in ((None, tmp_path / "a"), ("sk-CANARY-arg", tmp_path / "b")):
            with local.serve(upstream=model.url, upstream_key=key, folder=folder) as server:
                assert "CANARY" not in repr(server)
                assert new_batch_client(server).run(make_lines(1)).status == "completed"
    assert keys == ["sk-CANARY-env", "sk-CANARY-arg"]
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"CANARY" not in path.read_bytes()


def test_any_model_is_found(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["simulated"]
    assert client.models.retrieve("meta-llama/Llama-3.3").id == "meta-llama/Llama-3.3"


@pytest.mark.parametrize("finds", [True, False], ids=["route", "list only"])
def test_the_models_are_those_of_the_upstream(fake_server: Any, finds: bool) -> None:
    llama = {"id": "meta/llama", "object": "model", "created": 1, "owned_by": "them", "own": 7}
    listed = {"object": "list", "data": [llama, llama | {"id": "other"}]}
    fake_server.reply("GET", "/models", (200, json.dumps(listed).encode()))
    if finds:
        fake_server.reply("GET", "/models/meta%2Fllama", (200, json.dumps(llama).encode()))
    url = f"{fake_server.url}/v1"
    with local.serve(upstream=url) as server, server.client() as client:
        assert [model.id for model in client.models.list()] == ["meta/llama", "other"]
        assert client.models.retrieve("meta/llama").to_dict() == llama
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("unknown")


def test_numbers_of_an_upstream_become_base64_where_asked_for(
    fake_server: Any, new_batch_client: Any
) -> None:
    vector = [1.0, -0.5, 0.25]
    entry = {"object": "embedding", "index": 0, "embedding": vector}
    body = {"object": "list", "data": [entry], "model": "m", "usage": {"total_tokens": 1}}
    fake_server.reply("POST", "/embeddings", (200, json.dumps(body).encode()))
    request = {"model": "m", "input": "one"}
    with local.serve(upstream=f"{fake_server.url}/v1") as server:
        batch_client = new_batch_client(server)
        for encoding in ("base64", "float", None):
            line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings"}
            asked = request if encoding is None else request | {"encoding_format": encoding}
            real_time = batch_client.client.post("/embeddings", body=asked, cast_to=object)
            batch = batch_client.run([line | {"body": asked}], "/v1/embeddings")
            (answer,) = batch_client.read(batch.output_file_id)
            for response in (real_time, answer["response"]["body"]):
                found = response["data"][0]["embedding"]
                if encoding == "base64":
                    assert np.frombuffer(base64.b64decode(found), "<f4").tolist() == vector
                else:
                    assert found == vector
