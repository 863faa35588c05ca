"""Pilots: a few requests in real time, whose answers are reused."""

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
    """Echo with answers of growing length; counts its calls."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def __call__(self, body: dict[str, Any]) -> Any:
        text = body["messages"][-1]["content"]
        self.calls[text] += 1
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


def test_a_pilot_answers_some_rows_and_the_batch_sends_only_the_others(
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
    answered_texts = good["response"].str.extract(r"re: (text \d+)")[0]
    assert good["bf_prompt"].tolist() == answered_texts.tolist()
    assert [f"row {text.split()[-1]}" for text in good["bf_prompt"]] == good.index.tolist()
    assert running.ledger == []
    with pytest.raises(bf.errors.CostError, match="no upper bound"):
        requests.submit("rest", client=client, max_cost=1)
    with pytest.warns(bf.errors.IntervalWarning, match="not an upper bound"):
        job = requests.submit("rest", client=client, max_cost=1, on_unbounded="warn").wait()
    asked_twice = {text for text, times in answers.calls.items() if times > 1}
    assert asked_twice <= {"text 13"}  # which the pilot got no answer to
    assert job.counts == {"ok": 59, "failed": 1}


def test_running_a_pilot_again_gives_the_same_answers_for_free(
    requests: bf.Requests, running: Server, answers: Answers, capfd: pytest.CaptureFixture[str]
) -> None:
    first = requests.pilot(12, client=running.client(), seed=1)
    capfd.readouterr()
    again = requests.pilot(12, client=running.client(), seed=1)
    assert "in real time" not in capfd.readouterr().err
    # Nothing is sent, so nothing can exceed a limit.
    requests.pilot(12, client=running.client(), seed=1, max_cost=0)
    pd.testing.assert_frame_equal(first.frame, again.frame)
    assert sum(answers.calls.values()) == 12
    other = requests.pilot(12, client=running.client(), seed=2)
    assert set(other.frame["bf_prompt"]) != set(first.frame["bf_prompt"])


def test_a_pilot_costs_the_standard_price_and_the_rest_has_an_interval(
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
        after = requests.submit(
            client=running.client(), prices=prices, max_cost=1, on_unbounded="warn"
        ).wait()
    low, high = rest.output_tokens.low, rest.output_tokens.high
    assert low <= after.usage.output_tokens <= high
    assert "Pilot of 30 rows" in repr(pilot)
    assert "standard, in real time" in pilot._repr_html_()


def test_max_cost_is_checked_against_the_standard_price_before_a_pilot(
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
    assert not answers.calls
    assert len(requests.pilot(10, max_cost=1, client=running.client(), prices=prices).frame) == 10


def test_every_fix_for_unbounded_answers_works(
    requests: bf.Requests, running: Server, answers: Answers
) -> None:
    client = running.client()
    advised = r'plan\.pilot\(n=20\), then submit\(max_cost=..., on_unbounded="warn"\)'
    with pytest.raises(bf.errors.CostError, match=f"no upper bound.*{advised}"):
        requests.submit(max_cost=1, client=client)
    with pytest.raises(bf.errors.CostError, match="unknown with fewer than 10"):
        requests.submit(max_cost=1, on_unbounded="warn", client=client)
    with pytest.raises(bf.errors.CostError, match=r"omit max_cost: pilot\(n=...\)"):
        requests.pilot(n=20, max_cost=1, client=client)
    with pytest.raises(bf.errors.CostError, match="unknown with fewer than 10"):
        requests.pilot(n=20, max_cost=1, on_unbounded="warn", client=client)
    for verb in (requests.submit, requests.pilot):
        with pytest.raises(bf.errors.RequestError, match="on_unbounded"):
            verb(max_cost=1, on_unbounded="ignore", client=client)  # type: ignore[call-arg, arg-type]
    assert not answers.calls
    requests.pilot(n=20, client=client)
    with pytest.raises(bf.errors.CostError, match=r'pilot\(max_cost=..., on_unbounded="warn"\)'):
        requests.pilot(n=40, max_cost=1, client=client)
    with pytest.raises(bf.errors.CostError, match="may reach"):
        requests.pilot(n=40, max_cost="0.000001", on_unbounded="warn", client=client)
    assert sum(answers.calls.values()) == 20
    with pytest.warns(bf.errors.IntervalWarning):
        requests.pilot(n=40, max_cost=1, on_unbounded="warn", client=client)
    assert sum(answers.calls.values()) == 40
    with pytest.raises(bf.errors.CostError, match="may reach"):
        requests.submit(max_cost="0.000001", on_unbounded="warn", client=client)
    with pytest.warns(bf.errors.IntervalWarning):
        assert requests.submit(max_cost=1, on_unbounded="warn", client=client).wait().done


def test_reasoning_is_compared_with_the_likely_cost_after_a_pilot(running: Server) -> None:
    frame = pd.DataFrame({"text": TEXTS})
    client, model = running.client(), "gpt-5.6-luna"
    requests = frame.bf.requests("{{ text }}", model=model, output=["a", "b"])
    with pytest.raises(bf.errors.CostError, match=r'no upper bound.*reasoning_effort="none"'):
        requests.submit(max_cost=1, client=client)
    requests.pilot(n=20, client=client)
    with pytest.warns(bf.errors.ReasoningWarning, match="not an upper bound"):
        assert requests.submit(max_cost=1, on_unbounded="warn", client=client).wait().done
    off = frame.bf.requests("{{ text }}", model=model, output=["a", "b"], reasoning_effort="none")
    off.submit(max_cost=1, client=client)
    # gpt-5-mini rejects the effort "none".
    mini = frame.bf.requests("{{ text }}", model="gpt-5-mini", output=["a", "b"])
    with pytest.raises(bf.errors.CostError) as excinfo:
        mini.submit(max_cost=1, client=client)
    assert "reasoning_effort" not in str(excinfo.value)


def test_a_request_with_a_lost_answer_is_not_repeated_by_the_pilot(
    requests: bf.Requests, running: Server, answers: Answers
) -> None:
    running.faults.add(Fault("POST /v1/chat/completions", "reset", after=True))
    pilot = requests.pilot(10, client=running.client())
    assert sum(answers.calls.values()) == 10
    assert (pilot.frame["bf_status"] == "ok").sum() >= 8
    requests.pilot(10, client=running.client())
    assert sum(answers.calls.values()) == 10


def test_a_rate_limited_request_is_retried(requests: bf.Requests, running: Server) -> None:
    busy = Fault("POST /v1/chat/completions", 429, times=3, headers={"Retry-After": "0"})
    running.faults.add(busy)
    pilot = requests.pilot(5, client=running.client(), seed=5)
    assert len(running.faults.struck) == 3
    assert (pilot.frame["bf_status"] == "ok").all()


def test_an_interrupted_pilot_continues_where_it_stopped(
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
    # Its answers can be read and are not billed again.
    with pytest.raises(bf.errors.RequestError, match="already running"):
        requests.submit(client=running.client())
    bf.job(bf.jobs()["id"][0], client=running.client()).refresh()
    assert requests.submit(client=running.client()).wait().counts["ok"] == 59
    assert len(requests.pilot(10, client=running.client()).frame) == 10
    assert {text for text, times in answers.calls.items() if times > 1} <= {"text 13"}


def test_a_pilot_of_more_rows_than_exist_takes_all_and_merges_duplicates(
    running: Server, answers: Answers
) -> None:
    frame = pd.DataFrame({"text": ["text 1", "text 2", "text 1"]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1")
    pilot = requests.pilot(99, client=running.client())
    assert pilot.frame["bf_prompt"].tolist() == frame["text"].tolist()
    assert sum(answers.calls.values()) == 2
    assert pilot.estimate.requests == 0
    with pytest.raises(bf.errors.RequestError, match="n: not a"):
        requests.pilot(0, client=running.client())


def test_a_pilot_works_with_a_prompt_function(running: Server) -> None:
    frame = pd.DataFrame({"text": TEXTS})
    requests = frame.bf.requests(lambda row: row["text"], model="gpt-4.1")
    pilot = requests.pilot(6, client=running.client())
    joined = frame.bf.join(pilot.job)
    answered = joined[joined["bf_status"] == "ok"]
    assert sorted(answered["text"]) == sorted(
        pilot.frame.loc[pilot.frame["bf_status"] == "ok", "bf_prompt"]
    )


def test_a_pilot_of_a_prompt_function_gives_its_own_requests_a_likely_end(
    running: Server,
) -> None:
    frame, client = pd.DataFrame({"text": TEXTS}), running.client()
    requests = frame.bf.requests(lambda row: row["text"], model="gpt-4.1")
    with pytest.raises(bf.errors.CostError, match=r"run plan\.pilot\(n=20\)"):
        requests.submit(max_cost=1, client=client)
    rest = requests.pilot(20, client=client).estimate
    assert rest.output_tokens.high is not None
    others = frame[40:].bf.requests(lambda row: row["text"] + "!", model="gpt-4.1")
    assert others.estimate(client=client).output_tokens.high is None
    with pytest.raises(bf.errors.CostError, match="unknown with fewer than 10"):
        others.submit(max_cost=1, on_unbounded="warn", client=client)
    with pytest.warns(bf.errors.IntervalWarning):
        assert requests.submit(max_cost=1, on_unbounded="warn", client=client).wait().done


def test_a_pilot_of_a_reordered_frame_gives_each_row_its_own_answer(
    running: Server,
) -> None:
    frame = pd.DataFrame({"text": TEXTS[:10]})
    first = frame.bf.requests("{{ text }}", model="gpt-4.1")
    first.pilot(10, client=running.client())
    for again in (frame.iloc[::-1], pd.concat([frame, frame.iloc[:3]])):
        requests = again.bf.requests("{{ text }}", model="gpt-4.1")
        pilot = requests.pilot(10, client=running.client())
        answered_texts = pilot.frame["response"].str.extract(r"re: (text \d+)")[0]
        assert answered_texts.tolist() == pilot.frame["bf_prompt"].tolist()
        assert len(pilot.frame) == len(again)


def test_a_request_with_a_server_error_is_sent_once(
    requests: bf.Requests, running: Server, answers: Answers
) -> None:
    running.faults.add(Fault("POST /v1/chat/completions", 503, after=True))
    requests.pilot(5, client=running.client())
    requests.pilot(5, client=running.client())
    assert sum(answers.calls.values()) == 5


def test_a_rejected_request_is_sent_again_by_the_next_pilot(
    requests: bf.Requests, running: Server, answers: Answers, capfd: pytest.CaptureFixture[str]
) -> None:
    broke = {"error": {"message": "No money.", "code": "insufficient_quota"}}
    refused = Fault("POST /v1/chat/completions", 429, body=broke, times=99)
    running.faults.add(refused)
    assert requests.pilot(5, client=running.client()).frame["bf_status"].eq("failed").all()
    assert len(running.faults.struck) == 5
    running.faults.clear()
    capfd.readouterr()
    assert requests.pilot(5, client=running.client(), seed=0).frame["bf_status"].eq("ok").all()
    assert sum(answers.calls.values()) == 5
    assert "Pilot: 5 requests in real time" in capfd.readouterr().err


@pytest.mark.parametrize("how", [{"n": "5"}, {"n": 2.5}, {"seed": -1}, {"seed": "x"}])
def test_an_invalid_number_of_rows_raises_a_clear_error(how: Any, requests: bf.Requests) -> None:
    with pytest.raises(bf.errors.RequestError, match="not an int of"):
        requests.pilot(**how)
