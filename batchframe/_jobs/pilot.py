"""A few requests, drawn at random and asked at once, kept as a job of their own.

A realtime request has no batch to be found by, so each is recorded in the journal before it is
asked, and asked once: an answer that was lost stays ``missing`` here, and is asked by the batch.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd

from batchframe._base.clock import Backoff, Retries
from batchframe._base.errors import JobError
from batchframe._base.private_files import replacing, sha256_of
from batchframe._display import Card, CardRepr, format_range, money, plural
from batchframe._endpoints import endpoint_of
from batchframe._estimate.counting import part_of
from batchframe._estimate.estimate import Estimate
from batchframe._jobs.preparation import Plan, prepare
from batchframe._jobs.run import SubmissionContext
from batchframe._requests.table import RequestTable, kept_requests, kept_table
from batchframe._services.advice import may_pass
from batchframe._services.batch import Batch
from batchframe._services.protocol import REALTIME, Asked, Service
from batchframe._store.events import Answered, Asking, Fetched, read_events
from batchframe._store.folder import JobFolder

PILOT: Final = "pilot"
"""The run label of every pilot."""

_AT_ONCE: Final = 8
_ATTEMPTS: Final = 6
_BACKOFF: Final = Backoff(maximum=30.0)


@dataclass(frozen=True, repr=False, eq=False)
class Pilot(CardRepr):
    """What a pilot brought.

    Attributes
    ----------
    frame
        The rows drawn: their index labels, ``bf_prompt``, the answer columns, ``bf_status`` and
        ``bf_error``.
    estimate
        For the requests that are still to be asked; its range is a 95 % interval, no bound.
    cost
        What the pilot cost, in USD at standard price; None if no price is known.
    job
        The id of the job that keeps its answers.
    """

    frame: pd.DataFrame
    estimate: Estimate
    cost: Decimal | None
    job: str

    def _card(self) -> Card:
        counts = self.frame["bf_status"].value_counts()
        told = [f"{number:,} {status}" for status, number in counts.items() if number]
        rest = self.estimate
        return Card(
            title=f"Pilot of {plural(len(self.frame), 'row')}",
            facts=(
                ("rows", ", ".join(told) or "none"),
                ("spent", f"{money(self.cost)} at standard price"),
                (
                    "rest",
                    f"{plural(rest.requests, 'request')}, {format_range(rest.cost, money)}",
                ),
            ),
            notes=rest.notes,
            next_step="job = requests.submit(name=..., max_cost=...)",
        )


def pilot_in_words(estimate: Estimate) -> str:
    """Say what a pilot will ask and cost, before it does."""
    high = None if estimate.standard_cost is None else estimate.standard_cost.high
    most = "for a price that nothing bounds" if high is None else f"for at most {money(high)}"
    return f"Pilot: {plural(estimate.requests, 'request')} in real time, {most}, at standard price."


def sampled(table: RequestTable, results: pd.DataFrame) -> pd.DataFrame:
    """Put the prompts before the answers, under the labels of the frame's own index."""
    lines = [msgspec.json.decode(b'{"custom_id":"' + r) for r in kept_requests(table)]
    prompt_text = endpoint_of(table.recipe.endpoint).prompt_text
    results = results.set_index(table.source.labels)
    results.insert(0, "bf_prompt", [prompt_text(line["body"]) for line in lines])
    return results


