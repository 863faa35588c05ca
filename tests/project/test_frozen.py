"""What was asked and kept at commit 91d3ee3 is asked and read the same: no module's move shows.

``frozen/make.py`` wrote the files, once. Where a test fails, the package changed what its users
have on their disks or pay for; the files stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow.parquet as pq
import pytest

import batchframe as bf
import batchframe.local
from tests.project.frozen.describe import (
    FROZEN,
    client_of,
    copy_job,
    copy_private,
    job_told,
    list_told,
    requests_told,
)
from tests.project.frozen.recipes import DRAWN, JOBS, RECIPES, answer

ASKED: Final = json.loads((FROZEN / "recipes.json").read_bytes())
TOLD: Final = json.loads((FROZEN / "jobs.json").read_bytes())
LISTED: Final = json.loads((FROZEN / "list.json").read_bytes())

Serve = Callable[[str], batchframe.local.Server]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Serve simulated answers, one server for each profile."""
    with ExitStack() as running:
        yield cache(lambda name: running.enter_context(batchframe.local.serve(profile=name)))


@pytest.fixture
def frozen(home: Path) -> Path:
    """Return a home that holds all frozen jobs."""
    for name, told in TOLD.items():
        copy_job(name, told["id"], home)
    return home


@pytest.fixture
def their_server(tmp_path: Path) -> Iterator[batchframe.local.Server]:
    """Start the server again that has what was sent of the unfinished jobs."""
    copy_private(FROZEN / "server", tmp_path / "server")
    with batchframe.local.serve(answer, folder=tmp_path / "server") as server:
        yield server


@pytest.fixture
def empty_server() -> Iterator[batchframe.local.Server]:
    """Serve the answers of the frozen jobs, of which this server has nothing."""
    with batchframe.local.serve(answer) as server:
        yield server


def submit(name: str, server: batchframe.local.Server) -> bf.Job:
    recipe = JOBS[name]
    return recipe.requests().submit(name, client=client_of(server), **recipe.submit)


def frozen_job(name: str, server: batchframe.local.Server) -> bf.Job:
    return bf.job(name, client=client_of(server))


def sent_to(server: batchframe.local.Server) -> list[str]:
    client = server.client()
    return [found.id for page in (client.files.list(), client.batches.list()) for found in page]


def test_every_recipe_and_every_job_is_frozen() -> None:
    # A server that has one job would show it to another of the same id.
    assert len({told["job"] for told in ASKED.values()}) == len(RECIPES)
    assert list(ASKED) == list(RECIPES)
    assert set(TOLD) == set(JOBS) == {path.name for path in (FROZEN / "jobs").iterdir()}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_asks_the_same_bytes_under_the_same_names(name: str, serve: Serve) -> None:
    recipe = RECIPES[name]
    client = client_of(serve(recipe.profile), recipe.account)
    assert requests_told(recipe.requests(), recipe.submit, client) == ASKED[name]


@pytest.mark.usefixtures("frozen")
def test_every_job_is_listed_as_it_was() -> None:
    assert {row["id"]: row for row in list_told()} == LISTED


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("found_by", ["id", "name"])
@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_found_and_tells_what_it_told(name: str, found_by: str) -> None:
    told = TOLD[name]
    assert job_told(bf.job(told[found_by])) == told


@pytest.mark.parametrize("name", JOBS)
def test_a_job_alone_with_nothing_but_its_own_files_tells_the_same(name: str, home: Path) -> None:
    told = TOLD[name]
    copy_job(name, told["id"], home)
    for rebuilt in ("answers.parquet", "summary.json"):
        (home / "jobs" / told["id"] / rebuilt).unlink(missing_ok=True)
    assert job_told(bf.job(told["id"])) == told


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("name", JOBS)
def test_what_is_joined_are_the_results(name: str) -> None:
    job, frame = bf.job(TOLD[name]["id"]), JOBS[name].frame
    joined = frame.bf.join(job)
    if name == "pilot":  # it asked some rows only
        assert joined["bf_status"].tolist().count("missing") == len(frame) - DRAWN["n"]
        frame = frame[joined["bf_status"] == "ok"]
    backwards = frame.iloc[::-1].bf.join(job).iloc[::-1]
    for told, details in ((backwards, False), (frame.bf.join(job, details=True), True)):
        pd.testing.assert_index_equal(told.index, frame.index)
        answers = told.drop(columns=frame.columns).reset_index(drop=True)
        pd.testing.assert_frame_equal(answers, job.results(details=details).reset_index(drop=True))


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize(
    ("name", "column", "start"), [("films", "video", b"\0\0\0"), ("pictures", "image", b"\x89PNG")]
)
def test_files_that_came_home_are_where_the_join_says(name: str, column: str, start: bytes) -> None:
    for path in JOBS[name].frame.bf.join(name)[column]:
        assert Path(path).read_bytes().startswith(start)


