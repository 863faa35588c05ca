"""Only what is unanswered is asked again."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from tests.support.profiles import change_local

TEXTS = [f"text {i}" for i in range(12)]


class Moody:
    """Fails for chosen strings, and counts its calls."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        self.asked: list[str] = []

    def __call__(self, body: dict[str, Any]) -> Any:
        text = body["messages"][-1]["content"]
        self.asked.append(text)
        if text in self.failing:
            return batchframe.local.AnswerError(429, "No money.", code="insufficient_quota")
        return f"re: {text}"


def requests_of(frame: pd.DataFrame, **more: Any) -> bf.Requests:
    return frame.bf.requests("{{ text }}", model="gpt-4.1", max_completion_tokens=99, **more)


def test_rows_that_failed_are_asked_again_and_no_other() -> None:
    frame = pd.DataFrame({"text": [*TEXTS, *TEXTS[:4]]}, index=range(100, 116))
    moody = Moody("text 2", "text 7")
    with batchframe.local.serve(answer=moody) as server:
        client = server.client()
        job = requests_of(frame).submit("money", client=client).wait()
        assert job.counts == {"ok": 13, "failed": 3}
        again = job.unanswered()
        assert (len(again), again.rows, again.model) == (2, 3, "gpt-4.1")
        assert again.estimate(client=client).requests == 2
        assert again.estimate(client=client).input_tokens.high > 0
        assert "text 2" in repr(again)
        moody.failing.clear()
        moody.asked.clear()
        second = again.submit("more money", client=client, max_cost=1).wait()
        assert sorted(moody.asked) == ["text 2", "text 7"]
        assert second.counts == {"ok": 3}
        joined = frame.bf.join(job, second)
        assert joined["response"].tolist() == [f"re: {text}" for text in frame["text"]]
        assert joined.index.tolist() == frame.index.tolist()
        # The cell runs again: the same job, nothing more is paid.
        assert bf.job("money").unanswered().submit(client=client).id == second.id
        assert len(server.ledger) == 2


def test_what_became_of_a_row_is_told_by_the_job_that_asked_it_again() -> None:
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


def test_it_needs_no_frame_and_works_in_a_new_kernel_from_the_folder() -> None:
    moody = Moody(*TEXTS)
    with batchframe.local.serve(answer=moody) as server:
        frame = pd.DataFrame({"text": TEXTS})
        folder = requests_of(frame).submit(client=server.client()).wait().folder
        moody.failing.clear()
        # All of them: the same content, and a job of its own nevertheless.
        again = bf.job(folder).unanswered().submit(client=server.client()).wait()
        assert again.id != folder.name
        assert again.counts == {"ok": 12}
        assert again.unanswered().rows == 0


def test_a_job_whose_rows_still_wait_gives_only_those_that_ended() -> None:
    with batchframe.local.serve(answer=Moody()) as server:
        server.pause()
        job = requests_of(pd.DataFrame({"text": TEXTS})).submit(client=server.client())
        assert len(job.unanswered()) == 0
        assert job.unanswered().submit(client=server.client()).counts == {}
        job.cancel()
        server.resume()
        assert job.wait().counts == {"cancelled": 12}
        assert len(job.unanswered()) == 12


def test_answers_that_were_billed_are_asked_again_only_when_named() -> None:
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


def test_prompts_that_a_function_made_join_too() -> None:
    moody = Moody("text 3")
    frame = pd.DataFrame({"text": TEXTS})
    with batchframe.local.serve(answer=moody) as server:
        requests = frame.bf.requests(lambda row: row["text"], model="gpt-4.1")
        job = requests.submit(client=server.client()).wait()
        moody.failing.clear()
        again = job.unanswered().submit(client=server.client()).wait()
        joined = frame.iloc[::-1].bf.join(job, again)
    assert joined["response"].tolist() == [f"re: {text}" for text in reversed(TEXTS)]


