"""D12: no decision depends on this machine's date."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

import batchframe as bf
import batchframe.local
from tests.support.clocks import DATES, DAY, dated, submit_by
from tests.support.job_folders import add_event


@pytest.fixture(params=DATES)
def wrong(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    clock = dated(DATES[request.param])
    submit_by(monkeypatch, clock)
    return clock


@pytest.mark.usefixtures("wrong")
def test_d12_a_batch_with_a_lost_response_is_adopted_whatever_the_date(
    proxy: Any, requests: bf.Requests
) -> None:
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


@pytest.mark.parametrize(
    "expires_at", [1, 1_763_700_000, pytest.param(time.time() - DAY, id="a day ago")]
)
def test_d12_only_the_service_decides_that_a_batch_has_expired(
    expires_at: float, proxy: Any, requests: bf.Requests
) -> None:
    job = requests.submit("late", client=proxy.client())
    batch_fields = {
        "id": job.batches[0].id, "object": "batch", "status": "in_progress", "created_at": 0,
        "expires_at": expires_at,
    }  # fmt: skip
    proxy.fail("GET", job.batches[0].id, "500", status=200, body=json.dumps(batch_fields))
    assert job.refresh().status == "in_progress"
    assert "expires" in repr(job)
    assert job.wait().counts == {"ok": 3}


def test_d12_the_repeated_hour_is_shown_with_its_time_zone(
    monkeypatch: pytest.MonkeyPatch, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    server.pause()
    job = requests.submit("late", client=server.client())
    batch = {"id": job.batches[0].id, "status": "in_progress"}
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        before, after = 1_792_888_200, 1_792_891_800  # 25 October 2026, 02:30, twice
        for expires_at, text in ((before, "02:30 CEST"), (after, "02:30 CET")):
            add_event(job, {"event": "STATUS", "batch": {**batch, "expires_at": expires_at}})
            assert f"2026-10-25 {text}\n" in repr(bf.job("late"))
    finally:
        monkeypatch.undo()
        time.tzset()
