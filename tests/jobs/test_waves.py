"""More than the service's queue holds is sent in waves, and nothing is lost between them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
from batchframe.local import Fault, Server

FULL = {
    "error": {
        "message": "Enqueued token limit reached for gpt-4.1 in organization org-1. Limit: 90",
        "type": "invalid_request_error",
        "code": "token_limit_exceeded",
    }
}


def ask(rows: int = 12) -> bf.Requests:
    frame = pd.DataFrame({"text": [f"a review of some words, number {i}" for i in range(rows)]})
    return frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])


def tokens_a_row() -> int:
    return ask(1).estimate().input_tokens.high or 0


def ended(server: Server, batches: int) -> None:
    deadline = time.monotonic() + 30
    while sum(b.status == "completed" for b in server.client().batches.list().data) < batches:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_parts_are_created_as_earlier_ones_end_and_the_limit_is_never_passed(
    server: Server,
) -> None:
    limit = 4 * tokens_a_row()
    job = ask().submit("waves", client=server.client(), max_enqueued_tokens=limit)
    assert len(job.batches) == 1
    assert job.status in {"validating", "in_progress", "completed", "queued", "finalizing"}
    assert "2 input files waiting for the service's queue" in repr(job)
    for created in (2, 3):
        ended(server, created - 1)
        job.refresh()
        assert len(job.batches) == created
    assert job.wait().counts == {"ok": 12}
    assert [batch.requests for batch in server.ledger] == [4, 4, 4]


def test_what_other_jobs_have_queued_counts_and_what_has_ended_does_not(server: Server) -> None:
    limit = 6 * tokens_a_row()
    server.pause()
    first = ask(4).submit("first", client=server.client())
    frame = pd.DataFrame({"text": [f"another text with words, number {i}" for i in range(8)]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
    second = requests.submit("second", client=server.client(), max_enqueued_tokens=limit)
    assert second.batches == []
    assert second.status == "queued"
    server.resume()
    first.wait()
    assert second.wait().counts == {"ok": 8}


def test_a_row_that_never_fits_the_queue_is_named_before_anything_is_sent(server: Server) -> None:
    with pytest.raises(bf.errors.RequestError, match=r"max_enqueued_tokens: .* row 0 \(3\)"):
        ask().submit(client=server.client(), max_enqueued_tokens=3)
    with pytest.raises(bf.errors.RequestError, match="a positive int"):
        ask().submit(client=server.client(), max_enqueued_tokens=0)
    assert len(bf.jobs()) == 0


def test_s23_a_part_refused_for_a_full_queue_waits_and_is_sent_later(server: Server) -> None:
    server.faults.add(Fault("POST /v1/batches", 400, body=FULL, skip=1, times=2))
    limit = 4 * tokens_a_row()
    job = ask().submit("full", client=server.client(), max_enqueued_tokens=limit)
    job.wait()
    assert job.counts == {"ok": 12}
    assert len(server.ledger) == 3
    assert len(server.faults.struck) == 2


def test_a_full_queue_is_said_on_the_card_and_is_no_failure_of_rows(server: Server) -> None:
    server.faults.add(Fault("POST /v1/batches", 400, body=FULL, times=99))
    job = ask().submit("full", client=server.client())
    assert (job.status, job.counts, job.batches) == ("queued", {"pending": 12}, [])
    assert "Enqueued token limit reached" in repr(job)
    server.faults.clear()
    assert job.wait().counts == {"ok": 12}
    assert len(server.ledger) == 1


def test_a_batch_that_fails_for_a_full_queue_is_sent_again_and_never_adopted(
    server: Server,
) -> None:
    def failed(body: bytes) -> bytes:
        import json

        told = json.loads(body)
        told |= {"status": "failed", "output_file_id": None, "error_file_id": None}
        told["errors"] = {"object": "list", "data": [FULL["error"] | {"line": None}]}
        return json.dumps(told).encode()

    server.pause()
    job = ask().submit("full", client=server.client())
    dead = job.batches[0].id
    server.client().batches.cancel(dead)
    server.faults.add(Fault("GET /v1/batches/{id}", rewrite=failed))
    job.refresh()
    assert job.status == "queued"
    server.resume()
    # The answer to the next create is lost: only the new batch may be found.
    server.faults.add(Fault("POST /v1/batches", "close", after=True))
    assert job.wait().counts == {"ok": 12}
    assert job.batches[0].id != dead
    assert sum(batch.requests for batch in server.ledger) == 12


def test_a_card_says_what_waits_for_what_and_who_sends_it(server: Server) -> None:
    limit = 4 * tokens_a_row()
    sends = "job.wait(), job.watch() or job.refresh()"
    server.pause()
    job = ask().submit("waves", client=server.client(), max_enqueued_tokens=limit)
    for shown in (repr(job), job._repr_html_()):
        assert "2 input files waiting for the service" in shown
        assert f"at most {limit:,} input tokens at once" in shown
        assert sends in shown
        assert "expires" in shown
    server.resume()
    ended(server, 1)
    server.faults.add(Fault("POST /v1/batches", 400, body=FULL, times=99))
    job.refresh()
    for shown in (repr(job), job._repr_html_()):
        assert "2 input files waiting" in shown
        assert "queue: retried at the first poll after 20" in shown
        assert "queue is full: Enqueued token limit reached for gpt-4.1" in shown
        assert sends in shown
        assert "expires" not in shown  # no batch is under way that could
    server.faults.clear()
    job.wait()
    for shown in (repr(job), job._repr_html_()):
        assert "completed" in shown
        assert "room" not in shown
        assert sends not in shown


def test_cancelling_drops_the_parts_that_wait(server: Server) -> None:
    server.pause()
    limit = 4 * tokens_a_row()
    job = ask().submit(client=server.client(), max_enqueued_tokens=limit).cancel()
    server.resume()
    assert job.wait().counts == {"cancelled": 12}
    assert len(job.batches) == 1
    assert (job.status, bf.jobs()["status"].tolist()) == ("cancelled", ["cancelled"])
    assert "room" not in repr(job)
    assert len(ask(13).submit("once more", client=server.client()).wait().results()) == 13


def test_another_job_does_not_ask_what_still_waits(server: Server) -> None:
    server.pause()
    limit = 4 * tokens_a_row()
    ask().submit("first", client=server.client(), max_enqueued_tokens=limit)
    with pytest.raises(bf.errors.RequestError, match="12 in job 'first'"):
        ask(13).submit("second", client=server.client())
    server.resume()


@pytest.mark.slow
def test_a_job_of_forty_parts_goes_on_in_a_new_kernel_between_any_two(server: Server) -> None:
    one = tokens_a_row()
    code = textwrap.dedent(
        f"""
        import os, openai, pandas as pd, batchframe as bf
        client = openai.OpenAI(base_url={server.url!r}, api_key="local")
        try:
            job = bf.job("forty", client=client).refresh()
        except bf.errors.JobError:
            texts = [f"a review of some words, number {{i}}" for i in range(40)]
            frame = pd.DataFrame({{"text": texts}})
            requests = frame.bf.requests("{{{{ text }}}}", model="gpt-4.1", output=["+", "-"])
            job = requests.submit("forty", client=client, max_enqueued_tokens={one})
        print(len(job.batches), flush=True)
        os._exit(9)  # as a kernel that is killed
        """
    )
    assert ask(40).estimate().input_tokens.high < 41 * one + 40
    seen = 0
    for _ in range(4):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 9, done.stderr
        assert int(done.stdout) >= seen
        seen = int(done.stdout)
        ended(server, seen)
    job = bf.job("forty", client=server.client()).wait()
    assert job.counts == {"ok": 40}
    assert len(job.batches) >= 40
    assert sum(batch.requests for batch in server.ledger) == 40


@pytest.mark.parametrize("limit", [2e6, float("inf"), "10", True])
def test_a_limit_that_is_no_whole_number_is_refused_before_anything_is_written(
    limit: Any, server: Server
) -> None:
    with pytest.raises(bf.errors.RequestError, match="a positive int"):
        ask().submit(client=server.client(), max_enqueued_tokens=limit)
    assert len(bf.jobs()) == 0


def test_the_cell_of_a_job_that_waits_for_room_finds_its_job(server: Server) -> None:
    server.faults.add(Fault("POST /v1/batches", 400, body=FULL))
    first = ask().submit("waits", client=server.client())
    assert first.status == "queued"
    assert ask().submit("waits", client=server.client()).wait().id == first.id
    assert len(server.ledger) == 1


def test_a_job_that_ended_without_anybody_looking_holds_up_no_other(server: Server) -> None:
    ask(4).submit("not polled", client=server.client())
    ended(server, 1)
    frame = pd.DataFrame({"text": [f"another text with words, number {i}" for i in range(5)]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
    limit = 5 * tokens_a_row()
    job = requests.submit("two", client=server.client(), max_enqueued_tokens=limit)
    assert job.wait(timeout=60).counts == {"ok": 5}
