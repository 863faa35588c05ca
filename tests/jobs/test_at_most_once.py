"""At most one billed batch, by the server's ledger."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from tests.support.profiles import change_local
from tests.support.seams import wrap_folder, wrap_step

NOTHING_LISTED = '{"object": "list", "data": [], "has_more": false}'
AMBIGUOUS = [
    "reset", "end of file", "hang", "500", "503 plain", "408", "409", "404 of a proxy",
    "broken JSON", "empty object", "list", "login page", "redirect",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _settles_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, settle=0.3)


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_s11_a_batch_with_a_lost_response_is_adopted(
    kind: str, proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    proxy.fail("POST", "/batches", kind, after=True)
    job = requests.submit("once", client=proxy.client()).wait()
    assert job.counts == {"ok": 3}
    assert proxy.creates() == 1
    assert len(server.ledger) == 1


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_s12_a_lost_request_is_uncertain_and_sent_again_only_on_request(
    kind: str, proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    proxy.fail("POST", "/batches", kind)
    with pytest.raises(bf.errors.SubmissionUncertain, match=r"resume\(recreate=True\)"):
        requests.submit("once", client=proxy.client())
    assert bf.job("once").status == "uncertain"
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("once", client=proxy.client())
    assert proxy.creates() == 1
    assert server.ledger == []
    job = bf.job("once", client=proxy.client()).resume(recreate=True).wait()
    assert job.counts == {"ok": 3}
    assert len(server.ledger) == 1


@pytest.mark.parametrize("kind", ["400 refused", "401 refused"])
def test_s16_an_error_in_the_services_format_is_reported_and_resume_continues(
    kind: str, proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    proxy.fail("POST", "/batches", kind)
    with pytest.raises(bf.errors.SubmissionError, match="nothing is billed"):
        requests.submit("once", client=proxy.client())
    assert bf.job("once").status == "submitting"
    job = requests.submit("once", client=proxy.client()).wait()
    assert job.counts == {"ok": 3}
    assert len(server.ledger) == 1


def test_a_rate_limit_is_retried_after_retry_after(
    proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    busy = '{"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}'
    proxy.fail("POST", "/batches", "400 refused", status=429, body=busy)
    job = requests.submit(client=proxy.client()).wait()
    assert job.counts == {"ok": 3}
    assert proxy.creates() == 2
    assert len(server.ledger) == 1


def test_an_account_without_credit_is_not_retried(proxy: Any, requests: bf.Requests) -> None:
    broke = '{"error": {"message": "You exceeded your quota.", "code": "insufficient_quota"}}'
    proxy.fail("POST", "/batches", "400 refused", status=429, body=broke)
    with pytest.raises(bf.errors.SubmissionError, match="insufficient_quota"):
        requests.submit(client=proxy.client())
    assert proxy.creates() == 1


def test_s14_a_job_resumes_after_the_service_was_out_of_reach(
    requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchframe._jobs.submission._UNSENT_ATTEMPTS", 1)
    import openai

    client = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="x", max_retries=0)
    with pytest.raises(bf.errors.ServiceError, match="could not be reached"):
        requests.submit("nowhere", client=client)
    assert bf.job("nowhere").status == "preparing"


def test_a_batch_that_is_listed_late_is_adopted(
    proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    proxy.fail("POST", "/batches", "reset", after=True)
    proxy.fail("GET", "/batches", "500", status=200, body=NOTHING_LISTED, times=2)
    job = requests.submit(client=proxy.client()).wait()
    assert job.counts == {"ok": 3}
    assert len(server.ledger) == 1


def test_s24_a_list_that_cannot_be_read_proves_nothing(
    proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    proxy.fail("POST", "/batches", "reset")
    # The first search, before the create, succeeds.
    proxy.fail("GET", "/batches", "500", status=200, body=NOTHING_LISTED)
    proxy.fail("GET", "/batches", "503 plain", times=1000)
    with pytest.raises(bf.errors.SubmissionUncertain, match="returned an incomplete list"):
        requests.submit("once", client=proxy.client())
    with pytest.raises(bf.errors.SubmissionUncertain):
        bf.job("once", client=proxy.client()).resume(recreate=True)
    assert proxy.creates() == 1
    assert server.ledger == []


def test_s25_nothing_is_sent_again_through_a_gateway_without_consent(
    proxy: Any, requests: bf.Requests
) -> None:
    proxy.fail("POST", "/batches", "reset")
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit(client=proxy.client(), on_uncertain="recreate")
    assert proxy.creates() == 1


def test_s22_from_another_account_nothing_is_sent_again(
    proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    proxy.fail("POST", "/batches", "reset", after=True)
    # Another project's key sees neither the batch nor the file.
    proxy.fail("GET", "/batches", "500", status=200, body=NOTHING_LISTED, times=99)
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("once", client=proxy.client())
    file_id = server.client().batches.list().data[0].input_file_id
    proxy.fail("GET", file_id, "404 refused", times=99)
    for _ in range(2):
        with pytest.raises(bf.errors.SubmissionUncertain, match="another project"):
            bf.job("once", client=proxy.client()).resume(recreate=True)
    proxy.faults.clear()
    assert bf.job("once", client=proxy.client()).resume().wait().counts == {"ok": 3}
    assert proxy.creates() == 1
    assert len(server.ledger) == 1


def test_s24_an_endless_list_does_not_loop_forever(proxy: Any, requests: bf.Requests) -> None:
    page = '{"object": "list", "data": [{"id": "batch_x", "object": "batch"}], "has_more": true}'
    proxy.fail("GET", "/batches", "500", status=200, body=page, times=1000)
    with pytest.raises(bf.errors.ServiceError, match="same page again"):
        requests.submit(client=proxy.client())


@pytest.mark.parametrize(
    "options", [{"name": 123}, {"name": "a\ud800"}, {"rerun": 1}, {"name": " "}]
)
def test_invalid_submit_arguments_are_refused_before_anything_is_sent(
    options: Any, proxy: Any, requests: bf.Requests
) -> None:
    with pytest.raises(ValueError, match="not a printable string"):
        requests.submit(client=proxy.client(), **options)
    assert proxy.calls == []


def test_two_batches_of_one_input_file_are_reported_and_the_older_is_used(
    proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    proxy.fail("POST", "/batches", "reset", after=True)
    proxy.fail("GET", "/batches", "500", status=200, body=NOTHING_LISTED, times=99)
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("twice", client=proxy.client())
    proxy.faults.clear()
    client = server.client()
    first = client.batches.list().data[0]
    client.batches.create(
        input_file_id=first.input_file_id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata=first.metadata,
    )
    job = bf.job("twice", client=proxy.client())
    with pytest.warns(UserWarning, match="has 2 batches"):
        job.resume()
    assert job.batches[0].id == first.id
    assert job.wait().counts == {"ok": 3}


def test_s20_a_lost_folder_does_not_make_a_second_batch(
    requests: bf.Requests,
    server: batchframe.local.Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    first = requests.submit(client=server.client()).wait()
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "another home"))
    again = requests.submit(client=server.client()).wait()
    assert again.folder != first.folder
    assert again.batches[0].id == first.batches[0].id
    assert len(server.ledger) == 1


def test_s18_sixteen_threads_at_once_make_one_batch(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    barrier = threading.Barrier(16)
    failures: list[BaseException] = []

    def submit() -> None:
        barrier.wait()
        try:
            requests.submit("shared", client=server.client())
        except BaseException as reason:  # noqa: BLE001 - shown below
            failures.append(reason)

    threads = [threading.Thread(target=submit) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert bf.job("shared", client=server.client()).wait().counts == {"ok": 3}
    assert len(server.ledger) == 1


@pytest.mark.parametrize("step", ["records", "find_answers"])
def test_s18_a_job_started_during_the_search_for_earlier_jobs_is_followed(
    step: str,
    requests: bf.Requests,
    server: batchframe.local.Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrap(original: Any) -> Any:
        def begun_meanwhile(*args: Any) -> Any:
            wrap_step(monkeypatch, step, lambda _: original)
            requests.submit("shared", client=server.client())
            return original(*args)

        return begun_meanwhile

    wrap_step(monkeypatch, step, wrap)
    job = requests.submit("shared", client=server.client())
    assert job.wait().counts == {"ok": 3}
    assert len(server.ledger) == 1


def test_a_submission_reads_each_earlier_job_at_most_once(
    server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(texts: list[str]) -> bf.Requests:
        return pd.DataFrame({"t": texts}).bf.requests("{{ t }}", model="gpt-4.1")

    first = ask(["a", "b"]).submit("first", client=server.client()).wait().id
    read_ids: list[str] = []

    def counted(function: Any) -> Any:
        return lambda folder: read_ids.append(folder.path.name) or function(folder)

    wrap_folder(monkeypatch, "read_manifest", counted)
    job = ask(["a", "b", "c"]).submit("second", client=server.client())
    assert read_ids in ([first], [])  # an older record of this process is not read again
    time.sleep(0.2)  # a folder that has just changed is always read
    ask(["a", "b", "c"]).submit("second", client=server.client())
    # For earlier jobs, for the estimate, and under the lock.
    assert read_ids[1:].count(first) <= 1
    assert read_ids[1:].count(job.folder.name) <= 3


CHILD = """
import openai, pandas as pd, batchframe as bf
frame = pd.DataFrame({"text": ["a", "b", "c"]})
requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
requests.submit("once", client=openai.OpenAI(base_url=%r, api_key="local", timeout=60))
"""


# tests/crash kills a kernel at each step, in the quick set too.
@pytest.mark.parametrize(
    ("path", "after"),
    [
        pytest.param("/batches", True, id="create, after the server saw it"),
        pytest.param("/batches", False, id="create, before", marks=pytest.mark.slow),
        pytest.param("/files", True, id="upload, after", marks=pytest.mark.slow),
        pytest.param("/files", False, id="upload, before", marks=pytest.mark.slow),
    ],
)
def test_s19_the_next_kernel_continues_after_a_kill(
    path: str, after: bool, proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    proxy.fail("POST", path, "hang", after=after)
    code = textwrap.dedent(CHILD % proxy.url)
    child = subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ))
    assert proxy.hanging.wait(30)
    child.send_signal(signal.SIGKILL)
    child.wait()
    job = bf.job("once", client=proxy.client())
    if path == "/batches" and not after:
        with pytest.raises(bf.errors.SubmissionUncertain):
            job.resume()
        job.resume(recreate=True)
    else:
        job = requests.submit("once", client=proxy.client())
    assert job.wait().counts == {"ok": 3}
    assert len(server.ledger) == 1
