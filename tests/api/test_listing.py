"""bf.jobs() and bf.job(): what is here, what only the server knows, and near names."""

from __future__ import annotations

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
    done = listed.set_index("name").loc["done"]
    assert done["cost"] == job.cost
    assert isinstance(done["estimated"], Decimal)
    assert done["submitted"].tz is not None
    assert done["age"] >= pd.Timedelta(0)
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


def test_what_only_the_server_knows_is_listed_with_the_way_to_bring_it_here(
    server: batchframe.local.Server, tmp_path: Path
) -> None:
    client = server.client()
    kept = ask("kept").submit("kept", client=client).wait()
    lost = ask("lost").submit("lost", client=client).wait()
    lost_id = lost.id
    shutil.rmtree(lost.folder)
    foreign = foreign_batch(client, tmp_path)
    listed = bf.jobs(remote=True, client=client).set_index("id")
    assert listed.columns.tolist() == [name for name in [*HERE, "where"] if name != "id"]
    assert listed["where"].to_dict() == {
        kept.id: "here",
        lost_id: "on the server only: bf.recover() brings it here",
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
    made = client.batches.create(
        input_file_id=stored.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    return made.id


def test_only_a_list_with_remote_asks_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert len(bf.jobs()) == 0
    with pytest.raises(bf.errors.ClientError):
        bf.jobs(remote=True)


def test_a_misspelt_name_is_answered_with_near_ones(server: batchframe.local.Server) -> None:
    ask("one").submit("sentiment", client=server.client())
    with pytest.raises(bf.errors.JobError, match="Did you mean 'sentiment'"):
        bf.job("sentimnet")
    with pytest.raises(bf.errors.JobError) as told:
        bf.job("xyz")
    assert "Did you mean" not in str(told.value)


LONG = "reviews of november, the second run, with the other model and the longer prompt"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    def of_width(columns: int) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))

    # What pandas takes in a terminal: as many columns as fit.
    with pd.option_context("display.max_columns", 0):
        yield of_width


@pytest.mark.parametrize("width", [60, 79, 80, 100, 250])
def test_a_list_can_be_read_in_a_terminal_of_any_width(
    width: int, server: batchframe.local.Server, terminal: Callable[[int], None]
) -> None:
    terminal(width)
    client = server.client()
    asked = {LONG: ask("a"), "sentiment": ask("b", 1234), None: ask("c")}
    made = [requests.submit(name, client=client) for name, requests in asked.items()]
    shown = repr(bf.jobs()).splitlines()
    assert max(map(len, shown)) <= width
    assert shown[0].split()[:4] == ["name", "id", "status", "rows"]
    for job in made:
        line = next(line for line in shown if job.id in line)
        assert job.status in line
    assert any(line.split()[1:2] == ["sentiment"] and "1234" in line for line in shown)
    assert any("reviews" in line for line in shown)


def test_a_list_says_which_columns_it_left_out_and_a_part_of_it_too(
    server: batchframe.local.Server, terminal: Callable[[int], None]
) -> None:
    terminal(80)
    ask("a").submit(LONG, client=server.client()).wait()
    for listed in (bf.jobs(), bf.jobs().head(1), bf.jobs(remote=True, client=server.client())):
        told = " ".join(repr(listed).splitlines()[-2:])
        assert all(name in told for name in ("not shown", "cost", "submitted", "folder"))
    assert "not shown" not in repr(bf.jobs()[["name", "ok"]])


def test_a_wide_terminal_and_a_notebook_show_what_pandas_shows(
    server: batchframe.local.Server, terminal: Callable[[int], None]
) -> None:
    terminal(500)
    ask("a").submit("one", client=server.client()).wait()
    listed = bf.jobs()
    assert repr(listed) == repr(pd.DataFrame(listed))
    with pd.option_context("display.max_columns", 20):
        assert repr(listed) == repr(pd.DataFrame(listed))
        assert listed._repr_html_() == pd.DataFrame(listed)._repr_html_()


def test_whatever_is_made_of_a_list_can_be_shown(
    server: batchframe.local.Server, terminal: Callable[[int], None]
) -> None:
    terminal(60)
    ask("a").submit(LONG, client=server.client()).wait()
    listed = bf.jobs()
    for made in (listed.T, listed.assign(name=7), pd.concat([listed, listed], axis=1)):
        assert repr(made)
    assert repr(listed.iloc[:0]) == repr(pd.DataFrame(listed.iloc[:0]))