def draw(table: RequestTable, n: int, seed: int) -> RequestTable:
    """Draw `n` requests, all with the same chance, and the rows that ask them.

    Every request takes part, also one that is answered already, so the same seed draws the same.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(table.requests)[:n])
    rows = np.flatnonzero(np.isin(table.number, chosen))
    identity = table.source.identity
    return kept_table(
        table.recipe,
        list(part_of(table, chosen).requests_to_send()),
        np.searchsorted(chosen, table.number[rows]),
        digest=table.digest[rows],
        identity=None if identity is None else identity[rows],
        labels=table.source.labels[rows],
    )


def ask(plan: Plan, service: Service) -> JobFolder:
    """Ask what a pilot has not asked yet, and keep the answers as a job of their own.

    Interrupted, it goes on where it stopped. What was asked is not asked again, unless the service
    refused it.

    Raises
    ------
    JobError
        If another kernel is at it.
    """
    folder = JobFolder.of(plan.job_id)
    folder.create()
    with folder.lock() as held:
        if not held:
            raise JobError.busy(plan.name or plan.job_id)
        run = SubmissionContext(folder, prepare(plan, folder), service)
        if run.manifest.inputs:
            _ask_all(run)
    return folder


def _ask_all(run: SubmissionContext) -> None:
    begun = _asked(run.folder)
    with run.folder.input(0).open("rb") as file:
        lines = [msgspec.json.decode(line, type=dict[str, Any]) for line in file]
    left = [line for line in lines if line["custom_id"] not in begun]
    if not left and run.state().shards[0].fetched:
        return
    started = Batch(REALTIME, "in_progress", total=len(lines))
    # From here on the job is under way, for every kernel that looks.
    run.record_event("CREATED", 0, batch=started.to_json())
    _ask_concurrently(run, left)
    end(run, started)


def _ask_concurrently(run: SubmissionContext, lines: Sequence[Mapping[str, Any]]) -> None:
    writing = threading.Lock()

    def ask_one(line: Mapping[str, Any]) -> None:
        with writing:
            run.record_event("ASKING", 0, custom_id=line["custom_id"])
        outcome = _ask_patiently(run, line)
        with writing:
            run.record_event("ANSWERED", 0, line=_result_line(line["custom_id"], outcome))

    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        for done in [pool.submit(ask_one, line) for line in lines]:
            done.result()
    finally:
        # Interrupted, what was not begun is not asked; what was asked is waited for and kept.
        pool.shutdown(cancel_futures=True)


def _ask_patiently(run: SubmissionContext, line: Mapping[str, Any]) -> Asked:
    """Ask once; again only what the service provably did not take, and may take later."""
    retries = Retries(_BACKOFF, run.clock, attempts=_ATTEMPTS)
    while True:
        outcome = run.service.ask(line["url"], line["body"])
        passing = outcome.unsent or _is_busy(outcome)
        if not passing or not retries.pause(outcome.retry_after):
            return outcome


def _is_busy(outcome: Asked) -> bool:
    error = outcome.body.get("error") if isinstance(outcome.body, Mapping) else None
    if outcome.status != 429 or not isinstance(error, Mapping):  # noqa: PLR2004 - HTTP's own number
        return False
    return may_pass(error.get("code"), error.get("message") or "")


def _result_line(custom_id: str, outcome: Asked) -> dict[str, Any]:
    """Write an answer as a line of a batch's result file."""
    if outcome.status is None:
        return {"custom_id": custom_id, "error": {"message": outcome.reason}}
    response = {"status_code": outcome.status, "body": outcome.body}
    return {"custom_id": custom_id, "response": response}


def _answered(folder: JobFolder) -> dict[str, dict[str, Any]]:
    """Return the last result line of each request that was answered, by ``custom_id``."""
    lines = [event.line for event in read_events(folder) if isinstance(event, Answered)]
    return {line["custom_id"]: line for line in lines}


def _asked(folder: JobFolder) -> set[str]:
    """Name the requests that were asked and may be billed: all but those the service refused."""
    asked = {event.custom_id for event in read_events(folder) if isinstance(event, Asking)}
    # A 5xx proves nothing; what was refused outright is not billed.
    return asked - {name for name, line in _answered(folder).items() if 400 <= _code(line) < 500}  # noqa: PLR2004 - HTTP's own numbers


def _code(line: Mapping[str, Any]) -> int:
    code = (line.get("response") or {}).get("status_code")
    return code if isinstance(code, int) else 0


def end(run: SubmissionContext, batch: Batch) -> None:
    """Write the result file of all that was answered so far, and record that the pilot ended."""
    path, lines = run.folder.output(0), list(_answered(run.folder).values())
    with replacing(path) as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in lines)
    good = sum(_code(line) == 200 for line in lines)  # noqa: PLR2004 - HTTP's own number
    ended = replace(batch, status="completed", completed=good, failed=len(lines) - good)
    run.record_event("STATUS", 0, batch=ended.to_json())
    run.record_event("FETCHED", 0, output=asdict(Fetched(path.stat().st_size, sha256_of(path))))