def test_an_input_file_that_was_changed_is_not_sent_again() -> None:
    with batchframe.local.serve(answer=Moody(*TEXTS)) as server:
        requests = requests_of(pd.DataFrame({"text": TEXTS}))
        job = requests.submit("spoilt", client=server.client()).wait()
        path = job.folder / "input-000.jsonl"
        path.write_bytes(path.read_bytes().replace(b"text 3", b"text X"))
        with pytest.raises(bf.errors.JobError, match=r"input-000\.jsonl"):
            job.unanswered()


def test_of_many_files_only_the_lines_concerned_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, max_requests=1)
    moody = Moody("text 0", "text 5", "text 11")
    with batchframe.local.serve(answer=moody) as server:
        frame = pd.DataFrame({"text": TEXTS})
        job = requests_of(frame).submit(client=server.client()).wait()
        lines = job.unanswered().preview(10)
    sent = [line["body"]["messages"][0]["content"] for line in lines]
    assert sent == ["text 0", "text 5", "text 11"]


def test_rows_that_still_wait_are_told_and_not_asked_again(
    capfd: pytest.CaptureFixture[str],
) -> None:
    frame = pd.DataFrame({"text": TEXTS})
    with batchframe.local.serve(answer=Moody()) as server:
        server.pause()
        job = requests_of(frame).submit("early", client=server.client())
        none = job.unanswered()
        told = capfd.readouterr().err
        server.resume()
        job.wait()
        capfd.readouterr()
        job.unanswered()
        assert "pending" not in capfd.readouterr().err
    assert "Job 'early' is not done: 12 rows are pending" in told
    assert len(none) == 0
    assert repr(none) == "Nothing to send to gpt-4.1"


def test_what_is_asked_again_is_called_after_the_job_until_it_is_named() -> None:
    moody = Moody("text 2", "text 7")
    with batchframe.local.serve(answer=moody) as server:
        client = server.client()
        job = requests_of(pd.DataFrame({"text": TEXTS})).submit("money", client=client).wait()
        again = job.unanswered().submit(client=client).wait()
        assert bf.job("money, again").id == again.id
        with pytest.warns(bf.errors.NamesakeWarning, match="renamed to 'now'"):
            job.unanswered().submit("now", client=client)
        # Run again without it, it keeps the name that it was given.
        assert job.unanswered().submit(client=client).name == "now"
        assert again.unanswered().submit(client=client).name == "now, again"
        other = requests_of(pd.DataFrame({"text": ["text 2"]})).submit(client=client, rerun="b")
        left = other.wait().unanswered()
        assert left.submit(client=client, reuse=False).name is None


def test_with_nothing_unanswered_a_line_says_so_and_what_could_be_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    replies = {"text 1": {"label": "?"}}
    with batchframe.local.serve(
        answer=lambda body: replies.get(body["messages"][-1]["content"], {"label": "+"})
    ) as server:
        requests = requests_of(pd.DataFrame({"text": TEXTS}), output=["+", "-"])
        job = requests.submit("tone", client=server.client()).wait()
        capsys.readouterr()
        asked = job.unanswered()
        told = capsys.readouterr().err
        assert "Job 'tone' has no unanswered rows." in told
        assert 'To resend 1 invalid row: job.unanswered(also=["invalid"]).' in told
        job.unanswered(also=["invalid"])
        assert capsys.readouterr().err == ""
        # As for a frame without rows: no call, and a job that is done and joins.
        before = len(server.ledger)
        again = asked.submit().wait()
    assert len(server.ledger) == before
    assert (again.done, again.counts, again.name) == (True, {}, "tone, again")
    assert "0 of 0" not in capsys.readouterr().err + repr(again)
    assert repr(again).startswith("Job tone, again: completed, nothing to send\n  rows ")
    joined = pd.DataFrame({"text": TEXTS}).bf.join(job, again)
    assert sorted(joined["bf_status"]) == ["invalid"] + ["ok"] * 11
