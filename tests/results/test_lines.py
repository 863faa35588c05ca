"""Result files of every kind: each request gets one status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.result_files import read_answers

IDS = [f"bf1-01234567-{number:07d}-0123456789" for number in range(6)]


def good(number: int, text: str | None = None, **options: Any) -> dict[str, Any]:
    content = f"answer {number}" if text is None else text
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 2}
    body = {"object": "chat.completion", "choices": [choice], "usage": usage}
    response = {"status_code": 200, "request_id": "r", "body": body}
    return {"id": "x", "custom_id": IDS[number], "response": response, "error": None, **options}


def read(path: Path, *lines: dict[str, Any] | bytes, **ended: Any) -> list[dict[str, Any]]:
    path.write_bytes(
        b"\n".join(
            line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode()
            for line in lines
        )
    )
    return read_answers([path], IDS, **ended)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "output-000.jsonl"


ERRORS = [
    ({"response": {"status_code": 400, "body": {"error": {"code": "bad", "message": "no"}}}},
     "failed", "HTTP 400, bad: no"),
    ({"response": {"status_code": 0, "body": {}}, "error": None}, "failed", "HTTP 0"),
    ({"response": None, "error": {"code": "batch_expired", "message": "late"}}, "expired", "late"),
    ({"response": None, "error": {"code": "batch_cancelled", "message": "x"}}, "cancelled", "x"),
    ({"error": {"code": "server_error", "message": "sorry"}}, "failed", "sorry"),
    ({"response": None, "error": "a plain text"}, "failed", "a plain text"),
    ({"response": None, "error": None}, "failed", "no reason"),
    ({"response": {"status_code": 422, "body": {"detail": "wrong type"}}}, "failed", "wrong type"),
    ({"response": {"status_code": 500, "body": "<html>"}}, "failed", "HTTP 500"),
    ({"response": {"status_code": 200, "body": {"choices": []}}}, "invalid", "no choices"),
    ({"response": {"status_code": 200, "body": {}}}, "invalid", "not a chat completion"),
    ({"response": {"status_code": 200, "body": None}}, "invalid", "not a chat completion"),
    ({"response": {"status_code": 200, "body": "no json"}}, "invalid", "not a chat completion"),
    ({"response": {"status_code": 200}}, "invalid", "not a chat completion"),
]  # fmt: skip


@pytest.mark.parametrize(("result_line", "status", "fragment"), ERRORS)
def test_a_line_without_an_answer_has_its_own_status_and_reason(
    result_line: dict[str, Any], status: str, fragment: str, path: Path
) -> None:
    answers = read(path, good(0), {"custom_id": IDS[1], **result_line}, good(2))
    assert [answer["status"] for answer in answers[:3]] == ["ok", status, "ok"]
    assert fragment in answers[1]["error"]
    assert answers[1]["text"] is None


def test_a_body_that_is_a_json_string_is_read(path: Path) -> None:
    line = good(0)
    line["response"]["body"] = json.dumps(line["response"]["body"])
    assert read(path, line)[0]["text"] == "answer 0"


def test_line_separators_of_unicode_inside_an_answer_stay(path: Path) -> None:
    text = "a\u2028b\u2029c\u0085d\x0be\x0cf"
    assert read(path, good(0, text), good(1))[0]["text"] == text


def test_a_row_in_neither_file_is_missing(path: Path) -> None:
    answers = read(path, good(0))
    assert [answer["status"] for answer in answers] == ["ok", *["missing"] * 5]


@pytest.mark.parametrize(
    ("status", "errors", "fragment"),
    [
        ("expired", [], "expired"),
        ("cancelled", [], "cancelled"),
        ("failed", [("c", "too odd", 3)], "line 3: too odd"),
        ("failed", [("c", "no quota", None)], "no quota"),
        ("failed", [], "no reason"),
    ],
)
def test_rows_without_a_line_have_the_reason_of_their_batch(
    status: str, errors: list[Any], fragment: str, path: Path
) -> None:
    answers = read(path, good(0), status=status, errors=errors)
    assert answers[0]["status"] == "ok"
    assert {answer["status"] for answer in answers[1:]} == {status}
    assert fragment in answers[1]["error"]


def test_an_error_about_one_line_is_given_to_its_row(path: Path) -> None:
    answers = read(path, status="failed", errors=[("c", "too odd", 3)])
    assert "line" not in answers[2]["error"]
    assert "too odd" in answers[2]["error"]


def test_repeated_equal_answers_count_once(path: Path) -> None:
    assert read(path, good(0), good(0))[0]["status"] == "ok"


def test_different_answers_to_one_request_are_invalid(path: Path) -> None:
    answer = read(path, good(0), good(0, "another"))[0]
    assert answer["status"] == "invalid"
    assert "two different answers" in answer["error"]


@pytest.mark.parametrize("first", [True, False])
def test_an_answer_takes_precedence_over_an_error(first: bool, path: Path) -> None:
    failed = {"custom_id": IDS[0], "response": None, "error": {"code": "server_error"}}
    lines = [good(0), failed] if first else [failed, good(0)]
    assert read(path, *lines)[0]["text"] == "answer 0"


RUBBISH: list[bytes] = [
    b"", b"null", b"[]", b'"text"', b"7", b"{", b'{"custom_id": 7}', b"{}", b"\xff\xfe{}", b"\x00",
    b'{"custom_id": null}', b'{"custom_id": "bf1-01234567-0000009-0123456789"}', b"[" * 200_000,
    b'{"custom_id": "another", "response": {"status_code": 200}}', b'{"a": ' + b"9" * 5000 + b"}",
    b"<html>", b'{"custom_id": NaN}',
]  # fmt: skip


@given(data=st.data())
def test_no_order_and_no_garbage_moves_or_invents_an_answer(data: Any, path: Path) -> None:
    answered = data.draw(st.sets(st.integers(0, 5)))
    lines: list[bytes] = [json.dumps(good(number)).encode() for number in answered]
    lines += data.draw(st.lists(st.sampled_from(RUBBISH)))
    position = data.draw(st.integers(0, 40))
    if lines and position:
        torn = json.dumps(good(data.draw(st.integers(0, 5)))).encode()[:-position]
        lines.append(torn)
    answers = read(path, *data.draw(st.permutations(lines)))
    for number, answer in enumerate(answers):
        if number in answered:
            assert (answer["status"], answer["text"]) == ("ok", f"answer {number}")
        else:
            assert answer["status"] in {"missing", "invalid"}
            assert answer["text"] is None


def test_byte_order_marks_and_carriage_returns_are_ignored(path: Path) -> None:
    path.write_bytes(
        b"\xef\xbb\xbf" + b"\r\n".join(json.dumps(good(n)).encode() for n in range(6)) + b"\r\n\r\n"
    )
    answers = read_answers([path], IDS)
    assert [answer["text"] for answer in answers] == [f"answer {n}" for n in range(6)]


def test_an_invalid_byte_affects_only_its_own_line(path: Path) -> None:
    broken = json.dumps(good(1)).encode().replace(b"answer 1", b"\xff\xfe")
    answers = read(path, good(0), broken, good(2))
    assert [answer["status"] for answer in answers[:3]] == ["ok", "invalid", "ok"]
    assert "unreadable" in answers[1]["error"]
    assert read(path, b"{}")[1]["error"].endswith("1 of its lines could not be read")


@pytest.mark.parametrize("invalid_count", [2**63, 2**63 - 1, -1, "10", 10.5, None, [], True])
def test_an_invalid_token_count_does_not_affect_the_answer(invalid_count: Any, path: Path) -> None:
    line = good(0)
    line["response"]["body"]["usage"] = {"prompt_tokens": invalid_count, "completion_tokens": 2}
    answer = read(path, line)[0]
    assert (answer["status"], answer["output_tokens"]) == ("ok", 2)
    assert answer["input_tokens"] in {None, 1}
    line["response"]["body"]["usage"] = invalid_count
    assert read(path, line)[0]["status"] == "ok"


@pytest.mark.parametrize("code", ["200", 200.0])
def test_a_status_code_of_another_type_is_read(code: Any, path: Path) -> None:
    line = good(0)
    line["response"]["status_code"] = code
    assert read(path, line)[0]["status"] == "ok"


def test_usage_is_read_and_missing_usage_is_not_zero(path: Path) -> None:
    bare = good(1)
    del bare["response"]["body"]["usage"]
    answers = read(path, good(0), bare)
    assert (answers[0]["input_tokens"], answers[0]["output_tokens"]) == (10, 2)
    assert answers[1]["input_tokens"] is None
