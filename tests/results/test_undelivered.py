"""Undelivered answers are sent again only on request."""

from __future__ import annotations

import pytest

import batchframe as bf
from batchframe.local import Fault, serve
from tests.support.other_server import FakeServer, fake_server, good, jsonl, requests
from tests.support.profiles import change_local

__all__ = ["fake_server", "requests"]

FOREVER = float("inf")
CONTENT = "GET /v1/files/{id}/content"


@pytest.fixture(autouse=True)
def _polls_often(monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, first_poll=0.01, last_poll=0.02)


def test_rows_of_a_late_file_are_not_sent_again_by_default(
    requests: bf.Requests, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(faults=[Fault(CONTENT, 404, times=FOREVER)]) as server:
        client = server.client()
        job = requests.submit("late", client=client).wait()
        assert job.counts == {"missing": 3}
        assert "job.refresh()" in repr(job)
        assert '.unanswered(also="undelivered")' in repr(job)
        plain = job.unanswered()
        assert "answers to 3 rows and has not delivered" in capsys.readouterr().err
        assert len(plain) == 0
        plain.submit(client=client)
        assert len(server.ledger) == 1
        paid_again = job.unanswered(also="undelivered")
        assert len(paid_again) == 3
        server.faults.clear()
        assert job.refresh().counts == {"ok": 3}
        assert len(job.unanswered(also="undelivered")) == 0
        assert paid_again.submit(client=client, reuse=False).wait().counts == {"ok": 3}
        assert len(server.ledger) == 2


@pytest.mark.parametrize(
    ("counts", "asked_again"),
    [({"completed": 3}, 0), ({"completed": 2, "failed": 1}, 1), ({}, 1), (None, 1)],
    ids=str,
)
def test_the_count_of_the_service_decides(
    counts: dict[str, int] | None, asked_again: int, fake_server: FakeServer, requests: bf.Requests
) -> None:
    fake_server.batch = {"request_counts": counts and {"total": 3, **counts}}
    fake_server.files["file-out"] = lambda prompts: jsonl(*[good(*one) for one in prompts[1:]])
    job = requests.submit("short", client=fake_server.client()).wait()
    assert job.counts == {"ok": 2, "missing": 1}
    assert len(job.unanswered()) == asked_again
    assert len(job.unanswered(also=["undelivered"])) == 1


def test_a_named_output_file_counts_without_a_count(
    fake_server: FakeServer, requests: bf.Requests
) -> None:
    fake_server.files.clear()
    job = requests.submit("named", client=fake_server.client()).wait()
    assert job.counts == {"missing": 3}
    assert len(job.unanswered()) == 0
    assert len(job.unanswered(also="undelivered")) == 3
