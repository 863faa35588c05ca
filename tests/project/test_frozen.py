"""Requests and jobs of commit 91d3ee3 are made and read alike.

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
    describe_job,
    describe_list,
    describe_requests,
)
from tests.project.frozen.recipes import DRAWN, JOBS, RECIPES, answer

REQUEST_DESCRIPTIONS: Final = json.loads((FROZEN / "recipes.json").read_bytes())
JOB_DESCRIPTIONS: Final = json.loads((FROZEN / "jobs.json").read_bytes())
LIST_DESCRIPTION: Final = json.loads((FROZEN / "list.json").read_bytes())

Serve = Callable[[str], batchframe.local.Server]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Serve simulated answers, one server for each profile."""
    with ExitStack() as running:
        yield cache(lambda name: running.enter_context(batchframe.local.serve(profile=name)))


@pytest.fixture
def frozen(home: Path) -> Path:
    """Return a state folder with all frozen jobs."""
    for name, description in JOB_DESCRIPTIONS.items():
        copy_job(name, description["id"], home)
    return home


@pytest.fixture
def their_server(tmp_path: Path) -> Iterator[batchframe.local.Server]:
    """Restart the server of the unfinished jobs."""
    copy_private(FROZEN / "server", tmp_path / "server")
    with batchframe.local.serve(answer, folder=tmp_path / "server") as server:
        yield server


@pytest.fixture
def empty_server() -> Iterator[batchframe.local.Server]:
    """Serve the answers of the frozen jobs from an empty server."""
    with batchframe.local.serve(answer) as server:
        yield server


def submit(name: str, server: batchframe.local.Server) -> bf.Job:
    recipe = JOBS[name]
    return recipe.requests().submit(name, client=client_of(server), **recipe.submit)


def frozen_job(name: str, server: batchframe.local.Server) -> bf.Job:
    return bf.job(name, client=client_of(server))


def sent_to(server: batchframe.local.Server) -> list[str]:
    client = server.client()
    return [item.id for page in (client.files.list(), client.batches.list()) for item in page]


def stored_in(description: dict[str, Any]) -> dict[str, Any]:
    """Keep the title of the card, whose layout is not stored."""
    return {**description, "card": description["card"][0]}


def test_every_recipe_and_job_is_in_the_frozen_files() -> None:
    # Jobs with the same id would find each other's batches on the server.
    assert len({description["job"] for description in REQUEST_DESCRIPTIONS.values()}) == len(
        RECIPES
    )
    assert list(REQUEST_DESCRIPTIONS) == list(RECIPES)
    assert set(JOB_DESCRIPTIONS) == set(JOBS) == {path.name for path in (FROZEN / "jobs").iterdir()}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_makes_the_same_bytes_and_names(name: str, serve: Serve) -> None:
    recipe = RECIPES[name]
    client = client_of(serve(recipe.profile), recipe.account)
    assert describe_requests(recipe.requests(), recipe.submit, client) == REQUEST_DESCRIPTIONS[name]


@pytest.mark.usefixtures("frozen")
def test_every_job_is_listed_as_it_was() -> None:
    assert {row["id"]: row for row in describe_list()} == LIST_DESCRIPTION


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("found_by", ["id", "name"])
@pytest.mark.parametrize("name", JOBS)
def test_a_frozen_job_is_found_with_the_same_content(name: str, found_by: str) -> None:
    description = JOB_DESCRIPTIONS[name]
    assert stored_in(describe_job(bf.job(description[found_by]))) == stored_in(description)


@pytest.mark.parametrize("name", JOBS)
def test_a_frozen_job_without_other_jobs_has_the_same_content(name: str, home: Path) -> None:
    description = JOB_DESCRIPTIONS[name]
    copy_job(name, description["id"], home)
    for rebuilt in ("answers.parquet", "summary.json"):
        (home / "jobs" / description["id"] / rebuilt).unlink(missing_ok=True)
    assert stored_in(describe_job(bf.job(description["id"]))) == stored_in(description)


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("name", JOBS)
def test_join_gives_the_frozen_results(name: str) -> None:
    job, frame = bf.job(JOB_DESCRIPTIONS[name]["id"]), JOBS[name].frame
    joined = frame.bf.join(job)
    if name == "pilot":  # it sent only some rows
        assert joined["bf_status"].tolist().count("missing") == len(frame) - DRAWN["n"]
        frame = frame[joined["bf_status"] == "ok"]
    backwards = frame.iloc[::-1].bf.join(job).iloc[::-1]
    for labeled, details in ((backwards, False), (frame.bf.join(job, details=True), True)):
        pd.testing.assert_index_equal(labeled.index, frame.index)
        answers = labeled.drop(columns=frame.columns).reset_index(drop=True)
        pd.testing.assert_frame_equal(answers, job.results(details=details).reset_index(drop=True))


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize(
    ("name", "column", "start"), [("films", "video", b"\0\0\0"), ("pictures", "image", b"\x89PNG")]
)
def test_downloaded_files_are_at_the_joined_paths(name: str, column: str, start: bytes) -> None:
    for path in JOBS[name].frame.bf.join(name)[column]:
        assert Path(path).read_bytes().startswith(start)


