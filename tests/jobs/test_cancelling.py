"""What was cancelled stays cancelled, also what had not been sent."""

from __future__ import annotations

from typing import Any

import pytest

import batchframe as bf
import batchframe.local


@pytest.mark.usefixtures("one_request_a_file")
def test_parts_that_were_not_sent_when_a_job_was_cancelled_never_are(
    proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    server.pause()
    proxy.fail("POST", "/batches", "400 refused", skip=1)
    with pytest.raises(bf.errors.SubmissionError, match="part 2 of 3"):
        requests.submit("stopped", client=proxy.client())
    job = bf.job("stopped", client=proxy.client()).cancel()
    server.resume()
    again = requests.submit("stopped", client=proxy.client()).wait()
    assert again.id == job.id
    assert (again.status, again.done, again.counts) == ("cancelled", True, {"cancelled": 3})
    assert again.results()["bf_error"].str.contains("cancelled before").all()
    assert proxy.creates() == 2
    assert server.ledger == []
    assert "job.unanswered()" in repr(again)
    rest = again.unanswered().submit(client=proxy.client()).wait()
    assert rest.counts == {"ok": 3}
    assert len(server.ledger) == 3


@pytest.mark.usefixtures("one_request_a_file")
def test_a_part_that_may_exist_cannot_be_cancelled(
    requests: bf.Requests, server: batchframe.local.Server, proxy: Any
) -> None:
    server.pause()
    proxy.fail("POST", "/batches", "reset", skip=1)
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("parts", client=proxy.client())
    with pytest.raises(bf.errors.JobError, match="another part of it may exist"):
        bf.job("parts", client=proxy.client()).cancel()
