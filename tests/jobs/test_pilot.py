"""A pilot asks a few requests at once; what it learned and paid for is not lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
from batchframe.local import AnswerError, Fault, Server, serve

TEXTS = [f"text {i}" for i in range(60)]


class Answers:
    """Echoes, with answers of growing length, and notes what was asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, body: dict[str, Any]) -> Any:
        text = body["messages"][-1]["content"]
        self.asked[text] += 1
        number = int(text.split()[-1])
        return AnswerError(400, "No.") if number == 13 else f"re: {text}" + " la" * (number % 7)


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def running(answers: Answers) -> Iterator[Server]:
    with serve(answer=answers) as server:
        yield server


@pytest.fixture
def requests() -> bf.Requests:
    frame = pd.DataFrame({"text": TEXTS}, index=[f"row {i}" for i in range(60)])
    return frame.bf.requests("{{ text }}", model="gpt-4.1")


def test_a_pilot_answers_some_rows_and_the_batch_asks_only_the_others(
    requests: bf.Requests, running: Server, answers: Answers, capfd: pytest.CaptureFixture[str]
) -> None:
    client = running.client()
    pilot = requests.pilot(20, client=client, seed=3)
    assert (
        "20 requests in real time at standard price, no upper bound on the cost"
        in capfd.readouterr().err
    )
    assert len(pilot.frame) == 20
    good = pilot.frame[pilot.frame["bf_status"] == "ok"]
    assert good["response"].str.startswith("re: text").all()
    told = good["response"].str.extract(r"re: (text \d+)")[0]
    assert good["bf_prompt"].tolist() == told.tolist()
    assert [f"row {text.split()[-1]}" for text in good["bf_prompt"]] == good.index.tolist()
    assert running.ledger == []
    with pytest.warns(bf.errors.IntervalWarning, match="not a bound"):
        job = requests.submit("rest", client=client, max_cost=1).wait()
    asked_twice = {text for text, times in answers.asked.items() if times > 1}
    assert asked_twice <= {"text 13"}  # which the pilot did not get answered
    assert job.counts == {"ok": 59, "failed": 1}


def test_a_pilot_that_is_run_again_is_the_same_and_costs_nothing(
    requests: bf.Requests, running: Server, answers: Answers, capfd: pytest.CaptureFixture[str]
) -> None:
    first = requests.pilot(12, client=running.client(), seed=1)
    capfd.readouterr()
    again = requests.pilot(12, client=running.client(), seed=1)
    assert "0 requests" not in capfd.readouterr().err
    pd.testing.assert_frame_equal(first.frame, again.frame)
    assert sum(answers.asked.values()) == 12
    other = requests.pilot(12, client=running.client(), seed=2)
    assert set(other.frame["bf_prompt"]) != set(first.frame["bf_prompt"])


def test_its_cost_is_that_of_the_standard_tier_and_the_rest_has_an_interval(
    requests: bf.Requests, running: Server
) -> None:
    prices = {"batch": {"input": 1, "output": 2}, "standard": {"input": 10, "output": 20}}
    pilot = requests.pilot(30, client=running.client(), prices=prices)
    job = bf.job(pilot.job)
    usage = job.usage
    expected = (10 * usage.input_tokens + 20 * usage.output_tokens) / Decimal(10**6)
    assert pilot.cost == job.cost == expected
    rest = pilot.estimate
    assert rest.requests in {30, 31}
    assert rest.output_tokens.low < rest.output_tokens.expected < rest.output_tokens.high
    assert "95% interval" in " ".join(rest.notes)
    with pytest.warns(bf.errors.IntervalWarning, match="max_completion_tokens"):
        after = requests.submit(client=running.client(), prices=prices, max_cost=1).wait()
    low, high = rest.output_tokens.low, rest.output_tokens.high
    assert low <= after.usage.output_tokens <= high
    assert "Pilot of 30 rows" in repr(pilot)
    assert "at standard price" in pilot._repr_html_()


def test_the_limit_is_held_against_the_standard_price_before_anything_is_sent(
    running: Server, answers: Answers
) -> None:
    frame = pd.DataFrame({"text": TEXTS})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", max_completion_tokens=100)
    prices = {"batch": {"input": 0, "output": 1}, "standard": {"input": 0, "output": 1000}}
    with pytest.raises(bf.errors.CostError, match=r"may reach \$1"):
        requests.pilot(10, max_cost="0.99", client=running.client(), prices=prices)
    unpriced = frame.bf.requests("{{ text }}", model="my-model", max_completion_tokens=9)
    with pytest.raises(bf.errors.CostError, match=r'pilot\(max_cost=..., prices=\{"standard"'):
        unpriced.pilot(10, max_cost=1, client=running.client())
    assert not answers.asked
    assert len(requests.pilot(10, max_cost=1, client=running.client(), prices=prices).frame) == 10


