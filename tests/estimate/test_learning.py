"""Bills of finished jobs correct the next estimate of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from tests.support.job_folders import edit_manifest

LABELS = ["good", "bad"]
LABEL = '{"label":"good"}'


def ask(texts: list[str], **more: Any) -> bf.Requests:
    frame = pd.DataFrame({"text": texts})
    options = {"model": "gpt-4.1", "output": LABELS, **more}
    return frame.bf.requests("Label: {{ text }}", **options)


def texts(start: int, count: int = 20) -> list[str]:
    return [f"text {number}" for number in range(start, start + count)]


def billing(more_input: int, more_output: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Answer with a label, billed above what batchframe counts."""

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        counted = bf.count_tokens(body).tokens + more_input
        billed = bf.count_tokens(body, answer=LABEL).tokens + more_output
        return {
            "object": "chat.completion",
            "usage": {"prompt_tokens": counted, "completion_tokens": billed},
            "choices": [{"message": {"content": LABEL}, "finish_reason": "stop"}],
        }

    return answer


@pytest.fixture
def costly_server() -> Iterator[batchframe.local.Server]:
    """Serve answers billed 7 input and 3 output tokens above their count."""
    with batchframe.local.serve(answer=billing(7, 3)) as server:
        yield server


def test_a_finished_job_corrects_the_next_estimate_of_its_kind(
    costly_server: batchframe.local.Server,
) -> None:
    client = costly_server.client()
    other = {"system": "Be brief."}
    before = ask(texts(100)).estimate(client=client)
    ask(texts(0), **other).submit(client=client).wait()
    after = ask(texts(100)).estimate(client=client)
    assert after.input_tokens.expected == (before.input_tokens.expected or 0) + 7 * 20
    assert after.input_tokens.low == before.input_tokens.low
    assert after.input_tokens.high is not None
    assert after.input_tokens.high >= after.input_tokens.expected
    assert after.output_tokens.expected == pytest.approx(
        (before.output_tokens.expected or 0) + 3 * 20, abs=1
    )
    notes = " ".join(after.notes)
    assert (
        "Input tokens are corrected by +7 per request, as billed for 20 earlier requests" in notes
    )
    assert "Answers are corrected by +3 tokens each, as billed for 20 earlier requests" in notes
    job = ask(texts(100)).submit("next", client=client, max_cost=1).wait()
    assert job.usage.input_tokens == after.input_tokens.expected
    assert job.usage.output_tokens <= (after.output_tokens.high or 0)


@pytest.mark.parametrize(
    "more", [{"model": "gpt-4o"}, {"output": None}, {"endpoint": "/v1/responses"}]
)
def test_jobs_of_another_kind_correct_nothing(
    costly_server: batchframe.local.Server, more: dict[str, Any]
) -> None:
    ask(texts(0)).submit(client=costly_server.client()).wait()
    assert "corrected" not in repr(ask(texts(100), **more).estimate(client=costly_server.client()))


def test_another_account_and_few_answers_correct_nothing(
    costly_server: batchframe.local.Server,
) -> None:
    client = costly_server.client()
    ask(texts(0, 9)).submit("few", client=client).wait()
    assert "corrected" not in repr(ask(texts(100)).estimate(client=client))
    job = ask(texts(20)).submit("other", client=client).wait()
    edit_manifest(job, lambda stored: stored["identity"].update(organization="org-other"))
    own = client.with_options(organization="org-own")
    assert "corrected" not in repr(ask(texts(100)).estimate(client=own))


def test_a_bill_as_counted_is_not_mentioned() -> None:
    with batchframe.local.serve(answer=billing(0, 0)) as server:
        ask(texts(0)).submit(client=server.client()).wait()
        assert "corrected" not in repr(ask(texts(100)).estimate(client=server.client()))


def test_a_job_without_its_input_file_corrects_nothing(
    costly_server: batchframe.local.Server,
) -> None:
    job = ask(texts(0)).submit(client=costly_server.client()).wait()
    (job.folder / "input-000.jsonl").write_text("{")
    assert "corrected" not in repr(ask(texts(100)).estimate(client=costly_server.client()))
