"""The local server's framing table, as the script fits it to recordings."""

import gzip
import json
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

from tools.framing import billing, count, rows_of, written

TEXTS = ["Hello", "It was a long day, was it not?", "Ja.", "One more text to read"]
CHAT = "/v1/chat/completions"


def recording(texts: list[str], *, message: int, reply: int, frame: int) -> dict[str, Any]:
    """Return a recording that was billed by given constants."""
    return {
        "kind": "text",
        "endpoint": CHAT,
        "model": "gpt-5.6-luna",
        "request": {"messages": [{"role": "user", "content": text} for text in texts]},
        "answer": {"text": "Fine.", "finish_reason": "stop"},
        "usage": {
            "prompt_tokens": reply + sum(message + count(text, "o200k_base") for text in texts),
            "completion_tokens": count("Fine.", "o200k_base") + frame,
        },
    }


def fit_to(rows: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    file = folder / "recordings.jsonl.gz"
    with gzip.open(file, "wt", encoding="utf-8") as lines:
        lines.writelines(f"{json.dumps(row)}\n" for row in rows)
    return tomllib.loads(written(rows_of(file), date(2026, 11, 30)))


def cell(table: dict[str, Any], side: str) -> dict[str, Any]:
    rows = (row for row in table[side] if (row["family"], row["endpoint"]) == ("gpt-5.x", CHAT))
    found: dict[str, Any] = next(rows)
    return found


def test_the_constants_are_those_of_most_recordings(tmp_path: Path) -> None:
    rows = [recording(TEXTS[:number], message=5, reply=1, frame=7) for number in (1, 2, 3, 4)]
    outlier = recording(TEXTS[:2], message=40, reply=1, frame=7)
    fitted = cell(fit_to([*rows, outlier], tmp_path), "input")
    assert (fitted["constants"]["message"], fitted["constants"]["reply"]) == (5, 1)
    assert (fitted["recordings"]["text"], fitted["exact"]["text"]) == (5, 4)


def test_the_framing_of_answers_is_fitted_without_reasoning(tmp_path: Path) -> None:
    row = recording(TEXTS[:1], message=4, reply=2, frame=9)
    usage = row["usage"]
    usage["completion_tokens"] += 128
    usage["completion_tokens_details"] = {"reasoning_tokens": 128}
    row["endpoint"], row["model"] = "/v1/responses", "gpt-5-mini"
    row["request"] = {"input": TEXTS[0]}
    table = fit_to([row] * 3, tmp_path)
    (fitted,) = (
        one
        for one in table["output"]
        if (one["family"], one["endpoint"]) == ("gpt-5", "/v1/responses")
    )
    assert fitted["constants"]["text"] == 9


def test_the_packaged_table_bills_what_was_recorded(shared: Path) -> None:
    rows = [
        row
        for row in rows_of(shared / "recordings.jsonl.gz")
        if row["kind"] in {"text", "schema"} and row["input"]
    ]
    exact = sum(billing.input_tokens(row["body"]) == row["input"] for row in rows)
    assert exact / len(rows) > 0.95