@pytest.mark.usefixtures("frozen")
def test_unanswered_requests_keep_their_names() -> None:
    again = bf.job("finished").unanswered()
    failed = [
        row for row in JOB_DESCRIPTIONS["finished"]["results"] if row["bf_status"] == "failed"
    ]
    lines = (FROZEN / "jobs" / "finished" / "input-000.jsonl").read_text("utf-8").splitlines()
    [line] = [
        line for line in map(json.loads, lines) if line["custom_id"] == failed[0]["bf_custom_id"]
    ]
    [request] = again.preview()
    assert (request["body"], request["url"]) == (line["body"], line["url"])


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("name", ["finished", "reusing", "typed", "pictures"])
def test_a_rerun_cell_finds_its_finished_job(
    name: str, empty_server: batchframe.local.Server
) -> None:
    job = submit(name, empty_server).wait()
    assert stored_in(describe_job(job)) == stored_in(JOB_DESCRIPTIONS[name])
    assert not sent_to(empty_server)
    assert len(bf.jobs()) == len(JOBS)


@pytest.mark.usefixtures("frozen")
def test_answers_of_the_finished_job_are_reused(
    empty_server: batchframe.local.Server,
) -> None:
    recipe = JOBS["finished"]
    more = pd.concat([recipe.frame, pd.DataFrame({"text": ["not asked yet"]})])
    requests = more.bf.requests(model="gpt-4.1", **recipe.options)
    assert requests.estimate(client=client_of(empty_server)).reused == 2
    job = requests.submit("more", client=client_of(empty_server), **recipe.submit).wait()
    assert [batch.total for batch in job.batches] == [5]
    assert job.results()["label"].tolist()[:3] == ["good", "bad", "good"]


@pytest.mark.usefixtures("frozen")
def test_a_rerun_pilot_sends_nothing_and_the_batch_sends_the_rest() -> None:
    recipe, description, bodies = JOBS["pilot"], JOB_DESCRIPTIONS["pilot"], []

    def answer_and_record(body: dict[str, Any]) -> Any:
        bodies.append(body)
        return answer(body)

    with batchframe.local.serve(answer_and_record) as server:
        client = client_of(server)
        pilot = recipe.requests().pilot(**DRAWN, client=client, **recipe.submit)
        assert (pilot.job, str(pilot.cost), bodies) == (description["id"], description["cost"], [])
        assert pilot.frame["response"].tolist() == [
            row["response"] for row in description["results"]
        ]
        rest = recipe.requests().submit("rest", client=client, **recipe.submit).wait()
    assert len(bodies) == len(recipe.frame) - len(pilot.frame)
    assert rest.results()["response"].tolist() == [f"re: {text}" for text in recipe.frame["text"]]


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("by", ["resume", "the cell"])
def test_a_partly_sent_job_sends_the_rest(by: str, their_server: batchframe.local.Server) -> None:
    before = set(sent_to(their_server))
    [first] = JOB_DESCRIPTIONS["half sent"]["batches"]
    job = frozen_job("half sent", their_server)
    job = job.resume() if by == "resume" else submit("half sent", their_server)
    assert job.wait().results()["response"].tolist() == ["re: one", "re: two", "re: three"]
    one, other = (batch.id for batch in job.batches)
    assert (one, job.id) == (first, JOB_DESCRIPTIONS["half sent"]["id"])
    assert other not in before
    assert len(their_server.ledger) == 3


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("by", ["resume", "the cell"])
def test_a_batch_with_a_lost_response_is_found(
    by: str, their_server: batchframe.local.Server
) -> None:
    before = sent_to(their_server)
    job = frozen_job("lost on the way back", their_server)
    job = job.resume() if by == "resume" else submit("lost on the way back", their_server)
    assert job.wait().results()["response"].tolist() == ["re: four", "re: five"]
    assert job.batches[0].id in before
    assert len(their_server.ledger) == 2


@pytest.mark.usefixtures("frozen")
def test_an_uncertain_batch_is_searched_for_again(
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
    assert job.id == JOB_DESCRIPTIONS[name]["id"]
    inputs = [path.name for path in sorted(was.glob("input-*.jsonl"))]
    for file in inputs:
        assert (job.folder / file).read_bytes() == (was / file).read_bytes()
    assert pq.read_table(job.folder / "rows.parquet").equals(pq.read_table(was / "rows.parquet"))
    old, new = (json.loads((path / "manifest.json").read_bytes()) for path in (was, job.folder))
    for records in (old, new):
        # Estimates depend on earlier jobs and on counting rules, which change.
        for moving in (
            "created_at", "batchframe", "cost", "output_tokens", "input_tokens", "input_cost"
        ):  # fmt: skip
            del records[moving]
        for file in records["inputs"]:
            del file["tokens"]
    new["provider"] = {key: new["provider"].get(key) for key in old["provider"]}
    assert {key: new.get(key) for key in old} == old
    assert job.folder == home / "jobs" / job.id
