"""Waiting, watching and awaiting outside a notebook."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import weakref
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from tests.support.clocks import DATES, FakeTime, wait_by


def ask(name: str, server: batchframe.local.Server) -> bf.Job:
    requests = pd.DataFrame({"text": ["a", "b"]}).bf.requests("{{ text }}", model="gpt-4.1")
    return requests.submit(name, client=server.client())


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "batchframe-watch"]


def join_all() -> None:
    for thread in watchers():
        thread.join(30)
    assert watchers() == []


def test_a_progress_bar_shows_the_progress_of_a_job(
    server: batchframe.local.Server,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    ask("barred", server).wait()
    err = capsys.readouterr().err
    assert "completed: 100%" in err
    assert "2/2" in err


def test_watching_prints_nothing_and_downloads_the_answers(
    server: batchframe.local.Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.pause()
    job = ask("watched", server).watch()
    assert all(thread.daemon for thread in watchers())
    assert capsys.readouterr().err == ""
    server.resume()
    join_all()
    assert job.counts == {"ok": 2}
    assert capsys.readouterr().err == "Job watched: completed\n"


def test_the_error_that_ends_a_watch_is_printed(
    server: batchframe.local.Server,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.pause()
    job = ask("refused", server)

    def refuse(_: bf.Job, left: float | None = None) -> None:  # noqa: ARG001 - the signature is fixed
        message = "the disk is full"
        raise OSError(message)

    monkeypatch.setattr(bf.Job, "_poll", refuse)
    job.watch()
    join_all()
    assert "Watching ended: the disk is full" in capsys.readouterr().err


def test_watching_does_not_keep_a_job_alive(server: batchframe.local.Server) -> None:
    server.pause()
    job = ask("dropped", server).watch()
    gone = weakref.ref(job)
    del job
    gc.collect()
    join_all()
    assert gone() is None


def test_watching_a_job_again_replaces_the_first_watch(server: batchframe.local.Server) -> None:
    server.pause()
    job = ask("twice", server)
    handles = [job.watch(), job.watch(), bf.job("twice", client=server.client()).watch()]
    deadline = time.monotonic() + 30
    while len(watchers()) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    server.resume()
    join_all()
    assert all(handle.done for handle in handles)


def test_cancelling_does_not_conflict_with_the_watch(server: batchframe.local.Server) -> None:
    server.pause()
    job = ask("cancelled", server).watch()
    for _ in range(20):
        job.refresh()
    job.cancel()
    server.resume()
    join_all()
    assert job.status == "cancelled"


def test_several_jobs_are_awaited_at_once(server: batchframe.local.Server) -> None:
    jobs = [
        pd.DataFrame({"text": [word]})
        .bf.requests("{{ text }}", model="gpt-4.1")
        .submit(word, client=server.client())
        for word in ("one", "two")
    ]

    async def both() -> list[bf.Job]:
        return await asyncio.gather(*jobs)

    assert [job.counts for job in asyncio.run(both())] == [{"ok": 1}, {"ok": 1}]


def test_cancelling_an_await_does_not_cancel_the_job(
    server: batchframe.local.Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.pause()
    job = ask("left", server)

    async def for_a_moment() -> None:
        await asyncio.wait_for(asyncio.ensure_future(_awaited(job)), 0.2)

    with pytest.raises(TimeoutError):
        asyncio.run(for_a_moment())
    assert "bf.job('left')" in capsys.readouterr().err
    server.resume()
    assert job.wait().status == "completed"


async def _awaited(job: bf.Job) -> Any:
    return await job


def test_an_error_during_await_is_raised(server: batchframe.local.Server) -> None:
    job = ask("refused", server)
    server.close()

    def refuse(left: float | None = None) -> None:  # noqa: ARG001 - the signature is fixed
        error = bf.errors.ServiceError("The service refused (HTTP 401)")
        error.status = 401
        raise error

    job._poll = refuse  # type: ignore[method-assign]
    with pytest.raises(bf.errors.ServiceError, match="401"):
        asyncio.run(_awaited(job))


def test_poll_intervals_grow_to_the_maximum_with_jitter_until_the_timeout() -> None:
    time = FakeTime()
    clock, slept = time.clock, time.slept
    assert not wait_by(clock, lambda _: None, timeout=1000)
    assert sum(slept) == pytest.approx(1000)
    assert 4.25 <= slept[0] <= 5.75
    assert all(pause <= 69 for pause in slept)
    assert max(slept) > 50
    assert len(set(slept)) == len(slept)


def unreachable(_: float | None) -> None:
    reason = "no route"
    raise bf.errors.ServiceError.unreachable(reason)


@pytest.mark.parametrize("longest", [1.0, 60.0])
def test_waiting_ends_after_half_an_hour_of_outage_at_any_interval(longest: float) -> None:
    time = FakeTime()
    with pytest.raises(bf.errors.ServiceError, match="no route"):
        wait_by(time.clock, unreachable, longest=longest)
    assert 1800 <= sum(time.slept) < 1800 + 2 * longest


def test_with_a_timeout_an_outage_may_last_until_it() -> None:
    time = FakeTime()
    assert not wait_by(time.clock, unreachable, timeout=7200)
    assert sum(time.slept) == pytest.approx(7200)


@pytest.mark.parametrize("date", DATES)
def test_d12_waiting_does_not_depend_on_the_date(date: str) -> None:
    time = FakeTime()
    clock = replace(time.clock, now=DATES[date])
    assert not wait_by(clock, lambda _: None, timeout=600)
    assert sum(time.slept) == pytest.approx(600)
