"""Bad input gets a clear error before any file is written or byte is sent."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local

FRAME = pd.DataFrame({"text": ["a", "b", None], "label": ["x", "y", "z"], "n": [1, 2, 3]})
TWINS = pd.DataFrame([["a", "b"]], columns=["text", "text"])


def ask(frame: pd.DataFrame = FRAME, prompt: Any = "{{ n }}", **options: Any) -> bf.Requests:
    return bf.requests(frame, prompt, **{"model": "gpt-4.1", **options})


CASES: dict[str, tuple[Callable[[], Any], type[bf.errors.BatchframeError], list[str]]] = {
    "unknown column": (
        lambda: ask(prompt="{{ txet }}"),
        bf.errors.TemplateError,
        ["{{ txet }}", "{{ text }}", "'label'"],
    ),
    "repeated column": (
        lambda: ask(TWINS, "{{ text }}"),
        bf.errors.ColumnError,
        ["2 columns", "{{ text }}", "rename"],
    ),
    "no column": (
        lambda: ask(prompt="Hello"),
        bf.errors.TemplateError,
        ["no column", "{{ text }}"],
    ),
    "missing value": (
        lambda: ask(prompt="{{ text }}"),
        bf.errors.CellError,
        ["1 of 3 rows", "row 2", "'text'", 'on_missing="skip"'],
    ),
    "answer column is taken": (
        lambda: ask(output=["good", "bad"]),
        bf.errors.ColumnError,
        ["'label'", "name="],
    ),
    "spec that strict mode rejects": (
        lambda: ask(output=dict[str, int]),
        bf.errors.OutputSpecError,
        [],
    ),
    "unsupported endpoint": (
        lambda: ask(endpoint="/v1/chat/completion"),
        bf.errors.RequestError,
        ["'/v1/chat/completion'", "'/v1/chat/completions'"],
    ),
    "streaming": (lambda: ask(stream=True), bf.errors.RequestError, ["stream"]),
    "our word misspelt": (
        lambda: ask(outputs=["a"]),
        bf.errors.RequestError,
        ["Did you mean output=?"],
    ),
    "max_cost exceeded": (
        lambda: ask(output=["p", "q"], name="tone").submit(max_cost="0.0000001"),
        bf.errors.CostError,
        ["$0.0000001", "may reach $0.000", "fewer rows"],
    ),
    "max_cost exceeded by a range": (
        lambda: ask(max_completion_tokens=500).submit(max_cost="0.001"),
        bf.errors.CostError,
        ["$0.001", "may reach $0.006", "at least", "max_completion_tokens"],
    ),
    "max_cost without a bound": (
        lambda: ask().submit(max_cost=5),
        bf.errors.CostError,
        ["at least $", "$5", "max_completion_tokens"],
    ),
    "max_cost without a price": (
        lambda: ask(model="my-model", max_completion_tokens=5).submit(max_cost=5),
        bf.errors.CostError,
        ["my-model", "prices="],
    ),
    "max_cost that is not an amount": (
        lambda: ask().submit(max_cost="five"),
        bf.errors.CostError,
        ["max_cost=2.50"],
    ),
    "no key": (
        lambda: ask().submit(),
        bf.errors.ClientError,
        ["OPENAI_API_KEY", "batchframe.local.serve()"],
    ),
    "plain HTTP to another machine": (
        lambda: ask().submit(client=openai.OpenAI(base_url="http://192.0.2.1/v1", api_key="k")),
        bf.errors.ClientError,
        ["https"],
    ),
    "no frame": (lambda: ask([1, 2]), bf.errors.SourceError, ["list", "DataFrame"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_raises_a_clear_error_and_writes_nothing(
    case: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    attempt, kind, fragments = CASES[case]
    with pytest.raises(kind) as excinfo:
        attempt()
    assert [word for word in fragments if word not in str(excinfo.value)] == []
    assert isinstance(excinfo.value, ValueError) or kind is bf.errors.ClientError
    assert not home.exists()


def test_a_row_too_large_for_a_file_is_named_before_anything_is_written(home: Path) -> None:
    frame = pd.DataFrame({"text": ["small", "x" * 200_000_000]}, index=["first", "second"])
    requests = bf.requests(frame, "{{ text }}", model="gpt-4.1")
    with pytest.raises(
        bf.errors.RequestError, match=r"row 1 .index .second.. has .* bytes, above .*200,000,000"
    ):
        requests.submit(client=openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="k"))
    assert not home.exists()


def test_an_unknown_model_has_tokens_and_no_price() -> None:
    estimate = ask(model="my-model").estimate()
    assert estimate.input_tokens.expected
    assert estimate.cost is None
    assert any("my-model" in note for note in estimate.notes)
    assert "unknown" in repr(estimate)


def test_user_prices_take_precedence() -> None:
    frame = pd.DataFrame({"n": range(1000)})
    estimate = ask(frame, output=["p", "q"]).estimate(prices={"input": "1000000", "output": 0})
    assert estimate.cost is not None
    assert estimate.cost.low == estimate.input_tokens.low


def test_a_taken_answer_column_has_a_working_fix() -> None:
    frame = pd.DataFrame({"text": ["a"], "topic": ["x"], "urgent": [True]})
    fields = {"topic": {"type": "string"}, "urgent": {"type": "boolean"}}
    spec = {"type": "object", "properties": fields}
    with pytest.raises(bf.errors.ColumnError, match=r"df.drop\(columns=\['topic', 'urgent'\]\)"):
        bf.requests(frame, "{{ text }}", model="gpt-4.1", output=spec)
    requests = bf.requests(frame.drop(columns=[*fields]), "{{ text }}", model="m", output=spec)
    with batchframe.local.serve(answer=lambda _: {"topic": "y", "urgent": False}) as server:
        job = requests.submit(client=server.client()).wait()
    joined = frame.bf.join(job, prefix="ai_")
    assert joined.loc[0, ["topic", "ai_topic", "urgent", "ai_urgent"]].tolist() == [
        "x",
        "y",
        True,
        False,
    ]


@pytest.mark.parametrize("options", [{"answer": "positive"}, {"upstream": "localhost:11434"}])
def test_invalid_local_server_arguments_are_refused(options: Any) -> None:
    with pytest.raises(bf.errors.LocalServerError, match=r"not a (function|URL)"):
        batchframe.local.serve(**options)


def test_a_client_keeps_its_server_alive() -> None:
    client = batchframe.local.serve().client()
    gc.collect()
    assert client.batches.list().data == []
    client._client._server.close()  # type: ignore[attr-defined]
