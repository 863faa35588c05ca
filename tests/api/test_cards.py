"""Cards of jobs: their content, its order, and one or many input files."""

from __future__ import annotations

import html
import re
import socket
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe._api.cards import format_row_counts
from batchframe.local import AnswerError, Fault
from tests.support.profiles import change_local


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Limit the requests of an input file."""

    def cut(most: int) -> None:
        change_local(monkeypatch, max_requests=most)

    return cut


def ask(rows: int, word: str = "text") -> bf.Requests:
    frame = pd.DataFrame({"text": [f"{word} {i}" for i in range(rows)]})
    return frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])


def in_order(text: str, *phrases: str) -> bool:
    places = [text.index(word) for word in phrases]
    return places == sorted(places)


def test_a_card_begins_with_the_status_and_ends_with_the_next_step(
    server: batchframe.local.Server, small_files: Any
) -> None:
    small_files(2)
    server.pause()
    job = ask(5).submit("ordered", client=server.client())
    card = job._repr_html_().partition("display:none")[2].replace("<span>$</span>", "$")
    for rendered in (repr(job), card):
        assert in_order(
            rendered, "Job ordered: being validated", "0 of 5", "$0.00", "5 waiting", "expires",
        )  # fmt: skip
        assert "bf.job('ordered').wait()" in html.unescape(rendered)
    server.resume()
    final_card = repr(job.wait())
    assert in_order(
        final_card, "Job ordered: completed", "spent", "5 ok", "submitted", "join('ordered')"
    )
    assert "expires" not in final_card


def test_one_batch_is_a_line_a_few_are_a_table_and_many_are_counted(
    server: batchframe.local.Server, small_files: Any
) -> None:
    server.pause()
    one = ask(8).submit("one", client=server.client())
    assert re.search(rf"batch +{one.batches[0].id} being validated", repr(one))
    small_files(4)
    few = repr(ask(9, "few").submit("few", client=server.client()))
    assert len(re.findall(r"^ +[1-3] .*being validated +batch_", few, re.MULTILINE)) == 3
    small_files(1)
    many = repr(ask(10, "many").submit("many", client=server.client()))
    assert "10: 10 being validated" in many
    assert "batch_" not in many


def test_unsent_input_files_are_counted_separately(
    server: batchframe.local.Server, small_files: Any
) -> None:
    small_files(1)
    server.pause()
    job = ask(10).submit("half", client=server.client())
    journal = job.folder / "journal.jsonl"
    created = [
        line for line in journal.read_bytes().splitlines(keepends=True) if b"CREATED" in line
    ]
    journal.write_bytes(b'{"event":"INTENT"}\n' + b"".join(created[:4]))
    card = repr(bf.job("half"))
    assert "4 being validated, 6 not sent" in card
    assert "Job half: not completely sent" in card
    assert "bf.job('half').resume()" in card


def test_failed_has_one_meaning_and_every_row_is_counted() -> None:
    assert format_row_counts({}) == "none"
    counts = {"ok": 1, "invalid": 1400, "failed": 3, "skipped": 6}
    assert format_row_counts(counts) == "1 ok, 1,400 invalid, 3 failed, 6 skipped"


def test_the_edge_color_repeats_the_status(
    server: batchframe.local.Server,
) -> None:
    good = ask(3).submit("good", client=server.client()).wait()
    assert 'class="bf-card bf-good ' in good._repr_html_()
    assert "3 ok" in repr(good)
    with batchframe.local.serve(answer=lambda _: {"label": "?"}) as other:
        bad = ask(3).submit("bad", client=other.client()).wait()
    assert 'class="bf-card bf-bad ' in bad._repr_html_()
    assert "3 invalid of 3 rows" in repr(bad)


def test_displaying_an_object_never_calls_the_service(
    server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = ask(12)
    pilot = requests.pilot(2, client=server.client())
    job = requests.submit("quiet", client=server.client()).wait()
    labeled = bf.join(pd.DataFrame({"text": ["text 1"], "gold": ["+"]}), job)
    checked = bf.evaluate(labeled, truth="gold", predicted="label")
    agreed = bf.agreement(labeled, ["gold", "label"])

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for display_object in (
        requests, requests.estimate(), job, bf.job("quiet"), job.report(), pilot, checked, agreed,
    ):  # fmt: skip
        assert repr(display_object)
        assert "<table" in display_object._repr_html_()
    assert bf.jobs()["name"].str[:5].tolist() == ["quiet", "pilot"]
    assert job.forget()._repr_html_()


def test_advice_for_several_failures_is_given_once() -> None:
    def refuse(body: dict[str, Any]) -> Any:
        number = int(body["messages"][-1]["content"].split()[-1])
        message = f"You exceeded your current quota of ${10 + number % 2}."
        return AnswerError(429, message, code="insufficient_quota")

    with batchframe.local.serve(answer=refuse) as server:
        card = repr(ask(5).submit("poor", client=server.client()).wait())
    assert (
        "3 requests failed: HTTP 429, insufficient_quota: You exceeded your current quota of $10."
        in card
    )
    assert (
        "2 requests failed: HTTP 429, insufficient_quota: You exceeded your current quota of $11."
        in card
    )
    advice = card.partition("of $10. ")[2].partition("\n")[0]
    assert len(advice) > 20
    assert card.count(advice) == 1


def parts_of(job: bf.Job) -> dict[str, int]:
    bar = job._card().bar
    assert bar is not None
    return {part.name: part.count for part in bar.parts}


def test_a_running_card_never_contradicts_itself(server: batchframe.local.Server) -> None:
    server.pause(after=25)
    job = ask(60).submit("running", client=server.client())
    while job.batches[0].completed < 25:
        job.refresh()
    assert parts_of(job) == {"answered": 25, "waiting": 35}
    text = repr(job)
    assert "done 25 of 60" in text
    assert "25 answered, 35 waiting of 60 requests" in text
    assert "60 waiting" not in text
    assert "time left about" in text
    assert "spent so far about $" in text
    assert re.search(r"as of +(\d{4}-\d\d-\d\d )?\d\d:\d\d \w+", text)
    assert "as of" in bf.job("running")._repr_html_()  # a snapshot says its time
    server.resume()
    assert "as of" not in repr(job.wait())


def test_the_bar_of_an_expired_job_is_not_full(server: batchframe.local.Server) -> None:
    server.pause(after=4)
    job = ask(10).submit("late", client=server.client())
    server.expire(job.batches[0].id)
    job.wait()
    assert parts_of(job) == {"ok": 4, "expired": 6}
    assert job._card().progress == (4, 10)


def test_what_the_service_counted_and_did_not_deliver_is_not_done(
    server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_local(monkeypatch, first_poll=0.01, last_poll=0.02)
    server.faults.add(Fault("GET /v1/files/{id}/content", 404, times=float("inf")))
    job = ask(10).submit("short", client=server.client()).wait()
    assert job.batches[0].completed == 10
    assert parts_of(job) == {"counted by the service, not delivered": 10}
    assert job._card().progress == (0, 10)
    assert "job = bf.job('short').refresh()" in repr(job)


def odd(body: dict[str, Any]) -> Any:
    number = int(body["messages"][-1]["content"].split()[-1])
    if number % 5 == 0:
        return AnswerError(500, "overloaded")
    return {"label": "?"} if number % 5 == 1 else {"label": "+"}


@pytest.fixture
def kernel_client() -> Iterator[None]:
    yield
    bf.use(None)


def test_the_next_steps_are_complete_and_run_unchanged(kernel_client: None) -> None:  # noqa: ARG001
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(10)]})
    with batchframe.local.serve(answer=odd) as server:
        client = bf.use(server.client())
        plan = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
        assert "..." not in plan._card().next_step
        job = plan.submit("odd", client=client).wait()
        step = job._card().next_step
        assert "..." not in step
        assert "unanswered(also=['invalid'])" in step
        names: dict[str, Any] = {"df": frame, "bf": bf}
        exec(step, names)  # noqa: S102 - the line that the card prints
        assert names["labeled"]["bf_status"].value_counts()["ok"] == 6
        again = bf.job("odd, again")
        assert "join('odd', 'odd, again', again)" in again._card().next_step
        assert "df.bf.join('odd', 'odd, again')" in job._card().next_step
        exec(job._card().next_step, names)  # noqa: S102 - as above
    with batchframe.local.serve(answer=lambda _: {"label": "?"}) as server:
        invalid = ask(1).submit("invalid", client=server.client()).wait()
    assert "labeled = df.bf.join('invalid')" in repr(invalid)
    assert "1 invalid row, billed: bf.job('invalid').unanswered(also=['invalid'])" in repr(invalid)


def test_a_completed_job_shows_how_the_labels_fell() -> None:
    with batchframe.local.serve(answer=lambda b: {"label": "+-"[len(str(b)) % 2]}) as other:
        job = ask(12).submit("labels", client=other.client()).wait()
    shares = job._card().shares
    assert shares is not None
    assert dict(shares.rows) == job.results()["label"].value_counts().to_dict()
    assert sum(count for _, count in shares.rows) == 12


def test_a_pilot_shows_prompts_and_answers(server: batchframe.local.Server) -> None:
    plan = ask(30)
    before = plan.estimate(client=server.client()).notes
    pilot = plan.pilot(6, client=server.client())
    table = pilot._card().table
    assert table is not None
    assert len(table.rows) == 5
    row = pilot.frame.iloc[0]
    assert table.rows[0] == (row["bf_prompt"], row["label"])
    assert not set(pilot._card().notes) & set(before)


def test_nothing_costs_anything_once_the_job_has_answered(server: batchframe.local.Server) -> None:
    plan, client = ask(30), server.client()
    plan.pilot(5, client=client)
    plan.submit("all", client=client).wait()
    estimate = plan.estimate(client=client)
    assert (estimate.requests, estimate.sent_as) == (0, "all")
    assert "as job all; submit() only finds it" in repr(estimate)
    assert plan.pilot(5, client=client).estimate.requests == 0


def folded_away(page: str) -> str:
    return page.partition("display:none")[2].partition("<details>")[0]


def test_the_headline_has_four_figures_and_what_the_batch_saves() -> None:
    plan = ask(40)
    estimate = plan.estimate()
    for card in (plan._card(), estimate._card()):
        assert [name for name, _ in card.figures] == ["rows", "requests", "about", "at most"]
        facts = dict(card.facts)
        assert facts["the batch saves"].startswith("$")
        assert facts["1,000 rows"].startswith("about $")
    assert "flex" not in repr(plan)
    folded = estimate._repr_html_().partition("<details>")[2]
    assert "flex cost" in folded
    assert "flex cost" not in folded_away(estimate._repr_html_())
    assert not set(plan._card().notes) & {*estimate._card().notes, *estimate.notes}
