"""A bill above the estimate pauses the job before the next input file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from tests.support.commands import run_command

LABEL = '{"label":"good"}'


def billing(output: Callable[[], int]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Answer with a label, billed with this number of output tokens."""

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        usage = {
            "prompt_tokens": bf.count_tokens(body).tokens,
            "completion_tokens": output(),
        }
        choice = {"message": {"content": LABEL}, "finish_reason": "stop"}
        return {"object": "chat.completion", "usage": usage, "choices": [choice]}

    return answer


@pytest.fixture
def costly_server() -> Iterator[batchframe.local.Server]:
    """Serve answers that are billed far above their upper bound."""
    with batchframe.local.serve(answer=billing(lambda: 500)) as server:
        yield server


def requests(rows: int = 12) -> bf.Requests:
    frame = pd.DataFrame({"text": [f"text {row:02d}" for row in range(rows)]})
    return frame.bf.requests("Label: {{ text }}", model="gpt-4.1", output=["good", "bad"])


def in_waves(client: Any, plan: bf.Requests, **options: Any) -> bf.Job:
    """Submit in input files of two requests, of which one fits the queue."""
    tokens = plan.estimate().input_tokens.expected or 0
    limit = 2 * tokens // len(plan) + 5
    return plan.submit("braked", client=client, max_enqueued_tokens=limit, **options)


def test_a_first_file_above_its_bound_pauses_the_job_until_resume(
    costly_server: batchframe.local.Server,
) -> None:
    client = costly_server.client()
    job = in_waves(client, requests(), max_cost=1)
    with pytest.raises(
        bf.errors.SubmissionError, match=r"is paused\. Input file 1 cost \$"
    ) as excinfo:
        job.wait(timeout=60)
    assert "above its upper bound" in str(excinfo.value)
    assert "resume()" in str(excinfo.value)
    assert job.status == "paused"
    assert not job.done
    created = len(costly_server.ledger)
    assert created == 1
    # Neither waiting, nor the cell again, nor a refresh is consent.
    with pytest.raises(bf.errors.SubmissionError, match="is paused"):
        job.wait(timeout=60)
    assert in_waves(client, requests()).id == job.id
    job.refresh()
    assert job.watch().status == "paused"
    assert len(costly_server.ledger) == created
    assert "paused, the bill exceeds the estimate" in repr(job)
    assert "5 of 6 input files are not sent" in repr(job)
    assert bf.jobs()["status"].tolist() == ["paused"]
    job.resume()
    job.wait(timeout=60)
    assert job.counts == {"ok": 12}
    assert len(costly_server.ledger) == 6


def test_a_paused_job_can_be_cancelled(costly_server: batchframe.local.Server) -> None:
    job = in_waves(costly_server.client(), requests())
    with pytest.raises(bf.errors.SubmissionError):
        job.wait(timeout=60)
    job.cancel()
    assert job.done
    assert job.counts == {"ok": 2, "cancelled": 10}
    assert len(job.unanswered()) == 10


def test_a_bill_within_the_bound_and_an_unknown_bound_pause_nothing() -> None:
    with batchframe.local.serve(answer=billing(lambda: 6)) as server:
        assert in_waves(server.client(), requests()).wait(timeout=60).counts == {"ok": 12}
    with batchframe.local.serve(answer=billing(lambda: 500)) as server:
        frame = pd.DataFrame({"text": [f"text {row:02d}" for row in range(12)]})
        text = frame.bf.requests("Say: {{ text }}", model="gpt-4.1")
        job = in_waves(server.client(), text)
        assert "no bill pauses the job" in repr(job)
        assert job.wait(timeout=60).counts == {"ok": 12}
        assert "no bill pauses the job" not in repr(job)


def test_the_card_of_a_fully_sent_job_notes_that_it_cannot_be_paused(
    costly_server: batchframe.local.Server,
) -> None:
    costly_server.pause()
    profile = bf.provider("openai", max_requests=4)
    job = requests().submit("at once", client=costly_server.client(), provider=profile)
    assert "can no longer pause the job" in repr(job)
    costly_server.resume()
    assert job.wait(timeout=60).counts == {"ok": 12}
    assert "can no longer pause the job" not in repr(job)


def test_the_command_line_does_not_wait_for_a_paused_job_and_resumes_it(
    costly_server: batchframe.local.Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", costly_server.url)
    in_waves(costly_server.client(), requests())
    capsys.readouterr()
    assert run_command("wait", "braked") == 2
    assert "`batchframe resume braked`" in capsys.readouterr().err
    assert run_command("show", "braked", "--json") == 3
    assert json.loads(capsys.readouterr().out)["status"] == "paused"
    assert run_command("resume", "braked") == 0
    assert run_command("wait", "braked") == 0
    assert len(costly_server.ledger) == 6
