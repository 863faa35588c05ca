"""bf.jobs() and bf.job(): local and remote jobs, misspelled names."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local

HERE = [
    "name", "id", "status", "rows", "ok", "failed", "estimated", "cost", "submitted", "age",
    "folder",
]  # fmt: skip


def ask(word: str, rows: int = 3) -> bf.Requests:
    frame = pd.DataFrame({"text": [f"{word} {i}" for i in range(rows)]})
    return frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])


def test_a_job_is_one_row_with_its_rows_and_costs(server: batchframe.local.Server) -> None:
    job = ask("done").submit("done", client=server.client()).wait()
    server.pause()
    ask("waiting", 5).submit("waiting", client=server.client())
    listed = bf.jobs()
    assert listed.columns.tolist() == HERE
    assert listed[["name", "rows", "ok", "failed"]].to_numpy().tolist() == [
        ["waiting", 5, 0, 0],
        ["done", 3, 3, 0],
    ]
    row = listed.set_index("name").loc["done"]
    assert row["cost"] == job.cost
    assert isinstance(row["estimated"], Decimal)
    assert row["submitted"].tz is not None
    assert row["age"] >= pd.Timedelta(0)
    assert listed["cost"].sum() == job.cost


def test_rows_without_a_valid_answer_are_counted_as_failed() -> None:
    with batchframe.local.serve(answer=lambda _: {"label": "?"}) as server:
        ask("odd").submit("odd", client=server.client()).wait()
    assert bf.jobs().loc[0, ["ok", "failed"]].tolist() == [0, 3]


def test_without_a_job_the_list_has_its_columns_and_their_dtypes(
    server: batchframe.local.Server,
) -> None:
    empty = bf.jobs()
    assert empty.columns.tolist() == HERE
    ask("one").submit("one", client=server.client())
    for name in ("rows", "ok", "failed", "submitted", "age"):
        assert empty[name].dtype.kind == bf.jobs()[name].dtype.kind


def test_a_list_reads_no_answers_twice(
    server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ask("read").submit("read", client=server.client()).wait()
    first = bf.jobs()

    def refuse(_: object) -> None:
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr("batchframe._results.billing.read_job", refuse)
        pd.testing.assert_frame_equal(bf.jobs().drop(columns="age"), first.drop(columns="age"))
    for spoiled in (b"{", b"[]", b'{"made_of": "", "counts": {"ok": 99}, "cost": null}'):
        (job.folder / "summary.json").write_bytes(spoiled)
        assert bf.jobs()["ok"].tolist() == [3]


def test_the_list_follows_the_job(server: batchframe.local.Server) -> None:
    server.pause()
    job = ask("moving").submit("moving", client=server.client())
    assert bf.jobs()["ok"].tolist() == [0]
    server.resume()
    job.wait()
    assert bf.jobs()["ok"].tolist() == [3]
    again = pd.DataFrame({"text": ["moving 0", "moving 1", "moving 2", "moving 2"]})
    again.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"]).submit(
        "moving", client=server.client()
    )
    assert bf.jobs()[["rows", "ok"]].to_numpy().tolist() == [[4, 4]]


def test_jobs_found_only_on_the_server_are_listed_with_the_next_step(
    server: batchframe.local.Server, tmp_path: Path
) -> None:
    client = server.client()
    kept_job = ask("kept").submit("kept", client=client).wait()
    lost_job = ask("lost").submit("lost", client=client).wait()
    lost_id = lost_job.id
    shutil.rmtree(lost_job.folder)
    foreign = foreign_batch(client, tmp_path)
    listed = bf.jobs(remote=True, client=client).set_index("id")
    assert listed.columns.tolist() == [name for name in [*HERE, "where"] if name != "id"]
    assert listed["where"].to_dict() == {
        kept_job.id: "here",
        lost_id: "on the server only: bf.recover() restores it",
        foreign: "on the server only, not created by batchframe",
    }
    assert listed.loc[lost_id, ["name", "ok"]].tolist() == ["lost", 3]
    assert pd.isna(listed.loc[lost_id, "rows"])
    bf.recover(client)
    assert bf.jobs(remote=True, client=client)["where"].tolist().count("here") == 2


def foreign_batch(client: openai.OpenAI, folder: Path) -> Any:
    line = (
        '{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": '
        '{"model": "gpt-4.1", "messages": [{"role": "user", "content": "?"}]}}\n'
    )
    (folder / "mine.jsonl").write_text(line)
    with (folder / "mine.jsonl").open("rb") as file:
        stored = client.files.create(file=file, purpose="batch")
    batch = client.batches.create(
        input_file_id=stored.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    return batch.id


def test_only_a_list_with_remote_calls_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert len(bf.jobs()) == 0
    with pytest.raises(bf.errors.ClientError):
        bf.jobs(remote=True)


def test_a_misspelled_name_suggests_similar_ones(server: batchframe.local.Server) -> None:
    ask("one").submit("sentiment", client=server.client())
    with pytest.raises(bf.errors.JobError, match="Did you mean 'sentiment'"):
        bf.job("sentimnet")
    with pytest.raises(bf.errors.JobError) as excinfo:
        bf.job("xyz")
    assert "Did you mean" not in str(excinfo.value)


LONG = "reviews of november, the second run, with the other model and the longer prompt"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    def of_width(columns: int) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))

    # In a terminal, pandas shows as many columns as fit.
    with pd.option_context("display.max_columns", 0):
        yield of_width


@pytest.mark.parametrize("width", [60, 79, 80, 100, 250])
def test_a_list_can_be_read_in_a_terminal_of_any_width(
    width: int, server: batchframe.local.Server, terminal: Callable[[int], None]
) -> None:
    terminal(width)
    client = server.client()
    requests_by_name = {LONG: ask("a"), "sentiment": ask("b", 1234), None: ask("c")}
    jobs = [requests.submit(name, client=client) for name, requests in requests_by_name.items()]
    card = repr(bf.jobs()).splitlines()
    assert max(map(len, card)) <= width
    assert card[0].split()[:4] == ["name", "id", "status", "rows"]
    for job in jobs:
        line = next(line for line in card if job.id in line)
        assert job.status in line
    assert any(line.split()[1:2] == ["sentiment"] and "1,234" in line for line in card)
    assert any("reviews" in line for line in card)


def test_a_list_and_its_slices_name_the_omitted_columns(
    server: batchframe.local.Server, terminal: Callable[[int], None]
) -> None:
    terminal(80)
    ask("a").submit(LONG, client=server.client()).wait()
    for listed in (bf.jobs(), bf.jobs().head(1), bf.jobs(remote=True, client=server.client())):
        footer = " ".join(repr(listed).splitlines()[-2:])
        assert all(name in footer for name in ("not shown", "cost", "submitted", "folder"))
    assert "not shown" not in repr(bf.jobs()[["name", "ok"]])


def test_a_list_is_a_frame_that_looks_like_a_finished_table(
    server: batchframe.local.Server, terminal: Callable[[int], None]
) -> None:
    terminal(80)
    job = ask("a").submit("one", client=server.client()).wait()
    listed = bf.jobs()
    assert listed["cost"].sum() == job.cost  # the data is unchanged
    page = html.unescape(re.sub("<[^>]*>", "", listed._repr_html_()))
    for text in (repr(listed), page):
        assert f"${job.cost:.5f}" in text or "$0.0" in text
        assert "+00:00" not in text
        assert "0 days" not in text
        assert str(job.folder) not in text
    assert re.search(r"\d s\n", repr(listed))
    assert max(map(len, repr(listed).splitlines())) <= 80
    assert "bf-card" in listed._repr_html_()


def test_a_name_is_text_in_a_list(server: batchframe.local.Server) -> None:
    ask("a").submit("<img src=x onerror=alert(1)>\u202e".strip("\u202e"), client=server.client())
    page = bf.jobs()._repr_html_()
    assert "<img" not in page
    assert "&lt;img src=x" in page


def test_frames_derived_from_a_list_can_be_displayed(
    server: batchframe.local.Server, terminal: Callable[[int], None]
) -> None:
    terminal(60)
    ask("a").submit(LONG, client=server.client()).wait()
    listed = bf.jobs()
    for derived in (listed.T, listed.assign(name=7), pd.concat([listed, listed], axis=1)):
        assert repr(derived)
    assert repr(listed.iloc[:0]) == repr(pd.DataFrame(listed.iloc[:0]))
