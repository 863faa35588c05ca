"""Tracking of batches: polling, downloads, interruptions."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from typing import Any

import pytest

import batchframe as bf
import batchframe.local

ANOTHER_BATCH = '{"id": "batch_other", "object": "batch", "status": "failed", "created_at": 1}'


def test_a_failed_poll_does_not_end_the_wait(proxy: Any, requests: bf.Requests) -> None:
    job = requests.submit("patient", client=proxy.client())
    for kind in ("reset", "500", "503 plain"):
        proxy.fail("GET", job.batches[0].id, kind, times=3)
    assert job.wait().counts == {"ok": 3}


def test_waiting_for_an_unsent_job_is_an_error(proxy: Any, requests: bf.Requests) -> None:
    proxy.fail("POST", "/batches", "400 refused")
    with pytest.raises(bf.errors.SubmissionError):
        requests.submit("unsent", client=proxy.client())
    job = bf.job("unsent", client=proxy.client())
    for attempt in (job.wait, job.refresh):
        with pytest.raises(bf.errors.JobError, match=r"resume\(\)"):
            attempt()
    assert job.resume().wait().counts == {"ok": 3}


@pytest.mark.usefixtures("one_request_a_file")
def test_sent_input_files_are_downloaded_although_the_rest_was_not_sent(
    proxy: Any, requests: bf.Requests
) -> None:
    proxy.fail("POST", "/batches", "400 refused", skip=1)
    with pytest.raises(bf.errors.SubmissionError, match="input file 2 of 3"):
        requests.submit("half", client=proxy.client())
    job = bf.job("half", client=proxy.client())
    for _ in range(100):
        with pytest.raises(bf.errors.JobError, match=r"resume\(\)"):
            job.refresh()
        if job.counts.get("ok"):
            break
        time.sleep(0.1)
    assert job.counts == {"ok": 1, "pending": 2}
    assert job.resume().wait().counts == {"ok": 3}


def test_a_rejected_poll_ends_the_wait_with_a_clear_error(
    proxy: Any, requests: bf.Requests
) -> None:
    job = requests.submit(client=proxy.client())
    proxy.fail("GET", job.batches[0].id, "401 refused", times=9)
    with pytest.raises(bf.errors.ServiceError, match="OPENAI_API_KEY"):
        job.wait()


@pytest.mark.parametrize("kind", ["reset", "end of file"])
def test_a_broken_download_is_restarted(kind: str, proxy: Any, requests: bf.Requests) -> None:
    job = requests.submit(client=proxy.client())
    proxy.fail("GET", "/content", kind, times=2)
    assert job.wait().counts == {"ok": 3}


def test_a_truncated_download_is_never_accepted(proxy: Any, requests: bf.Requests) -> None:
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


def test_a_late_result_file_is_awaited(proxy: Any, requests: bf.Requests) -> None:
    server_says = requests.submit("late", client=proxy.client()).batches[0]
    early = {
        "id": server_says.id, "object": "batch", "status": "completed", "output_file_id": None,
        "input_file_id": server_says.input_file_id, "endpoint": "/v1/chat/completions",
        "request_counts": {"total": 3, "completed": 3, "failed": 0}, "created_at": 1,
        "completion_window": "24h",
    }  # fmt: skip
    proxy.fail("GET", server_says.id, "500", status=200, body=json.dumps(early))
    assert bf.job("late", client=proxy.client()).wait().counts == {"ok": 3}


def test_a_result_file_that_never_appears_leaves_rows_missing_with_a_reason(
    proxy: Any, requests: bf.Requests
) -> None:
    server_says = requests.submit("never", client=proxy.client()).batches[0]
    never = {"id": server_says.id, "object": "batch", "status": "completed", "created_at": 1}
    proxy.fail("GET", server_says.id, "500", status=200, body=json.dumps(never), times=99)
    job = bf.job("never", client=proxy.client()).wait()
    assert job.counts == {"missing": 3}
    assert "no line" in job.results()["bf_error"][0]


def test_a_response_about_another_batch_is_not_accepted(proxy: Any, requests: bf.Requests) -> None:
    job = requests.submit(client=proxy.client())
    proxy.fail("GET", job.batches[0].id, "500", status=200, body=ANOTHER_BATCH, times=2)
    assert job.wait().counts == {"ok": 3}


@pytest.mark.parametrize(
    ("kind", "options", "fragment"),
    [
        ("404 refused", {}, "404"),
        ("500", {"status": 200, "body": ANOTHER_BATCH}, "batch_other"),
    ],
    ids=["refused", "unusable"],
)
@pytest.mark.usefixtures("one_request_a_file")
def test_a_failing_batch_does_not_delay_the_others(
    kind: str, options: dict[str, Any], fragment: str, proxy: Any, requests: bf.Requests
) -> None:
    job = requests.submit("three", client=proxy.client())
    proxy.fail("GET", job.batches[0].id, kind, times=1000, **options)
    for _ in range(100):
        with pytest.raises(bf.errors.ServiceError, match=fragment):
            job.refresh()
        if job.counts.get("ok") == 2:
            break
        time.sleep(0.1)
    assert job.counts == {"ok": 2, "pending": 1}
    proxy.faults.clear()
    assert job.wait().counts == {"ok": 3}


@pytest.mark.usefixtures("one_request_a_file")
def test_a_file_that_always_breaks_off_does_not_delay_the_others(
    proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    job = requests.submit("three", client=proxy.client())
    deadline = time.monotonic() + 20
    while (remote := server.client().batches.retrieve(job.batches[0].id)).status != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    proxy.fail("GET", f"{remote.output_file_id}/content", "cut", times=1000)
    for _ in range(100):
        with pytest.raises(bf.errors.ServiceError, match="broke off"):
            job.refresh()
        if job.counts.get("ok") == 2:
            break
        time.sleep(0.1)
    assert job.counts == {"ok": 2, "pending": 1}
    proxy.faults.clear()
    assert job.wait().counts == {"ok": 3}


def test_d11_a_changed_or_lost_result_file_is_downloaded_again(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    job = requests.submit("kept", client=server.client()).wait()
    output = job.folder / "output-000.jsonl"
    content = output.read_bytes()
    for spoil in (lambda: output.write_bytes(content[:-20]), output.unlink):
        (job.folder / "answers.parquet").unlink()
        spoil()
        with pytest.raises(bf.errors.JobError, match="changed since the download"):
            bf.job("kept").results()
        assert bf.job("kept", client=server.client()).refresh().counts == {"ok": 3}
        assert output.read_bytes() == content


def test_many_kernels_may_read_a_job_at_once(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    job = requests.submit("read", client=server.client()).wait()
    failures: list[BaseException] = []

    def read() -> None:
        for _ in range(10):
            (job.folder / "answers.parquet").unlink(missing_ok=True)
            try:
                assert bf.job(job.folder).counts == {"ok": 3}
            except BaseException as reason:  # noqa: BLE001 - shown below
                failures.append(reason)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert not list(job.folder.glob("*.part"))


def test_interrupting_the_wait_does_not_cancel_and_prints_how_to_continue(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    server.pause()
    job = requests.submit("interrupted", client=server.client())
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt, match=r"bf\.job\('interrupted'\)"):
        job.wait()
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


def test_displaying_a_job_never_calls_the_service(requests: bf.Requests, proxy: Any) -> None:
    job = requests.submit(client=proxy.client())
    calls = len(proxy.calls)
    assert repr(job)
    assert job._repr_html_()
    assert job.status
    assert not job.done
    assert len(job.results()) == 3
    assert len(proxy.calls) == calls


def polls(proxy: Any, batch: str) -> int:
    return sum(path.endswith(batch) for _, path in proxy.calls)


@pytest.mark.parametrize("poll", [0.05, (0.05, 60), [0.05, 0.1]])
def test_wait_polls_at_the_given_interval(
    poll: Any, requests: bf.Requests, proxy: Any, server: batchframe.local.Server
) -> None:
    server.pause()
    slow = bf.provider("self-hosted", first_poll=600, last_poll=600)
    job = requests.submit(client=proxy.client(), provider=slow)
    [batch] = job.batches
    with pytest.raises(bf.errors.JobTimeout):
        job.wait(timeout=1)
    assert polls(proxy, batch.id) == 2  # the second at the timeout
    with pytest.raises(bf.errors.JobTimeout):
        job.wait(timeout=2, poll=poll)
    assert polls(proxy, batch.id) > 4
    job.watch(poll=poll)
    server.resume()
    assert job.wait(timeout=300, poll=poll).done


@pytest.mark.parametrize(
    "poll", [0, -1, True, "5", float("nan"), float("inf"), (5,), (60, 5), (1, 2, 3), (1, None), {}]
)
def test_an_invalid_poll_interval_is_refused_before_any_call(
    poll: Any, requests: bf.Requests, proxy: Any
) -> None:
    job = requests.submit(client=proxy.client())
    calls = len(proxy.calls)
    for follow in (job.wait, job.watch):
        with pytest.raises(bf.errors.RequestError, match="poll: not"):
            follow(poll=poll)
    assert len(proxy.calls) == calls


def test_a_job_without_a_client_names_its_base_url(
    requests: bf.Requests, server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.pause()
    requests.submit("kept", client=server.client())
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(bf.errors.ClientError, match="client: missing"):
        bf.job("kept").refresh()
