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
    """Return gold labels with a number of wrong and missing ones."""
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
def test_every_figure_matches_a_known_number_of_errors(shared: Path, file: str, gold: str) -> None:
    frame = pd.read_csv(shared / file)
    answers, bad, silent = spoilt(frame[gold], wrong=1309, unanswered=200, seed=77)
    frame["label"] = answers
    frame["bf_status"] = np.where(answers.isna(), "expired", "ok")
    evaluation = frame.bf.evaluate(truth=gold, predicted="label")
    answered = len(frame) - 200
    assert (evaluation.answered, evaluation.unanswered, evaluation.no_truth) == (answered, 200, 0)
    assert evaluation.reasons == {"expired": 200}
    assert evaluation.accuracy == (answered - 1309) / answered
    assert evaluation.accuracy_of_all == (answered - 1309) / len(frame)
    pd.testing.assert_frame_equal(evaluation.disagreements, frame.iloc[bad])
    assert evaluation.per_class["support"].to_dict() == frame[gold].value_counts().to_dict()
    assert evaluation.confusion["no answer"].sum() == 200
    unanswered = frame.iloc[silent][gold].value_counts()
    assert evaluation.confusion["no answer"][unanswered.index].to_dict() == unanswered.to_dict()
    low, high = evaluation.accuracy_interval
    assert low < evaluation.accuracy < high < low + 0.02


def test_the_agreement_of_two_models_matches_their_known_errors(shared: Path) -> None:
    frame = pd.read_csv(shared / "banking77.csv")
    frame["small"], wrong, _ = spoilt(frame["category"], wrong=2000, unanswered=0, seed=1)
    frame["large"], missed, silent = spoilt(frame["category"], wrong=500, unanswered=100, seed=2)
    agreement = frame.bf.agreement(["category", "small", "large"])
    by_pair = agreement.pairs.set_index(["first", "second"])
    assert by_pair.loc[("category", "small"), "agreement"] == 1 - 2000 / len(frame)
    assert by_pair.loc[("category", "large"), "equal"] == len(frame) - 600
    assert agreement.missing == {"category": 0, "small": 0, "large": 100}
    spoilt_rows = set(wrong) | set(missed)
    assert len(agreement.disagreements) == len(spoilt_rows)
    assert agreement.all_agree == len(frame) - len(spoilt_rows | set(silent))
    # With 77 labels, chance agreement is small.
    kappas = by_pair["kappa"]
    assert ((by_pair["agreement"] - kappas) < 0.005).all()
    assert kappas.min() < agreement.alpha < kappas.max()


def test_known_errors_of_a_jobs_answers_are_measured(
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
    evaluation = labeled.bf.evaluate(truth="sentiment", predicted="label")
    has_text = reviews["text"].notna()
    silent = reviews["text"].isin(broken)
    spoiled = reviews["text"].isin(wrong - broken) & (reviews["sentiment"] != "mixed")
    assert evaluation.no_truth == (~has_text).sum() == 6
    assert evaluation.reasons == {"invalid": silent.sum()}
    assert evaluation.answered == (has_text & ~silent).sum()
    pd.testing.assert_frame_equal(evaluation.disagreements, labeled[spoiled])
    assert bf.agreement(labeled, ["sentiment", "label"]).all_agree == evaluation.correct
