"""Parameters of requests, and invalid ones."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
import pandas as pd
import pytest
from openai.types.chat import completion_create_params

import batchframe as bf
from batchframe.errors import ColumnError, RequestError, TemplateError

FRAME = pd.DataFrame({"text": ["a"]})
OWN = {"model", "messages", "n", "stream", "stream_options", "response_format"}


def body(**options: Any) -> dict[str, Any]:
    """Return the body of the one request."""
    # A model without rules: what OpenAI's own refuse is tested in tests/models/test_rules.py.
    requests = FRAME.bf.requests(**{"prompt": "{{ text }}", "model": "my-model", **options})
    request_body: dict[str, Any] = requests.preview(1)[0]["body"]
    return request_body


def openai_parameters() -> list[str]:
    """List every parameter of a chat completion that the openai package knows."""
    kinds = [getattr(completion_create_params, name) for name in ("CompletionCreateParamsBase",)]
    return sorted({name for kind in kinds for name in kind.__annotations__})


@pytest.mark.parametrize("name", openai_parameters())
def test_openai_parameters_do_not_clash_with_keywords(name: str) -> None:
    if name in OWN - {"model"}:
        with pytest.raises(RequestError, match=f"^{name}: "):
            body(**{name: 1})
    elif name != "model":
        assert body(**{name: 1})[name] == 1


class Effort(str, enum.Enum):  # noqa: UP042 - as in older code
    LOW = "low"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**64 - 1, 2**64 - 1),
        (0.1, 0.1),
        (np.float64(0.1), 0.1),
        (np.int32(7), 7),
        (np.True_, True),
        (Effort.LOW, "low"),
        ({"a": (1, [2.0, None]), 50256: -100}, {"a": [1, [2.0, None]], "50256": -100}),
    ],
)
def test_a_parameter_is_passed_unchanged(value: Any, expected: Any) -> None:
    assert body(extra=value)["extra"] == expected


def test_changing_a_parameter_later_does_not_change_the_requests() -> None:
    stop = ["x"]
    requests = FRAME.bf.requests("{{ text }}", model="gpt-4.1", stop=stop)
    stop.append("y")
    assert requests._table.recipe.body == {"stop": ["x"]}


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), b"x", object, {1, 2}, 2**70, "\ud800", {"\ud800": 1}],
    ids=repr,
)
@pytest.mark.parametrize("path", ["extra", "extra.deep[1]"])
def test_a_value_that_is_not_json_is_refused_by_its_path(path: str, value: Any) -> None:
    nested = value if path == "extra" else {"deep": [0, value]}
    with pytest.raises(RequestError, match="not JSON serializable") as excinfo:
        body(extra=nested)
    assert path in str(excinfo.value)


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("outputs", "Did you mean output=?"),
        ("promt", "Did you mean prompt=?"),
        ("on_mising", "Did you mean on_missing=?"),
        ("dedup", "Did you mean dedupe=?"),
        ("max_cost", "submit(max_cost=...)"),
        ("client", "submit(client=...)"),
        ("rerun", "submit(rerun=...)"),
        ("prices", "submit(prices=...)"),
        ("extra_body", "temperature=0"),
        ("timeout", "job.wait(timeout=...)"),
        ("input", "input: set from the prompt"),
        ("stream", "stream: not supported in a batch"),
    ],
)
def test_a_misplaced_argument_is_refused_with_the_right_place(name: str, fragment: str) -> None:
    with pytest.raises(RequestError) as excinfo:
        body(**{name: 1})
    assert fragment in str(excinfo.value)


@pytest.mark.parametrize(
    ("wrong", "error", "fragment"),
    [
        ({"model": None}, RequestError, "model: not the name of a model (None)"),
        ({"model": " "}, RequestError, "model: not the name of a model (' ')"),
        ({"system": 5}, TemplateError, "system: not a template (int)"),
        ({"on_missing": None}, RequestError, "on_missing: not a string (None)"),
        ({"on_missing": 0}, RequestError, "on_missing: not a string (0)"),
        ({"on_missing": "Skip"}, RequestError, "Did you mean on_missing='skip'?"),
        ({"on_missing": "empty "}, RequestError, "Did you mean on_missing='empty'?"),
        ({"name": "bf_status"}, ColumnError, "'bf_status'"),
        ({"name": "text"}, ColumnError, "'text'"),
        ({"output": ["a", "b"], "name": "text"}, ColumnError, "'text'"),
    ],
)
def test_an_invalid_setting_raises_a_clear_error(
    wrong: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error) as excinfo:
        body(**wrong)
    assert fragment in str(excinfo.value)


@pytest.mark.parametrize("thing", [["a"], {"text": ["a"]}, pd.Series(["a"]), None])
def test_an_object_that_is_not_a_frame_raises_a_clear_error(thing: Any) -> None:
    with pytest.raises(bf.errors.SourceError, match="DataFrame"):
        bf.requests(thing, "{{ text }}", model="gpt-4.1")
    with pytest.raises(RequestError, match="DataFrame"):
        bf.join(thing, "some job")
