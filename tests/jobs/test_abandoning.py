"""`abandon` closes jobs whose batch is lost or never ends."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

import batchframe as bf
from batchframe import local
from batchframe.errors import JobError, JobTimeout, ServiceError, SubmissionUncertain
from batchframe.local import Fault
from tests.support.profiles import change_local

RETRIEVE, FOREVER = "GET /v1/batches/{id}", float("inf")


@pytest.fixture(autouse=True)
def _polls_often(monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, first_poll=0.01, last_poll=0.02, settle=0.1)


@pytest.fixture
def paused() -> Iterator[local.Server]:
    with local.serve() as server:
        server.pause()
        yield server


def asked_again(job: bf.Job, server: local.Server) -> bf.Job:
    server.faults.clear()
    server.resume()
    return job.unanswered().submit(client=server.client()).wait()


def test_a_lost_batch_is_reported_and_closed_only_by_abandon(
    paused: local.Server, requests: bf.Requests, capsys: pytest.CaptureFixture[str]
) -> None:
    job = requests.submit("lost", client=paused.client())
    paused.faults.add(
        Fault(RETRIEVE, 404, times=FOREVER),
        Fault("POST /v1/batches/{id}/cancel", 404, times=FOREVER),
    )
    for verb in (job.wait, job.refresh, job.cancel):
        with pytest.raises(ServiceError, match="does not see batch_") as excinfo:
            verb()
        assert "bf.job('lost').abandon()" in str(excinfo.value)
        assert "client=" in str(excinfo.value)
    with pytest.raises(JobError, match="abandon"):
        job.forget()
    assert job.counts == {"pending": 3}
    assert job.abandon() is job
    assert "may still be billed" in capsys.readouterr().err
    assert (job.done, job.status, job.counts) == (True, "abandoned", {"missing": 3})
    assert job.results()["bf_error"].str.contains("may still be billed").all()
    assert "batchframe" not in repr(job)
    assert job.wait().refresh().resume().cancel().abandon().counts == {"missing": 3}
    assert asked_again(job, paused).counts == {"ok": 3}
    # A rerun finds the job unchanged, at no cost.
    assert requests.submit("lost", client=paused.client()).id == job.id
    assert len(paused.ledger) == 2
    assert job.forget().removed


def test_a_batch_that_never_ends_is_closed_without_a_client(
    paused: local.Server, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = requests.submit("endless", client=paused.client())
    with pytest.raises(JobTimeout, match=r"cancel\(\).*abandon\(\)"):
        job.wait(timeout=0.1)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert bf.job("endless").abandon().counts == {"missing": 3}
    assert asked_again(job, paused).counts == {"ok": 3}


def test_an_uncertain_job_is_closed(requests: bf.Requests) -> None:
    with local.serve(faults=[Fault("POST /v1/batches", "reset", times=FOREVER)]) as server:
        with pytest.raises(SubmissionUncertain):
            requests.submit("uncertain", client=server.client())
        job = bf.job("uncertain", client=server.client())
        with pytest.raises(JobError, match=r"resume\(\).*abandon\(\)"):
            job.forget()
        assert job.abandon().counts == {"missing": 3}
        assert (job.done, job.status) == (True, "abandoned")
        assert job.wait().resume().counts == {"missing": 3}
        assert asked_again(job, server).counts == {"ok": 3}
        assert len(server.ledger) == 1


def test_answers_of_an_interrupted_pilot_are_kept(
    server: local.Server, requests: bf.Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("batchframe._jobs.pilot.finish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            requests.pilot(2, client=server.client())
    job = bf.job(bf.jobs()["id"].item())
    assert job.counts == {"pending": 2}
    assert job.abandon().counts == {"ok": 2}


def test_unsent_requests_are_dropped(requests: bf.Requests) -> None:
    with local.serve(faults=[Fault("POST /v1/batches", 403, times=FOREVER)]) as server:
        with pytest.raises(bf.errors.SubmissionError):
            requests.submit("refused", client=server.client())
        assert bf.job("refused").abandon().counts == {"cancelled": 3}


def test_a_result_file_that_is_refused_for_good_is_given_up(
    requests: bf.Requests, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = Fault("GET /v1/files/{id}/content", 403, times=FOREVER)
    with local.serve(faults=[refused]) as server:
        job = requests.submit("refused", client=server.client())
        for _ in range(2):
            with pytest.raises(ServiceError, match="HTTP 403"):
                job.wait()
            assert (job.done, job.counts) == (False, {"pending": 3})
        assert job.abandon().counts == {"missing": 3}
        assert "may still be billed" in capsys.readouterr().err
        assert (job.done, job.status) == (True, "abandoned")
        # The refused file stays refused; the rows are sent again on request only.
        assert job.refresh().wait().counts == {"missing": 3}
        assert asked_again(job, server).counts == {"ok": 3}
        assert len(server.ledger) == 2


@pytest.mark.usefixtures("one_request_a_file")
def test_the_other_batches_end_first() -> None:
    frame = pd.DataFrame({"text": ["a", "b"]})
    with local.serve() as server:
        server.pause()
        requests = frame.bf.requests("{{ text }}", model="gpt-4.1")
        job = requests.submit("two", client=server.client())
        first = job.batches[0].id
        server.faults.add(Fault(f"GET /v1/batches/{first}", 404, times=FOREVER))
        with pytest.raises(JobTimeout):
            job.wait(timeout=0.2)
        server.resume()
        with pytest.raises(ServiceError, match=f"does not see {first}"):
            job.wait()
        assert job.counts == {"ok": 1, "pending": 1}
        assert job.abandon().counts == {"ok": 1, "missing": 1}
        assert [len(job.unanswered()), job.status] == [1, "abandoned"]
