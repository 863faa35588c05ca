"""A new endpoint is one class, for requests and estimates."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
import pandas as pd
import pytest

import batchframe as bf
from batchframe import _endpoints
from batchframe._endpoints.endpoint import Answer, Response
from batchframe._endpoints.prompts import TextEndpoint
from batchframe.errors import RequestError

FRAME = pd.DataFrame({"text": ["a kite", "a boat", "a kite"]})


class _Path(StrEnum):
    ECHO = "/v1/echo"


class _Echoed(Response):
    echo: str

    def answer(self) -> Answer:
        return Answer("ok", None, self.echo)


class _Echo(TextEndpoint):
    path = _Path.ECHO
    response = _Echoed
    prompt_key = "prompt"


@pytest.fixture(autouse=True)
def _echo(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {**_endpoints._ENDPOINTS, "/v1/echo": _Echo()}
    monkeypatch.setattr(_endpoints, "_ENDPOINTS", table)


def ask(**options: Any) -> bf.Requests:
    return FRAME.bf.requests("Say {{ text }}", model="echo-1", endpoint="/v1/echo", **options)


def test_its_requests_have_its_path_and_its_prompt() -> None:
    [first, second] = ask(loud=True).preview(2)
    assert first["url"] == "/v1/echo"
    assert first["body"] == {"model": "echo-1", "prompt": "Say a kite", "loud": True}
    assert second["body"]["prompt"] == "Say a boat"
    with pytest.raises(RequestError, match="'/v1/echo'"):
        FRAME.bf.requests("{{ text }}", model="echo-1", endpoint="/v1/ecko")


def test_its_input_is_counted_as_text_with_room_for_framing() -> None:
    count = bf.count_tokens({"model": "gpt-4.1", "prompt": "Say hello"}, endpoint="/v1/echo")
    assert (count.tokens, count.more, count.exact) == (2, 100, False)
    with pytest.raises(RequestError, match="'prompt'"):
        bf.count_tokens({"model": "gpt-4.1"}, endpoint="/v1/echo")


def test_its_estimate_names_only_parameters_that_it_has() -> None:
    requests = ask()
    estimate = requests.estimate(prices={"input": "1", "output": "2"})
    assert estimate.requests == 2
    assert estimate.input_tokens.expected is not None
    assert estimate.input_tokens.high is not None
    assert estimate.output_tokens.high is None
    for text in (repr(estimate), *estimate.notes):
        assert "with =" not in text
        assert " =" not in text
    reasoning = FRAME.bf.requests("{{ text }}", model="gpt-5.6-luna", endpoint="/v1/echo")
    assert not any(" =" in note for note in reasoning.estimate().notes)


def test_its_answers_are_one_column() -> None:
    answer = _Echo().answer(msgspec.json.encode({"echo": "Say a kite"}))
    assert (answer.status, answer.text) == ("ok", "Say a kite")
    wrong = _Echo().answer(b'{"echo":1}')
    assert wrong.status == "invalid"
    assert "/v1/echo" in str(wrong.error)