@pytest.mark.usefixtures("frozen")
def test_what_brought_nothing_is_asked_again_under_its_name() -> None:
    again = bf.job("finished").unanswered()
    failed = [row for row in TOLD["finished"]["results"] if row["bf_status"] == "failed"]
    lines = (FROZEN / "jobs" / "finished" / "input-000.jsonl").read_text("utf-8").splitlines()
    [line] = [
        line for line in map(json.loads, lines) if line["custom_id"] == failed[0]["bf_custom_id"]
    ]
    [asked] = again.preview()
    assert (asked["body"], asked["url"]) == (line["body"], line["url"])


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("name", ["finished", "reusing", "typed", "pictures"])
def test_a_cell_that_is_run_again_finds_its_finished_job(
    name: str, empty_server: batchframe.local.Server
) -> None:
    job = submit(name, empty_server).wait()
    assert job_told(job) == TOLD[name]
    assert not sent_to(empty_server)
    assert len(bf.jobs()) == len(JOBS)


@pytest.mark.usefixtures("frozen")
def test_answers_of_the_finished_job_are_taken_over(
    empty_server: batchframe.local.Server,
) -> None:
    recipe = JOBS["finished"]
    more = pd.concat([recipe.frame, pd.DataFrame({"text": ["not asked yet"]})])
    asked = more.bf.requests(model="gpt-4.1", **recipe.asked)
    assert asked.estimate(client=client_of(empty_server)).reused == 2
    job = asked.submit("more", client=client_of(empty_server), **recipe.submit).wait()
    assert [batch.total for batch in job.batches] == [5]
    assert job.results()["label"].tolist()[:3] == ["good", "bad", "good"]


@pytest.mark.usefixtures("frozen")
def test_a_pilot_that_is_run_again_asks_nothing_and_the_batch_asks_the_rest() -> None:
    recipe, told, asked = JOBS["pilot"], TOLD["pilot"], []

    def noted(body: dict[str, Any]) -> Any:
        asked.append(body)
        return answer(body)

    with batchframe.local.serve(noted) as server:
        client = client_of(server)
        pilot = recipe.requests().pilot(**DRAWN, client=client, **recipe.submit)
        assert (pilot.job, str(pilot.cost), asked) == (told["id"], told["cost"], [])
        assert pilot.frame["response"].tolist() == [row["response"] for row in told["results"]]
        rest = recipe.requests().submit("rest", client=client, **recipe.submit).wait()
    assert len(asked) == len(recipe.frame) - len(pilot.frame)
    assert rest.results()["response"].tolist() == [f"re: {text}" for text in recipe.frame["text"]]


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("by", ["resume", "the cell"])
def test_a_job_that_is_half_sent_sends_the_other_half(
    by: str, their_server: batchframe.local.Server
) -> None:
    before = set(sent_to(their_server))
    [first] = TOLD["half sent"]["batches"]
    job = frozen_job("half sent", their_server)
    job = job.resume() if by == "resume" else submit("half sent", their_server)
    assert job.wait().results()["response"].tolist() == ["re: one", "re: two", "re: three"]
    one, other = (batch.id for batch in job.batches)
    assert (one, job.id) == (first, TOLD["half sent"]["id"])
    assert other not in before
    assert len(their_server.ledger) == 3


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("by", ["resume", "the cell"])
def test_a_batch_whose_creation_was_not_heard_of_is_found(
    by: str, their_server: batchframe.local.Server
) -> None:
    before = sent_to(their_server)
    job = frozen_job("lost on the way back", their_server)
    job = job.resume() if by == "resume" else submit("lost on the way back", their_server)
    assert job.wait().results()["response"].tolist() == ["re: four", "re: five"]
    assert job.batches[0].id in before
    assert len(their_server.ledger) == 2


@pytest.mark.usefixtures("frozen")
def test_a_batch_that_was_perhaps_not_created_is_asked_about_again(
    their_server: batchframe.local.Server,
) -> None:
    job = frozen_job("lost on the way there", their_server)
    with pytest.raises(bf.errors.SubmissionUncertain, match="does not list the batch"):
        job.resume()
    with pytest.raises(bf.errors.SubmissionUncertain, match="does not list the batch"):
        submit("lost on the way there", their_server)
    assert job.status == "uncertain"
    assert len(their_server.ledger) == 2
    job.resume(recreate=True).wait()
    assert job.results()["response"].tolist() == ["re: six", "re: seven"]
    assert len(their_server.ledger) == 3


@pytest.mark.parametrize("name", ["finished", "typed", "half sent", "pictures"])
def test_a_job_is_written_as_it_was(
    name: str, home: Path, empty_server: batchframe.local.Server
) -> None:
    was, job = FROZEN / "jobs" / name, submit(name, empty_server)
    assert job.id == TOLD[name]["id"]
    inputs = [path.name for path in sorted(was.glob("input-*.jsonl"))]
    for file in inputs:
        assert (job.folder / file).read_bytes() == (was / file).read_bytes()
    assert pq.read_table(job.folder / "rows.parquet").equals(pq.read_table(was / "rows.parquet"))
    old, new = (json.loads((path / "manifest.json").read_bytes()) for path in (was, job.folder))
    for told in (old, new):
        for moving in ("created_at", "batchframe", "cost", "output_tokens"):
            del told[moving]  # what earlier jobs took is part of an estimate
    assert {key: new.get(key) for key in old} == old
    assert job.folder == home / "jobs" / job.id
