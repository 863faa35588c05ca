"""Jobs larger than the service's queue, sent in waves."""

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
        "message": "Enqueued token limit reached for gpt-4.1 in organization org-1. Limit: 90,000",
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


def test_batches_are_created_as_earlier_ones_end_within_the_limit(
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


def test_queued_tokens_of_other_jobs_count_until_they_end(server: Server) -> None:
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


def test_a_row_above_the_queue_limit_is_named_before_anything_is_sent(server: Server) -> None:
    with pytest.raises(bf.errors.RequestError, match=r"max_enqueued_tokens: .* row 0 \(3\)"):
        ask().submit(client=server.client(), max_enqueued_tokens=3)
    with pytest.raises(bf.errors.RequestError, match="a positive int"):
        ask().submit(client=server.client(), max_enqueued_tokens=0)
    assert len(bf.jobs()) == 0


def test_s23_an_input_file_rejected_for_a_full_queue_is_sent_later(server: Server) -> None:
    server.faults.add(Fault("POST /v1/batches", 400, body=FULL, skip=1, times=2))
    limit = 4 * tokens_a_row()
    job = ask().submit("full", client=server.client(), max_enqueued_tokens=limit)
    job.wait()
    assert job.counts == {"ok": 12}
    assert len(server.ledger) == 3
    assert len(server.faults.struck) == 2


def test_a_full_queue_is_on_the_card_and_fails_no_rows(server: Server) -> None:
    server.faults.add(Fault("POST /v1/batches", 400, body=FULL, times=99))
    job = ask().submit("full", client=server.client())
    assert (job.status, job.counts, job.batches) == ("queued", {"pending": 12}, [])
    assert "Enqueued token limit reached" in repr(job)
    server.faults.clear()
    assert job.wait().counts == {"ok": 12}
    assert len(server.ledger) == 1


def test_a_batch_that_failed_for_a_full_queue_is_sent_again_and_not_adopted(
    server: Server,
) -> None:
    def failed(body: bytes) -> bytes:
        import json

        batch = json.loads(body)
        batch |= {"status": "failed", "output_file_id": None, "error_file_id": None}
        batch["errors"] = {"object": "list", "data": [FULL["error"] | {"line": None}]}
        return json.dumps(batch).encode()

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


def test_a_card_shows_what_waits_and_how_it_is_sent(server: Server) -> None:
    limit = 4 * tokens_a_row()
    sends = "job.wait(), job.watch() or job.refresh()"
    server.pause()
    job = ask().submit("waves", client=server.client(), max_enqueued_tokens=limit)
    for rendered in (repr(job), job._repr_html_()):
        assert "2 input files waiting for the service" in rendered
        assert f"at most {limit:,} input tokens at once" in rendered
        assert sends in rendered
        assert "expires" in rendered
    server.resume()
    ended(server, 1)
    server.faults.add(Fault("POST /v1/batches", 400, body=FULL, times=99))
    job.refresh()
    for rendered in (repr(job), job._repr_html_()):
        assert "2 input files waiting" in rendered
        assert "queue: retried at the first poll after 20" in rendered
        assert "queue is full: Enqueued token limit reached for gpt-4.1" in rendered
        assert sends in rendered
        assert "expires" not in rendered  # no batch is running that could
    server.faults.clear()
    job.wait()
    for rendered in (repr(job), job._repr_html_()):
        assert "completed" in rendered
        assert "room" not in rendered
        assert sends not in rendered


def test_cancelling_drops_waiting_input_files(server: Server) -> None:
    server.pause()
    limit = 4 * tokens_a_row()
    job = ask().submit(client=server.client(), max_enqueued_tokens=limit).cancel()
    server.resume()
    assert job.wait().counts == {"cancelled": 12}
    assert len(job.batches) == 1
    assert (job.status, bf.jobs()["status"].tolist()) == ("cancelled", ["cancelled"])
    assert "room" not in repr(job)
    assert len(ask(13).submit("once more", client=server.client()).wait().results()) == 13


def test_another_job_does_not_send_waiting_requests(server: Server) -> None:
    server.pause()
    limit = 4 * tokens_a_row()
    ask().submit("first", client=server.client(), max_enqueued_tokens=limit)
    with pytest.raises(bf.errors.RequestError, match="12 in job 'first'"):
        ask(13).submit("second", client=server.client())
    server.resume()


@pytest.mark.slow
def test_a_job_of_forty_input_files_continues_in_new_kernels(server: Server) -> None:
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
    created = 0
    for _ in range(4):
        process = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert process.returncode == 9, process.stderr
        assert int(process.stdout) >= created
        created = int(process.stdout)
        ended(server, created)
    job = bf.job("forty", client=server.client()).wait()
    assert job.counts == {"ok": 40}
    assert len(job.batches) >= 40
    assert sum(batch.requests for batch in server.ledger) == 40


@pytest.mark.parametrize("limit", [2e6, float("inf"), "10", True])
def test_an_invalid_limit_is_refused_before_anything_is_written(limit: Any, server: Server) -> None:
    with pytest.raises(bf.errors.RequestError, match="a positive int"):
        ask().submit(client=server.client(), max_enqueued_tokens=limit)
    assert len(bf.jobs()) == 0


def test_rerunning_the_cell_finds_a_queued_job(server: Server) -> None:
    server.faults.add(Fault("POST /v1/batches", 400, body=FULL))
    first = ask().submit("waits", client=server.client())
    assert first.status == "queued"
    assert ask().submit("waits", client=server.client()).wait().id == first.id
    assert len(server.ledger) == 1


def test_an_ended_job_that_was_not_polled_does_not_delay_others(server: Server) -> None:
    ask(4).submit("not polled", client=server.client())
    ended(server, 1)
    frame = pd.DataFrame({"text": [f"another text with words, number {i}" for i in range(5)]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
    limit = 5 * tokens_a_row()
    job = requests.submit("two", client=server.client(), max_enqueued_tokens=limit)
    assert job.wait(timeout=60).counts == {"ok": 5}
