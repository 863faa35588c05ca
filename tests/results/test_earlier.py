"""Reuse of earlier answers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batchframe as bf
import batchframe.local
from batchframe.local import Fault
from tests.support.examples import examples
from tests.support.profiles import change_local

WORDS = [f"review number {i}" for i in range(30)]


def ask(texts: list[str], **options: Any) -> bf.Requests:
    frame = pd.DataFrame({"text": texts})
    return frame.bf.requests("{{ text }}", model="gpt-4.1", **options)


@pytest.fixture
def echo() -> Iterator[batchframe.local.Server]:
    with batchframe.local.serve(answer=lambda body: body["messages"][0]["content"]) as running:
        yield running


def paid(server: batchframe.local.Server) -> int:
    return sum(batch.requests for batch in server.ledger)


def test_only_added_rows_are_billed(echo: batchframe.local.Server) -> None:
    client = echo.client()
    ask(WORDS[:20]).submit("first", client=client).wait()
    requests = ask([*reversed(WORDS[:20]), *WORDS[20:]])
    estimate = requests.estimate(client=client)
    assert (estimate.requests, estimate.reused) == (10, 20)
    job = requests.submit("second", client=client).wait()
    assert paid(echo) == 30
    results = job.results()
    assert results["bf_status"].eq("ok").all()
    assert results["response"].tolist() == [*reversed(WORDS[:20]), *WORDS[20:]]


def test_an_answered_frame_costs_nothing(echo: batchframe.local.Server) -> None:
    client = echo.client()
    ask(WORDS).submit("all", client=client).wait()
    requests = ask(WORDS[5:9])
    estimate = requests.estimate(client=client)
    assert (estimate.requests, estimate.reused, estimate.files) == (0, 4, 0)
    assert estimate.cost.high == 0
    job = requests.submit("part", client=client, max_cost=0)
    assert (job.status, job.done, job.counts, job.cost) == ("completed", True, {"ok": 4}, 0)
    assert job.usage.input_tokens == 0
    assert job.results()["response"].tolist() == WORDS[5:9]
    assert len(echo.ledger) == 1
    assert ask(WORDS[5:9]).submit(client=client).id == job.id


def test_reused_answers_remain_after_their_job_is_deleted(
    echo: batchframe.local.Server,
) -> None:
    client = echo.client()
    first = ask(WORDS[:3]).submit(client=client).wait()
    second = ask(WORDS[:5]).submit(client=client).wait()
    shutil.rmtree(first.folder)
    (second.folder / "answers.parquet").unlink()
    again = bf.job(second.folder)
    assert again.results()["response"].tolist() == WORDS[:5]
    assert again.cost == second.cost
    (second.folder / "answers.parquet").unlink()
    (second.folder / "reused.parquet").write_bytes(b"PAR1")
    with pytest.raises(bf.errors.JobError, match=r"reused\.parquet"):
        bf.job(second.folder).results()


@pytest.mark.parametrize(
    ("options", "request_count"),
    [({}, 2), ({"reuse": False}, 12), ({"rerun": "again"}, 12)],
    ids=["reuse", "reuse=False", "rerun="],
)
def test_an_answer_is_billed_again_only_on_request(
    options: dict[str, Any], request_count: int, echo: batchframe.local.Server
) -> None:
    client = echo.client()
    ask(WORDS[:10]).submit(client=client).wait()
    ask(WORDS[:12]).submit(client=client, **options).wait()
    assert paid(echo) == 10 + request_count


def test_rows_repeated_with_dedupe_false_are_each_sent(echo: batchframe.local.Server) -> None:
    client = echo.client()
    ask(["a"]).submit(client=client).wait()
    ask(["a", "a", "a"], dedupe=False).submit(client=client).wait()
    assert paid(echo) == 4


@pytest.mark.parametrize(
    "other",
    [{"model": "gpt-4.1-mini"}, {"temperature": 0}, {"system": "Be brief."}],
    ids=lambda how: next(iter(how)),
)
def test_answers_to_other_requests_are_not_reused(
    other: dict[str, Any], echo: batchframe.local.Server
) -> None:
    client = echo.client()
    ask(WORDS[:3]).submit(client=client).wait()
    frame = pd.DataFrame({"text": WORDS[:3]})
    frame.bf.requests("{{ text }}", **{"model": "gpt-4.1", **other}).submit(client=client).wait()
    assert paid(echo) == 6


def test_answers_of_another_account_are_not_reused(echo: batchframe.local.Server) -> None:
    first = ask(WORDS[:3]).submit(client=echo.client()).wait()
    # Another project's key does not see the batch.
    path = f"GET /v1/batches/{first.batches[0].id}"
    missing = {"error": {"message": "No batch found.", "type": "invalid_request_error"}}
    echo.faults.add(batchframe.local.Fault(path, 404, body=missing, times=9))
    other = openai.OpenAI(base_url=echo.url, api_key="x", project="proj_other")
    ask(WORDS[:4]).submit(client=other).wait()
    assert paid(echo) == 7


def test_failed_and_invalid_answers_are_not_reused() -> None:
    replies = iter(['{"label": "+"}', "no JSON", batchframe.local.AnswerError(400, "No.")])
    with batchframe.local.serve(answer=lambda _: next(replies, '{"label": "-"}')) as server:
        client = server.client()
        labels = {"output": ["+", "-"]}
        first = ask(["a", "b", "c"], **labels).submit(client=client).wait()
        assert first.counts == {"ok": 1, "invalid": 1, "failed": 1}
        second = ask(["a", "b", "c", "d"], **labels).submit(client=client).wait()
        assert second.counts == {"ok": 4}
        # Answered requests are billed: "a" and "b", then "b", "c" and "d".
        assert [batch.requests for batch in server.ledger] == [2, 3]


def test_requests_running_in_another_job_are_not_billed_twice(
    echo: batchframe.local.Server,
) -> None:
    client = echo.client()
    echo.pause()
    first = ask(WORDS[:5]).submit("first", client=client)
    larger = ask(WORDS[:7])
    with pytest.raises(bf.errors.RequestError, match=r"5 in job 'first'.*bf\.job\('first'\)"):
        larger.submit(client=client)
    assert len(bf.jobs()) == 1
    echo.resume()
    first.wait()
    assert larger.submit(client=client).wait().counts == {"ok": 7}
    assert paid(echo) == 7


def test_an_earlier_job_that_cannot_be_read_is_left_out_with_a_warning(
    echo: batchframe.local.Server,
) -> None:
    client = echo.client()
    first = ask(WORDS[:2]).submit("first", client=client).wait()
    (first.folder / "rows.parquet").write_bytes(b"not parquet")
    with pytest.warns(UserWarning, match=r"rows\.parquet"):
        job = ask(WORDS[:3]).submit(client=client).wait()
    assert job.counts == {"ok": 3}


@settings(max_examples=examples(15))
@given(
    picks=st.lists(st.lists(st.integers(0, 11), min_size=1, max_size=14), min_size=1, max_size=4)
)
def test_each_text_is_billed_once_over_any_sequence_of_frames(
    picks: list[list[int]], echo: batchframe.local.Server, tmp_path_factory: Any
) -> None:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHFRAME_HOME", str(home))
        before = paid(echo)
        for pick in picks:
            texts = [f"{home.name} {WORDS[i]}" for i in pick]
            job = ask(texts).submit(client=echo.client()).wait()
            assert job.results()["response"].tolist() == texts
        assert paid(echo) - before == len(set(np.concatenate(picks).tolist()))


def killed_before_create(requests: bf.Requests, name: str, client: Any) -> None:
    """Leave a job as if the kernel died between upload and create."""

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batchframe._jobs.submission._create", die)
        with pytest.raises(Killed):
            requests.submit(name, client=client)


def test_an_unsent_job_is_divided_again_by_its_rerun_cell(
    echo: batchframe.local.Server,
) -> None:
    client = echo.client()
    killed_before_create(ask(WORDS[:6]), "first", client)
    ask(WORDS[4:9]).submit("second", client=client).wait()
    job = ask(WORDS[:6]).submit("first", client=client).wait()
    assert job.results()["response"].tolist() == WORDS[:6]
    assert paid(echo) == 9


def test_resuming_requests_that_others_sent_since_is_refused_with_a_fix(
    echo: batchframe.local.Server,
) -> None:
    client = echo.client()
    killed_before_create(ask(WORDS[:6]), "first", client)
    ask(WORDS[4:9]).submit("second", client=client).wait()
    first = bf.job("first", client=client)
    with pytest.raises(bf.errors.SubmissionError, match=r"2 in job 'second'.*\.cancel\(\)"):
        first.resume()
    again = first.cancel().unanswered().submit(client=client).wait()
    assert again.results()["response"].tolist() == WORDS[:6]
    assert paid(echo) == 9
    assert first.status == "cancelled"


def test_resuming_requests_that_others_sent_since_is_billed_twice_on_request(
    echo: batchframe.local.Server,
) -> None:
    client = echo.client()
    killed_before_create(ask(WORDS[:6]), "first", client)
    ask(WORDS[4:9]).submit("second", client=client).wait()
    bf.job("first", client=client).resume(recreate=True).wait()
    assert paid(echo) == 11


def test_an_uncertain_batch_is_reconciled_before_anything_is_refused(
    echo: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_local(monkeypatch, max_requests=1, settle=0.1)
    client = echo.client()
    # The first batch is created with a lost response; the second file is sent by another job.
    echo.faults.add(Fault("POST /v1/batches", "close", after=True))
    echo.faults.add(Fault("GET /v1/batches", "lag", seconds=60))
    with pytest.raises(bf.errors.SubmissionUncertain):
        ask(WORDS[:2]).submit("first", client=client)
    ask(WORDS[1:3]).submit("second", client=client).wait()
    echo.faults.clear()
    first = bf.job("first", client=client)
    with pytest.raises(bf.errors.SubmissionError, match="1 in job 'second'"):
        first.resume()
    assert first.cancel().wait().counts == {"ok": 1, "cancelled": 1}
    assert paid(echo) == 3


def test_an_invalid_answer_does_not_delay_other_rows() -> None:
    replies = iter(["no JSON", '{"label": "+"}'])
    labels = {"output": ["+", "-"]}
    with batchframe.local.serve(answer=lambda _: next(replies, '{"label": "-"}')) as server:
        client = server.client()
        ask(["a", "b"], **labels).submit("first", client=client).wait()
        broke = {"error": {"message": "No money.", "code": "insufficient_quota"}}
        server.faults.add(Fault("POST /v1/batches", 429, body=broke))
        with pytest.raises(bf.errors.SubmissionError, match="insufficient_quota"):
            ask(["a", "b", "c"], **labels).submit("second", client=client)
        assert ask(["a", "b", "c"], **labels).submit("second", client=client).wait().counts == {
            "ok": 3
        }
