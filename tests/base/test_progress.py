"""Progress bars of long local steps, which can be interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe._base import progress as progress_bars

FRAME = pd.DataFrame({"text": [f"text {i}" for i in range(30)]})


class Recorded:
    """Progress bar that records its calls."""

    made: list[Recorded]

    def __init__(self, **options: Any) -> None:
        self.words, self.done, self.closed = options, options["initial"], False
        self.made.append(self)

    def update(self, more: int) -> None:
        self.done += more

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """Show every bar immediately and record it."""
    recorded: list[Recorded] = []
    kind = type("Kept", (Recorded,), {"made": recorded})
    monkeypatch.setattr(progress_bars, "_tqdm", lambda: kind)
    monkeypatch.setattr(progress_bars, "_DELAY", 0.0)
    return recorded


@pytest.fixture
def interrupt_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Press Ctrl-C once, when the bar with this title appears."""
    pressed: list[str] = []

    def set_up(text: str) -> None:
        def bar(**options: Any) -> Recorded:
            if options["desc"] == text and not pressed:
                pressed.append(text)
                raise KeyboardInterrupt
            return type("Kept", (Recorded,), {"made": []})(**options)

        monkeypatch.setattr(progress_bars, "_tqdm", lambda: bar)
        monkeypatch.setattr(progress_bars, "_DELAY", 0.0)

    return set_up


def ask() -> bf.Requests:
    return FRAME.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])


def test_a_step_of_less_than_a_second_shows_no_bar(
    server: batchframe.local.Server, capsys: pytest.CaptureFixture[str]
) -> None:
    job = ask().submit("quick", client=server.client())
    while not job.done:
        job.refresh()
    assert capsys.readouterr() == ("", "")


def test_each_long_step_has_a_bar_that_completes(
    server: batchframe.local.Server, bars: list[Recorded]
) -> None:
    requests = ask()
    requests.estimate()
    job = requests.submit("long", client=server.client())
    while not job.done:
        job.refresh()
    assert job.counts == {"ok": 30}
    bars_by_title = {bar.words["desc"]: bar for bar in bars}
    size = (job.folder / "output-000.jsonl").stat().st_size
    input_bytes = (job.folder / "input-000.jsonl").stat().st_size
    expected = {
        "rendering": 30, "counting tokens": 30, "writing input files": 30, "uploading": input_bytes,
        "downloading": size, "reading answers": 30,
    }  # fmt: skip
    assert {text: bar.done for text, bar in bars_by_title.items()} == expected
    assert {
        text: bar.words["unit_scale"]
        for text, bar in bars_by_title.items()
        if text[-7:] == "loading"
    }
    assert all(bar.closed for bar in bars)


def test_a_prompt_function_is_followed_row_by_row(bars: list[Recorded]) -> None:
    FRAME.bf.requests(lambda row: row["text"], model="gpt-4.1")
    assert ("calling the prompt function", 30) in [(bar.words["desc"], bar.done) for bar in bars]


def test_work_in_the_background_shows_no_bar(bars: list[Recorded]) -> None:
    def work() -> None:
        with progress_bars.progress("counting", 1, progress_bars.BYTES) as advance:
            advance(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert bars == []


@pytest.mark.parametrize("text", ["rendering", "counting tokens"])
def test_interrupting_a_step_that_sends_nothing_leaves_no_files(
    text: str, interrupt_at: Callable[[str], None], home: Path
) -> None:
    interrupt_at(text)
    with pytest.raises(KeyboardInterrupt):
        ask().estimate()
    assert not home.exists()
    assert ask().estimate().requests == 30


@pytest.mark.parametrize("text", ["writing input files", "uploading"])
def test_an_interrupted_submission_continues_where_it_stopped(
    text: str, interrupt_at: Callable[[str], None], server: batchframe.local.Server, home: Path
) -> None:
    interrupt_at(text)
    with pytest.raises(KeyboardInterrupt):
        ask().submit("interrupted", client=server.client())
    assert not [path for path in home.rglob("*") if path.suffix == ".part"]
    for path in home.rglob("input-*.jsonl"):
        assert path.read_bytes().count(b"\n") == 30
    job = ask().submit("interrupted", client=server.client()).wait()
    assert job.counts == {"ok": 30}
    assert len(server.ledger) == 1


@pytest.mark.parametrize("text", ["downloading", "reading answers"])
def test_interrupted_downloads_continue_at_the_next_poll(
    text: str, interrupt_at: Callable[[str], None], server: batchframe.local.Server
) -> None:
    job = ask().submit("interrupted", client=server.client())
    interrupt_at(text)
    with pytest.raises(KeyboardInterrupt):
        job.wait()
    assert not list(job.folder.glob("*.part"))
    assert bf.job("interrupted", client=server.client()).wait().counts == {"ok": 30}


def test_interrupted_to_jsonl_does_not_block_the_next(
    interrupt_at: Callable[[str], None], tmp_path: Path
) -> None:
    interrupt_at("writing input files")
    with pytest.raises(KeyboardInterrupt):
        ask().to_jsonl(tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []
    assert len(ask().to_jsonl(tmp_path / "mine")) == 1
