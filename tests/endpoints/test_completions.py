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


def completion(
    text: str | None = "Say this", reason: str = "stop", **options: Any
) -> dict[str, Any]:
    """Return a Completion (OpenAI API reference, openai 3.54.0)."""
    return {
        "id": "cmpl-uqkvlQyYK7bGYrRHQ0eXlWi7",
        "object": "text_completion",
        "created": 1589478378,
        "model": MODEL,
        "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": reason}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
        **options,
    }


def ask(**options: Any) -> bf.Requests:
    return FRAME.bf.requests(
        **{"prompt": "Q: {{ text }}", "model": MODEL, "endpoint": PATH, **options}
    )


def test_the_shape_is_that_of_the_openai_package() -> None:
    assert Completion.model_validate(completion()).usage is not None


def test_a_request_is_the_rendered_prompt_and_the_parameters() -> None:
    options = {"model": MODEL, "prompt": "Q: a", "max_tokens": 9, "stop": ["\n"]}
    assert ask(max_tokens=9, stop=["\n"]).preview(1)[0]["body"] == options


@pytest.mark.parametrize(
    ("options", "error", "fragment"),
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
def test_unsupported_arguments_are_refused(
    options: Any, error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error) as excinfo:
        ask(**options)
    assert fragment in str(excinfo.value)


@pytest.mark.parametrize(
    ("body", "status", "text", "fragment"),
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
    body: Any,
    status: str,
    text: str | None,
    fragment: str | None,
    read: Callable[[str, Any], dict[str, Any]],
) -> None:
    answer = read(PATH, body)
    assert (answer["status"], answer["text"]) == (status, text)
    assert fragment in answer["error"] if fragment else answer["error"] is None


def test_the_default_limit_is_sixteen_tokens() -> None:
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
