"""From the batch to the answers at home: polling, downloads, interruptions."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import Any

import pytest

import batchframe as bf
import batchframe.local
from batchframe._clock import Clock
from batchframe._waiting import Pace, until


def test_a_look_that_fails_does_not_end_the_wait(proxy: Any, requests: bf.Requests) -> None:
    job = requests.submit("patient", client=proxy.client())
    for kind in ("reset", "500", "503 plain"):
        proxy.fail("GET", job.batches[0].id, kind, times=3)
    assert job.wait().counts == {"ok": 3}


def test_waiting_for_what_was_never_sent_is_refused(proxy: Any, requests: bf.Requests) -> None:
    proxy.fail("POST", "/batches", "400 refused")
    with pytest.raises(bf.errors.SubmissionError):
        requests.submit("unsent", client=proxy.client())
    job = bf.job("unsent", client=proxy.client())
    for attempt in (job.wait, job.refresh):
        with pytest.raises(bf.errors.JobError, match=r"resume\(\)"):
            attempt()
    assert job.resume().wait().counts == {"ok": 3}


def test_a_refusal_ends_the_wait_in_words(proxy: Any, requests: bf.Requests) -> None:
    job = requests.submit(client=proxy.client())
    proxy.fail("GET", job.batches[0].id, "401 refused", times=9)
    with pytest.raises(bf.errors.ServiceError, match="OPENAI_API_KEY"):
        job.wait()


@pytest.mark.parametrize("kind", ["reset", "end of file"])
def test_a_download_that_breaks_is_begun_again(
    kind: str, proxy: Any, requests: bf.Requests
) -> None:
    job = requests.submit(client=proxy.client())
    proxy.fail("GET", "/content", kind, times=2)
    assert job.wait().counts == {"ok": 3}


def test_a_download_that_is_cut_short_never_counts_as_whole(
    proxy: Any, requests: bf.Requests
) -> None:
    job = requests.submit("cut", client=proxy.client())
    proxy.fail("GET", "/content", "login page", times=6)
    while not job.batches[0].ended:
        time.sleep(0.05)
        with contextlib.suppress(bf.errors.ServiceError):
            job.refresh()
    assert not job.done
    with pytest.raises(bf.errors.ServiceError, match=r"of .* bytes"):
        job.refresh()
    assert set(job.results()["bf_status"]) == {"pending"}
    assert job.wait().counts == {"ok": 3}


def test_interrupting_the_wait_leaves_the_job_alone_and_says_how_to_come_back(
    requests: bf.Requests, server: batchframe.local.Server, capfd: pytest.CaptureFixture[str]
) -> None:
    server.pause()
    job = requests.submit("interrupted", client=server.client())
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        job.wait()
    assert "bf.job('interrupted')" in capfd.readouterr().err
    server.resume()
    assert bf.job("interrupted", client=server.client()).wait().status == "completed"


def test_cancelling_a_batch_that_has_ended_is_harmless(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    job = requests.submit(client=server.client())
    deadline = time.monotonic() + 20
    while server.client().batches.retrieve(job.batches[0].id).status != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert job.cancel().wait().counts == {"ok": 3}


def test_looking_at_a_job_never_asks_the_network(requests: bf.Requests, proxy: Any) -> None:
    job = requests.submit(client=proxy.client())
    asked = len(proxy.seen)
    assert repr(job)
    assert job._repr_html_()
    assert job.status
    assert not job.done
    assert len(job.results()) == 3
    assert len(proxy.seen) == asked


def test_pauses_grow_to_the_longest_with_jitter_and_stop_at_the_time_given() -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)

    clock = Clock(now=lambda: 0.0, elapsed=lambda: sum(slept), sleep=sleep)
    assert not until(lambda: False, lambda: None, Pace(5.0, 60.0), timeout=1000, clock=clock)
    assert sum(slept) == pytest.approx(1000)
    assert 4.25 <= slept[0] <= 5.75
    assert all(pause <= 69 for pause in slept)
    assert max(slept) > 50
    assert len(set(slept)) == len(slept)


def test_waiting_gives_up_on_a_service_that_stays_away() -> None:
    clock = Clock(now=lambda: 0.0, elapsed=lambda: 0.0, sleep=lambda _: None)
    looks = iter(range(1000))
    reason = "no route"

    def look() -> None:
        next(looks)
        raise bf.errors.ServiceError.unreachable(reason)

    with pytest.raises(bf.errors.ServiceError, match="no route"):
        until(lambda: False, look, Pace(5.0, 60.0), clock=clock)
    assert 20 < next(looks) < 100
