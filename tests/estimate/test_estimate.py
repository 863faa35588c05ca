"""Cost of requests: all tiers, each request priced at its own length."""

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


def test_four_tiers_are_shown_and_an_unknown_price_is_unknown() -> None:
    luna = ask(["a"], reasoning_effort="none").estimate().to_frame()
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
    estimate = ask(["a", "bb"], reasoning_effort="none").estimate()
    assert estimate.cost is not None
    assert estimate.output_tokens.expected is not None
    answers = estimate.output_tokens.expected * Decimal("0.0000006")
    assert estimate.input_cost is not None
    assert estimate.input_cost.expected is not None
    assert estimate.cost.expected == estimate.input_cost.expected + answers
    twice = estimate + estimate
    assert twice.input_cost == estimate.input_cost + estimate.input_cost
    assert twice.flex_cost is not None
    assert twice.flex_cost.low == 2 * estimate.cost.low


def test_long_context_prices_apply_to_whole_long_requests_only() -> None:
    long, short = "word " * 300_000, "word " * 150_000
    alone = [ask([text]).estimate() for text in (long, short, short + "!")]
    together = ask([long, short, short + "!"]).estimate()
    assert together.cost == alone[0].cost + alone[1].cost + alone[2].cost  # type: ignore[operator]
    # Together the short requests exceed the threshold, but neither pays the higher price.
    assert alone[1].input_tokens.high + alone[2].input_tokens.high > 272_000  # type: ignore[operator]
    rate = Decimal("0.0000001")
    costs = [estimate.input_cost.expected for estimate in alone]  # type: ignore[union-attr]
    assert costs[0] == 2 * rate * alone[0].input_tokens.expected
    assert costs[1] == rate * alone[1].input_tokens.expected
    assert any("1 request of more than 272,000 input tokens" in note for note in together.notes)
    assert not any("272,000" in note for note in alone[1].notes)


def test_a_price_of_the_second_book_carries_its_name_and_date() -> None:
    tuned = ask(["a"], "ft:o4-mini-2025-04-16:acme::1", output=None).estimate()
    assert tuned.cost is not None
    assert any(note == "Prices: litellm 1.110.2 (2026-11-30)." for note in tuned.notes)
    assert not any("litellm" in note for note in ask(["a"]).estimate().notes)


def test_an_unknown_batch_price_offers_the_standard_one_as_code() -> None:
    notes = ask(["a"], "gpt-5.3-chat-latest", output=None).estimate().notes
    (note,) = (note for note in notes if "unknown" in note)
    assert 'estimate(prices={"input": "1.75", "output": "14"})' in note
    pasted = ask(["a"], "gpt-5.3-chat-latest", output=None, max_completion_tokens=9)
    priced = pasted.estimate(prices={"input": "1.75", "output": "14"})
    assert priced.cost == priced.standard_cost
    (note,) = (note for note in ask(["a"], "my-own").estimate().notes if "unknown. " in note)
    assert "Pass it in USD per million tokens" in note


def test_the_lower_bound_assumes_prompts_read_from_the_cache() -> None:
    prompt = "word " * 2_000
    cost = ask([prompt], max_completion_tokens=9, reasoning_effort="none").estimate().cost
    assert cost is not None
    assert cost.low < cost.expected / 5  # type: ignore[operator]
    notes = ask([prompt]).estimate().notes
    assert any(
        "The lower bound includes prompt cache reads at $0.01 and the upper" in note
        for note in notes
    )
    # Nothing below 1,024 tokens is cached, and gpt-4.1 has no cached price in batches.
    for short in (ask([prompt[:4_000]]), ask([prompt], "gpt-4.1")):
        estimate = short.estimate()
        assert estimate.input_cost is not None
        assert estimate.input_cost.low > estimate.input_cost.expected * Decimal("0.9")  # type: ignore[operator]
        assert not any("cache reads" in note for note in estimate.notes)
    mine = {"input": "1", "cached_input": "0.5", "output": "2"}
    own = ask([prompt], "gpt-4.1").estimate(prices=mine).input_cost
    assert own is not None
    assert own.low < own.expected * Decimal("0.51")  # type: ignore[operator]


