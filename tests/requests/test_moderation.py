"""``requests.moderate()``: what the free endpoint flags is held back before anything is paid."""

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
    """Flags whatever holds "cruel"; notes all that it was asked, and answers chats with "yes"."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __call__(self, body: dict[str, Any]) -> Any:
        if "messages" in body or "instructions" in body or body["model"] == "gpt-4.1":
            return "yes"
        self.asked.append(body["input"])
        given = body["input"]
        single = isinstance(given[0], dict)
        results = [result("cruel" in str(one)) for one in ([given] if single else given)]
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
def judging(moderator: Moderator) -> Iterator[batchframe.local.Server]:
    with batchframe.local.serve(answer=moderator) as server:
        yield server


def ask(frame: pd.DataFrame = FRAME, **asked: Any) -> bf.Requests:
    asked = {"prompt": "{{ text }}", "model": "gpt-4.1", "on_missing": "skip", **asked}
    return frame.bf.requests(**asked)


def test_flagged_rows_are_held_back_and_keep_their_place(
    judging: batchframe.local.Server,
) -> None:
    requests = ask()
    held = requests.moderate(client=judging.client())
    assert (len(requests), len(held), held.rows) == (3, 2, 6)
    assert held.skipped["bf_error"].to_dict() == {
        "b": HELD, "d": "column 'text' is missing", "f": HELD
    }  # fmt: skip
    assert not judging.ledger  # asked in real time
    held.submit("kind ones", client=judging.client()).wait()
    assert [batch.requests for batch in judging.ledger] == [2]
    # As after a restart of the kernel: the folder alone.
    job = bf.job("kind ones")
    results = job.results()
    assert results["bf_status"].tolist() == ["ok", "skipped", "ok", "skipped", "ok", "skipped"]
    assert results["bf_error"].tolist()[1::4] == [HELD, HELD]
    assert job.counts == {"ok": 3, "skipped": 3}


@pytest.mark.parametrize("by_function", [False, True])
def test_a_join_by_content_tells_why_a_row_was_held_back(
    judging: batchframe.local.Server, *, by_function: bool
) -> None:
    prompt = (lambda row: row["text"] if pd.notna(row["text"]) else None) if by_function else (
        "{{ text }}"
    )  # fmt: skip
    held = ask(prompt=prompt).moderate(client=judging.client())
    held.submit("kind ones", client=judging.client()).wait()
    other = pd.DataFrame({"text": ["new", "cruel", "mild"]})
    joined = other.bf.join("kind ones")
    assert joined["bf_status"].tolist() == ["missing", "skipped", "ok"]
    assert joined["bf_error"].iloc[1] == HELD


def test_the_estimate_leaves_out_what_is_held_back(judging: batchframe.local.Server) -> None:
    requests = ask()
    whole = requests.estimate(prices=FREE)
    rest = requests.moderate(client=judging.client()).estimate(prices=FREE)
    assert (whole.requests, whole.skipped) == (3, 1)
    assert (rest.requests, rest.skipped, rest.duplicates) == (2, 3, 1)
    assert rest.input_tokens.high < whole.input_tokens.high


def test_what_is_not_flagged_asks_the_same_as_without(judging: batchframe.local.Server) -> None:
    requests = ask(FRAME.iloc[[0, 4]])
    held = requests.moderate(client=judging.client())
    assert held.fingerprint == requests.fingerprint
    assert held.preview() == requests.preview()


def test_the_cell_that_runs_again_finds_its_job(judging: batchframe.local.Server) -> None:
    client = judging.client()
    jobs = [ask().moderate(client=client).submit(client=client).wait() for _ in range(2)]
    assert jobs[0].id == jobs[1].id
    assert len(judging.ledger) == 1


def test_texts_go_in_packs_and_every_one_once(
    judging: batchframe.local.Server, moderator: Moderator
) -> None:
    texts = [f"text {at}" for at in range(100)]
    held = ask(pd.DataFrame({"text": [*texts, *texts]})).moderate(client=judging.client())
    assert len(held) == 100
    assert sorted(map(len, moderator.asked)) == [4, 32, 32, 32]
    assert sorted(text for pack in moderator.asked for text in pack) == sorted(texts)


def test_each_verdict_goes_to_its_own_row_whichever_comes_first() -> None:
    turn = threading.Barrier(2, timeout=30)

    async def answer(body: dict[str, Any]) -> Any:
        return {"results": [result("7" in text) for text in body["input"]]}

    texts = [f"text {at}" for at in range(90)]
    with batchframe.local.serve(answer=answer, concurrency=8) as server:
        held = ask(pd.DataFrame({"text": texts})).moderate(client=server.client())
    turn.abort()
    assert held.skipped.index.tolist() == [at for at in range(90) if "7" in str(at)]


def test_instructions_are_asked_about_with_the_prompt(
    judging: batchframe.local.Server, moderator: Moderator
) -> None:
    ask(FRAME.head(1), system="Be brief.").moderate(client=judging.client())
    [[text]] = moderator.asked
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
def test_the_prompts_of_any_endpoint_are_asked_about(
    endpoint: str, more: Any, moderator: Moderator
) -> None:
    def verdicts(body: dict[str, Any]) -> Any:
        return moderator({"model": body["model"], "input": body["input"]})

    with batchframe.local.serve(answer=verdicts) as server:
        held = ask(FRAME.head(2), endpoint=endpoint, **more).moderate(client=server.client())
    assert held.skipped.index.tolist() == ["b"]


def test_a_long_text_goes_in_pieces_and_any_of_them_flags_it(
    judging: batchframe.local.Server, moderator: Moderator
) -> None:
    long = "a " * 14_000
    # One word stands across the end of the first piece.
    frame = pd.DataFrame({"text": [long, long[:9_998] + "cruel" + long]})
    held = ask(frame).moderate(client=judging.client())
    assert held.skipped.index.tolist() == [1]
    pieces = [piece for pack in moderator.asked for piece in pack]
    assert max(map(len, pieces)) <= 10_000


def test_images_go_one_by_one_beside_the_text(
    judging: batchframe.local.Server, moderator: Moderator
) -> None:
    frame = pd.DataFrame({
        "text": ["one", "two"],
        "a": [png(), "https://example.org/cruel.png"],
        "b": [png(shade=1), None],
    })  # fmt: skip
    asked = ask(frame, images=["a", "b"], on_missing="empty")
    held = asked.moderate(client=judging.client())
    assert held.skipped.index.tolist() == [1]
    shown = [one for one in moderator.asked if isinstance(one[0], dict)]
    assert all(len(one) == 1 for one in shown)
    urls = {one[0]["image_url"]["url"] for one in shown}
    assert urls == {
        data_url(png()), data_url(png(shade=1)), "https://example.org/cruel.png"
    }  # fmt: skip


def test_a_model_that_reads_texts_only_is_shown_no_image(
    judging: batchframe.local.Server, moderator: Moderator
) -> None:
    frame = pd.DataFrame({"text": ["one"], "photo": [png()]})
    ask(frame, images="photo").moderate(model="text-moderation-latest", client=judging.client())
    assert moderator.asked == [["one"]]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (AnswerError(500, "Out of order."), "Out of order"),
        (AnswerError(404, "No such model.", code="model_not_found"), "No such model"),
        ({"results": []}, "0 results for 3 inputs"),
        ({"results": [result(is_flagged=True)] * 4}, "4 results"),
        ({"results": [{"flagged": "yes"}] * 3}, "invalid response"),
        ({"answer": 42}, "invalid response"),
    ],
)
def test_what_fails_is_told_with_its_row_and_nothing_is_held_back_or_sent(
    told: Any, words: str
) -> None:
    with batchframe.local.serve(answer=lambda _: told) as server:
        with pytest.raises(ServiceError) as caught:
            ask().moderate(client=server.client().with_options(max_retries=0))
        assert not server.ledger
    assert words in str(caught.value)
    assert "row 0 (index 'a')" in str(caught.value)
    assert "Nothing was submitted" in str(caught.value)


def test_a_service_that_is_not_there_is_told() -> None:
    client = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="k", max_retries=0)
    with pytest.raises(ServiceError, match="could not be reached"):
        ask().moderate(client=client)


def test_a_busy_service_is_asked_again(moderator: Moderator) -> None:
    fault = Fault("POST /v1/moderations", 429, times=2)
    with batchframe.local.serve(answer=moderator, faults=[fault]) as server:
        held = ask().moderate(client=server.client().with_options(max_retries=0))
    assert len(held) == 2


def test_without_a_key_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ClientError):
        ask().moderate()


@pytest.mark.parametrize("model", [None, "", 7])
def test_a_model_that_is_none_is_told(model: Any, judging: batchframe.local.Server) -> None:
    with pytest.raises(RequestError, match="model"):
        ask().moderate(model=model, client=judging.client())


def test_where_nothing_asks_nobody_is_asked() -> None:
    nothing = ask(pd.DataFrame({"text": [None, None]}, dtype=object))
    assert len(nothing.moderate()) == 0


def test_where_all_is_flagged_the_job_ends_at_once(judging: batchframe.local.Server) -> None:
    held = ask(FRAME.iloc[[1, 5]]).moderate(client=judging.client())
    job = held.submit("none", client=judging.client()).wait()
    assert job.counts == {"skipped": 2}
    assert not judging.ledger


def test_repeated_rows_are_held_back_one_by_one_without_dedupe(
    judging: batchframe.local.Server,
) -> None:
    held = ask(dedupe=False).moderate(client=judging.client())
    job = held.submit("each", client=judging.client()).wait()
    assert judging.ledger[0].requests == 3
    assert job.counts == {"ok": 3, "skipped": 3}
    assert FRAME.bf.join(job)["bf_status"].tolist() == job.results()["bf_status"].tolist()


def test_what_was_left_unanswered_can_be_moderated_too(moderator: Moderator) -> None:
    def answer(body: dict[str, Any]) -> Any:
        return AnswerError(500, "no") if "messages" in body else moderator(body)

    with batchframe.local.serve(answer=answer) as server:
        client = server.client()
        again = ask().submit("first", client=client).wait().unanswered()
        held = again.moderate(client=client)
    assert (len(again), len(held)) == (3, 2)


def test_twice_is_as_good_as_once(judging: batchframe.local.Server) -> None:
    client = judging.client()
    once = ask().moderate(client=client)
    twice = once.moderate(client=client)
    pd.testing.assert_frame_equal(once.skipped, twice.skipped)
    assert once.fingerprint == twice.fingerprint


def test_many_rows_cost_no_time_that_grows_faster_than_they_do(
    judging: batchframe.local.Server, moderator: Moderator
) -> None:
    rng = np.random.default_rng(0)
    texts = [
        f"{'cruel' if one else 'kind'} {at}" for at, one in enumerate(rng.integers(0, 2, 2000))
    ]
    held = ask(pd.DataFrame({"text": texts})).moderate(client=judging.client())
    assert len(held.skipped) == sum(text.startswith("cruel") for text in texts)
    assert len(moderator.asked) == -(-2000 // 32)


def test_the_genuine_client_reads_what_the_moderator_answers(
    judging: batchframe.local.Server,
) -> None:
    verdict = judging.client().moderations.create(model="omni-moderation-latest", input=["cruel"])
    assert isinstance(verdict, ModerationCreateResponse)
    assert verdict.results[0].flagged
