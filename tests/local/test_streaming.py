"""Answers as server-sent events, read by the genuine client."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import openai
import pydantic
import pytest

from batchframe import local
from batchframe.local import AnswerError, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.other_server import FakeServer

TEXT = "Two  words,\nan é, a 🙂 and \u2028 as they\r\n are."
MESSAGES: Any = [{"role": "user", "content": "Hi"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "rate",
        "parameters": {
            "type": "object",
            "properties": {"stars": {"type": "integer"}},
            "required": ["stars"],
            "additionalProperties": False,
        },
    },
}


class Rating(pydantic.BaseModel):
    label: str
    stars: int


@pytest.fixture(params=["own", "upstream"])
def streaming(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Serve a client from this process, or from an upstream."""
    servers: list[local.Server] = []

    def make(answer: Any = None) -> openai.OpenAI:
        servers.append(local.serve(answer))
        if request.param == "upstream":
            servers.append(local.serve(upstream=servers[-1].url))
        return servers[-1].client().with_options(max_retries=0)

    yield make
    for server in reversed(servers):
        server.close()


def test_a_chat_completion_arrives_in_pieces(streaming: Any) -> None:
    client = streaming(lambda _: TEXT)
    with client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as stream:
        chunks = list(stream)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0].choices[0].delta.role == "assistant"
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(pieces) == TEXT
    assert len(pieces) > 8
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
    assert {chunk.usage for chunk in chunks} == {None}


def test_the_usage_comes_last_and_only_if_asked_for(streaming: Any) -> None:
    client = streaming(lambda _: TEXT)
    plain = client.chat.completions.create(model="m", messages=MESSAGES)
    *chunks, last = client.chat.completions.create(
        model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    assert {chunk.usage for chunk in chunks} == {None}
    assert last.choices == []
    assert last.usage == plain.usage


def test_a_completion_arrives_in_pieces(streaming: Any) -> None:
    client = streaming(lambda _: TEXT)
    chunks = list(client.completions.create(model="m", prompt="Hi", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == TEXT
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_response_arrives_in_events(streaming: Any) -> None:
    client = streaming(lambda _: TEXT)
    with client.responses.stream(model="m", input="Hi") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:4]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == TEXT
    assert final.output_text == TEXT
    assert final.usage == client.responses.create(model="m", input="Hi").usage


def test_a_structured_answer_can_be_streamed(streaming: Any) -> None:
    client = streaming()
    with client.chat.completions.stream(
        model="m", messages=MESSAGES, response_format=Rating
    ) as stream:
        chat = stream.get_final_completion().choices[0].message.parsed
    with client.responses.stream(model="m", input="Hi", text_format=Rating) as stream:
        response = stream.get_final_response().output_parsed
    assert isinstance(chat, Rating)
    assert isinstance(response, Rating)


def test_a_tool_call_can_be_streamed(streaming: Any) -> None:
    client = streaming()
    with client.chat.completions.stream(
        model="m", messages=MESSAGES, tools=[TOOL], tool_choice="required"
    ) as stream:
        (choice,) = stream.get_final_completion().choices
    (call,) = choice.message.tool_calls
    assert (call.function.name, choice.finish_reason) == ("rate", "tool_calls")
    assert set(json.loads(call.function.arguments)) == {"stars"}
    tool = {"type": "function", **TOOL["function"]}
    with client.responses.stream(
        model="m", input="Hi", tools=[tool], tool_choice="required"
    ) as stream:
        (item,) = stream.get_final_response().output
    assert (item.type, item.name) == ("function_call", "rate")
    assert set(json.loads(item.arguments)) == {"stars"}


def test_a_streamed_answer_is_the_answer_without_a_stream(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(model="m", messages=MESSAGES, n=2)
    stream = client.chat.completions.create(model="m", messages=MESSAGES, n=2, stream=True)
    streamed = ["", ""]
    for chunk in stream:
        streamed[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert streamed == [choice.message.content for choice in plain.choices]


def test_a_truncated_response_ends_as_incomplete(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model="m", input="Hi", max_output_tokens=16, stream=True))
    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details is not None


def test_a_failed_request_has_its_status_instead_of_a_stream(streaming: Any) -> None:
    client = streaming(lambda _: AnswerError(400, "Too long.", code="context_length_exceeded"))
    with pytest.raises(openai.BadRequestError, match="Too long") as excinfo:
        client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    assert excinfo.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as excinfo:
        client.post("/chat/completions", body={"model": "m", "stream": True}, cast_to=object)
    assert excinfo.value.param == "messages"


def test_other_endpoints_do_not_stream(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="does not stream /v1/images/generations"):
        client.images.generate(model="m", prompt="A cat.", stream=True)


def test_a_batch_takes_no_streams(batch_client: Any, make_line: Any) -> None:
    body = {"model": "m", "messages": MESSAGES, "stream": True}
    batch = batch_client.run([make_line("a", body)])
    assert batch.errors.data[0].code == "streaming_unsupported"


def test_faults_apply_to_streams(server: local.Server, client: openai.OpenAI) -> None:
    def read() -> str:
        chunks = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    whole = read()
    server.faults.add(Fault("POST /v1/chat/completions", "cut short"))
    with pytest.raises(Exception, match=r"peer closed|Connection error"):
        read()
    server.faults.add(Fault("POST /v1/chat/completions", "drip", bytes_per_second=100_000))
    assert read() == whole


@pytest.fixture
def passing_on(fake_server: FakeServer) -> Iterator[Any]:
    """Stream the events of an upstream, one request at a time."""
    url = f"{fake_server.url}/v1"
    with local.serve(upstream=url, concurrency=1) as server, server.client() as client:

        def make(events: Callable[[], Iterator[bytes]]) -> Any:
            def send(handler: Any) -> None:
                handler.send_response(200)
                handler.send_header("Content-Type", "text/event-stream")
                handler.send_header("Transfer-Encoding", "chunked")
                handler.end_headers()
                for event in events():
                    handler.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
                handler.close_connection = True

            fake_server.reply("POST", "/chat/completions", send)
            return client.chat.completions.create(model="m", messages=MESSAGES, stream=True)

        yield make


FIRST = b'data: {"choices":[{"index":0,"delta":{"content":"first"}}],"own":1}\n\n'


def test_an_upstreams_events_arrive_as_they_are_sent(passing_on: Any) -> None:
    was_read = threading.Event()

    def events() -> Iterator[bytes]:
        yield FIRST
        assert was_read.wait(30)
        yield b"data: [DONE]\n\n"
        yield b""

    stream = passing_on(events)
    first = next(stream)
    was_read.set()
    assert first.choices[0].delta.content == "first"
    assert first.own == 1
    assert list(stream) == []


def test_an_upstream_that_breaks_off_is_an_error_in_the_stream(passing_on: Any) -> None:
    stream = passing_on(lambda: iter([FIRST]))
    assert next(stream).choices[0].delta.content == "first"
    with pytest.raises(openai.APIError, match="upstream server did not answer"):
        next(stream)


def test_a_client_that_leaves_frees_its_place_at_the_upstream(
    passing_on: Any, fake_server: FakeServer
) -> None:
    def hanging() -> Iterator[bytes]:
        yield FIRST
        fake_server.stopped.wait(60)

    with passing_on(hanging) as stream:
        assert next(stream).choices[0].delta.content == "first"
    assert [chunk.own for chunk in passing_on(lambda: iter([FIRST, b"data: [DONE]\n\n", b""]))] == [
        1
    ]