def test_where_nothing_bounds_the_answers_each_step_that_is_advised_can_be_taken(
    requests: bf.Requests, running: Server, answers: Answers
) -> None:
    client = running.client()
    advised = r"requests\.pilot\(n=20\) without max_cost"
    with pytest.raises(bf.errors.CostError, match=f"no upper bound.*{advised}"):
        requests.submit(max_cost=1, client=client)
    with pytest.raises(bf.errors.CostError, match=f"no upper bound.*{advised}"):
        requests.pilot(n=20, max_cost=1, client=client)
    assert not answers.asked
    requests.pilot(n=20, client=client)
    with pytest.warns(bf.errors.IntervalWarning):
        assert requests.submit(max_cost=1, client=client).wait().done


def test_an_answer_that_was_lost_is_not_asked_again_by_the_pilot(
    requests: bf.Requests, running: Server, answers: Answers
) -> None:
    running.faults.add(Fault("POST /v1/chat/completions", "reset", after=True))
    pilot = requests.pilot(10, client=running.client())
    assert sum(answers.asked.values()) == 10
    assert (pilot.frame["bf_status"] == "ok").sum() >= 8
    requests.pilot(10, client=running.client())
    assert sum(answers.asked.values()) == 10


def test_a_busy_service_is_asked_again(requests: bf.Requests, running: Server) -> None:
    busy = Fault("POST /v1/chat/completions", 429, times=3, headers={"Retry-After": "0"})
    running.faults.add(busy)
    pilot = requests.pilot(5, client=running.client(), seed=5)
    assert len(running.faults.struck) == 3
    assert (pilot.frame["bf_status"] == "ok").all()


def test_a_pilot_that_was_interrupted_goes_on_where_it_stopped(
    requests: bf.Requests, running: Server, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("batchframe._jobs.pilot.finish", die)
        with pytest.raises(Killed):
            requests.pilot(10, client=running.client())
    # Its answers can be read, and are not paid again.
    with pytest.raises(bf.errors.RequestError, match="already running"):
        requests.submit(client=running.client())
    bf.job(bf.jobs()["id"][0], client=running.client()).refresh()
    assert requests.submit(client=running.client()).wait().counts["ok"] == 59
    assert len(requests.pilot(10, client=running.client()).frame) == 10
    assert {text for text, times in answers.asked.items() if times > 1} <= {"text 13"}


def test_more_rows_than_there_are_is_all_of_them_and_equal_rows_are_one_request(
    running: Server, answers: Answers
) -> None:
    frame = pd.DataFrame({"text": ["text 1", "text 2", "text 1"]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1")
    pilot = requests.pilot(99, client=running.client())
    assert pilot.frame["bf_prompt"].tolist() == frame["text"].tolist()
    assert sum(answers.asked.values()) == 2
    assert pilot.estimate.requests == 0
    with pytest.raises(bf.errors.RequestError, match="n: not a"):
        requests.pilot(0, client=running.client())


def test_a_prompt_function_has_pilots_too(running: Server) -> None:
    frame = pd.DataFrame({"text": TEXTS})
    requests = frame.bf.requests(lambda row: row["text"], model="gpt-4.1")
    pilot = requests.pilot(6, client=running.client())
    joined = frame.bf.join(pilot.job)
    answered = joined[joined["bf_status"] == "ok"]
    assert sorted(answered["text"]) == sorted(
        pilot.frame.loc[pilot.frame["bf_status"] == "ok", "bf_prompt"]
    )


def test_a_pilot_of_a_frame_sorted_otherwise_gives_each_row_its_own_answer(
    running: Server,
) -> None:
    frame = pd.DataFrame({"text": TEXTS[:10]})
    first = frame.bf.requests("{{ text }}", model="gpt-4.1")
    first.pilot(10, client=running.client())
    for again in (frame.iloc[::-1], pd.concat([frame, frame.iloc[:3]])):
        requests = again.bf.requests("{{ text }}", model="gpt-4.1")
        pilot = requests.pilot(10, client=running.client())
        told = pilot.frame["response"].str.extract(r"re: (text \d+)")[0]
        assert told.tolist() == pilot.frame["bf_prompt"].tolist()
        assert len(pilot.frame) == len(again)


def test_what_a_server_error_may_have_answered_is_asked_once(
    requests: bf.Requests, running: Server, answers: Answers
) -> None:
    running.faults.add(Fault("POST /v1/chat/completions", 503, after=True))
    requests.pilot(5, client=running.client())
    requests.pilot(5, client=running.client())
    assert sum(answers.asked.values()) == 5


def test_what_was_refused_is_asked_again_when_the_pilot_is_run_again(
    requests: bf.Requests, running: Server, answers: Answers
) -> None:
    broke = {"error": {"message": "No money.", "code": "insufficient_quota"}}
    refused = Fault("POST /v1/chat/completions", 429, body=broke, times=99)
    running.faults.add(refused)
    assert requests.pilot(5, client=running.client()).frame["bf_status"].eq("failed").all()
    assert len(running.faults.struck) == 5
    running.faults.clear()
    assert requests.pilot(5, client=running.client(), seed=0).frame["bf_status"].eq("ok").all()
    assert sum(answers.asked.values()) == 5


@pytest.mark.parametrize("how", [{"n": "5"}, {"n": 2.5}, {"seed": -1}, {"seed": "x"}])
def test_a_number_that_is_none_is_refused_in_words(how: Any, requests: bf.Requests) -> None:
    with pytest.raises(bf.errors.RequestError, match="not an int of"):
        requests.pilot(**how)
