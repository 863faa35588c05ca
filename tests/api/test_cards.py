"""A job's card: what it says, in which order, and for how many parts."""

from __future__ import annotations

import re
import socket
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe._api.cards import format_row_counts
from tests.support.profiles import change_local


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Cut jobs into input files of so many requests."""

    def cut(most: int) -> None:
        change_local(monkeypatch, max_requests=most)

    return cut


def ask(rows: int, word: str = "text") -> bf.Requests:
    frame = pd.DataFrame({"text": [f"{word} {i}" for i in range(rows)]})
    return frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])


def in_order(text: str, *words: str) -> bool:
    places = [text.index(word) for word in words]
    return places == sorted(places)


def test_a_card_says_what_matters_first_and_the_next_step_last(
    server: batchframe.local.Server, small_files: Any
) -> None:
    small_files(2)
    server.pause()
    job = ask(5).submit("ordered", client=server.client())
    card = job._repr_html_().partition("hidden ")[2].replace("<span>$</span>", "$")
    for shown in (repr(job), card):
        assert in_order(
            shown, "Job ordered: being validated", "0 of 5", "5 waiting", "$0.00; estimated",
            "submitted", "expires", "answered", "job.wait()",
        )  # fmt: skip
    server.resume()
    done = repr(job.wait())
    assert in_order(done, "Job ordered: completed", "5 ok", "spent", "submitted", "join(job)")
    assert "expires" not in done


def test_one_part_is_a_line_a_few_are_a_table_and_many_are_counted(
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


def test_parts_that_were_not_sent_are_counted_apart(
    server: batchframe.local.Server, small_files: Any
) -> None:
    small_files(1)
    server.pause()
    job = ask(10).submit("half", client=server.client())
    journal = job.folder / "journal.jsonl"
    sent = [line for line in journal.read_bytes().splitlines(keepends=True) if b"CREATED" in line]
    journal.write_bytes(b'{"event":"INTENT"}\n' + b"".join(sent[:4]))
    told = repr(bf.job("half"))
    assert "4 being validated, 6 not sent" in told
    assert "Job half: not completely sent" in told
    assert "bf.job('half').resume()" in told


def test_failed_rows_say_why_and_every_row_is_counted() -> None:
    assert format_row_counts({}) == "none"
    assert format_row_counts({"failed": 3}) == "3 failed"
    assert (
        format_row_counts({"ok": 1, "invalid": 14, "skipped": 6})
        == "1 ok, 14 failed (invalid), 6 skipped"
    )
    assert (
        format_row_counts({"missing": 1, "expired": 1200})
        == "1,201 failed (1 missing, 1,200 expired)"
    )


def test_the_color_at_the_edge_repeats_what_a_word_says(
    server: batchframe.local.Server,
) -> None:
    good = ask(3).submit("good", client=server.client()).wait()
    assert 'class="bf-card bf-good ' in good._repr_html_()
    assert "3 ok" in repr(good)
    with batchframe.local.serve(answer=lambda _: {"label": "?"}) as other:
        bad = ask(3).submit("bad", client=other.client()).wait()
    assert 'class="bf-card bf-bad ' in bad._repr_html_()
    assert "3 failed (invalid)" in repr(bad)


def test_no_object_asks_the_network_to_show_itself(
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
    for shown in (
        requests, requests.estimate(), job, bf.job("quiet"), job.report(), pilot, checked, agreed,
    ):  # fmt: skip
        assert repr(shown)
        assert "<table" in shown._repr_html_()
    assert bf.jobs()["name"].str[:5].tolist() == ["quiet", "pilot"]
    assert job.forget()._repr_html_()


def test_what_helps_against_several_failures_is_said_once() -> None:
    def refuse(body: dict[str, Any]) -> Any:
        number = int(body["messages"][-1]["content"].split()[-1])
        told = f"You exceeded your current quota of ${10 + number % 2}."
        return batchframe.local.AnswerError(429, told, code="insufficient_quota")

    with batchframe.local.serve(answer=refuse) as server:
        told = repr(ask(5).submit("poor", client=server.client()).wait())
    assert (
        "3 requests failed: HTTP 429, insufficient_quota: You exceeded your current quota of $10."
        in told
    )
    assert (
        "2 requests failed: HTTP 429, insufficient_quota: You exceeded your current quota of $11."
        in told
    )
    advice = told.partition("of $10. ")[2].partition("\n")[0]
    assert len(advice) > 20
    assert told.count(advice) == 1