def test_a_price_without_an_upper_rate_has_no_bound() -> None:
    requests = ask(["a"], max_completion_tokens=9, prompt_cache_options={"ttl": "7d"})
    estimate = requests.estimate()
    assert estimate.cost is not None
    assert estimate.cost.high is None
    assert any("ttl 7d" in note and "no upper bound" in note for note in estimate.notes)
    with (
        batchframe.local.serve() as server,
        pytest.raises(CostError, match="cache writes with ttl 7d is unknown"),
    ):
        requests.submit(max_cost=5, client=server.client())
    half_day = ask(["word " * 2_000], max_completion_tokens=9, prompt_cache_options={"ttl": "12h"})
    usual = ask(["word " * 2_000], max_completion_tokens=9)
    costs = [requests.estimate().cost for requests in (half_day, usual)]
    assert costs[0].high > costs[1].high * 3 / 2  # type: ignore[union-attr, operator]


def test_a_shutdown_is_noted_with_the_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pricing, "today", lambda: date(2026, 11, 21))
    assert "OpenAI will shut gpt-4.1 down on 2027-01-14" in repr(ask(["a"], "gpt-4.1").estimate())
    notes = ask(["a"], "gpt-4.1-nano").estimate().notes
    assert any("shut gpt-4.1-nano down on 2026-10-23" in n and "gpt-5.6-luna" in n for n in notes)
    assert any(
        "not available in OpenAI's Batch API" in n
        for n in ask(["a"], "gpt-6-cyber").estimate().notes
    )


class TestAboveTheLimit:
    """`max_cost` is checked against the upper bound of the estimate."""

    def test_the_error_shows_the_range_and_every_fix(self) -> None:
        texts = [f"number {n}" for n in range(10)]
        requests = ask(texts, "gpt-4.1", output=None, max_completion_tokens=100)
        cost = requests.estimate().cost
        assert cost is not None
        assert cost.high is not None
        with pytest.raises(CostError) as excinfo:
            requests.submit(max_cost=cost.high / 2)
        message = str(excinfo.value)
        for phrase in (f"${cost.low:f}", f"${cost.high:f}", "max_completion_tokens=", "pilot",
                       " of 10 fit)", "plan.compare([", "raise max_cost"):  # fmt: skip
            assert phrase in message

    @settings(max_examples=examples(30))
    @given(
        lengths=st.lists(st.integers(0, 60), min_size=1, max_size=8),
        part=st.decimals("0.05", "0.99", places=2),
    )
    def test_the_stated_number_of_rows_is_the_largest_that_fits(
        self, lengths: list[int], part: Decimal
    ) -> None:
        texts = ["x y " * length for length in lengths]
        requests = ask(texts, "gpt-4.1")
        estimate = requests.estimate().cost
        assert estimate is not None
        assert estimate.high is not None
        limit = estimate.high * part
        with pytest.raises(CostError) as excinfo:
            requests.submit(max_cost=limit)
        message = str(excinfo.value)
        named = re.search(r"df\.head\((\d+)\)", message)
        fitting = int(named[1]) if named else 0

        def high(rows: int) -> Decimal:
            cost = ask(texts[:rows], "gpt-4.1").estimate().cost
            assert cost is not None
            assert cost.high is not None
            return cost.high

        assert fitting < len(texts)
        assert high(fitting) <= limit < high(fitting + 1)

    def test_if_no_row_fits_no_number_of_rows_is_stated(self) -> None:
        with pytest.raises(CostError) as excinfo:
            ask(["a"], "gpt-4.1").submit(max_cost="0.0000001")
        assert "df.head(" not in str(excinfo.value)
        assert "fewer rows" in str(excinfo.value)


