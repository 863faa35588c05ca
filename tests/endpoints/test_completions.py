"""``/v1/completions``: one string in, its continuation out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from openai.types import Completion

import batchframe as bf
import batchframe.local
from batchframe.errors import RequestError, TemplateError

PATH = "/v1/completions"
MODEL = "gpt-3.5-turbo-instruct"
FRAME = pd.DataFrame({"text": ["a", "b"]})


def completion(text: str | None = "Say this", reason: str = "stop", **more: Any) -> dict[str, Any]:
    """Of the OpenAI API reference and openai 3.54.0, Completion."""
    return {
        "id": "cmpl-uqkvlQyYK7bGYrRHQ0eXlWi7",
        "object": "text_completion",
        "created": 1589478378,
        "model": MODEL,
        "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": reason}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
        **more,
    }


def ask(**asked: Any) -> bf.Requests:
    return FRAME.bf.requests(
        **{"prompt": "Q: {{ text }}", "model": MODEL, "endpoint": PATH, **asked}
    )


def test_the_shape_is_that_of_the_openai_package() -> None:
    assert Completion.model_validate(completion()).usage is not None


def test_a_request_is_the_rendered_prompt_and_the_parameters() -> None:
    asked = {"model": MODEL, "prompt": "Q: a", "max_tokens": 9, "stop": ["\n"]}
    assert ask(max_tokens=9, stop=["\n"]).preview(1)[0]["body"] == asked


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"output": ["a"]}, RequestError, 'endpoint="/v1/chat/completions"'),
        ({"system": "Be brief."}, RequestError, "system: not supported"),
        (
            {"prompt": [{"role": "user", "content": "{{ text }}"}]},
            TemplateError,
            "takes one string",
        ),
    ],
)
def test_what_has_no_place_is_refused(asked: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        ask(**asked)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("told", "status", "said", "words"),
    [
        (completion(), "ok", "Say this", None),
        (completion(reason="length"), "truncated", "Say this", "raise max_tokens"),
        (completion("", "content_filter"), "refused", "", "content filter"),
        (completion(None), "invalid", None, "no text"),
        (completion(choices=[]), "invalid", None, "no choices"),
        ({"object": "text_completion"}, "invalid", None, "is not a completion"),
    ],
)
def test_every_way_a_completion_can_end_has_its_status(
    told: Any,
    status: str,
    said: str | None,
    words: str | None,
    read: Callable[[str, Any], dict[str, Any]],
) -> None:
    answer = read(PATH, told)
    assert (answer["status"], answer["text"]) == (status, said)
    assert words in answer["error"] if words else answer["error"] is None


def test_a_limit_that_nobody_names_is_sixteen_tokens() -> None:
    assert ask().estimate().output_tokens.high == 32
    assert ask(max_tokens=100).estimate().output_tokens.high == 200
    assert ask(max_tokens=100, best_of=3).estimate().output_tokens.high == 600


def test_the_genuine_client_reads_what_the_local_server_answers(
    server: batchframe.local.Server,
) -> None:
    client = server.client()
    answer = client.completions.create(**ask(max_tokens=100).preview(1)[0]["body"])
    Completion.model_validate(answer.model_dump())
    job = ask(max_tokens=100).submit(client=client).wait()
    assert job.results()["response"][0] == answer.choices[0].text
    short = ask(max_tokens=1).submit(client=client).wait()
    assert short.counts == {"truncated": 2}
