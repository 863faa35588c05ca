"""The card with buttons: what they do, what they ask first, and what can be read without them."""

from __future__ import annotations

import sys
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local

HOSTILE = '"><img src=x onerror=alert(1)>'


class Pressed:
    """A job's widget, by what is written on its buttons."""

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
def job(server: batchframe.local.Server) -> bf.Job:
    server.pause()
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(7)]})
    return frame.bf.requests("{{ text }}", model="gpt-4.1").submit(
        "pressed", client=server.client()
    )


def test_refresh_looks_and_shows_the_latest_card(
    job: bf.Job, server: batchframe.local.Server
) -> None:
    widget = Pressed(job)
    assert "7 waiting" in widget.card.value
    server.resume()
    while not job.done:
        widget.press("Refresh")
    assert "Job pressed: completed" in widget.card.value
    assert "7 ok" in widget.card.value


def test_cancelling_asks_first(job: bf.Job, server: batchframe.local.Server) -> None:
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


def test_what_has_ended_cannot_be_cancelled(job: bf.Job, server: batchframe.local.Server) -> None:
    widget = Pressed(job)
    assert not widget.buttons["Cancel…"].disabled
    widget.press("Cancel…")
    widget.press("Refresh")
    assert widget.asks  # a look in between takes no answer to the question
    server.resume()
    while not job.done:
        widget.press("Refresh")
    assert widget.buttons["Cancel…"].disabled
    assert not widget.asks
    assert not widget.buttons["Refresh"].disabled
    assert not widget.buttons["Show answers"].disabled
    assert Pressed(job).buttons["Cancel…"].disabled


def test_the_question_closes_when_the_job_ended_in_another_cell(
    job: bf.Job, server: batchframe.local.Server
) -> None:
    widget = Pressed(job)
    server.resume()
    job.wait()
    assert "completed" not in widget.card.value
    widget.press("Cancel…")
    assert not widget.asks
    assert widget.buttons["Cancel…"].disabled
    assert "Job pressed: completed" in widget.card.value


def test_answers_are_shown_as_text() -> None:
    with batchframe.local.serve(answer=lambda _: HOSTILE) as server:
        frame = pd.DataFrame({"text": [f"text {i}" for i in range(7)]})
        requests = frame.bf.requests("{{ text }}", model="gpt-4.1")
        widget = Pressed(requests.submit("hostile", client=server.client()).wait())
        widget.press("Show answers")
    assert widget.table.value.count("<tr") == 6
    assert "and 2 more" in widget.table.value
    assert "<img" not in widget.table.value
    assert "&lt;img" in widget.table.value


def test_trouble_stands_on_the_card(job: bf.Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(HOSTILE)

    widget = Pressed(job)
    monkeypatch.setattr(bf.Job, "_poll", refuse)
    widget.press("Refresh")
    assert "OSError" in widget.card.value
    assert "<img" not in widget.card.value
    assert not any(button.disabled for button in widget.buttons.values())


def test_the_widget_says_in_words_what_it_needs(
    job: bf.Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.widget()._ipython_display_()
    told = capsys.readouterr().out
    assert "Job pressed: being validated" in told
    assert "The buttons need the kernel" in told
    assert "job.widget() makes new ones" in told


def test_without_ipywidgets_the_way_to_get_it_is_said(
    job: bf.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(bf.errors.ExtraError, match=r"batchframe\[widgets\]"):
        job.widget()
    assert repr(job)
