"""Real gold labels, and answers with a known number of errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local

REVIEWS = Path(__file__).parents[2] / "data_samples" / "reviews.csv"


def spoilt(
    gold: pd.Series, *, wrong: int, unanswered: int, seed: int
) -> tuple[pd.Series, np.ndarray, np.ndarray]:
    """Answer with the gold label, but for so many rows with another and for so many with none."""
    random = np.random.default_rng(seed)
    levels = sorted(gold.dropna().unique())
    places = random.permutation(np.flatnonzero(gold.notna()))[: wrong + unanswered]
    codes = pd.Categorical(gold, levels).codes.copy()
    bad, silent = places[:wrong], places[wrong:]
    codes[bad] = (codes[bad] + random.integers(1, len(levels), wrong)) % len(levels)
    codes[silent] = -1
    answers = pd.Series(pd.Categorical.from_codes(codes, levels), index=gold.index)
    return answers, np.sort(bad), np.sort(silent)


@pytest.mark.parametrize(
    ("file", "gold"), [("banking77.csv", "category"), ("movie_sentences.csv", "sentiment")]
)
def test_a_known_number_of_errors_is_found_in_every_figure(
    shared: Path, file: str, gold: str
) -> None:
    frame = pd.read_csv(shared / file)
    answers, bad, silent = spoilt(frame[gold], wrong=1309, unanswered=200, seed=77)
    frame["label"] = answers
    frame["bf_status"] = np.where(answers.isna(), "expired", "ok")
    found = frame.bf.evaluate(truth=gold, predicted="label")
    answered = len(frame) - 200
    assert (found.answered, found.unanswered, found.no_truth) == (answered, 200, 0)
    assert found.reasons == {"expired": 200}
    assert found.accuracy == (answered - 1309) / answered
    assert found.accuracy_of_all == (answered - 1309) / len(frame)
    pd.testing.assert_frame_equal(found.disagreements, frame.iloc[bad])
    assert found.per_class["support"].to_dict() == frame[gold].value_counts().to_dict()
    assert found.confusion["no answer"].sum() == 200
    lost = frame.iloc[silent][gold].value_counts()
    assert found.confusion["no answer"][lost.index].to_dict() == lost.to_dict()
    low, high = found.accuracy_interval
    assert low < found.accuracy < high < low + 0.02


def test_two_models_with_known_errors_agree_where_they_must(shared: Path) -> None:
    frame = pd.read_csv(shared / "banking77.csv")
    frame["small"], wrong, _ = spoilt(frame["category"], wrong=2000, unanswered=0, seed=1)
    frame["large"], missed, silent = spoilt(frame["category"], wrong=500, unanswered=100, seed=2)
    found = frame.bf.agreement(["category", "small", "large"])
    by_pair = found.pairs.set_index(["first", "second"])
    assert by_pair.loc[("category", "small"), "agreement"] == 1 - 2000 / len(frame)
    assert by_pair.loc[("category", "large"), "equal"] == len(frame) - 600
    assert found.missing == {"category": 0, "small": 0, "large": 100}
    spoilt_rows = set(wrong) | set(missed)
    assert len(found.disagreements) == len(spoilt_rows)
    assert found.all_agree == len(frame) - len(spoilt_rows | set(silent))
    # With 77 labels hardly anything is equal by chance.
    kappas = by_pair["kappa"]
    assert ((by_pair["agreement"] - kappas) < 0.005).all()
    assert kappas.min() < found.alpha < kappas.max()


def test_the_answers_of_a_job_with_known_errors_are_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reviews = pd.read_csv(REVIEWS)
    gold = dict(zip(reviews["text"], reviews["sentiment"], strict=True))
    texts = [text for text in gold if isinstance(text, str)]
    wrong, broken = set(texts[3:200:10]), set(texts[5:200:50])

    def answer(body: dict[str, Any]) -> dict[str, str]:
        text = body["messages"][-1]["content"]
        if text in broken:
            return {"label": "neither"}
        label = gold[text]
        return {"label": "mixed" if text in wrong and label != "mixed" else label}

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with batchframe.local.serve(answer=answer, count_tokens=lambda _: 1) as server:
        requests = reviews.bf.requests(
            "{{ text }}", model="m", output=["positive", "negative", "mixed"], on_missing="skip"
        )
        labeled = reviews.bf.join(requests.submit(client=server.client()).wait())
    found = labeled.bf.evaluate(truth="sentiment", predicted="label")
    asked = reviews["text"].notna()
    silent = reviews["text"].isin(broken)
    spoiled = reviews["text"].isin(wrong - broken) & (reviews["sentiment"] != "mixed")
    assert found.no_truth == (~asked).sum() == 6
    assert found.reasons == {"invalid": silent.sum()}
    assert found.answered == (asked & ~silent).sum()
    pd.testing.assert_frame_equal(found.disagreements, labeled[spoiled])
    assert bf.agreement(labeled, ["sentiment", "label"]).all_agree == found.correct
