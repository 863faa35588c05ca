"""Whatever happens to the result files, no answer moves to another row and none is invented.

What is claimed, exactly. Two result files are damaged in any of these ways, one after the other:

* bits flipped, up to four bytes inserted, any stretch of a line deleted, as long as the damage does
  not touch the text of an answer and the quotes around it;
* lines permuted, repeated, moved to the other file, run together;
* the beginning of one line put before another line, or before the end of another line, as long as
  the result is not a complete JSON object;
* a line break put anywhere, the file cut anywhere: in a string, too.

Then every request has one status, an ``ok`` answer has the text that the service gave to that very
request, and a request whose line is still there as it was has its answer.

What cannot be claimed: a byte changed inside a string, or a cut that makes one whole line out of
two, leaves JSON that looks like an answer. The file's size, and the checksum that is kept
from the download on, are there for these.
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
        told = {"id": f"req_{number}", "custom_id": IDS[number], **REFUSALS[number]}
        return json.dumps(told).encode()
    message = {"role": "assistant", "content": TEXTS[number], "refusal": None}
    usage = {"prompt_tokens": 10 + number, "completion_tokens": 2}
    body = {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }
    response = {"status_code": 200, "request_id": f"r{number}", "body": body}
    told = {"id": f"req_{number}", "custom_id": IDS[number], "response": response, "error": None}
    return json.dumps(told, ensure_ascii=bool(number % 2)).encode()


LINES = [line_of(number) for number in range(6)]
TEXT = re.compile(rb'(?<="content": )"(?:[^"\\]|\\.)*"')


def stretches(line: bytes) -> list[tuple[int, int]]:
    """Return the stretches of a line that are not the text of an answer."""
    found = TEXT.search(line)
    return [(0, found.start()), (found.end(), len(line))] if found else [(0, len(line))]


@st.composite
def damaged(draw: Any, line: bytes) -> bytes:
    """Flip, insert and delete anywhere but in the text."""
    for damage in draw(st.lists(st.sampled_from(["flip", "insert", "delete"]), max_size=3)):
        start, stop = draw(st.sampled_from(stretches(line)))
        if start == stop:
            continue
        at = draw(st.integers(start, stop - 1))
        if damage == "flip":
            changed = bytes([line[at] ^ 1 << draw(st.integers(0, 7))])
            line = line[:at] + changed + line[at + 1 :]
        elif damage == "insert":
            line = line[:at] + draw(st.binary(min_size=1, max_size=4)) + line[at:]
        else:
            line = line[:at] + line[draw(st.integers(at + 1, stop)) :]
    return line


def is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@st.composite
def spliced(draw: Any, lines: list[bytes]) -> bytes:
    """Put the beginning of a line before the whole, or before the end, of another."""
    first, second = draw(st.sampled_from(lines)), draw(st.sampled_from(lines))
    head = first[: draw(st.integers(0, len(first)))]
    whole = head + second
    cut = head + second[draw(st.integers(0, len(second))) :]
    return whole if draw(st.booleans()) or is_object(cut) else cut


@st.composite
def broken(draw: Any, content: bytes) -> bytes:
    """Break lines anywhere, and cut the file anywhere."""
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.sampled_from([b"\n", b"\r\n", b"\n\n"])) + content[at:]
    if draw(st.booleans()):
        content = content[: draw(st.integers(0, len(content)))]
    return content


@st.composite
def result_files(draw: Any) -> tuple[bytes, bytes]:
    lines = [draw(damaged(line)) if draw(st.booleans()) else line for line in LINES]
    lines += draw(st.lists(st.sampled_from(LINES), max_size=2))
    lines += draw(st.lists(spliced(LINES), max_size=2))
    lines = draw(st.permutations(lines))
    cut = draw(st.integers(0, len(lines)))
    ends = st.sampled_from([b"\n"] * 8 + [b""])
    files = [b"".join(line + draw(ends) for line in half) for half in (lines[:cut], lines[cut:])]
    return draw(broken(files[0])), draw(broken(files[1]))


@settings(max_examples=examples(300))
@given(files=result_files(), status=st.sampled_from(["completed", "expired", "failed"]))
def test_no_corruption_moves_an_answer_or_invents_one(
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


def test_what_the_property_does_not_claim_is_so(tmp_path: Path) -> None:
    path = tmp_path / "output-000.jsonl"
    at = [line.index(b'"body"') for line in LINES[:2]]
    for told, row, text in (
        (LINES[0].replace(b"answer 0", b"answer 1"), 0, "answer 1"),
        (LINES[0][: at[0]] + LINES[1][at[1] :], 0, TEXTS[1]),
    ):
        path.write_bytes(told)
        answer = read_answers([path], IDS)[row]
        assert (answer["status"], answer["text"]) == ("ok", text)