def job_of(texts: list[str], tokens: list[int], **more: Any) -> bf.Job:
    """Run a job as if on a remote service, so that it counts as history."""
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
    """Earlier answers to the same prompt predict the length."""

    def test_the_mean_of_earlier_answers_is_expected(self) -> None:
        before = ask(["new", "other"]).estimate()
        job_of(["a", "b", "c"], [10, 20, 90])
        estimate = ask(["new", "other"]).estimate()
        assert estimate.output_tokens.expected == 2 * 40
        # Nothing bounds reasoning, and three answers are too few for a likely maximum.
        assert before.output_tokens.high is estimate.output_tokens.high is None
        assert estimate.output_tokens.low == before.output_tokens.low
        notes = "\n".join(estimate.notes)
        assert "the mean of 3 answers in 1 earlier job" in notes
        assert "have no upper bound" in notes

    def test_several_jobs_are_pooled_and_the_bound_stays_the_upper_bound(
        self,
    ) -> None:
        bound = {"max_completion_tokens": 500}
        job_of(["a", "b", "c"], [10, 20, 90], **bound)
        job_of(["d", "e"], [30, 40], **bound)
        estimate = ask(["new"], **bound).estimate()
        assert estimate.output_tokens.expected == 38
        assert estimate.output_tokens.high == 500
        assert any("5 answers in 2 earlier jobs" in note for note in estimate.notes)

    @pytest.mark.parametrize(
        "other", [{"model": "gpt-6-luna"}, {"output": ["a"]}, {"system": "S"}, {"seed": 1}]
    )
    def test_jobs_with_other_requests_are_not_used(self, other: dict[str, Any]) -> None:
        job_of(["a"], [70])
        assert not any("earlier job" in note for note in ask(["new"], **other).estimate().notes)
        assert any("earlier job" in n for n in ask(["new"], dedupe=False).estimate().notes)

    def test_local_runs_and_prompt_functions_are_not_used(
        self, server: batchframe.local.Server
    ) -> None:
        ask(["a", "b"]).submit(client=server.client()).wait()
        assert not any("earlier job" in note for note in ask(["new"]).estimate().notes)
        frame = pd.DataFrame({"text": ["a"]})
        requests = frame.bf.requests(lambda row: row["text"], model="gpt-4.1", output=LABELS)
        assert not any("earlier job" in note for note in requests.estimate().notes)

    def test_an_unreadable_job_folder_does_not_warn(self, home: Any) -> None:
        job = job_of(["a"], [70])
        broken = home / "jobs" / "broken"
        broken.mkdir()
        (broken / "manifest.json").write_text("{")
        (job.folder / "answers.parquet").write_bytes(b"")
        notes = ask(["new"]).estimate(reuse=False).notes
        assert not any("earlier job" in note for note in notes)


def test_a_range_without_a_basis_is_never_one_number() -> None:
    estimate = ask(["a"], "gpt-4.1", output=None).estimate()
    assert (estimate.output_tokens.expected, estimate.output_tokens.high) == (None, None)
    bound = ask(["a"], "gpt-4.1", output=None, max_completion_tokens=50).estimate()
    assert (bound.output_tokens.low, bound.output_tokens.expected) == (1, None)
    assert bound.output_tokens.high == 50


def test_unsent_rows_are_noted_with_their_savings() -> None:
    requests = ask([f"text {n}" for n in range(6)] + ["text 0", "text 1", "text 1"], "gpt-4.1")
    before = requests.estimate()
    assert before.cost is not None
    assert before.saved == (before.cost.expected or 0) * 3 / 6
    assert re.search(r"not sent +3 duplicates: saves about \$", repr(before))
    assert "not sent" not in repr(ask(["a"], "gpt-4.1").estimate())
    with batchframe.local.serve(answer=lambda _: {"label": "good"}) as server:
        ask(["text 0", "text 1"], "gpt-4.1").submit(client=server.client()).wait()
        later = requests.estimate(client=server.client())
        assert "3 duplicates, 2 requests already answered" in repr(later)
        assert "submitting again" not in repr(later)
        requests.submit("all", client=server.client()).wait()
        after = requests.estimate(client=server.client())
        assert "Already submitted as job 'all'; submitting again is free" in repr(after)
        assert after.requests == after.input_tokens.high == 0
        assert after.cost == after.standard_cost
        assert after.cost.low == after.cost.high == 0
    unknown = ask(["a", "a"], "my-model").estimate()
    assert unknown.saved is None
    assert "1 duplicate" in repr(unknown)


def test_unbounded_reasoning_has_no_upper_bound() -> None:
    unbounded = ask(["a"]).estimate()
    assert unbounded.unbounded_reasoning
    assert not unbounded.bounded
    assert re.search(r"batch cost .*no bound", repr(unbounded))
    short = ask(["a"], max_completion_tokens=50)
    for bounded in (short, ask(["a"], reasoning_effort="none"), ask(["a"], "gpt-4.1")):
        assert not bounded.estimate().unbounded_reasoning
        assert bounded.estimate().bounded
        assert "no bound" not in repr(bounded.estimate())


def test_expected_reasoning_is_the_mean_of_recordings_or_unknown() -> None:
    mini = ask(["a"], "gpt-5-mini").estimate()
    assert mini.output_tokens.expected is not None
    assert mini.output_tokens.expected > 179
    assert any("179 tokens per request, the mean of 109 recorded" in note for note in mini.notes)
    for unknown in (ask(["a"]), ask(["a"], "gpt-5-mini", reasoning_effort="high")):
        assert unknown.estimate().output_tokens.expected is None
        assert any("unknown; measure it with" in note for note in unknown.estimate().notes)
    default = ask(["a"], "gpt-5.4").estimate()
    assert default.output_tokens.expected is not None
    assert default.output_tokens.expected < 20
    assert any("none unless an effort is set" in note for note in default.notes)
    assert not default.bounded


