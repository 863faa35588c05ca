"""Resubmission of unanswered requests."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from tests.support.profiles import change_local

TEXTS = [f"text {i}" for i in range(12)]


class FailingModel:
    """Fails for chosen strings, and counts its calls."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        self.prompts: list[str] = []

    def __call__(self, body: dict[str, Any]) -> Any:
        text = body["messages"][-1]["content"]
        self.prompts.append(text)
        if text in self.failing:
            return batchframe.local.AnswerError(429, "No money.", code="insufficient_quota")
        return f"re: {text}"


def requests_of(frame: pd.DataFrame, **options: Any) -> bf.Requests:
    return frame.bf.requests("{{ text }}", model="gpt-4.1", max_completion_tokens=99, **options)


def test_only_failed_rows_are_sent_again() -> None:
    frame = pd.DataFrame({"text": [*TEXTS, *TEXTS[:4]]}, index=range(100, 116))
    model = FailingModel("text 2", "text 7")
    with batchframe.local.serve(answer=model) as server:
        client = server.client()
        job = requests_of(frame).submit("money", client=client).wait()
        assert job.counts == {"ok": 13, "failed": 3}
        again = job.unanswered()
        assert (len(again), again.rows, again.model) == (2, 3, "gpt-4.1")
        assert again.estimate(client=client).requests == 2
        assert again.estimate(client=client).input_tokens.high > 0
        assert "text 2" in repr(again)
        model.failing.clear()
        model.prompts.clear()
        second = again.submit("more money", client=client, max_cost=1).wait()
        assert sorted(model.prompts) == ["text 2", "text 7"]
        assert second.counts == {"ok": 3}
        joined = frame.bf.join(job, second)
        assert joined["response"].tolist() == [f"re: {text}" for text in frame["text"]]
        assert joined.index.tolist() == frame.index.tolist()
        # A rerun finds the same job, at no cost.
        assert bf.job("money").unanswered().submit(client=client).id == second.id
        assert len(server.ledger) == 2


def test_the_status_of_a_retried_row_comes_from_the_later_job() -> None:
    frame = pd.DataFrame({"text": TEXTS})
    replies: dict[str, list[Any]] = {
        "text 2": [batchframe.local.AnswerError(500, "It broke."), {"label": "?"}],
        "text 5": [{"label": "??"}, {"label": "+"}],
    }

    def answer(body: dict[str, Any]) -> Any:
        later = replies.get(body["messages"][-1]["content"])
        return later.pop(0) if later else {"label": "+"}

    with batchframe.local.serve(answer=answer) as server:
        requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
        job = requests.submit(client=server.client()).wait()
        again = job.unanswered().submit(client=server.client()).wait()
    for jobs in ([job, again], [again, job]):
        joined = frame.bf.join(*jobs, details=True)
        assert joined["bf_status"].iloc[[1, 2, 5]].tolist() == ["ok", "invalid", "invalid"]
        assert joined["bf_raw"].iloc[[2, 5]].tolist() == ['{"label":"?"}', '{"label":"??"}']


def test_unanswered_needs_only_the_job_folder() -> None:
    model = FailingModel(*TEXTS)
    with batchframe.local.serve(answer=model) as server:
        frame = pd.DataFrame({"text": TEXTS})
        folder = requests_of(frame).submit(client=server.client()).wait().folder
        model.failing.clear()
        # All rows: the same content, but a separate job.
        again = bf.job(folder).unanswered().submit(client=server.client()).wait()
        assert again.id != folder.name
        assert again.counts == {"ok": 12}
        assert again.unanswered().rows == 0


def test_pending_rows_are_not_included() -> None:
    with batchframe.local.serve(answer=FailingModel()) as server:
        server.pause()
        job = requests_of(pd.DataFrame({"text": TEXTS})).submit(client=server.client())
        assert len(job.unanswered()) == 0
        assert job.unanswered().submit(client=server.client()).counts == {}
        job.cancel()
        server.resume()
        assert job.wait().counts == {"cancelled": 12}
        assert len(job.unanswered()) == 12


def test_billed_answers_are_sent_again_only_if_named() -> None:
    with batchframe.local.serve(answer=lambda _: "no JSON") as server:
        requests = requests_of(pd.DataFrame({"text": TEXTS}), output=["+", "-"])
        job = requests.submit(client=server.client()).wait()
        assert job.counts == {"invalid": 12}
        assert len(job.unanswered()) == 0
        assert len(job.unanswered(also=["invalid"])) == len(job.unanswered(also="invalid")) == 12
        with pytest.raises(
            bf.errors.RequestError, match=r"also: not .*refused, truncated, invalid"
        ):
            job.unanswered(also=["ok"])


