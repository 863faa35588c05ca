"""The cost of each row; the sum is the cost of the job."""

from __future__ import annotations

import decimal
import itertools
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchframe as bf
import batchframe.local
from batchframe._results import billing, join
from tests.support.result_files import read_table

BODIES: dict[str, dict[str, Any]] = {
    "good": {"choices": [{"message": {"content": '{"label":"+"}'}, "finish_reason": "stop"}]},
    "cut": {"choices": [{"message": {"content": '{"la'}, "finish_reason": "length"}]},
    "odd": {"choices": [{"message": {"content": "no JSON"}, "finish_reason": "stop"}]},
    "no": {"choices": [{"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}]},
    "empty": {"choices": []},
    "strange": {},
}
USAGE = {
    "prompt_tokens": 1_000,
    "completion_tokens": 100,
    "prompt_tokens_details": {"cached_tokens": 600},
    "completion_tokens_details": {"reasoning_tokens": 50},
}
# 400 fresh and 600 cached input tokens and 100 of output, at gpt-5.6-luna's batch prices.
EACH = Decimal("0.000040") + Decimal("0.000006") + Decimal("0.000060")


def answer(body: dict[str, Any]) -> Any:
    text = body["messages"][-1]["content"]
    if text == "failed":
        return batchframe.local.AnswerError(400, "too odd")
    # The tier in the line is not the billed tier.
    completion = {"object": "chat.completion", "service_tier": "default", "usage": USAGE}
    return {**completion, **BODIES[text]}


TEXTS = ["good", "cut", "good", "odd", "no", "empty", None, "failed", "good", "strange"]
FRAME = pd.DataFrame({"text": pd.Series(TEXTS, dtype="str")}).set_axis(list("abcdefghij"))


@pytest.fixture
def job() -> bf.Job:
    with batchframe.local.serve(answer=answer) as server:
        requests = FRAME.bf.requests(
            "{{ text }}", model="gpt-5.6-luna", output=["+", "-"], on_missing="skip"
        )
        return requests.submit("odd ones", client=server.client()).wait()


def test_every_line_with_usage_is_billed(job: bf.Job) -> None:
    rows = job.results(details=True)
    assert rows["bf_status"].tolist()[:6] == ["ok", "truncated", "ok", "invalid", "refused",
        "invalid"]  # fmt: skip
    paid = {text: [*costs] for text, costs in rows.groupby(FRAME["text"].to_numpy())["bf_cost"]}
    assert paid.pop("good") == [EACH, 0, 0]
    assert paid.pop("failed") == [0]
    assert paid == {text: [EACH] for text in BODIES if text != "good"}
    assert job.cost == 6 * EACH


def test_rows_add_up_to_the_job_in_results_and_in_any_order_of_the_frame(job: bf.Job) -> None:
    rows = job.results(details=True)
    assert rows["bf_cost"].dtype == object
    assert rows["bf_cost"].sum() == job.cost
    assert rows["bf_cost"].isna().tolist() == [text is None for text in TEXTS]
    shuffled = FRAME.sample(frac=1, random_state=3).bf.join(job, details=True)
    assert shuffled["bf_cost"].sum() == job.cost
    assert shuffled.groupby("bf_status", observed=True)["bf_cost"].sum().sum() == job.cost
    # A subset of the frame costs the sum of its requests.
    part = FRAME.loc[["c", "i", "d"]].bf.join(job, details=True)
    assert part["bf_cost"].tolist() == [EACH, 0, EACH]


def test_the_costs_of_two_jobs_for_a_row_are_added(job: bf.Job) -> None:
    with batchframe.local.serve(answer=lambda _: {**answer_of("good")}) as server:
        again = job.unanswered(also=["truncated", "invalid"]).submit(client=server.client()).wait()
    joined = FRAME.bf.join(job, again, details=True)
    assert again.cost
    assert joined["bf_cost"].sum() == (job.cost or 0) + again.cost  # type: ignore[operator]
    assert joined["bf_cost"]["b"] == 2 * EACH


def answer_of(text: str) -> dict[str, Any]:
    return {"object": "chat.completion", "usage": USAGE, **BODIES[text]}


def test_a_reused_answer_costs_nothing() -> None:
    with batchframe.local.serve(answer=lambda _: answer_of("good")) as server:
        client = server.client()

        def ask(texts: list[str]) -> bf.Job:
            frame = pd.DataFrame({"text": texts})
            requests = frame.bf.requests("{{ text }}", model="gpt-5.6-luna", output=["+", "-"])
            return requests.submit(client=client).wait()

        first, second = ask(["a", "b"]), ask(["b", "c", "a"])
    assert second.cost == EACH
    assert second.results(details=True)["bf_cost"].tolist() == [0, EACH, 0]
    assert first.cost == 2 * EACH


def test_costs_round_trip_through_parquet_exactly(job: bf.Job, tmp_path: Any) -> None:
    rows = job.results(details=True)
    rows.to_parquet(tmp_path / "rows.parquet")
    assert pd.read_parquet(tmp_path / "rows.parquet")["bf_cost"].sum() == job.cost


def test_given_prices_apply_to_rows_including_cached_input(
    server: batchframe.local.Server,
) -> None:
    prices = {"input": "3", "cached_input": "0.123456789", "output": "7"}
    with batchframe.local.serve(answer=lambda _: answer_of("good")) as running:
        requests = FRAME.head(1).bf.requests("{{ text }}", model="my-model", output=["+", "-"])
        job = requests.submit(client=running.client(), prices=prices).wait()
    paid = Decimal("0.0012") + 600 * Decimal("0.000000123456789") + Decimal("0.0007")
    assert job.results(details=True)["bf_cost"].tolist() == [paid]
    assert job.cost == paid
    unpriced = requests.submit("no price", client=server.client(), rerun="x").wait()
    assert unpriced.cost is None
    assert unpriced.results(details=True)["bf_cost"].isna().all()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the answers of a job with nine rows and six requests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHFRAME_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        texts = [*"abcabdaef", None]
        frame = pd.DataFrame({"text": pd.Series(texts, dtype="str")})
        with batchframe.local.serve(answer=lambda _: {"label": "+"}) as server:
            requests = frame.bf.requests(
                "{{ text }}", model="gpt-5.6-luna", output=["+"], on_missing="skip"
            )
            job = requests.submit(client=server.client()).wait()
        return job._answers(job._record)


STATED = st.none() | st.integers(0, 2**40)


@given(usage=st.lists(st.tuples(STATED, STATED, STATED), min_size=6, max_size=6))
def test_rows_add_up_to_the_job_whatever_usage_the_service_states(
    answers: Any, usage: list[tuple[int | None, int | None, int | None]]
) -> None:
    table = answers.answers
    names = ("input_tokens", "output_tokens", "cached_tokens")
    for name, column in zip(names, itertools.zip_longest(*usage), strict=True):
        position = table.column_names.index(name)
        table = table.set_column(position, name, pa.array(column, pa.int64()))
    changed = replace(answers, answers=table)
    rows = join.ledger(billing.billed(changed), details=True)["bf_cost"]
    with decimal.localcontext(prec=60):
        assert sum(cost for cost in rows if cost is not None) == billing.job_cost(changed)


def test_a_failed_line_with_usage_is_billed(tmp_path: Any) -> None:

    body = {"error": {"message": "stopped halfway"}, "usage": USAGE}
    lines = [
        {"custom_id": "a", "response": {"status_code": 500, "body": body}, "error": None},
        {"custom_id": "b", "response": {"status_code": 500, "body": {"usage": [1]}}},
        {"custom_id": "c", "response": {"status_code": 500, "body": "busy"}},
    ]
    file = tmp_path / "errors.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    table = read_table([file], ["a", "b", "c"])
    assert table["status"].to_pylist() == ["failed"] * 3
    assert table["input_tokens"].to_pylist() == [1_000, None, None]
    assert table["cached_tokens"].to_pylist() == [600, None, None]
