"""The card with buttons: actions, confirmations and the text without them."""

from __future__ import annotations

import html
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local

HOSTILE = '"><img src=x onerror=alert(1)>'


def text_of(page: str) -> str:
    """Return the text that a card shows where it is not styled."""
    return html.unescape(page.partition("<pre")[2].partition("</pre>")[0])


class Pressed:
    """A job's widget, used by the labels of its buttons."""

    def __init__(self, job: bf.Job) -> None:
        self.box = job.widget()
        self.card, row, self.question, self.table = self.box.children
        _, yes, no = self.question.children
        self.buttons = {button.description: button for button in (*row.children, yes, no)}

    def press(self, text: str) -> None:
        self.buttons[text].click()

    @property
    def asks(self) -> bool:
        return self.question.layout.display != "none"


@pytest.fixture
def job(server: batchframe.local.Server) -> Iterator[bf.Job]:
    server.pause()
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(7)]})
    plan = frame.bf.requests("{{ text }}", model="gpt-4.1")
    job = plan.submit("pressed", client=server.client())
    yield job
    job.abandon()  # widgets follow it until then
    for thread in threading.enumerate():
        if thread.name == "batchframe-watch":
            thread.join(30)


def test_refresh_polls_and_shows_the_latest_card(
    job: bf.Job, server: batchframe.local.Server
) -> None:
    widget = Pressed(job)
    assert "7 waiting of 7 requests" in text_of(widget.card.value)
    server.resume()
    while not job.done:
        widget.press("Refresh")
    assert "Job pressed: completed" in widget.card.value
    assert "7 ok of 7 rows" in text_of(widget.card.value)


def test_cancelling_asks_for_confirmation(job: bf.Job, server: batchframe.local.Server) -> None:
    widget = Pressed(job)
    assert not widget.asks
    widget.press("Cancel…")
    assert widget.asks
    widget.press("No, keep it running")
    assert not widget.asks
    assert job.status == "validating"
    widget.press("Cancel…")
    widget.press("Yes, cancel the job")
    assert not widget.asks
    server.resume()
    assert job.wait().status == "cancelled"


def test_an_ended_job_cannot_be_cancelled(job: bf.Job, server: batchframe.local.Server) -> None:
    widget = Pressed(job)
    assert not widget.buttons["Cancel…"].disabled
    widget.press("Cancel…")
    widget.press("Refresh")
    assert widget.asks  # a refresh does not answer the question
    server.resume()
    while not job.done:
        widget.press("Refresh")
    assert widget.buttons["Cancel…"].disabled
    assert not widget.asks
    assert not widget.buttons["Refresh"].disabled
    assert not widget.buttons["Show answers"].disabled
    assert Pressed(job).buttons["Cancel…"].disabled


def test_the_widget_follows_the_job_and_closes_the_question_when_it_ends(
    job: bf.Job, server: batchframe.local.Server
) -> None:
    widget, other = Pressed(job), Pressed(bf.job(job.id, client=server.client()))
    widget.press("Cancel…")
    assert widget.asks
    server.resume()
    job.wait()
    for one in (widget, other):
        assert not one.asks
        assert one.buttons["Cancel…"].disabled
        assert "Job pressed: completed" in one.card.value


def test_answers_are_shown_as_text() -> None:
    with batchframe.local.serve(answer=lambda _: HOSTILE) as server:
        frame = pd.DataFrame({"text": [f"text {i}" for i in range(7)]})
        requests = frame.bf.requests("{{ text }}", model="gpt-4.1")
        widget = Pressed(requests.submit("hostile", client=server.client()).wait())
        widget.press("Show answers")
    assert "5 of 7 rows" in widget.table.value
    assert [f"text {i}" in widget.table.value for i in range(6)] == [True] * 5 + [False]
    assert "<img" not in widget.table.value
    assert "&lt;img" in widget.table.value


def test_errors_are_shown_on_the_card(job: bf.Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(HOSTILE)

    widget = Pressed(job)
    monkeypatch.setattr(bf.Job, "_poll", refuse)
    widget.press("Refresh")
    assert "OSError" in widget.card.value
    assert "<img" not in widget.card.value
    assert not any(button.disabled for button in widget.buttons.values())


def test_without_a_front_end_the_widget_is_the_card_as_text(
    job: bf.Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.widget()._ipython_display_()
    assert "Job pressed: being validated" in capsys.readouterr().out


def test_ipywidgets_is_imported_only_when_a_widget_is_shown() -> None:
    source = (
        "import sys, pandas as pd, batchframe as bf\n"
        "plan = pd.DataFrame({'t': ['a']}).bf.requests('{{ t }}', model='gpt-4.1')\n"
        "plan._repr_html_(), plan.estimate(), bf.jobs()\n"
        "print('ipywidgets' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
