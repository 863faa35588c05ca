"""Every endpoint from submission to join, retry and recovery."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import batchframe as bf
import batchframe.local
from batchframe.errors import RequestError
from batchframe.local import AnswerError

TEXTS = ["one", "two", "three", "two", "four", "one"]


@dataclass(frozen=True)
class Case:
    """An endpoint, its requests, and answers that identify their row."""

    path: str
    model: str
    column: str
    more: dict[str, Any] = field(default_factory=dict)

    def ask(self, frame: pd.DataFrame, **more: Any) -> bf.Requests:
        options = {"model": self.model, "endpoint": self.path, **self.more, **more}
        return frame.bf.requests("{{ text }}", **options)

    def text_of(self, body: dict[str, Any]) -> str:
        """Return the prompt text of a request body."""
        content = body["messages"][-1]["content"] if "messages" in body else body.get("input")
        return str(content or body["prompt"])

    def answer(self, body: dict[str, Any]) -> Any:
        text = self.text_of(body)
        if self.column == "embedding":
            return [float(len(text)), float(ord(text[-1]))]
        if self.column == "flagged":
            return len(text) > 3
        return {"label": text} if self.column == "label" else f"said {text}"

    def expected(self, text: str) -> Any:
        """Return the expected value of the column for a string."""
        answer = self.answer({"input": text})
        return answer["label"] if isinstance(answer, dict) else answer

    def cells(self, frame: pd.DataFrame) -> list[Any]:
        column = frame[self.column]
        return [one.tolist() if isinstance(one, np.ndarray) else one for one in column]


LABELS = {"output": sorted(set(TEXTS))}
CASES = [
    Case("/v1/chat/completions", "gpt-5.6-luna", "label", LABELS),
    Case("/v1/responses", "gpt-5.6-luna", "label", LABELS),
    Case("/v1/responses", "gpt-5.6-luna", "response", {"system": "Be brief."}),
    Case("/v1/completions", "gpt-3.5-turbo-instruct", "response", {"max_tokens": 9}),
    Case("/v1/embeddings", "text-embedding-3-small", "embedding"),
    Case("/v1/moderations", "omni-moderation-latest", "flagged"),
]
every = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.path} {case.column}")


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({"text": TEXTS, "other": range(6)}, index=list("abcabc"))


@every
def test_every_row_gets_its_own_answer_in_any_order(case: Case, frame: pd.DataFrame) -> None:
    with batchframe.local.serve(answer=case.answer) as server:
        job = case.ask(frame).submit("whole", client=server.client()).wait()
    assert (job.counts, server.ledger[0].requests) == ({"ok": 6}, 4)
    before = frame.copy(deep=True)
    for sample in (frame, frame.sample(frac=1, random_state=1), frame.iloc[[3, 3, 0]]):
        joined = sample.bf.join("whole")
        assert case.cells(joined) == [case.expected(text) for text in sample["text"]]
        pd.testing.assert_index_equal(joined.index, sample.index)
    pd.testing.assert_frame_equal(frame, before)
    edited = frame.assign(text=frame["text"].replace("two", "new")).bf.join(job)
    assert edited["bf_status"].tolist() == ["ok", "missing", "ok", "missing", "ok", "ok"]
    assert edited[case.column].isna().tolist() == [False, True, False, True, False, False]


@every
def test_a_prompt_function_makes_the_same_requests(case: Case, frame: pd.DataFrame) -> None:
    options = {"model": case.model, "endpoint": case.path, **case.more}
    called = frame.bf.requests(lambda row: row["text"] if row["other"] else None, **options,
                               on_missing="skip")  # fmt: skip
    bodies = [line["body"] for line in case.ask(frame).preview(4)]
    assert sorted(map(case.text_of, bodies)) == sorted(
        case.text_of(line["body"]) for line in called.preview(9)
    )
    with batchframe.local.serve(answer=case.answer) as server:
        job = called.submit(client=server.client()).wait()
    joined = frame.iloc[::-1].bf.join(job)
    assert joined["bf_status"].tolist() == ["ok"] * 5 + ["skipped"]
    assert case.cells(joined)[:5] == [case.expected(text) for text in reversed(TEXTS[1:])]


@every
def test_failed_rows_are_sent_again_and_joined(case: Case, frame: pd.DataFrame) -> None:
    def answer(body: dict[str, Any]) -> Any:
        if case.text_of(body) == "two":
            return AnswerError(429, "You exceeded your quota.", code="insufficient_quota")
        return case.answer(body)

    with batchframe.local.serve(answer=answer) as server:
        job = case.ask(frame).submit("first", client=server.client()).wait()
    assert job.counts == {"ok": 4, "failed": 2}
    assert frame.bf.join(job)[case.column].isna().sum() == 2
    with batchframe.local.serve(answer=case.answer) as server:
        again = job.unanswered().submit(client=server.client()).wait()
    assert server.ledger[0].requests == 1
    joined = frame.bf.join(job, again, details=True)
    assert case.cells(joined) == [case.expected(text) for text in TEXTS]
    assert joined["bf_status"].tolist() == ["ok"] * 6


@every
def test_a_job_is_recovered_into_an_empty_folder(case: Case, frame: pd.DataFrame) -> None:
    with batchframe.local.serve(answer=case.answer) as server:
        client = server.client()
        more = {"user": "u", "metadata": {"a": "b"}}
        lost_job = case.ask(frame, **more).submit("lost", client=client).wait()
        before = lost_job.results(details=True).drop_duplicates("bf_custom_id")
        shutil.rmtree(lost_job.folder)
        [job] = bf.recover(client)
        results = job.wait().results(details=True)
        assert (job.id, results.columns.tolist()) == (lost_job.id, before.columns.tolist())
        assert case.cells(results) == case.cells(before)
        again = case.ask(frame, **more).submit("lost", client=client)
        assert (again.id, len(server.ledger)) == (job.id, 1)
    assert case.cells(frame.bf.join("lost")) == [case.expected(text) for text in TEXTS]


@every
def test_answered_requests_are_not_sent_again(case: Case, frame: pd.DataFrame) -> None:
    with batchframe.local.serve(answer=case.answer) as server:
        client = server.client()
        case.ask(frame.iloc[:2]).submit(client=client).wait()
        assert case.ask(frame).estimate(client=client).requests == 2
        job = case.ask(frame).submit(client=client).wait()
        assert case.ask(frame).estimate(client=client).requests == 0
    assert [batch.requests for batch in server.ledger] == [2, 2]
    assert case.cells(job.results()) == [case.expected(text) for text in TEXTS]


@every
def test_a_pilot_sends_a_few_and_the_batch_the_rest(case: Case, frame: pd.DataFrame) -> None:
    free = {"prices": {tier: {"input": 0, "output": 0} for tier in ("batch", "standard")}}
    with batchframe.local.serve(answer=case.answer) as server:
        client = server.client()
        pilot = case.ask(frame).pilot(n=2, client=client, **free)
        job = case.ask(frame).submit(client=client, **free).wait()
    texts = [text for text in TEXTS if any(text in prompt for prompt in pilot.frame["bf_prompt"])]
    assert case.cells(pilot.frame) == [case.expected(text) for text in texts]
    assert server.ledger[0].requests == 2
    assert case.cells(job.results()) == [case.expected(text) for text in TEXTS]


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("/v1/chat/completion", "Did you mean '/v1/chat/completions'"),
        ("/v1/images/variations", "Did you mean '/v1/images/edits'"),
        ("/v1/messages", "Did you mean '/v1/chat/completions'"),
        ("/v1/embed", "Did you mean '/v1/embeddings'"),
        ("/v1/images", "Did you mean '/v1/images/generations'"),
        ("/v1/audio/transcriptions", "sends no audio .* transcribe first"),
        ("/v1/audio/speech", "sends no audio"),
        ("/v1/fine_tuning/jobs", "^endpoint: not supported .*jobs'.*Fix: use one of"),
    ],
)
def test_an_unknown_endpoint_names_the_one_that_is_nearest_in_meaning(
    endpoint: str, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1", endpoint=endpoint)


@pytest.mark.parametrize("path", ["/v1/images/variations", "/v1/audios", "x"])
def test_an_unsupported_endpoint_is_refused_with_a_list(path: str) -> None:
    with pytest.raises(RequestError, match="endpoint: not supported") as excinfo:
        pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="m", endpoint=path)
    assert "'/v1/embeddings'" in str(excinfo.value)


def test_jobs_with_different_answer_columns_are_not_joined_together(frame: pd.DataFrame) -> None:
    with batchframe.local.serve() as server:
        client = server.client()
        jobs = [CASES[i].ask(frame).submit(client=client).wait() for i in (2, 4)]
    with pytest.raises(bf.errors.ColumnError, match="embedding"):
        frame.bf.join(*jobs)


def test_jobs_of_two_endpoints_with_equal_columns_join_together(frame: pd.DataFrame) -> None:
    chat, responses = CASES[0], CASES[1]
    with batchframe.local.serve(answer=lambda _: AnswerError(400, "no")) as server:
        failed = chat.ask(frame).submit(client=server.client()).wait()
    with batchframe.local.serve(answer=responses.answer) as server:
        job = responses.ask(frame).submit(client=server.client()).wait()
    assert frame.bf.join(failed, job)["label"].tolist() == TEXTS


def test_an_answer_cache_of_an_earlier_version_is_rebuilt(frame: pd.DataFrame) -> None:
    case = CASES[4]
    with batchframe.local.serve(answer=case.answer) as server:
        job = case.ask(frame).submit("old", client=server.client()).wait()
    before = case.cells(job.results())
    path = job.folder / "answers.parquet"
    old = pq.read_table(path)
    old_columns = old.drop_columns(["vector", "tool_calls", "reasoning", "reasoning_tokens"])
    pq.write_table(old_columns.replace_schema_metadata(old.schema.metadata), path)
    assert case.cells(bf.job("old").results()) == before
