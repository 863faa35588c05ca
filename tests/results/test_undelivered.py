"""Answers that the service counts and does not deliver are paid again only with consent."""

from __future__ import annotations

import pytest

import batchframe as bf
from batchframe.local import Fault, serve
from tests.support.other_server import Imitation, good, imitation, jsonl, requests
from tests.support.profiles import change_local

__all__ = ["imitation", "requests"]

FOREVER = float("inf")
CONTENT = "GET /v1/files/{id}/content"


@pytest.fixture(autouse=True)
def _polls_often(monkeypatch: pytest.MonkeyPatch) -> None:
    change_local(monkeypatch, first_poll=0.01, last_poll=0.02)


def test_a_late_file_is_not_paid_again_without_a_word(
    requests: bf.Requests, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(faults=[Fault(CONTENT, 404, times=FOREVER)]) as server:
        client = server.client()
        job = requests.submit("late", client=client).wait()
        assert job.counts == {"missing": 3}
        assert "job.refresh()" in repr(job)
        assert 'unanswered(also="undelivered")' in repr(job)
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
def test_the_services_count_decides(
    counts: dict[str, int] | None, asked_again: int, imitation: Imitation, requests: bf.Requests
) -> None:
    imitation.batch = {"request_counts": counts and {"total": 3, **counts}}
    imitation.files["file-out"] = lambda asked: jsonl(*[good(*one) for one in asked[1:]])
    job = requests.submit("short", client=imitation.client()).wait()
    assert job.counts == {"ok": 2, "missing": 1}
    assert len(job.unanswered()) == asked_again
    assert len(job.unanswered(also=["undelivered"])) == 1


def test_a_file_that_was_named_is_believed_without_a_count(
    imitation: Imitation, requests: bf.Requests
) -> None:
    imitation.files.clear()
    job = requests.submit("named", client=imitation.client()).wait()
    assert job.counts == {"missing": 3}
    assert len(job.unanswered()) == 0
    assert len(job.unanswered(also="undelivered")) == 3
