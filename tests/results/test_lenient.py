"""Fields that a server adds to an answer are ignored, if asked."""

from __future__ import annotations

from typing import Any

import pandas as pd

import batchframe as bf
import batchframe.local

FRAME = pd.DataFrame({"text": ["Boils fast.", "Leaks."]})


def ask(**options: Any) -> bf.Requests:
    return FRAME.bf.requests("{{ text }}", model="my-model", output=["good", "bad"], **options)


def with_reason(_body: dict[str, Any]) -> str:
    return '{"label": "good", "reason": "It works."}'


def test_an_unknown_field_is_invalid_and_asking_again_leniently_costs_nothing() -> None:
    with batchframe.local.serve(answer=with_reason) as server:
        client = server.client()
        strict = ask().submit("kettles", client=client).wait()
        assert strict.counts == {"invalid": 2}
        lenient = ask(lenient=True).submit("kettles", client=client)
        assert len(server.ledger) == 1
    assert lenient.id == strict.id
    assert lenient.counts == bf.job("kettles").counts == {"ok": 2}
    joined = FRAME.bf.join("kettles")
    assert joined["label"].tolist() == ["good", "good"]
    assert joined["bf_error"].isna().all()
    assert "reason" not in joined


def test_answers_of_another_job_are_reused_leniently() -> None:
    with batchframe.local.serve(answer=with_reason) as server:
        client = server.client()
        ask().submit(client=client).wait()
        more = pd.concat([FRAME, pd.DataFrame({"text": ["Too loud."]})], ignore_index=True)
        asked = {"model": "my-model", "output": ["good", "bad"], "lenient": True}
        job = more.bf.requests("{{ text }}", **asked).submit(client=client).wait()
        assert [batch.requests for batch in server.ledger] == [2, 1]
    assert job.counts == {"ok": 3}


def test_unanswered_rows_stay_lenient() -> None:
    answers = iter(['{"label": "good", "reason": ""}', "?", '{"label": "bad", "reason": ""}'])
    with batchframe.local.serve(answer=lambda _body: next(answers)) as server:
        client = server.client()
        job = ask(lenient=True).submit(client=client).wait()
        assert job.counts == {"ok": 1, "invalid": 1}
        again = job.unanswered(also="invalid").submit(client=client).wait()
        assert again.counts == {"ok": 1}
    assert FRAME.bf.join(job, again)["bf_status"].tolist() == ["ok", "ok"]
