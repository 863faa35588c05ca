"""The fast reader gives the results of the careful one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.result_files import read_answers, read_table

IDS = ["bf1-0", "bf1-1"]
TEXTS = st.sampled_from(["fine", "", 'with "custom_id" in it', "\u2028 é 🦆", None, 7, "\ud83d"])
TOKENS = st.sampled_from([0, 3, 2**40, 2**40 + 1, -1, 1.0, True, None, "3", 10**40])
EMPTY = st.sampled_from([None, "", [], {}, "some"])
STATES = st.sampled_from(["stop", "length", "content_filter", "tool_calls", None, 1])


@dataclass(frozen=True)
class Careful:
    """An endpoint without the fast reader."""

    endpoint: Any
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
    mappings(input_tokens=TOKENS, output_tokens=TOKENS, prompt_tokens=TOKENS),
    mappings(prompt_tokens=TOKENS, completion_tokens=TOKENS, input_tokens=TOKENS),
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


@settings(max_examples=examples(300))
@pytest.mark.parametrize("path", BODIES)
@given(data=st.data(), status=st.sampled_from([200, 200.0, "200", 400, None]), twice=st.booleans())
def test_both_readers_agree_on_every_body(
    path: str, data: st.DataObject, status: Any, twice: bool, tmp_path: Path
) -> None:
    line = {
        "custom_id": IDS[0],
        "response": {"status_code": status, "body": data.draw(BODIES[path])},
        "error": data.draw(st.sampled_from([None, {"message": "no matter"}])),
    }
    file = tmp_path / "output.jsonl"
    file.write_text((json.dumps(line) + "\n") * (2 if twice else 1), encoding="utf-8")
    assert read_table([file], IDS, path) == read_table([file], IDS, path, wrap=Careful)


def test_an_ordinary_line_is_read_by_the_fast_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    message = {"role": "assistant", "content": "yes", "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = {"id": "c", "choices": [choice], "usage": usage}
    line = {"id": "r", "custom_id": IDS[1], "response": {"status_code": 200, "body": body}}
    file = tmp_path / "output.jsonl"
    file.write_text(json.dumps(line) + "\n", encoding="utf-8")
    monkeypatch.setattr(
        "batchframe._results.batch_answers.read_line", None
    )  # the careful reader would fail
    answers = read_answers([file], IDS)
    assert [answer["text"] for answer in answers] == [None, "yes"]
    assert (answers[1]["input_tokens"], answers[1]["status"]) == (5, "ok")


def line_of(name: str, text: str = "yes", **options: Any) -> bytes:
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    response = {"status_code": 200, "request_id": "r", "body": body}
    return json.dumps({"custom_id": name, "response": response, **options}).encode()


FIRST, SECOND = line_of(IDS[0], "a é \u2028"), line_of(IDS[1], 'b "\\ }\n{')
BLOCKS = {
    "nothing but null": b"null",
    "only null, with a line end": b"null\n",
    "null first": b"null\n" + FIRST,
    "an empty file": b"",
    "line ends only": b"\n\n",
    "two objects on a line": FIRST + SECOND,
    "two objects on a line, one on two": FIRST + b"{}\n" + SECOND.replace(b", ", b",\n", 1),
    "an object on two lines": FIRST.replace(b", ", b",\n"),
    "an object that ends where one begins": b'{"x": {}\n{"custom_id": "%s"}}' % IDS[0].encode(),
    "a list on a line": b"[" + FIRST + b"]\n" + SECOND,
    "a comma after a line": FIRST + b",\n" + SECOND,
    "an object after a line": FIRST + b" {}\n" + SECOND,
    "carriage returns": FIRST + b"\r\n" + SECOND + b"\r\n",
    "a blank line between": FIRST + b"\n\n" + SECOND,
    "invalid UTF-8, unused": line_of(IDS[0], x="?").replace(b"?", b"\xff") + b"\n" + SECOND,
    "invalid UTF-8 in a string": FIRST.replace(b"\\u00e9", b"\xff") + b"\n" + SECOND,
    "a null in a string": line_of(IDS[0], "\0") + b"\n" + SECOND,
    "a name twice": FIRST[:-1] + b', "custom_id": "%s"}' % IDS[1].encode(),
    "a name twice, once escaped": FIRST[:-1] + b', "custom\\u005fid": "x"}',
    "content twice": FIRST.replace(b'"content"', b'"content": "no", "content"'),
    "no name": FIRST.replace(b"custom_id", b"custom") + b"\n" + SECOND,
    "many lines, a number among the texts": b"\n".join(
        [FIRST, *[line_of(f"of another job {at}") for at in range(100)],
         SECOND.replace(json.dumps(IDS[1]).encode(), b"7")]
    ),
    "a refusal among many lines": b"\n".join(
        [FIRST, *[line_of(f"of another job {at}") for at in range(100)],
         SECOND.replace(b'"refusal": null', b'"refusal": "no"')]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BLOCKS)
def test_both_readers_agree_on_every_block(case: str, tmp_path: Path) -> None:
    file = tmp_path / "output.jsonl"
    file.write_bytes(BLOCKS[case])
    assert read_table([file], IDS) == read_table([file], IDS, wrap=Careful)


PIECES = (
    b"null", b"{}", b"[]", b'"', b"\\", b"\n", b"{", b"}", b"[", b"]", b",", b":", b"1e999", b"-",
    b"0", b"\\u", b"\\ud83d", b"\xff", b"\xe2\x80", b"\0", b"NaN", b"true", b"}\n{", b"\r\n",
    b"1" * 40, b'"custom_id": "bf1-1",', b'"custom_id": null,', b'{"custom_id": "bf1-0"}', b"[" * 9,
)  # fmt: skip


@settings(max_examples=examples(500))
@given(data=st.data(), lines=st.lists(st.sampled_from([FIRST, SECOND]), min_size=1, max_size=4))
def test_both_readers_agree_on_every_damage(
    data: st.DataObject, lines: list[bytes], tmp_path: Path
) -> None:
    content = b"\n".join(lines) + b"\n"
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(content)))
        gone = data.draw(st.sampled_from([0, 0, 1, 2, 30]))
        content = (
            content[:position] + data.draw(st.sampled_from(PIECES)) + content[position + gone :]
        )
    file = tmp_path / "output.jsonl"
    file.write_bytes(content)
    assert read_table([file], IDS) == read_table([file], IDS, wrap=Careful)
