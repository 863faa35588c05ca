"""What is read fast is what would have been read with care."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchframe._answers import read_shard
from batchframe._endpoints import Endpoint, endpoint_of
from batchframe._service import Batch

IDS = ["bf1-0", "bf1-1"]
DONE = Batch("batch_1", "completed")
TEXTS = st.sampled_from(["fine", "", 'with "custom_id" in it', "\u2028 é 🦆", None, 7, "\ud83d"])
TOKENS = st.sampled_from([0, 3, 2**40, 2**40 + 1, -1, 1.0, True, None, "3", 10**40])
EMPTY = st.sampled_from([None, "", [], {}, "some"])
STATES = st.sampled_from(["stop", "length", "content_filter", "tool_calls", None, 1])


@dataclass(frozen=True)
class Careful:
    """An endpoint that reads each line by itself."""

    endpoint: Endpoint
    ordinary: None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.endpoint, name)


def mappings(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=parts)


def details(*names: str) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), mappings(**dict.fromkeys(names, TOKENS)), st.just("none"))


USAGE = st.one_of(
    st.none(),
    st.just("free"),
    *(
        mappings(
            **{f"{read}_tokens": TOKENS, f"{written}_tokens": TOKENS},
            **{f"{read}_tokens_details": details("cached_tokens", "cache_write_tokens")},
            **{f"{written}_tokens_details": details("reasoning_tokens")},
        )
        for read, written in (("prompt", "completion"), ("input", "output"))
    ),
)
MESSAGE = st.fixed_dictionaries(
    {"content": TEXTS},
    optional={
        "refusal": EMPTY, "tool_calls": EMPTY, "function_call": EMPTY, "reasoning_content": EMPTY,
    },
)  # fmt: skip
CHOICE = st.fixed_dictionaries({"message": MESSAGE}, optional={"finish_reason": STATES})
CHAT = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE, min_size=1, max_size=2)}, optional={"usage": USAGE}
)
PART = st.fixed_dictionaries({"type": st.sampled_from(["output_text", "refusal"]), "text": TEXTS})
ITEM = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("message"), "content": st.lists(PART, max_size=2)},
        optional={"phase": st.sampled_from(["commentary", "final_answer", None])},
    ),
    st.fixed_dictionaries({"type": st.just("reasoning")}, optional={
        "summary": st.sampled_from([None, [], [{"type": "summary_text", "text": "why"}]]),
        "content": st.sampled_from([None, [], [{"type": "reasoning_text", "text": "how"}]]),
    }),
    st.just({"type": "function_call", "name": "f", "arguments": "{}"}),
)  # fmt: skip
RESPONSE = st.fixed_dictionaries(
    {"output": st.lists(ITEM, max_size=3)},
    optional={
        "status": st.sampled_from(["completed", "incomplete", "failed", "in_progress", None]),
        "error": EMPTY,
        "incomplete_details": st.sampled_from([None, {}, {"reason": "max_output_tokens"}]),
        "usage": USAGE,
    },
)
BODIES = {"/v1/chat/completions": CHAT, "/v1/responses": RESPONSE}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@pytest.mark.parametrize("path", BODIES)
@given(data=st.data(), status=st.sampled_from([200, 200.0, "200", 400, None]), twice=st.booleans())
def test_every_body_says_the_same_fast_and_with_care(
    path: str, data: st.DataObject, status: Any, twice: bool, tmp_path: Path
) -> None:
    line = {
        "custom_id": IDS[0],
        "response": {"status_code": status, "body": data.draw(BODIES[path])},
        "error": data.draw(st.sampled_from([None, {"message": "no matter"}])),
    }
    file = tmp_path / "output.jsonl"
    file.write_text((json.dumps(line) + "\n") * (2 if twice else 1), encoding="utf-8")
    endpoint = endpoint_of(path)
    careful: Any = Careful(endpoint)
    assert read_shard([file], endpoint, IDS, DONE) == read_shard([file], careful, IDS, DONE)


def test_an_ordinary_line_is_read_fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from batchframe import _answers

    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    message = {"role": "assistant", "content": "yes", "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = {"id": "c", "choices": [choice], "usage": usage}
    line = {"id": "r", "custom_id": IDS[1], "response": {"status_code": 200, "body": body}}
    file = tmp_path / "output.jsonl"
    file.write_text(json.dumps(line) + "\n", encoding="utf-8")
    monkeypatch.setattr(_answers, "_read_line", None)  # the careful reader would fail
    chat = endpoint_of("/v1/chat/completions")
    answers = read_shard([file], chat, IDS, DONE).to_pylist()
    assert [answer["text"] for answer in answers] == [None, "yes"]
    assert (answers[1]["input_tokens"], answers[1]["status"]) == (5, "ok")
