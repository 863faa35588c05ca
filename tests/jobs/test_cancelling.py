"""Cancellation of sent and unsent input files."""

from __future__ import annotations

import time
from typing import Any

import pytest

import batchframe as bf
import batchframe.local


@pytest.mark.usefixtures("one_request_a_file")
def test_unsent_input_files_of_a_cancelled_job_stay_unsent(
    proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    server.pause()
    proxy.fail("POST", "/batches", "400 refused", skip=1)
    with pytest.raises(bf.errors.SubmissionError, match="input file 2 of 3"):
        requests.submit("stopped", client=proxy.client())
    job = bf.job("stopped", client=proxy.client()).cancel()
    server.resume()
    again = requests.submit("stopped", client=proxy.client()).wait()
    assert again.id == job.id
    assert (again.status, again.done, again.counts) == ("cancelled", True, {"cancelled": 3})
    assert again.results()["bf_error"].str.contains("cancelled before").all()
    assert proxy.creates() == 2
    assert server.ledger == []
    assert ").unanswered()" in repr(again)
    rest = again.unanswered().submit(client=proxy.client()).wait()
    assert rest.counts == {"ok": 3}
    assert len(server.ledger) == 3


@pytest.mark.usefixtures("one_request_a_file")
def test_an_input_file_with_an_uncertain_batch_cannot_be_cancelled(
    requests: bf.Requests, server: batchframe.local.Server, proxy: Any
) -> None:
    server.pause()
    proxy.fail("POST", "/batches", "reset", skip=1)
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("parts", client=proxy.client())
    with pytest.raises(bf.errors.JobError, match="the server may have another"):
        bf.job("parts", client=proxy.client()).cancel()


@pytest.mark.parametrize("kind", ["400 refused", "404 of a proxy", "503 plain"])
def test_cancelling_a_batch_that_has_just_ended_is_not_an_error(
    kind: str, requests: bf.Requests, proxy: Any, server: batchframe.local.Server
) -> None:
    server.pause()
    job = requests.submit("late", client=proxy.client())
    server.resume()
    while server.client().batches.retrieve(job.batches[0].id).status != "completed":
        time.sleep(0.01)
    proxy.fail("POST", "/cancel", kind, times=9)
    assert job.cancel().status == "completed"
    assert job.wait().counts == {"ok": 3}


def test_a_rejected_cancellation_of_a_running_batch_is_an_error(
    requests: bf.Requests, proxy: Any, server: batchframe.local.Server
) -> None:
    server.pause()
    job = requests.submit("running", client=proxy.client())
    proxy.fail("POST", "/cancel", "400 refused", times=9)
    with pytest.raises(bf.errors.ServiceError, match="400"):
        job.cancel()
    server.resume()
    assert job.wait().counts == {"ok": 3}
