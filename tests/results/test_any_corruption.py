"""Damaged result files: no answer moves to another row or is invented.

Two result files are damaged in any of these ways, one after the other:

* bits flipped, up to four bytes inserted, any stretch of a line deleted, as long as the damage does
  not touch the text of an answer and the quotes around it;
* lines permuted, repeated, moved to the other file, run together;
* the beginning of one line put before another line, or before the end of another line, as long as
  the result is not a complete JSON object;
* a line break put anywhere, the file cut anywhere: in a string, too.

Then every request has one status, an ``ok`` answer has the text that the service returned for that
request, and a request whose line is unchanged has its answer.

A byte changed inside a string, or a cut that joins two lines into one valid line, is not detected
here, because the JSON still looks like an answer. The file's size and the checksum of the download
detect these.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.result_files import read_answers

STATUSES = {
    "ok", "refused", "truncated", "invalid", "failed", "expired", "cancelled", "missing",
}  # fmt: skip
IDS = [
    f"bf1-01234567-{number:07d}-{hashlib.sha256(str(number).encode()).hexdigest()[:10]}"
    for number in range(6)
]
OTHERS_LINE = json.dumps({"custom_id": IDS[0], "response": {"status_code": 200}})
TEXTS = {
    0: "answer 0",
    1: '{"label": "positive"}',
    2: f'a\n{OTHERS_LINE}\n\u2028 \\ " é',
    3: "",
}
REFUSALS = {
    4: {"response": {"status_code": 500, "body": {"error": {"message": "sorry"}}}, "error": None},
    5: {"response": None, "error": {"code": "batch_expired", "message": "late"}},
}


def line_of(number: int) -> bytes:
    if number in REFUSALS:
        line = {"id": f"req_{number}", "custom_id": IDS[number], **REFUSALS[number]}
        return json.dumps(line).encode()
    message = {"role": "assistant", "content": TEXTS[number], "refusal": None}
    usage = {"prompt_tokens": 10 + number, "completion_tokens": 2}
    body = {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }
    response = {"status_code": 200, "request_id": f"r{number}", "body": body}
    line = {"id": f"req_{number}", "custom_id": IDS[number], "response": response, "error": None}
    return json.dumps(line, ensure_ascii=bool(number % 2)).encode()


LINES = [line_of(number) for number in range(6)]
TEXT = re.compile(rb'(?<="content": )"(?:[^"\\]|\\.)*"')


def stretches(line: bytes) -> list[tuple[int, int]]:
    """Return the parts of a line outside the text of an answer."""
    match = TEXT.search(line)
    return [(0, match.start()), (match.end(), len(line))] if match else [(0, len(line))]


@st.composite
def damaged(draw: Any, line: bytes) -> bytes:
    """Flip, insert and delete bytes outside the text."""
    for damage in draw(st.lists(st.sampled_from(["flip", "insert", "delete"]), max_size=3)):
        start, stop = draw(st.sampled_from(stretches(line)))
        if start == stop:
            continue
        position = draw(st.integers(start, stop - 1))
        if damage == "flip":
            changed = bytes([line[position] ^ 1 << draw(st.integers(0, 7))])
            line = line[:position] + changed + line[position + 1 :]
        elif damage == "insert":
            line = line[:position] + draw(st.binary(min_size=1, max_size=4)) + line[position:]
        else:
            line = line[:position] + line[draw(st.integers(position + 1, stop)) :]
    return line


def is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@st.composite
def spliced(draw: Any, lines: list[bytes]) -> bytes:
    """Put the beginning of a line before another line or its end."""
    first, second = draw(st.sampled_from(lines)), draw(st.sampled_from(lines))
    head = first[: draw(st.integers(0, len(first)))]
    both_lines = head + second
    shortened = head + second[draw(st.integers(0, len(second))) :]
    return both_lines if draw(st.booleans()) or is_object(shortened) else shortened


@st.composite
def broken(draw: Any, content: bytes) -> bytes:
    """Insert line breaks and truncate the file."""
    for _ in range(draw(st.integers(0, 3))):
        position = draw(st.integers(0, len(content)))
        content = (
            content[:position]
            + draw(st.sampled_from([b"\n", b"\r\n", b"\n\n"]))
            + content[position:]
        )
    if draw(st.booleans()):
        content = content[: draw(st.integers(0, len(content)))]
    return content


@st.composite
def result_files(draw: Any) -> tuple[bytes, bytes]:
    lines = [draw(damaged(line)) if draw(st.booleans()) else line for line in LINES]
    lines += draw(st.lists(st.sampled_from(LINES), max_size=2))
    lines += draw(st.lists(spliced(LINES), max_size=2))
    lines = draw(st.permutations(lines))
    position = draw(st.integers(0, len(lines)))
    ends = st.sampled_from([b"\n"] * 8 + [b""])
    files = [
        b"".join(line + draw(ends) for line in half)
        for half in (lines[:position], lines[position:])
    ]
    return draw(broken(files[0])), draw(broken(files[1]))


@settings(max_examples=examples(300))
@given(files=result_files(), status=st.sampled_from(["completed", "expired", "failed"]))
def test_no_corruption_moves_or_invents_an_answer(
    files: tuple[bytes, bytes], status: str, tmp_path: Path
) -> None:
    paths = [tmp_path / "output-000.jsonl", tmp_path / "errors-000.jsonl"]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    answers = read_answers(paths, IDS, status=status)
    assert len(answers) == len(IDS)
    intact = {line.strip() for content in files for line in content.split(b"\n")}
    for number, answer in enumerate(answers):
        assert answer["status"] in STATUSES
        assert (answer["error"] is None) == (answer["status"] == "ok")
        if answer["status"] == "ok":
            assert answer["text"] == TEXTS[number]
        elif number in TEXTS:
            assert answer["text"] is None
            assert LINES[number] not in intact


def test_the_exceptions_of_the_property_are_real(tmp_path: Path) -> None:
    path = tmp_path / "output-000.jsonl"
    position = [line.index(b'"body"') for line in LINES[:2]]
    for damaged, row, text in (
        (LINES[0].replace(b"answer 0", b"answer 1"), 0, "answer 1"),
        (LINES[0][: position[0]] + LINES[1][position[1] :], 0, TEXTS[1]),
    ):
        path.write_bytes(damaged)
        answer = read_answers([path], IDS)[row]
        assert (answer["status"], answer["text"]) == ("ok", text)
