"""Actual cost compared with the estimate, with reasons."""

from __future__ import annotations

import dataclasses
import re
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from tests.support.job_folders import edit_manifest

TEXTS = [f"text {n}" for n in range(4)]


def job_of(usage: Any, model: str = "gpt-4.1", texts: list[str] = TEXTS, **options: Any) -> bf.Job:
    """Return a job whose answers state the usage that a function computes."""

    def answer(body: dict[str, Any]) -> Any:
        stated_usage = usage(body)
        if stated_usage is None:
            return batchframe.local.AnswerError(500, "no luck")
        return {
            "object": "chat.completion",
            "usage": stated_usage,
            "choices": [{"message": {"content": '{"label":"+"}'}, "finish_reason": "stop"}],
        }

    frame = pd.DataFrame({"text": texts})
    requests = frame.bf.requests("{{ text }}", model=model, **{"output": ["+", "-"], **options})
    with batchframe.local.serve(answer=answer) as server:
        return requests.submit("tone", client=server.client()).wait()


def as_counted(body: dict[str, Any]) -> dict[str, Any]:
    return {"prompt_tokens": bf.count_tokens(body).tokens, "completion_tokens": 5}


def test_a_job_within_its_estimate_needs_no_reason() -> None:
    job = job_of(as_counted)
    report = job.report()
    frame = report.to_frame()
    assert frame.index.tolist() == ["input", "cached input", "output", "total"]
    # The framing of an answer is expected as a mean, here a fraction of a token.
    assert (frame["tokens"] - frame["estimated_tokens"]).abs().max() <= 1
    assert frame["cost"]["total"] == job.cost == sum(frame["cost"].iloc[:3])
    assert report.notes == ()
    assert "Report of job tone: 4 of 4 requests billed" in repr(report)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.job = "x"  # type: ignore[misc]


def test_longer_answers_and_reasoning_are_named_as_reasons() -> None:
    def longer(body: dict[str, Any]) -> dict[str, Any]:
        return {**as_counted(body), "completion_tokens": 500}

    plain = job_of(longer).report()
    assert plain.lines[2].tokens == 2_000
    outside, note = plain.notes
    assert outside.startswith("Billed outside the estimated range: cost $0.0082 (above $0.00")
    assert re.search(r"1,9\d\d tokens above the estimated upper bound", note)
    assert "easoning" not in note
    *_, note = job_of(longer, "gpt-5.6-luna", max_completion_tokens=50).report().notes
    assert "Reasoning tokens are billed as output" in note


def test_answers_within_the_range_are_compared_with_the_expected_length() -> None:
    def short(body: dict[str, Any]) -> dict[str, Any]:
        return {**as_counted(body), "completion_tokens": 4}

    outside, note = job_of(short).report().notes
    assert "Billed outside the estimated range: " in outside
    assert "fewer tokens than expected" in note
    free = job_of(short, output=None, max_completion_tokens=50).report()
    assert free.lines[2].difference is None
    assert free.notes == ()


def test_cached_tokens_are_a_separate_line_at_their_own_price() -> None:
    def cached(body: dict[str, Any]) -> dict[str, Any]:
        body_with_usage = as_counted(body)
        return {**body_with_usage, "prompt_tokens_details": {"cached_tokens": 10}}

    job = job_of(cached, "gpt-5.6-luna")
    fresh, from_cache, _, total = job.report().lines
    assert from_cache.tokens == 40
    assert from_cache.cost == 40 * Decimal("0.00000001")
    assert fresh.tokens == job.usage.input_tokens - 40
    assert total.cost == job.cost
    assert any("40 input tokens were read from the prompt cache" in n for n in job.report().notes)


def test_a_wrong_input_count_is_reported() -> None:
    def more(body: dict[str, Any]) -> dict[str, Any]:
        return {"prompt_tokens": 2 * bf.count_tokens(body).tokens, "completion_tokens": 5}

    notes = job_of(more).report().notes
    assert len(notes) == 2
    assert "input 360 tokens (above 184 tokens)" in notes[0]
    # The requests have a schema, and neither images nor tools.
    assert "100% more tokens than expected; schemas and non-public tokenizers" in notes[1]


def test_unanswered_requests_are_counted_and_the_others_compared() -> None:
    def some(body: dict[str, Any]) -> dict[str, Any] | None:
        return None if body["messages"][0]["content"] == "text 0" else as_counted(body)

    report = job_of(some).report()
    assert (report.requests, report.answered) == (4, 3)
    (note,) = report.notes
    assert "1 request had no reported usage (1 failed)" in note