def test_answers_that_are_not_labels_stay_within_the_limit() -> None:
    chatter = "I am sorry, but none of these labels describes the text that you gave me."
    texts = [f"text {n}" for n in range(20)]
    requests = ask(texts, "gpt-4.1", max_completion_tokens=50)
    estimate = requests.estimate()
    assert estimate.output_tokens.high == 20 * 50
    with batchframe.local.serve(answer=lambda _: chatter) as server:
        job = requests.submit(client=server.client(), max_cost=1).wait()
    assert estimate.cost is not None
    assert estimate.cost.high is not None
    assert job.cost is not None
    assert job.cost <= estimate.cost.high


def test_without_an_enforced_schema_only_a_limit_is_an_upper_bound() -> None:
    prices = {"input": 1, "output": 2}
    elsewhere = ask(["a"], "gpt-4.1").estimate(provider="groq", prices=prices)
    assert elsewhere.output_tokens.high is None
    assert any("may not enforce a schema" in note for note in elsewhere.notes)
    limited = ask(["a"], "gpt-4.1", max_completion_tokens=9).estimate(provider="groq")
    assert limited.output_tokens.high == 9


def test_a_pilot_is_not_suggested_after_earlier_answers() -> None:
    requests = ask(
        [f"text {n}" for n in range(40)], "gpt-4.1", output=None, max_completion_tokens=90
    )
    with batchframe.local.serve(answer=lambda _: "a b c") as server:
        with pytest.raises(CostError, match=r"pilot\(n=20\)"):
            requests.submit(max_cost="0.001", client=server.client())
        requests.pilot(12, client=server.client())
        with pytest.raises(CostError, match="raise max_cost") as excinfo:
            requests.submit(max_cost="0.001", client=server.client())
    assert "pilot" not in str(excinfo.value)


def test_a_doubt_about_long_context_prices_is_noted_only_for_long_requests() -> None:
    long = ask(["word " * 280_000, "a"], "gpt-5.5-pro").estimate()
    assert any("1 request of more than 272,000" in n and "litellm" in n for n in long.notes)
    assert long.cost is not None
    assert long.cost.low < Decimal("4.3") < Decimal("8.4") < long.input_cost.high  # type: ignore[operator, union-attr]
    assert not any("272,000" in note for note in ask(["a"], "gpt-5.5-pro").estimate().notes)


def test_answers_that_only_another_account_has_are_named() -> None:
    requests = ask(["a", "b", "c"], "gpt-4.1")
    with batchframe.local.serve(answer=lambda _: {"label": "good"}) as server:
        submitter, other = (
            server.client().with_options(organization=name) for name in ("org-a", "org-b")
        )
        ask(["a", "b"], "gpt-4.1").submit("theirs", client=submitter).wait()
        without = requests.estimate(client=other)
        assert without.requests == 3
        (note,) = [note for note in without.notes if "another account" in note]
        assert "'theirs'" in note
        assert "org-a" in note
        assert "answered 2 requests" in note
        same = requests.estimate(client=submitter)
        assert same.requests == 1
        assert "another account" not in repr(same)
        # Without a client, the account is that of the environment.
        assert "another account" in repr(requests.estimate())
        assert "another account" not in repr(requests.estimate(reuse=False))


def test_an_estimate_of_a_job_that_is_partly_sent_covers_the_rest() -> None:
    requests = ask([f"text {n}" for n in range(9)], "gpt-4.1")
    profile = bf.provider("openai", max_requests=3)
    refused = batchframe.local.Fault("POST /v1/batches", 403, skip=1, times=9)
    with batchframe.local.serve(answer=lambda _: {"label": "good"}, faults=[refused]) as server:
        with pytest.raises(bf.errors.SubmissionError):
            requests.submit("part", client=server.client(), provider=profile)
        rest = requests.estimate(client=server.client(), provider=profile)
        assert rest.requests == 6
        assert any("Job 'part' has sent 3 requests" in note for note in rest.notes)
        server.faults.clear()
        requests.submit("part", client=server.client(), provider=profile)
        assert requests.estimate(client=server.client(), provider=profile).requests == 0
