"""What requests would cost: every tier beside the others, each request by its own length."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batchframe as bf
import batchframe.local
from batchframe._estimate import pricing
from batchframe.errors import CostError
from tests.support.examples import examples
from tests.support.job_folders import edit_manifest

LABELS = ["good", "bad"]


def ask(texts: list[str], model: str = "gpt-5.6-luna", **more: Any) -> bf.Requests:
    frame = pd.DataFrame({"text": pd.Series(texts, dtype="str")})
    return frame.bf.requests("{{ text }}", model=model, **{"output": LABELS, **more})


def test_four_tiers_stand_side_by_side_and_the_unknown_is_unknown() -> None:
    luna = ask(["a"]).estimate().to_frame()
    assert luna.index.tolist() == [
        "input_tokens", "output_tokens", "cost", "standard_cost", "flex_cost", "priority_cost",
    ]  # fmt: skip
    assert luna["high"]["flex_cost"] == luna["high"]["cost"]
    assert luna["high"]["standard_cost"] == 2 * luna["high"]["cost"]
    assert luna["high"]["priority_cost"] == 4 * luna["high"]["cost"]
    turbo = ask(["a"], "gpt-4.1").estimate()
    assert turbo.flex_cost is None
    assert re.search(r"flex cost +unknown", repr(turbo))


def test_the_input_alone_and_the_answers_add_up_to_the_estimate() -> None:
    known = ask(["a", "bb"]).estimate()
    assert known.cost is not None
    assert known.output_tokens.expected is not None
    answers = known.output_tokens.expected * Decimal("0.0000006")
    assert known.input_cost is not None
    assert known.input_cost.expected is not None
    assert known.cost.expected == known.input_cost.expected + answers
    twice = known + known
    assert twice.input_cost == known.input_cost + known.input_cost
    assert twice.flex_cost is not None
    assert twice.flex_cost.low == 2 * known.cost.low


def test_a_long_request_is_dearer_as_a_whole_and_the_short_ones_beside_it_are_not() -> None:
    long, short = "word " * 300_000, "word " * 150_000
    alone = [ask([text]).estimate() for text in (long, short, short + "!")]
    together = ask([long, short, short + "!"]).estimate()
    assert together.cost == alone[0].cost + alone[1].cost + alone[2].cost  # type: ignore[operator]
    # Both short ones together are beyond the threshold, and neither is charged for it.
    assert alone[1].input_tokens.high + alone[2].input_tokens.high > 272_000  # type: ignore[operator]
    rate = Decimal("0.0000001")
    costs = [one.input_cost.expected for one in alone]  # type: ignore[union-attr]
    assert costs[0] == 2 * rate * alone[0].input_tokens.expected
    assert costs[1] == rate * alone[1].input_tokens.expected
    assert any("1 request of more than 272,000 input tokens" in note for note in together.notes)
    assert not any("272,000" in note for note in alone[1].notes)


def test_a_price_that_another_book_states_otherwise_carries_a_note() -> None:
    known = ask(["a"], "gpt-3.5-turbo", output=None, max_completion_tokens=5).estimate()
    assert known.cost is not None
    note = next(note for note in known.notes if "litellm" in note)
    assert "gpt-3.5-turbo in the batch tier" in note
    assert "2026-11-21" in note
    tuned = ask(["a"], "ft:o4-mini-2025-04-16:acme::1", output=None).estimate()
    assert tuned.cost is None
    assert any("input $2, output $8" in note for note in tuned.notes)
    assert not any("litellm" in note for note in ask(["a"]).estimate().notes)


def test_no_card_gives_the_same_reason_twice_for_a_doubtful_price() -> None:
    tuned = ask(["a"], "ft:gpt-4.1-2025-04-14:acme::1", output=None)
    told = [note for note in tuned.estimate().notes if "litellm" in note]
    assert len(told) == 1
    assert "output $6, cached input $0.5 per million tokens" in told[0]
    assert "and input $3, output $12" in told[0]
    assert repr(tuned).count("has no entry for it") == 1


def test_a_model_that_is_shut_down_or_soon_is_says_so_with_its_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pricing, "today", lambda: date(2026, 11, 21))
    assert "OpenAI will shut gpt-4.1 down on 2027-01-14" in repr(ask(["a"], "gpt-4.1"))
    notes = ask(["a"], "gpt-4.1-nano").estimate().notes
    assert any("shut gpt-4.1-nano down on 2026-10-23" in n and "gpt-5.6-luna" in n for n in notes)
    assert any(
        "not available in OpenAI's Batch API" in n
        for n in ask(["a"], "gpt-6-cyber").estimate().notes
    )


class TestAboveTheLimit:
    """`max_cost` is checked against the upper bound, and the message says what to do."""

    def test_the_whole_range_is_shown_and_every_way_out(self) -> None:
        texts = [f"number {n}" for n in range(10)]
        requests = ask(texts, "gpt-4.1", output=None, max_completion_tokens=100)
        known = requests.estimate().cost
        assert known is not None
        assert known.high is not None
        with pytest.raises(CostError) as caught:
            requests.submit(max_cost=known.high / 2)
        told = str(caught.value)
        for words in (f"${known.low:f}", f"${known.high:f}", "max_completion_tokens=", "pilot",
                      " of 10 fit)", "requests.compare([", "raise max_cost"):  # fmt: skip
            assert words in told

    @settings(max_examples=examples(30))
    @given(
        lengths=st.lists(st.integers(0, 60), min_size=1, max_size=8),
        part=st.decimals("0.05", "0.99", places=2),
    )
    def test_the_rows_said_to_fit_do_and_no_more_would(
        self, lengths: list[int], part: Decimal
    ) -> None:
        texts = ["x y " * length for length in lengths]
        requests = ask(texts, "gpt-4.1")
        whole = requests.estimate().cost
        assert whole is not None
        assert whole.high is not None
        limit = whole.high * part
        with pytest.raises(CostError) as caught:
            requests.submit(max_cost=limit)
        told = str(caught.value)
        named = re.search(r"df\.head\((\d+)\)", told)
        fitting = int(named[1]) if named else 0

        def high(rows: int) -> Decimal:
            cost = ask(texts[:rows], "gpt-4.1").estimate().cost
            assert cost is not None
            assert cost.high is not None
            return cost.high

        assert fitting < len(texts)
        assert high(fitting) <= limit < high(fitting + 1)

    def test_nothing_of_the_first_row_fits_and_nothing_is_said_of_a_head(self) -> None:
        with pytest.raises(CostError) as caught:
            ask(["a"]).submit(max_cost="0.0000001")
        assert "df.head(" not in str(caught.value)
        assert "fewer rows" in str(caught.value)


def job_of(texts: list[str], tokens: list[int], **more: Any) -> bf.Job:
    """Run locally as if on a remote service; local runs are not used as history."""
    left = iter(tokens)

    def answer(_: dict[str, Any]) -> dict[str, Any]:
        return {
            "object": "chat.completion",
            "usage": {"prompt_tokens": 9, "completion_tokens": next(left)},
            "choices": [{"message": {"content": '{"label":"good"}'}, "finish_reason": "stop"}],
        }

    with batchframe.local.serve(answer=answer) as server:
        job = ask(texts, **more).submit(client=server.client(), reuse=False).wait()
    elsewhere = {"base_url": "https://api.openai.com/v1"}
    edit_manifest(job, lambda stored: stored["identity"].update(elsewhere))
    return job


class TestEarlierJobs:
    """Answers to the same question tell how long the next will be."""

    def test_the_mean_of_their_answers_is_expected(self) -> None:
        before = ask(["new", "other"]).estimate()
        job_of(["a", "b", "c"], [10, 20, 90])
        known = ask(["new", "other"]).estimate()
        assert known.output_tokens.expected == 2 * 40
        # The labels bound an answer, and reasoning was seen to pass the bound.
        assert before.output_tokens.high is not None
        assert before.output_tokens.high < known.output_tokens.high == 2 * 90  # type: ignore[operator]
        assert known.output_tokens.low == before.output_tokens.low
        told = "\n".join(known.notes)
        assert "the mean of 3 answers in 1 earlier job" in told
        assert "have no upper bound" in told

    def test_several_jobs_count_together_and_the_high_end_is_the_bound_not_what_was_seen(
        self,
    ) -> None:
        bound = {"max_completion_tokens": 500}
        job_of(["a", "b", "c"], [10, 20, 90], **bound)
        job_of(["d", "e"], [30, 40], **bound)
        known = ask(["new"], **bound).estimate()
        assert known.output_tokens.expected == 38
        assert known.output_tokens.high == 500
        assert any("5 answers in 2 earlier jobs" in note for note in known.notes)

    @pytest.mark.parametrize(
        "other", [{"model": "gpt-6-luna"}, {"output": ["a"]}, {"system": "S"}, {"seed": 1}]
    )
    def test_another_question_tells_nothing(self, other: dict[str, Any]) -> None:
        job_of(["a"], [70])
        assert not any("earlier job" in note for note in ask(["new"], **other).estimate().notes)
        assert any("earlier job" in n for n in ask(["new"], dedupe=False).estimate().notes)

    def test_a_rehearsal_and_a_function_tell_nothing(self, server: batchframe.local.Server) -> None:
        ask(["a", "b"]).submit(client=server.client()).wait()
        assert not any("earlier job" in note for note in ask(["new"]).estimate().notes)
        frame = pd.DataFrame({"text": ["a"]})
        asked = frame.bf.requests(lambda row: row["text"], model="gpt-4.1", output=LABELS)
        assert not any("earlier job" in note for note in asked.estimate().notes)

    def test_a_folder_that_cannot_be_read_is_no_reason_to_warn(self, home: Any) -> None:
        job = job_of(["a"], [70])
        broken = home / "jobs" / "broken"
        broken.mkdir()
        (broken / "manifest.json").write_text("{")
        (job.folder / "answers.parquet").write_bytes(b"")
        notes = ask(["new"]).estimate(reuse=False).notes
        assert not any("earlier job" in note for note in notes)


def test_a_range_without_a_basis_is_never_one_number() -> None:
    known = ask(["a"], "gpt-4.1", output=None).estimate()
    assert (known.output_tokens.expected, known.output_tokens.high) == (None, None)
    bound = ask(["a"], "gpt-4.1", output=None, max_completion_tokens=50).estimate()
    assert (bound.output_tokens.low, bound.output_tokens.expected) == (1, None)
    assert bound.output_tokens.high == 50


def test_what_is_not_sent_is_said_with_what_it_saves() -> None:
    asked = ask([f"text {n}" for n in range(6)] + ["text 0", "text 1", "text 1"], "gpt-4.1")
    known = asked.estimate()
    assert known.cost is not None
    assert known.saved == (known.cost.expected or 0) * 3 / 6
    assert re.search(r"not sent +3 duplicates: saves about \$", repr(known))
    assert "not sent" not in repr(ask(["a"], "gpt-4.1").estimate())
    with batchframe.local.serve(answer=lambda _: {"label": "good"}) as server:
        ask(["text 0", "text 1"], "gpt-4.1").submit(client=server.client()).wait()
        later = asked.estimate(client=server.client())
        assert "3 duplicates and 2 requests already answered" in repr(later)
        assert "submitting again" not in repr(later)
        asked.submit("all", client=server.client()).wait()
        done = asked.estimate(client=server.client())
        assert "Already submitted as job 'all'; submitting again is free" in repr(done)
    unknown = ask(["a", "a"], "my-model").estimate()
    assert unknown.saved is None
    assert "1 duplicate" in repr(unknown)


def test_a_high_end_without_the_reasoning_says_so_beside_the_number() -> None:
    assert ask(["a"]).estimate().unbounded_reasoning
    assert re.search(r"batch cost .*\+ reasoning", repr(ask(["a"]).estimate()))
    short = ask(["a"], max_completion_tokens=50)
    for bounded in (short, ask(["a"], reasoning_effort="none"), ask(["a"], "gpt-4.1")):
        assert not bounded.estimate().unbounded_reasoning
        assert "+ reasoning" not in repr(bounded.estimate())


def test_who_has_seen_answers_is_not_sent_to_a_pilot() -> None:
    asked = ask([f"text {n}" for n in range(40)], "gpt-4.1", output=None, max_completion_tokens=90)
    with batchframe.local.serve(answer=lambda _: "a b c") as server:
        with pytest.raises(CostError, match=r"pilot\(n=20\)"):
            asked.submit(max_cost="0.001", client=server.client())
        asked.pilot(12, client=server.client())
        with pytest.raises(CostError, match="raise max_cost") as caught:
            asked.submit(max_cost="0.001", client=server.client())
    assert "pilot" not in str(caught.value)


def test_a_doubt_about_long_requests_is_said_where_there_are_some() -> None:
    long = ask(["word " * 280_000, "a"], "gpt-5.5-pro").estimate()
    assert any("1 request of more than 272,000" in n and "disagree" in n for n in long.notes)
    assert not any("272,000" in note for note in ask(["a"], "gpt-5.5-pro").estimate().notes)