def test_without_a_price_there_are_tokens_and_no_dollars() -> None:
    report = job_of(as_counted, "my-model").report()
    frame = report.to_frame()
    assert frame["tokens"]["output"] == 20
    assert frame["cost"].isna().all()
    assert frame["estimated_cost"].isna().all()
    assert "unknown" in repr(report)


def test_prices_given_later_are_named_as_a_reason() -> None:
    frame = pd.DataFrame({"text": TEXTS})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
    job = job_of(as_counted)
    edit_manifest(job, lambda stored: stored.update(prices={"input": "10", "output": "40"}))
    assert any("input price has changed" in note for note in job.report().notes)
    assert len(requests) == 4


def test_rerunning_the_cell_keeps_the_estimate_before_submission() -> None:
    frame = pd.DataFrame({"text": TEXTS})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
    with batchframe.local.serve(answer=lambda _: {"label": "+"}) as server:
        job = requests.submit("tone", client=server.client()).wait()
        before = job.report().to_frame()
        again = requests.submit("tone", client=server.client())
    assert again.id == job.id
    pd.testing.assert_frame_equal(again.report().to_frame(), before)


def test_a_job_without_an_input_estimate_has_a_report() -> None:
    import json

    job = job_of(as_counted)
    file = job.folder / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["input_cost"]
    file.write_text(json.dumps(manifest))
    frame = job.report().to_frame()
    assert frame["estimated_cost"].isna().tolist() == [True, True, True, False]
    assert frame["cost"]["total"] == job.cost


def test_a_recovered_job_has_a_cost_and_no_estimate() -> None:
    import shutil

    frame = pd.DataFrame({"text": TEXTS})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
    with batchframe.local.serve(answer=lambda _: {"label": "+"}) as server:
        job = requests.submit("tone", client=server.client()).wait()
        paid = job.cost
        shutil.rmtree(job.folder)
        [recovered] = bf.recover(server.client())
        report = recovered.wait().report()
        repr(report)
    assert report.lines[-1].cost == paid
    assert [line.difference for line in report.lines[1:]] == [Decimal(0), None, None]
    assert report.notes == ("The job was recovered from the server, which stores no estimate.",)


def test_an_input_within_its_range_is_not_a_counting_error() -> None:
    frame = pd.DataFrame({"u": [f"https://example.org/{n}.jpg" for n in range(4)]})
    requests = frame.bf.requests("What?", model="gpt-4o", images="u", max_completion_tokens=20)
    usage = {"prompt_tokens": 300, "completion_tokens": 3}
    choice = {"message": {"content": "yes"}, "finish_reason": "stop"}
    completion = {"object": "chat.completion", "usage": usage, "choices": [choice]}
    with batchframe.local.serve(answer=lambda _: completion) as server:
        report = requests.submit("seen", client=server.client()).wait().report()
    for line in report.lines:
        assert line.estimated_cost is not None
        assert line.estimated_cost.low >= 0
        assert line.estimated_cost.high is None or line.estimated_cost.high >= 0
    assert "$-" not in repr(report)
    assert "-$" not in repr(report)
    assert any("within the estimated range" in note for note in report.notes)


def test_unknown_costs_are_noted_and_not_called_savings() -> None:
    requests = pd.DataFrame({"t": ["a"]}).bf.requests(
        "{{ t }}", model="gpt-4.1", endpoint="/v1/responses", tools=[{"type": "web_search"}]
    )
    content = [{"type": "output_text", "text": "x", "annotations": []}]
    response = {
        "object": "response",
        "status": "completed",
        "usage": {"input_tokens": 5, "output_tokens": 3},
        "output": [{"type": "message", "role": "assistant", "content": content}],
    }
    with batchframe.local.serve(answer=lambda _: response) as server:
        report = requests.submit("found", client=server.client()).wait().report()
    assert any("no upper bound" in note for note in report.notes)
    assert "-$" not in repr(report)


def test_an_estimate_of_an_earlier_version_is_read_and_never_negative() -> None:
    import json

    job = job_of(as_counted)
    file = job.folder / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["input_cost"] = "5"
    file.write_text(json.dumps(manifest))
    lines = job.report().lines
    assert lines[0].estimated_cost is not None
    assert lines[0].estimated_cost.expected == 5
    assert lines[-2].estimated_cost is not None
    assert lines[-2].estimated_cost.low == 0


def test_a_partly_billed_job_does_not_blame_the_count() -> None:
    def only_the_short(body: dict[str, Any]) -> dict[str, Any] | None:
        short = len(body["messages"][-1]["content"]) < 20
        return as_counted(body) if short else None

    notes = " ".join(job_of(only_the_short, texts=("a", "b", "long " * 400)).report().notes)
    assert "for the billed requests" in notes
    assert "non-public tokenizers" not in notes
