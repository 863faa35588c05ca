"""13,083 real questions with 77 intents: each row gets its own answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local

pytestmark = pytest.mark.slow

ASKED = "Which intent has this question?\n\n"


@pytest.fixture(scope="module")
def questions(shared: Path) -> pd.DataFrame:
    frame = pd.read_csv(shared / "banking77.csv")
    assert (len(frame), frame["category"].nunique()) == (13_083, 77)
    # Otherwise equal texts would share one request, and one of two gold labels would be wrong.
    assert frame["text"].is_unique
    return frame


@pytest.fixture(scope="module")
def folder(questions: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run one job that answers each question with its gold label."""
    gold = dict(zip(questions["text"], questions["category"], strict=True))

    def answer(body: dict[str, Any]) -> dict[str, str]:
        return {"label": gold[body["messages"][-1]["content"].removeprefix(ASKED)]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHFRAME_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("NO_PROXY", "127.0.0.1")
        with batchframe.local.serve(answer=answer, count_tokens=lambda _: 1) as server:
            requests = questions.bf.requests(
                ASKED + "{{ text }}",
                model="gpt-5.6-luna",
                output=sorted(questions["category"].unique()),
            )
            assert (len(requests), requests.rows) == (13_083, 13_083)
            yield requests.submit(client=server.client()).wait().folder


def check(joined: pd.DataFrame, frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(joined[frame.columns], frame)
    assert joined["label"].astype(str).tolist() == frame["category"].tolist()
    assert joined["label"].cat.categories.tolist() == sorted(set(joined["label"].cat.categories))
    assert len(joined["label"].cat.categories) == 77
    assert (joined["bf_status"] == "ok").all()
    assert joined["bf_error"].isna().all()


def test_every_question_has_its_own_intent(questions: pd.DataFrame, folder: Path) -> None:
    job = bf.job(folder)
    assert job.counts == {"ok": 13_083}
    check(questions.bf.join(job), questions)


def test_shuffled_filtered_and_reindexed_rows_keep_their_intents(
    questions: pd.DataFrame, folder: Path
) -> None:
    job = bf.job(folder)
    shuffled = questions.sample(frac=1, random_state=77)
    check(shuffled.bf.join(job), shuffled)
    short = shuffled[shuffled["text"].str.len() < 40].set_index("category", drop=False)
    assert not short.index.is_unique
    check(short.bf.join(job), short)
    repeated = questions.sample(20_000, replace=True, random_state=7)
    repeated.index = pd.Index(np.arange(20_000) // 3)
    check(repeated.bf.join(job), repeated)


def test_rows_with_other_dtypes_keep_their_intents(questions: pd.DataFrame, folder: Path) -> None:
    job = bf.job(folder)
    for dtype in ("object", "string", "category"):
        frame = questions.astype({"text": dtype})
        check(frame.bf.join(job), frame)


def test_only_an_edited_question_has_no_intent(questions: pd.DataFrame, folder: Path) -> None:
    frame = questions.copy()
    frame.loc[5, "text"] += " "
    with pytest.warns(bf.errors.JoinWarning, match="13,082 of 13,083 rows"):
        joined = frame.bf.join(bf.job(folder))
    assert joined.index[joined["bf_status"] != "ok"].tolist() == [5]
    assert joined.loc[5, "bf_status"] == "missing"
    assert pd.isna(joined.loc[5, "label"])
    check(joined.drop(index=5), frame.drop(index=5))
