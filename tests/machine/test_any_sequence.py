"""Random sequences of events: nothing is billed twice, lost or misplaced.

A state machine submits overlapping frames, kills the kernel between any two steps, loses answers,
expires, cancels, corrupts, forgets and recovers. The server records each string that it answers and
thus bills.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import batchframe as bf
from batchframe.local import Fault, Server, serve
from tests.support.examples import examples
from tests.support.profiles import change_local
from tests.support.seams import wrap_journal, wrap_service

TEXTS = [f"text {i}" for i in range(6)]
ENDED = {"completed", "failed", "expired", "cancelled"}
KEY = "sk-CANARY-0123456789abcdef"
GENTLE = (
    bf.errors.SubmissionUncertain,
    bf.errors.SubmissionError,
    bf.errors.ServiceError,
    bf.errors.JobError,
)


class Killed(BaseException):
    """A stand-in for SIGKILL, which batchframe must not catch."""


class Crash:
    """Kills at the n-th step: a journal entry or a call of the service."""

    def __init__(self, at: int) -> None:
        self.left = at

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def around(self, function: Any) -> Any:
        def crashing(*args: Any, **kwargs: Any) -> Any:
            self.step()
            result = function(*args, **kwargs)
            self.step()
            return result

        return crashing


class Life(RuleBasedStateMachine):
    """One user and one server, with every kind of failure."""

    @initialize(shards=st.sampled_from([1, 2, 50_000]))
    def begin(self, shards: int) -> None:
        self.stack = contextlib.ExitStack()
        self.home = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        self.stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        self.patch.setenv("BATCHFRAME_HOME", str(self.home / "home"))
        self.answered: Counter[str] = Counter()
        self.asked_anew: Counter[str] = Counter()
        self.frames: list[pd.DataFrame] = []
        self.forgotten: set[str] = set()
        self.server: Server = self.stack.enter_context(
            serve(answer=self.answer, folder=self.home / "server")
        )
        haste = {"settle": 0.05, "first_poll": 0.02, "last_poll": 0.05}
        change_local(self.patch, max_requests=shards, **haste)

    def answer(self, body: dict[str, Any]) -> str:
        text = body["messages"][0]["content"]
        self.answered[text] += 1
        return f"re: {text}"

    def requests(self, frame: pd.DataFrame) -> bf.Requests:
        return frame.bf.requests("{{ text }}", model="gpt-4.1")

    def client(self) -> Any:
        return openai.OpenAI(base_url=self.server.url, api_key=KEY, timeout=5, max_retries=0)

    @contextlib.contextmanager
    def kernel(self, crash_at: int) -> Iterator[None]:
        """Run code that may be killed at a step or raise a batchframe error."""
        crash = Crash(crash_at)
        with pytest.MonkeyPatch.context() as patch:
            wrap_journal(patch, crash.around)
            for name in ("upload", "create_batch", "retrieve_batch", "download", "delete_file"):
                wrap_service(patch, name, crash.around)
            with contextlib.suppress(Killed, *GENTLE):
                yield

    def jobs(self) -> list[bf.Job]:
        return [bf.job(folder, client=self.client()) for folder in bf.jobs()["folder"]]

    def pick(self, number: int) -> bf.Job | None:
        jobs = self.jobs()
        return jobs[number % len(jobs)] if jobs else None

    @rule(
        rows=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=8),
        crash_at=st.integers(0, 14),
        rerun=st.sampled_from([None, None, None, "again"]),
    )
    def submit(self, rows: list[str], crash_at: int, rerun: str | None) -> None:
        frame = pd.DataFrame({"text": rows}, index=range(7, 7 + len(rows)))
        self.frames.append(frame)
        if rerun is not None:
            self.asked_anew.update(set(rows))
        with self.kernel(crash_at), contextlib.suppress(bf.errors.RequestError):
            self.requests(frame).submit("cell", client=self.client(), rerun=rerun)

    @precondition(lambda self: self.frames)
    @rule(which=st.integers(0, 9), crash_at=st.integers(0, 14), seed=st.integers(0, 3))
    def run_a_cell_again(self, which: int, crash_at: int, seed: int) -> None:
        frame = self.frames[which % len(self.frames)].sample(frac=1, random_state=seed)
        with self.kernel(crash_at), contextlib.suppress(bf.errors.RequestError):
            self.requests(frame).submit(client=self.client())

    @rule(which=st.integers(0, 9), crash_at=st.integers(0, 14))
    def resume(self, which: int, crash_at: int) -> None:
        if job := self.pick(which):
            with self.kernel(crash_at):
                job.resume()

    @rule(which=st.integers(0, 9), crash_at=st.integers(0, 10))
    def refresh(self, which: int, crash_at: int) -> None:
        if job := self.pick(which):
            with self.kernel(crash_at):
                job.refresh()

    @rule(which=st.integers(0, 9), crash_at=st.integers(0, 12))
    def ask_what_is_unanswered(self, which: int, crash_at: int) -> None:
        if job := self.pick(which):
            with self.kernel(crash_at), contextlib.suppress(bf.errors.RequestError):
                job.unanswered().submit(client=self.client())

    @rule(which=st.integers(0, 9))
    def cancel(self, which: int) -> None:
        if job := self.pick(which):
            with contextlib.suppress(*GENTLE):
                job.cancel()

    @rule(after=st.one_of(st.none(), st.integers(0, 4)))
    def hold_or_let_go(self, after: int | None) -> None:
        self.server.resume() if after is None else self.server.pause(after)

    @rule(which=st.integers(0, 9))
    def expire(self, which: int) -> None:
        # Faults are for batchframe's requests, not for this one.
        pending = list(self.server.faults)
        self.server.faults.clear()
        batches = self.server.client().batches.list().data
        self.server.faults.add(*pending)
        if batches:
            self.server.expire(batches[which % len(batches)].id)

    @rule(
        route=st.sampled_from(["POST /v1/batches", "POST /v1/files", "GET /v1/batches"]),
        kind=st.sampled_from(["reset", "close", 500, 503, "broken json", "empty object"]),
        after=st.booleans(),
        skip=st.integers(0, 1),
    )
    def lose_an_answer(self, route: str, kind: Any, after: bool, skip: int) -> None:
        self.server.faults.add(Fault(route, kind, after=after, skip=skip))

    @rule(
        kind=st.sampled_from(["cut short", "cut silently", "login page", 500]),
        skip=st.integers(0, 1),
    )
    def spoil_a_download(self, kind: Any, skip: int) -> None:
        self.server.faults.add(Fault("GET /v1/files/{id}/content", kind, skip=skip))

    @rule(which=st.integers(0, 9), what=st.sampled_from(["tail", "answers", "output", "errors"]))
    def corrupt(self, which: int, what: str) -> None:
        if job := self.pick(which):
            if what == "tail":
                with (job.folder / "journal.jsonl").open("ab") as journal:
                    journal.write(b'{"event": "CREA')
                return
            pattern = {"answers": "answers.parquet"}.get(what, f"{what}-*.jsonl")
            for path in job.folder.glob(pattern):
                path.write_bytes(path.read_bytes()[:-7])

    @rule(which=st.integers(0, 9))
    def lose_the_disk_of_a_job_and_recover(self, which: int) -> None:
        job = self.pick(which)
        # Only jobs that are complete on the server can be recovered.
        if job and job.batches and len(job.batches) == len(list(job.folder.glob("input-*"))):
            if (job.folder / "reused.parquet").exists():
                return
            shutil.rmtree(job.folder)
            self.server.faults.clear()
            bf.recover(self.client())

    @rule(which=st.integers(0, 9), remote=st.booleans())
    def forget(self, which: int, remote: bool) -> None:
        if job := self.pick(which):
            batches = [batch.id for batch in job.batches]
            with contextlib.suppress(*GENTLE):
                forgotten = job.forget(remote=remote)
                if not job.folder.exists():
                    assert str(job.folder) in forgotten.removed
                    self.forgotten.update(batches)
                    # Its cell may be rerun, which is billed again.
                    self.asked_anew.update(set(self.answered))

    @invariant()
    def nothing_is_answered_twice_unasked(self) -> None:
        if hasattr(self, "answered"):
            for text, times in self.answered.items():
                assert times <= 1 + self.asked_anew[text], (text, times)

    @invariant()
    def every_row_has_one_status_and_its_own_answer(self) -> None:
        if not hasattr(self, "server"):
            return
        for job in self.jobs():
            try:
                results = job.results()
            except bf.errors.JobError as reason:
                assert "changed since the download" in str(reason)  # noqa: PT017 - damage is reported
                continue
            assert sum(job.counts.values()) == len(results)
            assert results["bf_status"].notna().all()
            good = results["bf_status"] == "ok"
            assert results["response"].notna().equals(good)
        for frame in self.frames:
            for job in self.jobs():
                with contextlib.suppress(bf.errors.JobError):
                    joined = frame.bf.join(job)
                    good = joined["bf_status"] == "ok"
                    responses = joined.loc[good, "response"].tolist()
                    assert responses == [f"re: {text}" for text in joined.loc[good, "text"]]

    def teardown(self) -> None:
        if not hasattr(self, "server"):
            return
        try:
            self.everything_paid_for_comes_home()
            files = [path for path in (self.home / "home").rglob("*") if path.is_file()]
            assert not [path for path in files if KEY.encode() in path.read_bytes()]
        finally:
            self.stack.close()

    def everything_paid_for_comes_home(self) -> None:
        self.server.resume()
        self.server.faults.clear()
        for job in self.jobs():
            for path in job.folder.glob("[oe]*-*.jsonl"):
                path.unlink()  # corrupted files are downloaded again
            try:
                job.resume()
            except bf.errors.SubmissionUncertain:
                pass
            except bf.errors.SubmissionError as reason:
                assert "already in other jobs" in str(reason)  # noqa: PT017 - and the fix:
                job.cancel()
            with contextlib.suppress(bf.errors.JobError):
                job.wait(timeout=30)
        self.refresh_once_all_batches_have_ended()
        batch_ids = {batch.id for job in self.jobs() for batch in job.batches} | self.forgotten
        uncertain = any(job.status == "uncertain" for job in self.jobs())
        for batch in self.server.client().batches.list():
            assert batch.id in batch_ids or uncertain, "an unknown batch"
        for job in self.jobs():
            if job.done:
                self.is_all_there(job)
            else:
                assert job.status == "uncertain"  # reported, and not sent again

    def refresh_once_all_batches_have_ended(self) -> None:
        """Refresh jobs with an uncertain input file; other batches have ended."""
        listed = self.server.client().batches.list
        while not all(batch.status in ENDED for batch in listed()):
            time.sleep(0.01)
        for job in self.jobs():
            with contextlib.suppress(bf.errors.JobError):
                job.refresh()

    def is_all_there(self, job: bf.Job) -> None:
        """Whether every answer of the server for this job is in its row."""
        results = job.results(details=True).set_index("bf_custom_id")
        for batch in job.batches:
            if batch.output_file_id is None:
                continue
            content = self.server.client().files.content(batch.output_file_id).content
            for line in content.splitlines():
                result = msgspec.json.decode(line)
                answer = result["response"]["body"]["choices"][0]["message"]["content"]
                rows = results.loc[[result["custom_id"]]]
                assert rows["bf_status"].eq("ok").all()
                assert rows["response"].eq(answer).all()


def test_no_sequence_bills_twice_loses_or_misplaces_answers() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Life,
        settings=settings(
            max_examples=examples(25),
            stateful_step_count=14,
            # The same sequences in every run, and other ones each night.
            derandomize=settings.get_current_profile_name() != "nightly",
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
