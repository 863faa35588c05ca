"""D12: no decision rests on this machine's date."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import batchframe as bf
from batchframe._base.clock import SYSTEM, Clock
from batchframe._display import when
from batchframe._jobs import running
from batchframe._jobs.run import SubmissionContext
from batchframe._jobs.waiting import PollInterval, until

DAY = 86_400.0


def jumping(start: float, step: float) -> Callable[[], float]:
    """Return a date that is wrong, and is set again whenever somebody looks."""
    dates = iter(start + step * number for number in range(10**6))
    return lambda: time.time() + next(dates)


DATES = {
    "a day ahead": jumping(DAY, 0),
    "a day behind": jumping(-DAY, 0),
    "set forth an hour at every look": jumping(0, 3600),
    "set back an hour at every look": jumping(0, -3600),
    "the year 1970": lambda: 0.0,
    "before 1970": lambda: -1e6,
}


@pytest.fixture(params=DATES)
def wrong(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(now=DATES[request.param], elapsed=SYSTEM.elapsed, sleep=SYSTEM.sleep)
    monkeypatch.setattr(running, "SubmissionContext", partial(SubmissionContext, clock=clock))
    return clock


@pytest.mark.usefixtures("wrong")
def test_d12_a_lost_answer_is_adopted_whatever_the_date(proxy: Any, requests: bf.Requests) -> None:
    proxy.fail("POST", "/batches", "reset", after=True)
    job = requests.submit("dated", client=proxy.client())
    assert job.wait().counts == {"ok": 3}
    assert proxy.creates() == 1


@pytest.mark.usefixtures("wrong")
def test_d12_a_lost_request_is_uncertain_whatever_the_date(
    proxy: Any, requests: bf.Requests
) -> None:
    proxy.fail("POST", "/batches", "reset")
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("dated", client=proxy.client())
    assert proxy.creates() == 1
    assert bf.job("dated", client=proxy.client()).resume(recreate=True).wait().counts == {"ok": 3}
    assert proxy.creates() == 2


def test_d12_waiting_counts_seconds_that_never_run_backwards(wrong: Clock) -> None:
    slept: list[float] = []
    clock = Clock(now=wrong.now, elapsed=lambda: sum(slept), sleep=slept.append)
    assert not until(
        lambda: False, lambda _: None, PollInterval(5, 60), timeout=600, clock=clock
    ).done
    assert sum(slept) == pytest.approx(600)


@pytest.mark.parametrize(
    "expires_at", [1, 1_763_700_000, pytest.param(time.time() - DAY, id="a day ago")]
)
def test_d12_a_batch_has_expired_when_the_service_says_so(
    expires_at: float, proxy: Any, requests: bf.Requests
) -> None:
    job = requests.submit("late", client=proxy.client())
    told = {
        "id": job.batches[0].id, "object": "batch", "status": "in_progress", "created_at": 0,
        "expires_at": expires_at,
    }  # fmt: skip
    proxy.fail("GET", job.batches[0].id, "500", status=200, body=json.dumps(told))
    assert job.refresh().status == "in_progress"
    assert "expires" in repr(job)
    assert job.wait().counts == {"ok": 3}


def test_d12_the_hour_that_comes_twice_is_shown_as_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        before, after = 1_792_888_200, 1_792_891_800  # 25 October 2026, 02:30, twice
        assert when(before) == "2026-10-25 02:30 CEST"
        assert when(after) == "2026-10-25 02:30 CET"
    finally:
        monkeypatch.undo()
        time.tzset()
