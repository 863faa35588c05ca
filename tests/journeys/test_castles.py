"""A messy free-text column: missing, repeated and multi-line cells."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe.errors import CellError

COLUMN = "Why did you choose your troop deployment?"
ASKED = "Is this a plan?\n\n"
LABELS = ["yes", "no", "unclear"]


@pytest.fixture(scope="module")
def castles(shared: Path) -> pd.DataFrame:
    frame = pd.read_csv(shared / "castles.csv")
    column = frame[COLUMN]
    assert len(column) == 1_349
    assert column.isna().sum() == 82
    # Of these, 81 repeat a missing cell and 18 a string.
    assert column.duplicated().sum() == 99
    assert column.nunique() == 1_249
    assert not column.isin(["", "(no text)"]).any()
    return frame


def label_of(text: str) -> str:
    """Return a label for each string that depends on every byte of it."""
    return LABELS[zlib.crc32(text.encode()) % 3]


def answer(body: dict[str, Any]) -> dict[str, str]:
    return {"label": label_of(body["messages"][-1]["content"].removeprefix(ASKED))}


def ask(frame: pd.DataFrame, on_missing: str = "raise") -> bf.Requests:
    prompt = f"{ASKED}{{{{ {COLUMN} }}}}"
    return frame.bf.requests(prompt, model="gpt-5.6-luna", output=LABELS, on_missing=on_missing)


def test_rows_without_text_are_named_by_default(castles: pd.DataFrame) -> None:
    with pytest.raises(CellError) as excinfo:
        ask(castles)
    message = str(excinfo.value)
    assert "82 of 1,349 rows have no prompt" in message
    assert "and 77 more" in message
    for position in castles.index[castles[COLUMN].isna()][:5]:
        assert f"row {position}: column {COLUMN!r} is missing" in message


@pytest.mark.parametrize(
    ("on_missing", "stand_in", "requests", "skipped"),
    [("skip", None, 1_249, 82), ("empty", "", 1_250, 0), ("(no text)", "(no text)", 1_250, 0)],
)
def test_counts_are_exact_and_every_row_has_its_own_answer(
    castles: pd.DataFrame, on_missing: str, stand_in: str | None, requests: int, skipped: int
) -> None:
    castle_requests = ask(castles, on_missing)
    assert (len(castle_requests), castle_requests.rows) == (requests, 1_349)
    with batchframe.local.serve(answer=answer, count_tokens=lambda _: 1) as server:
        job = castle_requests.submit(client=server.client()).wait()
        assert server.ledger[0].requests == requests
    ok = 1_349 - skipped
    assert job.counts == ({"ok": ok, "skipped": skipped} if skipped else {"ok": ok})
    repeated = castles.sample(2_000, replace=True, random_state=5)
    for frame in (castles, castles.sample(frac=1, random_state=3), repeated):
        joined = frame.bf.join(job)
        texts = frame[COLUMN].astype(object).where(frame[COLUMN].notna(), stand_in)
        expected = [None if text is None else label_of(text) for text in texts]
        assert (
            joined["label"].astype(object).where(joined["label"].notna(), None).tolist() == expected
        )
        assert (joined["bf_status"] == "skipped").tolist() == [text is None for text in texts]
        pd.testing.assert_frame_equal(joined[frame.columns], frame)


def test_without_dedupe_every_row_is_sent(castles: pd.DataFrame) -> None:
    prompt = f"{{{{ {COLUMN} }}}}"
    requests = bf.requests(castles, prompt, model="gpt-5.6-luna", on_missing="skip", dedupe=False)
    assert len(requests) == 1_349 - 82


def test_every_text_is_in_its_line_unchanged(castles: pd.DataFrame) -> None:
    requests = ask(castles, "skip")
    prompts = [
        line["body"]["messages"][0]["content"].removeprefix(ASKED)
        for line in requests.preview(2_000)
    ]
    assert prompts == castles[COLUMN].dropna().drop_duplicates().tolist()
    assert (
        len(list(requests._table.lines()))
        == len(b"".join(requests._table.lines()).split(b"\n")) - 1
    )