def test_answers_to_a_prompt_function_join_too() -> None:
    model = FailingModel("text 3")
    frame = pd.DataFrame({"text": TEXTS})
    with batchframe.local.serve(answer=model) as server:
        requests = frame.bf.requests(lambda row: row["text"], model="gpt-4.1")
        job = requests.submit(client=server.client()).wait()
        model.failing.clear()
        again = job.unanswered().submit(client=server.client()).wait()
        joined = frame.iloc[::-1].bf.join(job, again)
    assert joined["response"].tolist() == [f"re: {text}" for text in reversed(TEXTS)]


def test_a_changed_input_file_is_not_sent_again() -> None:
    with batchframe.local.serve(answer=FailingModel(*TEXTS)) as server:
        requests = requests_of(pd.DataFrame({"text": TEXTS}))
        job = requests.submit("spoilt", client=server.client()).wait()
        path = job.folder / "input-000.jsonl"
        path.write_bytes(path.read_bytes().replace(b"text 3", b"text X"))
        with pytest.raises(bf.errors.JobError, match=r"input-000\.jsonl"):
            job.unanswered()


def test_only_the_unanswered_lines_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, max_requests=1)
    model = FailingModel("text 0", "text 5", "text 11")
    with batchframe.local.serve(answer=model) as server:
        frame = pd.DataFrame({"text": TEXTS})
        job = requests_of(frame).submit(client=server.client()).wait()
        lines = job.unanswered().preview(10)
    prompts = [line["body"]["messages"][0]["content"] for line in lines]
    assert prompts == ["text 0", "text 5", "text 11"]


def test_pending_rows_are_reported_and_not_sent_again(
    capfd: pytest.CaptureFixture[str],
) -> None:
    frame = pd.DataFrame({"text": TEXTS})
    with batchframe.local.serve(answer=FailingModel()) as server:
        server.pause()
        job = requests_of(frame).submit("early", client=server.client())
        none = job.unanswered()
        err = capfd.readouterr().err
        server.resume()
        job.wait()
        capfd.readouterr()
        job.unanswered()
        assert "pending" not in capfd.readouterr().err
    assert "Job 'early' is not done: 12 rows are pending" in err
    assert len(none) == 0
    assert repr(none) == "Nothing to send to gpt-4.1"


def test_the_new_job_is_named_after_the_first_unless_named() -> None:
    model = FailingModel("text 2", "text 7")
    with batchframe.local.serve(answer=model) as server:
        client = server.client()
        job = requests_of(pd.DataFrame({"text": TEXTS})).submit("money", client=client).wait()
        again = job.unanswered().submit(client=client).wait()
        assert bf.job("money, again").id == again.id
        with pytest.warns(bf.errors.NamesakeWarning, match="also found as 'now'"):
            job.unanswered().submit("now", client=client)
        # A rerun without a name keeps the given one.
        assert job.unanswered().submit(client=client).name == "now"
        assert again.unanswered().submit(client=client).name == "now, again"
        other = requests_of(pd.DataFrame({"text": ["text 2"]})).submit(client=client, rerun="b")
        left = other.wait().unanswered()
        assert left.submit(client=client, reuse=False).name is None


def test_with_nothing_unanswered_a_notice_names_the_alternatives(
    capsys: pytest.CaptureFixture[str],
) -> None:
    replies = {"text 1": {"label": "?"}}
    with batchframe.local.serve(
        answer=lambda body: replies.get(body["messages"][-1]["content"], {"label": "+"})
    ) as server:
        requests = requests_of(pd.DataFrame({"text": TEXTS}), output=["+", "-"])
        job = requests.submit("tone", client=server.client()).wait()
        capsys.readouterr()
        unanswered = job.unanswered()
        err = capsys.readouterr().err
        assert "Job 'tone' has no unanswered rows." in err
        step = "bf.job('tone').unanswered(also=['invalid'])"
        assert f"To send 1 invalid row again: {step}." in err
        job.unanswered(also=["invalid"])
        assert capsys.readouterr().err == ""
        # As for an empty frame: no call, and a job that is done.
        before = len(server.ledger)
        again = unanswered.submit().wait()
    assert len(server.ledger) == before
    assert (again.done, again.counts, again.name) == (True, {}, "tone, again")
    assert "0 of 0" not in capsys.readouterr().err + repr(again)
    assert repr(again).startswith("Job tone, again: completed, nothing to send\n")
    joined = pd.DataFrame({"text": TEXTS}).bf.join(job, again)
    assert sorted(joined["bf_status"]) == ["invalid"] + ["ok"] * 11
