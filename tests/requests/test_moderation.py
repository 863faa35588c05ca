"""``requests.moderate()``: flagged rows are skipped before submission."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pandas as pd
import pytest
from openai.types import ModerationCreateResponse

import batchframe as bf
import batchframe.local
from batchframe.errors import ClientError, RequestError, ServiceError
from batchframe.local import AnswerError, Fault
from tests.support.pictures import data_url, png

FRAME = pd.DataFrame(
    {"text": ["kind", "cruel", "kind", None, "mild", "cruel"]}, index=list("abcdef")
)
FREE = {tier: {"input": 1, "output": 1} for tier in ("batch", "standard")}
HELD = "held back: omni-moderation-latest flags it as hate, violence"


class Moderator:
    """Flags inputs with "cruel", records them, and answers chats with "yes"."""

    def __init__(self) -> None:
        self.inputs: list[Any] = []

    def __call__(self, body: dict[str, Any]) -> Any:
        if "messages" in body or "instructions" in body or body["model"] == "gpt-4.1":
            return "yes"
        self.inputs.append(body["input"])
        inputs = body["input"]
        single = isinstance(inputs[0], dict)
        results = [result("cruel" in str(one)) for one in ([inputs] if single else inputs)]
        return {"id": "modr-1", "model": body["model"], "results": results}


def result(is_flagged: bool) -> dict[str, Any]:
    # Of the OpenAI moderation guide (2026-11), with fewer categories.
    names = ("harassment", "hate", "violence")
    flags = {name: is_flagged and name != "harassment" for name in names}
    scores = {name: 0.9 if flags[name] else 0.1 for name in names}
    inputs = {name: ["text"] for name in names}
    return {
        "flagged": is_flagged,
        "categories": flags,
        "category_scores": scores,
        "category_applied_input_types": inputs,
    }


@pytest.fixture
def moderator() -> Moderator:
    return Moderator()


@pytest.fixture
def moderating(moderator: Moderator) -> Iterator[batchframe.local.Server]:
    with batchframe.local.serve(answer=moderator) as server:
        yield server


def ask(frame: pd.DataFrame = FRAME, **options: Any) -> bf.Requests:
    options = {"prompt": "{{ text }}", "model": "gpt-4.1", "on_missing": "skip", **options}
    return frame.bf.requests(**options)


def test_flagged_rows_are_skipped_in_place(
    moderating: batchframe.local.Server,
) -> None:
    requests = ask()
    moderated = requests.moderate(client=moderating.client())
    assert (len(requests), len(moderated), moderated.rows) == (3, 2, 6)
    assert moderated.skipped["bf_error"].to_dict() == {
        "b": HELD, "d": "column 'text' is missing", "f": HELD
    }  # fmt: skip
    assert not moderating.ledger  # asked in real time
    moderated.submit("kind ones", client=moderating.client()).wait()
    assert [batch.requests for batch in moderating.ledger] == [2]
    # As after a kernel restart: only the folder.
    job = bf.job("kind ones")
    results = job.results()
    assert results["bf_status"].tolist() == ["ok", "skipped", "ok", "skipped", "ok", "skipped"]
    assert results["bf_error"].tolist()[1::4] == [HELD, HELD]
    assert job.counts == {"ok": 3, "skipped": 3}


@pytest.mark.parametrize("by_function", [False, True])
def test_join_shows_why_a_row_was_skipped(
    moderating: batchframe.local.Server, *, by_function: bool
) -> None:
    prompt = (lambda row: row["text"] if pd.notna(row["text"]) else None) if by_function else (
        "{{ text }}"
    )  # fmt: skip
    moderated = ask(prompt=prompt).moderate(client=moderating.client())
    moderated.submit("kind ones", client=moderating.client()).wait()
    other = pd.DataFrame({"text": ["new", "cruel", "mild"]})
    joined = other.bf.join("kind ones")
    assert joined["bf_status"].tolist() == ["missing", "skipped", "ok"]
    assert joined["bf_error"].iloc[1] == HELD


def test_the_estimate_excludes_flagged_rows(moderating: batchframe.local.Server) -> None:
    requests = ask()
    estimate = requests.estimate(prices=FREE)
    rest = requests.moderate(client=moderating.client()).estimate(prices=FREE)
    assert (estimate.requests, estimate.skipped) == (3, 1)
    assert (rest.requests, rest.skipped, rest.duplicates) == (2, 3, 1)
    assert rest.input_tokens.high < estimate.input_tokens.high


def test_unflagged_rows_make_the_same_requests(moderating: batchframe.local.Server) -> None:
    requests = ask(FRAME.iloc[[0, 4]])
    moderated = requests.moderate(client=moderating.client())
    assert moderated.fingerprint == requests.fingerprint
    assert moderated.preview() == requests.preview()


def test_a_rerun_cell_finds_its_job(moderating: batchframe.local.Server) -> None:
    client = moderating.client()
    jobs = [ask().moderate(client=client).submit(client=client).wait() for _ in range(2)]
    assert jobs[0].id == jobs[1].id
    assert len(moderating.ledger) == 1


def test_texts_are_sent_in_groups_and_each_once(
    moderating: batchframe.local.Server, moderator: Moderator
) -> None:
    texts = [f"text {i}" for i in range(100)]
    moderated = ask(pd.DataFrame({"text": [*texts, *texts]})).moderate(client=moderating.client())
    assert len(moderated) == 100
    assert sorted(map(len, moderator.inputs)) == [4, 32, 32, 32]
    assert sorted(text for pack in moderator.inputs for text in pack) == sorted(texts)


def test_each_verdict_is_given_to_its_own_row_in_any_order() -> None:
    turn = threading.Barrier(2, timeout=30)

    async def answer(body: dict[str, Any]) -> Any:
        return {"results": [result("7" in text) for text in body["input"]]}

    texts = [f"text {i}" for i in range(90)]
    with batchframe.local.serve(answer=answer, concurrency=8) as server:
        moderated = ask(pd.DataFrame({"text": texts})).moderate(client=server.client())
    turn.abort()
    assert moderated.skipped.index.tolist() == [i for i in range(90) if "7" in str(i)]


def test_instructions_are_moderated_with_the_prompt(
    moderating: batchframe.local.Server, moderator: Moderator
) -> None:
    ask(FRAME.head(1), system="Be brief.").moderate(client=moderating.client())
    [[text]] = moderator.inputs
    assert set(text.split("\n\n")) == {"Be brief.", "kind"}


@pytest.mark.parametrize(
    ("endpoint", "more"),
    [
        ("/v1/responses", {"system": "Be brief."}),
        ("/v1/embeddings", {"model": "text-embedding-3-small"}),
        ("/v1/completions", {}),
        ("/v1/images/generations", {"model": "gpt-image-2"}),
    ],
)
def test_prompts_of_every_endpoint_are_moderated(
    endpoint: str, more: Any, moderator: Moderator
) -> None:
    def verdicts(body: dict[str, Any]) -> Any:
        return moderator({"model": body["model"], "input": body["input"]})

    with batchframe.local.serve(answer=verdicts) as server:
        moderated = ask(FRAME.head(2), endpoint=endpoint, **more).moderate(client=server.client())
    assert moderated.skipped.index.tolist() == ["b"]


def test_a_long_text_is_sent_in_pieces_and_any_piece_flags_it(
    moderating: batchframe.local.Server, moderator: Moderator
) -> None:
    long = "a " * 14_000
    # One word crosses the end of the first piece.
    frame = pd.DataFrame({"text": [long, long[:9_998] + "cruel" + long]})
    moderated = ask(frame).moderate(client=moderating.client())
    assert moderated.skipped.index.tolist() == [1]
    pieces = [piece for pack in moderator.inputs for piece in pack]
    assert max(map(len, pieces)) <= 10_000


def test_images_are_sent_one_by_one_with_the_text(
    moderating: batchframe.local.Server, moderator: Moderator
) -> None:
    frame = pd.DataFrame({
        "text": ["one", "two"],
        "a": [png(), "https://example.org/cruel.png"],
        "b": [png(shade=1), None],
    })  # fmt: skip
    requests = ask(frame, images=["a", "b"], on_missing="empty")
    moderated = requests.moderate(client=moderating.client())
    assert moderated.skipped.index.tolist() == [1]
    image_inputs = [one for one in moderator.inputs if isinstance(one[0], dict)]
    assert all(len(one) == 1 for one in image_inputs)
    urls = {one[0]["image_url"]["url"] for one in image_inputs}
    assert urls == {
        data_url(png()), data_url(png(shade=1)), "https://example.org/cruel.png"
    }  # fmt: skip


def test_a_text_only_moderation_model_gets_no_image(
    moderating: batchframe.local.Server, moderator: Moderator
) -> None:
    frame = pd.DataFrame({"text": ["one"], "photo": [png()]})
    ask(frame, images="photo").moderate(model="text-moderation-latest", client=moderating.client())
    assert moderator.inputs == [["one"]]


@pytest.mark.parametrize(
    ("reply", "fragment"),
    [
        (AnswerError(500, "Out of order."), "Out of order"),
        (AnswerError(404, "No such model.", code="model_not_found"), "No such model"),
        ({"results": []}, "0 results for 3 inputs"),
        ({"results": [result(is_flagged=True)] * 4}, "4 results"),
        ({"results": [{"flagged": "yes"}] * 3}, "invalid response"),
        ({"answer": 42}, "invalid response"),
    ],
)
def test_an_error_names_the_row_and_nothing_is_skipped_or_sent(reply: Any, fragment: str) -> None:
    with batchframe.local.serve(answer=lambda _: reply) as server:
        with pytest.raises(ServiceError) as excinfo:
            ask().moderate(client=server.client().with_options(max_retries=0))
        assert not server.ledger
    assert fragment in str(excinfo.value)
    assert "row 0 (index 'a')" in str(excinfo.value)
    assert "Nothing was submitted" in str(excinfo.value)


def test_a_missing_moderation_service_is_reported() -> None:
    client = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="k", max_retries=0)
    with pytest.raises(ServiceError, match="could not be reached"):
        ask().moderate(client=client)


def test_a_rate_limited_request_is_retried(moderator: Moderator) -> None:
    fault = Fault("POST /v1/moderations", 429, times=2)
    with batchframe.local.serve(answer=moderator, faults=[fault]) as server:
        moderated = ask().moderate(client=server.client().with_options(max_retries=0))
    assert len(moderated) == 2


def test_a_missing_key_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ClientError):
        ask().moderate()


@pytest.mark.parametrize("model", [None, "", 7])
def test_an_invalid_moderation_model_is_reported(
    model: Any, moderating: batchframe.local.Server
) -> None:
    with pytest.raises(RequestError, match="model"):
        ask().moderate(model=model, client=moderating.client())


def test_an_empty_frame_makes_no_call() -> None:
    nothing = ask(pd.DataFrame({"text": [None, None]}, dtype=object))
    assert len(nothing.moderate()) == 0


def test_a_job_with_only_flagged_rows_ends_at_once(moderating: batchframe.local.Server) -> None:
    moderated = ask(FRAME.iloc[[1, 5]]).moderate(client=moderating.client())
    job = moderated.submit("none", client=moderating.client()).wait()
    assert job.counts == {"skipped": 2}
    assert not moderating.ledger


def test_without_dedupe_repeated_rows_are_skipped_individually(
    moderating: batchframe.local.Server,
) -> None:
    moderated = ask(dedupe=False).moderate(client=moderating.client())
    job = moderated.submit("each", client=moderating.client()).wait()
    assert moderating.ledger[0].requests == 3
    assert job.counts == {"ok": 3, "skipped": 3}
    assert FRAME.bf.join(job)["bf_status"].tolist() == job.results()["bf_status"].tolist()


def test_unanswered_requests_can_be_moderated(moderator: Moderator) -> None:
    def answer(body: dict[str, Any]) -> Any:
        return AnswerError(500, "no") if "messages" in body else moderator(body)

    with batchframe.local.serve(answer=answer) as server:
        client = server.client()
        again = ask().submit("first", client=client).wait().unanswered()
        moderated = again.moderate(client=client)
    assert (len(again), len(moderated)) == (3, 2)


def test_moderating_twice_changes_nothing(moderating: batchframe.local.Server) -> None:
    client = moderating.client()
    once = ask().moderate(client=client)
    twice = once.moderate(client=client)
    pd.testing.assert_frame_equal(once.skipped, twice.skipped)
    assert once.fingerprint == twice.fingerprint


def test_many_rows_are_moderated_in_few_calls(
    moderating: batchframe.local.Server, moderator: Moderator
) -> None:
    rng = np.random.default_rng(0)
    texts = [f"{'cruel' if one else 'kind'} {i}" for i, one in enumerate(rng.integers(0, 2, 2000))]
    moderated = ask(pd.DataFrame({"text": texts})).moderate(client=moderating.client())
    assert len(moderated.skipped) == sum(text.startswith("cruel") for text in texts)
    assert len(moderator.inputs) == -(-2000 // 32)


def test_the_genuine_client_reads_what_the_moderator_answers(
    moderating: batchframe.local.Server,
) -> None:
    verdict = moderating.client().moderations.create(
        model="omni-moderation-latest", input=["cruel"]
    )
    assert isinstance(verdict, ModerationCreateResponse)
    assert verdict.results[0].flagged
