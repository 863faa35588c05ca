"""From a frame to labeled rows, over real HTTP with the genuine client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from tests.support.profiles import change_local

GOLD = {"lovely": "good", "broken": "bad", "fine": "good", "awful": "bad", "so so": "bad"}
TEXTS = [*GOLD]


def gold_answer(body: dict[str, Any]) -> dict[str, str]:
    """Answer with the gold label of the text in the prompt."""
    text = body["messages"][-1]["content"].removeprefix("Classify: ")
    return {"label": GOLD[text]}


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({"text": [*TEXTS, "lovely", "fine"], "other": range(7)})


def ask(frame: pd.DataFrame, **body: Any) -> bf.Requests:
    return frame.bf.requests(
        "Classify: {{ text }}", model="gpt-4.1", output=["good", "bad"], **body
    )


def test_every_row_comes_back_with_its_own_answer(frame: pd.DataFrame) -> None:
    before = frame.copy(deep=True)
    with batchframe.local.serve(answer=gold_answer) as server:
        job = ask(frame).submit("tone", max_cost=1, client=server.client()).wait()
        labeled = frame.bf.join(job)
    assert labeled["label"].tolist() == [GOLD[text] for text in frame["text"]]
    assert labeled["label"].cat.categories.tolist() == ["good", "bad"]
    assert labeled["bf_status"].tolist() == ["ok"] * 7
    assert labeled["bf_error"].isna().all()
    assert job.counts == {"ok": 7}
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(labeled[frame.columns], before)
    assert len(server.ledger) == 1
    assert server.ledger[0].requests == 5


@pytest.mark.parametrize(
    "index",
    [
        pd.Index([3, 3, 3, 1, 1, 0, 0]),
        pd.MultiIndex.from_product([["a"], range(7)]),
        pd.date_range("2026-01-01", periods=7),
        pd.Index([None, "x", 1.5, "x", (1, 2), "y", None], dtype=object),
    ],
    ids=["repeated", "multi", "dates", "mixed"],
)
def test_any_index_is_preserved(frame: pd.DataFrame, index: pd.Index) -> None:
    frame.index = index
    with batchframe.local.serve(answer=gold_answer) as server:
        job = ask(frame).submit(client=server.client()).wait()
    labeled = frame.bf.join(job)
    pd.testing.assert_index_equal(labeled.index, index)
    assert labeled["label"].tolist() == [GOLD[text] for text in frame["text"]]


def test_a_frame_that_was_sorted_filtered_and_edited_still_finds_its_answers(
    frame: pd.DataFrame,
) -> None:
    with batchframe.local.serve(answer=gold_answer) as server:
        job = ask(frame).submit(client=server.client()).wait()
    changed = frame.sort_values("text", ascending=False).iloc[1:].set_index("other")
    changed.loc[0, "text"] = "edited since"
    labeled = changed.bf.join(job)
    edited = changed["text"] == "edited since"
    assert labeled.loc[edited, "bf_status"].tolist() == ["missing"] * edited.sum()
    assert labeled.loc[edited, "label"].isna().all()
    assert "has changed" in labeled.loc[edited, "bf_error"].iloc[0]
    rest = labeled[~edited]
    assert rest["label"].tolist() == [GOLD[text] for text in rest["text"]]


def test_running_the_cell_again_finds_the_same_job(frame: pd.DataFrame) -> None:
    with batchframe.local.serve(answer=gold_answer) as server:
        first = ask(frame).submit("tone", client=server.client()).wait()
        again = ask(frame).submit("tone", client=server.client())
        assert again.id == first.id
        assert again.done
        shuffled = ask(frame.sample(frac=1, random_state=3)).submit("tone", client=server.client())
        assert shuffled.id == first.id
    assert len(server.ledger) == 1


def test_a_rerun_with_another_frame_of_the_same_content_is_followed(frame: pd.DataFrame) -> None:
    with batchframe.local.serve(answer=gold_answer) as server:
        ask(frame).submit("tone", client=server.client()).wait()
        longer = pd.concat([frame, frame.iloc[::-1]], ignore_index=True)
        job = ask(longer).submit("tone", client=server.client())
    assert job.results()["label"].tolist() == [GOLD[text] for text in longer["text"]]
    assert job.counts == {"ok": 14}
    assert len(server.ledger) == 1


def test_a_rerun_of_a_prompt_function_on_more_columns_still_joins(frame: pd.DataFrame) -> None:
    def ask_by_function(rows: pd.DataFrame) -> bf.Requests:
        return rows.bf.requests(
            lambda row: f"Classify: {row['text']}", model="gpt-4.1", output=["good", "bad"]
        )

    with batchframe.local.serve(answer=gold_answer) as server:
        ask_by_function(frame).submit(client=server.client()).wait()
        wider = frame.assign(length=frame["text"].str.len())
        job = ask_by_function(wider).submit(client=server.client())
        assert wider.bf.join(job)["label"].tolist() == [GOLD[text] for text in frame["text"]]
        by_template = ask(frame).submit(client=server.client())
        assert by_template.id == job.id
    assert frame.bf.join(job)["label"].notna().all()
    assert len(server.ledger) == 1


def test_prices_given_later_are_used(frame: pd.DataFrame) -> None:
    with batchframe.local.serve(answer=gold_answer) as server:
        requests = frame.bf.requests("Classify: {{ text }}", model="own", output=["good", "bad"])
        job = requests.submit(client=server.client()).wait()
        assert job.cost is None
        job = requests.submit(client=server.client(), prices={"input": "1000000", "output": 0})
    assert job.cost == job.usage.input_tokens


def test_a_damaged_job_does_not_hide_the_others(frame: pd.DataFrame, home: Path) -> None:
    with batchframe.local.serve(answer=gold_answer) as server:
        ask(frame).submit("tone", client=server.client()).wait()
    (home / "jobs" / "stranger").mkdir()
    for content in ("{}", "not json", '{"state_version": 1, "id": 7}'):
        (home / "jobs" / "stranger" / "manifest.json").write_text(content)
        assert bf.job("tone").done
        with pytest.warns(UserWarning, match="One job is omitted"):
            assert bf.jobs()["name"].tolist() == ["tone"]


def test_jobs_are_listed_newest_first_by_creation(frame: pd.DataFrame) -> None:
    with batchframe.local.serve(answer=gold_answer) as server:
        ask(frame).submit("first", client=server.client()).wait()
        ask(frame.iloc[:3]).submit("second", client=server.client()).wait()
        ask(frame).submit("first", client=server.client())
    assert bf.jobs()["name"].tolist() == ["second", "first"]


def test_a_job_of_skipped_rows_needs_no_service_and_no_warning() -> None:
    frame = pd.DataFrame({"text": [None, None]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", on_missing="skip")
    for _ in range(2):
        job = requests.submit("none")
    assert job.wait().cancel().resume().counts == {"skipped": 2}
    assert set(frame.bf.join(job)["bf_status"]) == {"skipped"}


def test_max_cost_is_refused_for_unbounded_reasoning(frame: pd.DataFrame) -> None:
    def ask_luna(**body: Any) -> bf.Requests:
        return frame.bf.requests("{{ text }}", model="gpt-5.6-luna", output=["+", "-"], **body)

    with batchframe.local.serve() as server:
        with pytest.raises(bf.errors.CostError, match="reasoning_effort"):
            ask_luna().submit(max_cost=1, client=server.client())
        ask_luna(reasoning_effort="none").submit(max_cost=1, client=server.client())
        ask_luna(max_completion_tokens=50).submit(max_cost=1, client=server.client())
    assert "Reasoning tokens" in repr(ask_luna().estimate())
    bounded = ask_luna(max_completion_tokens=50).estimate()
    assert bounded.output_tokens.high == 50 * bounded.requests


def test_the_parts_of_a_message_are_templates_too() -> None:
    frame = pd.DataFrame({"url": ["https://example.com/a.png"], "ask": ["What is it?"]})
    content = [
        {"type": "text", "text": "{{ ask }}"},
        {"type": "image_url", "image_url": {"url": "{{ url }}", "detail": "low"}},
    ]
    requests = frame.bf.requests([{"role": "user", "content": content}], model="gpt-4.1")
    rendered = requests.preview(1)[0]["body"]["messages"][0]["content"]
    assert rendered[0]["text"] == "What is it?"
    assert rendered[1]["image_url"] == {"url": "https://example.com/a.png", "detail": "low"}
    assert not requests.estimate().exact


def test_another_name_for_the_same_requests_warns(frame: pd.DataFrame) -> None:
    with batchframe.local.serve(answer=gold_answer) as server:
        ask(frame).submit("alpha", client=server.client()).wait()
        with pytest.warns(UserWarning, match="Job 'alpha' has the same requests"):
            ask(frame).submit("beta", client=server.client())
    assert bf.job("beta").done
    assert len(server.ledger) == 1


def test_a_rerun_label_makes_a_new_job(frame: pd.DataFrame) -> None:
    with batchframe.local.serve(answer=gold_answer) as server:
        first = ask(frame).submit(client=server.client()).wait()
        second = ask(frame).submit(client=server.client(), rerun="second").wait()
    assert first.id != second.id
    assert len(server.ledger) == 2


def test_changed_requests_under_the_same_name_warn_with_the_difference(frame: pd.DataFrame) -> None:
    with batchframe.local.serve(answer=gold_answer) as server:
        first = ask(frame).submit("tone", client=server.client()).wait()
        with pytest.warns(UserWarning, match=f"differs in seed.*bf.job.'{first.id}'") as warned:
            second = ask(frame, seed=7).submit("tone", client=server.client()).wait()
        assert warned[0].filename == __file__
        with pytest.warns(UserWarning, match="differs in rows"):
            third = ask(frame.iloc[:2], seed=7).submit("tone", client=server.client()).wait()
    assert len({first.id, second.id, third.id}) == 3
    assert bf.job("tone").id == third.id


def test_a_new_kernel_needs_only_the_name(frame: pd.DataFrame) -> None:
    with batchframe.local.serve(answer=gold_answer) as server:
        ask(frame).submit("tone", client=server.client())
        job = bf.job("tone", client=server.client()).wait()
    assert frame.bf.join("tone")["label"].tolist() == [GOLD[text] for text in frame["text"]]
    assert bf.job(job.id).counts == bf.job(job.folder).counts == {"ok": 7}
    listed = bf.jobs()
    assert listed.loc[0, ["name", "id", "status"]].tolist() == ["tone", job.id, "completed"]


def test_before_the_job_is_done_rows_are_pending(frame: pd.DataFrame) -> None:
    with batchframe.local.serve(answer=gold_answer) as server:
        server.pause()
        job = ask(frame).submit(client=server.client())
        labeled = frame.bf.join(job)
        assert not job.done
        assert set(labeled["bf_status"]) == {"pending"}
        assert labeled["label"].isna().all()
        with pytest.raises(bf.errors.JobTimeout, match="keeps running"):
            job.wait(timeout=0.3)
        server.resume()
        job.wait()
    assert frame.bf.join(job)["label"].notna().all()


def test_cancelling_keeps_what_was_finished(frame: pd.DataFrame) -> None:
    with batchframe.local.serve(answer=gold_answer) as server:
        server.pause(after=2)
        job = ask(frame).submit(client=server.client())
        job.cancel()
        server.resume()
        job.wait()
    labeled = frame.bf.join(job)
    assert job.status == "cancelled"
    assert set(labeled["bf_status"]) <= {"ok", "cancelled"}
    assert "cancelled" in set(labeled["bf_status"])
    answered = labeled[labeled["bf_status"] == "ok"]
    assert answered["label"].tolist() == [GOLD[text] for text in answered["text"]]
    assert sum(job.counts.values()) == len(frame)


def test_an_expired_job_keeps_its_answers_and_names_the_rest(frame: pd.DataFrame) -> None:
    with batchframe.local.serve(answer=gold_answer) as server:
        server.pause(after=2)
        job = ask(frame).submit(client=server.client())
        server.expire(job.batches[0].id)
        job.wait()
    labeled = frame.bf.join(job)
    assert job.status == "expired"
    assert set(labeled["bf_status"]) <= {"ok", "expired"}
    assert "expired" in set(labeled["bf_status"])
    assert labeled.loc[labeled["bf_status"] == "expired", "label"].isna().all()


def test_failed_rows_have_a_reason_and_the_others_their_answers() -> None:
    frame = pd.DataFrame({"text": ["lovely", "odd", "cut", "refused"]})

    def answer(body: dict[str, Any]) -> Any:
        text = body["messages"][-1]["content"]
        if text == "odd":
            raise batchframe.local.AnswerError(400, "too odd", code="invalid_prompt")
        message: dict[str, Any] = {"role": "assistant", "content": json.dumps({"label": "good"})}
        finish = "stop"
        if text == "cut":
            message["content"], finish = '{"lab', "length"
        if text == "refused":
            message = {"role": "assistant", "content": None, "refusal": "I cannot."}
        return {
            "object": "chat.completion",
            "choices": [{"message": message, "finish_reason": finish}],
        }

    with batchframe.local.serve(answer=answer) as server:
        requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["good", "bad"])
        job = requests.submit(client=server.client()).wait()
    labeled = frame.bf.join(job)
    assert labeled["bf_status"].tolist() == ["ok", "failed", "truncated", "refused"]
    assert labeled["label"].isna().tolist() == [False, True, True, True]
    assert "too odd" in labeled["bf_error"][1]
    assert "max_completion_tokens" in labeled["bf_error"][2]
    assert "I cannot." in labeled["bf_error"][3]


def test_an_answer_outside_the_labels_is_invalid_and_kept_raw() -> None:
    frame = pd.DataFrame({"text": ["a"]})
    with batchframe.local.serve(answer=lambda _: {"label": "meh"}) as server:
        requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["good", "bad"])
        job = requests.submit(client=server.client()).wait()
    row = frame.bf.join(job, details=True).loc[0]
    assert row["bf_status"] == "invalid"
    assert "meh" in row["bf_error"]
    assert row["bf_raw"] == '{"label":"meh"}'


def test_a_batch_that_fails_at_validation_gives_every_row_its_reason(frame: pd.DataFrame) -> None:
    limits = batchframe.local.Limits(requests=2)
    with batchframe.local.serve(limits=limits) as server:
        job = ask(frame).submit(client=server.client()).wait()
    assert job.status == "failed"
    assert job.counts == {"failed": 7}
    assert job.results()["bf_error"].str.contains("rejected").all()


def test_several_files_make_one_job(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, max_requests=2)
    with batchframe.local.serve(answer=gold_answer) as server:
        job = ask(frame).submit(client=server.client()).wait()
    assert len(server.ledger) == len(job.batches) == 3
    assert frame.bf.join(job)["label"].tolist() == [GOLD[text] for text in frame["text"]]


def test_dedupe_false_sends_duplicates_separately(frame: pd.DataFrame) -> None:
    answers = iter(range(7))
    with batchframe.local.serve(answer=lambda _: str(next(answers))) as server:
        requests = frame.bf.requests("{{ text }}", model="gpt-4.1", dedupe=False)
        assert len(requests) == 7
        job = requests.submit(client=server.client()).wait()
    labeled = frame.bf.join(job)
    assert sorted(labeled["response"]) == [str(n) for n in range(7)]
    pd.testing.assert_series_equal(labeled["response"], job.results()["response"])


def test_a_function_may_make_the_prompt(frame: pd.DataFrame) -> None:
    def prompt(row: Any) -> str | None:
        return None if row["other"] == 3 else f"Classify: {row['text']}"

    with batchframe.local.serve(answer=gold_answer) as server:
        requests = frame.bf.requests(
            prompt, model="gpt-4.1", output=["good", "bad"], on_missing="skip"
        )
        job = requests.submit("by function", client=server.client()).wait()
    labeled = frame.sample(frac=1, random_state=1).assign(new=1).bf.join("by function")
    has_prompt = labeled["other"] != 3
    assert labeled.loc[~has_prompt, "bf_status"].tolist() == ["skipped"]
    assert labeled.loc[has_prompt, "label"].tolist() == [
        GOLD[t] for t in labeled.loc[has_prompt, "text"]
    ]
    assert job.counts == {"ok": 6, "skipped": 1}


def test_an_empty_frame_gives_an_empty_typed_result_without_a_call() -> None:
    frame = pd.DataFrame({"text": pd.Series([], dtype="str")})
    job = ask(frame).submit()
    assert job.done
    joined = frame.bf.join(job)
    assert joined.columns.tolist() == ["text", "label", "bf_status", "bf_error"]
    assert joined["label"].cat.categories.tolist() == ["good", "bad"]
    assert len(joined) == 0


def test_usage_and_cost_add_up(frame: pd.DataFrame) -> None:
    with batchframe.local.serve(answer=gold_answer, count_tokens=lambda _: 1000) as server:
        job = ask(frame).submit(client=server.client()).wait()
    detailed = frame.bf.join(job, details=True).drop_duplicates("bf_custom_id")
    assert job.usage.input_tokens == 5000 == detailed["bf_input_tokens"].sum()
    assert job.usage.output_tokens == detailed["bf_output_tokens"].sum()
    # gpt-4.1 through the Batch API: 1 and 4 USD per million tokens.
    assert job.cost is not None
    assert float(job.cost) == pytest.approx(
        (5000 * 1 + job.usage.output_tokens * 4) / 1e6, rel=1e-12
    )


def test_an_async_client_raises_a_clear_error(frame: pd.DataFrame) -> None:
    client = openai.AsyncOpenAI(api_key="x", base_url="http://127.0.0.1:1/v1")
    with pytest.raises(bf.errors.ClientError, match="synchronous"):
        ask(frame).submit(client=client)


def test_numbers_come_back_as_nullable_numbers() -> None:
    frame = pd.DataFrame({"text": ["a", "b", "bad"]})

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        text = body["messages"][-1]["content"]
        stars: Any = "three" if text == "bad" else 3
        return {"stars": stars, "price": 1.5, "again": True, "why": "x", "tags": ["p", "q"]}

    fields = {
        "stars": {"type": "integer"},
        "price": {"type": "number"},
        "again": {"type": "boolean"},
        "why": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
    }
    with batchframe.local.serve(answer=answer) as server:
        job = (
            frame.bf.requests(
                "{{ text }}", model="gpt-4.1", output={"type": "object", "properties": fields}
            )
            .submit(client=server.client())
            .wait()
        )
    joined = frame.bf.join(job)
    assert [str(joined[name].dtype) for name in ("stars", "price", "again")] == [
        "Int64",
        "Float64",
        "boolean",
    ]
    assert joined["stars"].isna().tolist() == [False, False, True]
    assert joined["tags"][0] == ["p", "q"]
    assert joined["why"].dtype == frame["text"].dtype or str(joined["why"].dtype) == "string"
    assert np.isclose(joined["price"][0], 1.5)
