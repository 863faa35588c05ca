"""Malformed result files: one status per request; answers are kept."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.result_files import line_counts, read_answers, read_table

IDS = [f"bf1-01234567-{number:07d}-{number + 7:010x}" for number in range(4)]


def good(number: int, text: str | None = None) -> dict[str, Any]:
    content = f"answer {number}" if text is None else text
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    body = {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 2}}
    return {
        "id": f"batch_req_{number}",
        "custom_id": IDS[number],
        "response": {"status_code": 200, "body": body},
        "error": None,
    }


def failed(number: int, code: str = "server_error") -> dict[str, Any]:
    return {"custom_id": IDS[number], "response": None, "error": {"code": code, "message": "no"}}


def encoded(line: Any) -> bytes:
    return line if isinstance(line, bytes) else json.dumps(line).encode()


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [tmp_path / "output-000.jsonl", tmp_path / "errors-000.jsonl"]


def table(paths: list[Path], output: Any, error: Any = (), **ended: Any) -> pa.Table:
    for path, lines in zip(paths, (output, error), strict=True):
        content = lines if isinstance(lines, bytes) else b"\n".join(map(encoded, lines)) + b"\n"
        path.write_bytes(content)
    return read_table(paths, IDS, **ended)


def read(paths: list[Path], output: Any, error: Any = (), **ended: Any) -> list[Any]:
    return table(paths, output, error, **ended).to_pylist()


def statuses(answers: list[Any]) -> list[str]:
    return [answer["status"] for answer in answers]


WHOLE = b"\n".join(json.dumps(good(number)).encode() for number in range(4)) + b"\n"
WRITTEN_OTHERWISE = {
    "a byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "carriage returns": WHOLE.replace(b"\n", b"\r\n"),
    "blank lines": b"\n \n\t\n" + WHOLE.replace(b"\n", b"\n\r\n\n") + b"\n\n",
    "no final newline": WHOLE[:-1],
    "spaces around": WHOLE.replace(b"\n", b"  \n  "),
    "vertical tabs and form feeds around": WHOLE.replace(b"\n", b"\x0b\n\x0c"),
    "NUL lines between": WHOLE.replace(b"\n", b"\n\x00\x00\n"),
    "NUL bytes at the end": WHOLE + b"\x00" * 4096,
}


@pytest.mark.parametrize("case", WRITTEN_OTHERWISE)
def test_d2_a_file_in_another_json_style_is_read(case: str, paths: list[Path]) -> None:
    answers = read(paths, WRITTEN_OTHERWISE[case])
    assert [answer["text"] for answer in answers] == [f"answer {number}" for number in range(4)]


LINE = json.dumps(good(1)).encode()
BROKEN = {
    "truncated": LINE[:-30],
    "truncated in the text": LINE[: LINE.index(b"answer 1") + 3],
    "an invalid UTF-8 byte": LINE.replace(b"answer", b"\xff\xfe"),
    "a NUL in the text": LINE.replace(b"answer", b"an\x00wer"),
    "a NUL in the middle": LINE.replace(b'"error": ', b'"error":\x00'),
    "garbage behind": LINE + b"garbage",
    "two objects on one line": LINE + LINE,
    "an invalid escape": LINE.replace(b"answer", rb"\qnswer"),
    "a control character": LINE.replace(b"answer", b"\x01"),
    "a list around it": b"[" + LINE + b"]",
    "single quotes": LINE.replace(b'"content"', b"'content'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_d2_a_broken_line_affects_only_its_own_row_with_a_reason(
    case: str, paths: list[Path]
) -> None:
    answers = read(paths, [good(0), BROKEN[case], good(2), good(3)])
    assert statuses(answers) == ["ok", "invalid", "ok", "ok"]
    assert answers[1]["error"].startswith("unreadable result line: ")
    assert answers[1]["text"] is None
    assert line_counts(paths[0]) == (3, 1)


SEPARATORS = "\u2028 \u2029 \u0085 \x0b \x0c \x1c \x1d \x1e \r \n \ufeff \u202e \U0001f600"


@pytest.mark.parametrize("ascii_only", [True, False])
def test_d3_every_separator_inside_a_value_is_kept(ascii_only: bool, paths: list[Path]) -> None:
    line = json.dumps(good(1, SEPARATORS), ensure_ascii=ascii_only).encode()
    answers = read(paths, [good(0), line, good(2), good(3)])
    assert (answers[1]["text"], statuses(answers)) == (SEPARATORS, ["ok"] * 4)


HALVES = {
    r"a\ud83db": "a\ufffdb",
    r"a\udE00": "a\ufffd",
    r"\ud83d\ud83d\ude00": "\ufffd\U0001f600",
    r"\ud83d\u0041": "\ufffdA",
    r"\\ud83d": r"\ud83d",
    r"\\\ud83d": "\\\ufffd",
    r"\ud83d\\ude00": "\ufffd\\ude00",
}


@pytest.mark.parametrize("written", HALVES)
def test_d3_half_a_surrogate_pair_affects_nothing_else(written: str, paths: list[Path]) -> None:
    line = json.dumps(good(1)).replace("answer 1", written).encode()
    answers = read(paths, [good(0), line])
    assert (answers[1]["status"], answers[1]["text"]) == ("ok", HALVES[written])
    assert answers[1]["input_tokens"] == 10


def test_d3_half_a_surrogate_pair_in_an_error_or_name_is_harmless(paths: list[Path]) -> None:
    error_line = encoded(failed(1)).replace(b'"no"', rb'"no \ud83d"')
    named = encoded(good(2)).replace(IDS[2].encode(), rb"\ud83d")
    answers = read(paths, [error_line, named, good(3)])
    assert statuses(answers) == ["missing", "failed", "missing", "ok"]
    assert answers[1]["error"].endswith("no \ufffd")


OK, OTHER, BAD, LATE = good(0), good(0, "another"), failed(0), failed(0, "batch_expired")
TWICE: dict[str, tuple[list[Any], list[Any], str, str | None]] = {
    "equal": ([OK, OK], [], "ok", "answer 0"),
    "equal, formatted differently": (
        [OK, json.dumps(OK, indent=None, separators=(",", ":")).encode()], [], "ok", "answer 0",
    ),
    "equal in both files": ([OK], [OK], "ok", "answer 0"),
    "an answer and an error": ([OK, BAD], [], "ok", "answer 0"),
    "an answer and an error in the other file": ([OK], [BAD], "ok", "answer 0"),
    "an error and an answer in the other file": ([BAD], [OK], "ok", "answer 0"),
    "an answer and a broken line": ([encoded(OK)[:-40], OK], [], "ok", "answer 0"),
    "two answers": ([OK, OTHER], [], "invalid", None),
    "two answers and the first again": ([OK, OTHER, OK], [], "invalid", None),
    "two answers in two files": ([OK], [OTHER], "invalid", None),
    "two answers and an error": ([BAD, OK], [OTHER], "invalid", None),
    "two errors": ([BAD], [LATE], "failed", None),
}  # fmt: skip


@pytest.mark.parametrize("case", TWICE)
def test_d4_lines_for_one_request_give_one_answer_in_any_order(
    case: str, paths: list[Path]
) -> None:
    output, errors, status, text = TWICE[case]
    answers = read(paths, [good(1), *output], [*errors, good(2)])
    assert answers[0]["status"] == status
    if status == "invalid":
        assert answers[0]["error"] == "the service returned two different answers to this request"
    else:
        assert answers[0]["text"] == text
    assert read(paths, [good(2), *reversed(errors)], [*reversed(output), good(1)]) == answers


ODD_NAMES: dict[str, bytes] = {
    "unknown": encoded({**good(1), "custom_id": "request-1"}),
    "of another job": encoded({**good(1), "custom_id": IDS[1].replace("01234567", "76543210")}),
    "the right number and another request": encoded({**good(1), "custom_id": IDS[1][:-1] + "0"}),
    "a whole number": encoded({**good(1), "custom_id": 1}),
    "null": encoded({**good(1), "custom_id": None}),
    "a list": encoded({**good(1), "custom_id": [IDS[1]]}),
    "none at all": encoded({k: v for k, v in good(1).items() if k != "custom_id"}),
    "inside the response only": encoded({"response": {"custom_id": 7, **good(1)["response"]}}),
    "spaces around": encoded({**good(1), "custom_id": f" {IDS[1]} "}),
    "capitals": encoded({**good(1), "custom_id": IDS[1].upper()}),
    "the line is an empty list": b"[]",
    "the line is a string": encoded(json.dumps(good(1))),
    "the line is a number": b"7",
    "the line is null": b"null",
    "the line is a page": b"<html>",
}


@pytest.mark.parametrize("case", ODD_NAMES)
def test_d5_a_line_that_names_no_request_is_left_out_and_counted(
    case: str, paths: list[Path]
) -> None:
    answers = read(paths, [good(0), ODD_NAMES[case], good(2), good(3)])
    assert statuses(answers) == ["ok", "missing", "ok", "ok"]
    assert "1 of its lines " in answers[1]["error"]


def test_d5_rows_in_neither_file_are_missing_whatever_the_counts_say(paths: list[Path]) -> None:
    assert statuses(read(paths, [], [failed(2)])) == ["missing", "missing", "failed", "missing"]


ANY_LINE = st.sampled_from(
    [
        *(encoded(good(number)) for number in range(4)),
        *(encoded(good(number, "another")) for number in range(2)),
        *(encoded(failed(number)) for number in range(4)),
        encoded(failed(1, "batch_expired")), encoded(good(3))[:-25], b"", b"null", b"\xff",
        ODD_NAMES["unknown"], ODD_NAMES["a whole number"],
    ]
)  # fmt: skip


@given(data=st.data())
def test_d6_the_order_of_lines_and_of_files_changes_nothing(data: Any, paths: list[Path]) -> None:
    lines = data.draw(st.lists(ANY_LINE, max_size=12))
    position = data.draw(st.integers(0, len(lines)))
    first = table(paths, lines[:position], lines[position:])
    shuffled = data.draw(st.permutations(lines))
    position = data.draw(st.integers(0, len(lines)))
    assert table(paths, shuffled[:position], shuffled[position:]).equals(first)


def chat(message: Any, finish_reason: Any = "stop", more: Any = ()) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": finish_reason}, *more]}


SECOND = {"message": {"content": "second"}, "finish_reason": "stop"}
BODIES: dict[str, tuple[dict[str, Any], str, str, str | None]] = {
    "4xx without an error": (
        {"status_code": 400, "body": {"error": None}}, "failed", "HTTP 400", None,
    ),
    "status code 0": ({"status_code": 0, "body": {}}, "failed", "HTTP 0: the service gave", None),
    "no status code": ({"body": chat({"content": "x"})}, "failed", "no HTTP status", None),
    "status code null": ({"status_code": None, "body": None}, "failed", "no HTTP status", None),
    "status code true": ({"status_code": True, "body": chat({})}, "invalid", "unreadable", None),
    "status code of 4,000 digits": (
        {"status_code": 10**3999, "body": chat({"content": "x"})}, "failed", "HTTP 1", None,
    ),
    "a refusal": (
        {"status_code": 200, "body": chat({"content": None, "refusal": "no"})},
        "refused", "the model refused: no", None,
    ),
    "cut at the limit": (
        {"status_code": 200, "body": chat({"content": '{"a": '}, "length")},
        "truncated", "max_completion_tokens", '{"a": ',
    ),
    "filtered": (
        {"status_code": 200, "body": chat({"content": ""}, "content_filter")},
        "refused", "content filter", "",
    ),
    "no choices": ({"status_code": 200, "body": {"choices": []}}, "invalid", "no choices", None),
    "choices null": ({"status_code": 200, "body": {"choices": None}}, "invalid", "not a", None),
    "no content": ({"status_code": 200, "body": chat({})}, "invalid", "no text", None),
    "content in parts": (
        {"status_code": 200, "body": chat({"content": [{"text": "x"}]})}, "invalid", "not a", None,
    ),
    "a body of another kind": ({"status_code": 200, "body": [1]}, "invalid", "not a", None),
    "a body in a string": (
        {"status_code": 500, "body": '{"detail": "no GPU"}'}, "failed", "HTTP 500: no GPU", None,
    ),
    "FastAPI's detail": (
        {"status_code": 422, "body": {"detail": [{"msg": "field required"}]}},
        "failed", "field required", None,
    ),
    "a page": ({"status_code": 502, "body": "<html>"}, "failed", "HTTP 502: <html>", None),
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
def test_d7_every_failure_has_its_own_status_and_reason(case: str, paths: list[Path]) -> None:
    response, status, fragment, text = BODIES[case]
    line = encoded({"custom_id": IDS[1], "response": response})
    answer = read(paths, [good(0), line])[1]
    assert (answer["status"], answer["text"]) == (status, text)
    assert fragment in answer["error"]
    assert len(answer["error"]) < 1000


def test_d7_empty_content_is_an_answer_and_the_first_choice_counts(
    paths: list[Path],
) -> None:
    first = good(0, "")
    second = good(1)
    second["response"]["body"]["choices"].append(SECOND)
    answers = read(paths, [first, second])
    assert [(answer["status"], answer["text"]) for answer in answers[:2]] == [
        ("ok", ""),
        ("ok", "answer 1"),
    ]


@pytest.mark.parametrize(
    ("error", "status", "fragment"),
    [
        ({"code": "batch_expired", "message": "late"}, "expired", "batch_expired: late"),
        ({"code": "batch_cancelled"}, "cancelled", "batch_cancelled"),
        ("no GPU left", "failed", "no GPU left"),
        (["a", 1], "failed", "['a', 1]"),
        (7, "failed", "7"),
        ({"code": 429, "message": {"why": "busy"}}, "failed", "429: {'why': 'busy'}"),
        ({"message": "x" * 10_000}, "failed", "x" * 500 + "…"),
        (None, "failed", "the service gave no reason"),
        ({}, "failed", "the service gave no reason"),
    ],
)
def test_d7_an_error_line_without_a_response_has_a_reason(
    error: Any, status: str, fragment: str, paths: list[Path]
) -> None:
    for line in ({"custom_id": IDS[1], "error": error}, {**failed(1), "error": error}):
        answer = read(paths, [good(0)], [line])[1]
        assert (answer["status"], answer["error"]) == (status, fragment)


@pytest.mark.parametrize("status", ["expired", "cancelled", "failed"])
def test_d8_answers_of_an_ended_batch_are_kept(status: str, paths: list[Path]) -> None:
    reasons = [(None, "too odd", 2), ("c", None, None)]
    answers = read(paths, [good(0)], [failed(3)], status=status, errors=reasons)
    assert statuses(answers) == ["ok", status, status, "failed"]
    if status == "failed":
        assert answers[1]["error"] == "the service rejected the batch: too odd"
        assert answers[2]["error"] == "the service rejected the batch: c"


def test_d8_a_batch_rejected_for_thousands_of_lines_is_read_quickly() -> None:
    ids = [f"bf1-01234567-{number:07d}-0000000000" for number in range(20_000)]
    errors = [("bad", f"line {n} is bad", n) for n in range(20_001, 0, -1)]
    answers = read_table([], ids, status="failed", errors=errors)
    assert answers["error"][9].as_py() == "the service rejected the batch: line 10 is bad"


def test_d8_a_file_that_the_service_did_not_return_is_named(paths: list[Path]) -> None:
    paths[0].write_bytes(encoded(good(0)))
    for status in ("completed", "expired", "failed"):
        answers = read_answers(paths[:1], IDS, status=status, gone=["file-err"])
        assert statuses(answers) == ["ok", "missing", "missing", "missing"]
        assert "file-err" in answers[1]["error"]


DEEP = b"[" * 200_000 + b"]" * 200_000
HUGE = b"9" * 5_000


def with_usage(usage: bytes) -> bytes:
    return encoded(good(1)).replace(b'{"prompt_tokens": 10, "completion_tokens": 2}', usage)


COSTLY: dict[str, tuple[bytes, set[str]]] = {
    "a nested error": (b'{"custom_id": "%s", "error": %s}' % (IDS[1].encode(), DEEP), {"invalid"}),
    "a nested id": (b'{"custom_id": %s}' % DEEP, {"missing"}),
    "a nested line": (DEEP, {"missing"}),
    "only openings": (b"[" * 200_000, {"missing"}),
    "a nested extra": (encoded(good(1))[:-1] + b', "x": %s}' % DEEP, {"ok", "invalid"}),
    "nested usage": (with_usage(DEEP), {"ok", "invalid"}),
    "a count of 5,000 digits": (with_usage(b'{"prompt_tokens": %s}' % HUGE), {"ok"}),
    "usage of 5,000 digits": (with_usage(HUGE), {"ok"}),
    "an error of 5,000 digits": (
        b'{"custom_id": "%s", "error": {"code": %s}}' % (IDS[1].encode(), HUGE), {"failed"},
    ),
    "NaN": (with_usage(b'{"prompt_tokens": NaN}'), {"ok"}),
    "infinity": (with_usage(b'{"logprobs": [-Infinity, Infinity, 1e999]}'), {"ok"}),
    "NaN outside": (encoded(good(1))[:-1] + b', "x": NaN}', {"ok"}),
}  # fmt: skip


@pytest.mark.parametrize("case", COSTLY)
def test_d9_an_unreadable_value_affects_at_most_its_own_row(case: str, paths: list[Path]) -> None:
    line, possible = COSTLY[case]
    answers = read(paths, [good(0), line, good(2), good(3)])
    assert statuses(answers) in [["ok", status, "ok", "ok"] for status in possible]
    assert answers[1]["text"] == ("answer 1" if answers[1]["status"] == "ok" else None)
    assert line_counts(paths[0])[0] >= 3


def test_d9_a_repeated_key_never_moves_an_answer_to_another_row(
    paths: list[Path],
) -> None:
    start = encoded(good(1))[:-1]
    for second in (f'"{IDS[2]}"', "7", "null"):
        answers = read(paths, [start + f', "custom_id": {second}}}'.encode()])
        assert {answer["text"] for answer in answers} == {None}
        assert "ok" not in statuses(answers)
    answers = read(paths, [start + f', "custom_id": "{IDS[1]}"}}'.encode()])
    assert (answers[1]["status"], answers[1]["text"]) == ("ok", "answer 1")


def test_d9_an_answer_may_contain_custom_ids(paths: list[Path]) -> None:
    text = json.dumps({"custom_id": IDS[2]})
    body = good(1, text)
    body["response"]["body"]["metadata"] = {"custom_id": IDS[3]}
    answers = read(paths, [body])
    assert (statuses(answers), answers[1]["text"]) == (
        ["missing", "ok", "missing", "missing"],
        text,
    )


@pytest.mark.slow
def test_d9_a_line_of_50_megabytes_is_read(paths: list[Path]) -> None:
    text = "long " * 10_000_000
    answers = read(paths, [good(0), good(1, text), good(2), good(3)])
    assert (statuses(answers), answers[1]["text"] == text) == (["ok"] * 4, True)


@pytest.mark.parametrize("last", [False, True])
def test_d9_an_endless_line_is_not_kept_in_memory(
    last: bool, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchframe._results.line._LONGEST_LINE", 1 << 20)
    endless = encoded(good(1))[:-40] + b" " * (30 << 20)
    lines = [good(0), good(2), good(3)]
    paths[0].write_bytes(b"\n".join(map(encoded, [*lines, endless] if last else [endless, *lines])))
    tracemalloc.start()
    answers = read_answers(paths[:1], IDS)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert statuses(answers) == ["ok", "invalid", "ok", "ok"]
