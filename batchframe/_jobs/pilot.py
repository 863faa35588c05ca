"""A few requests, drawn at random and asked at once: what answers look like, and what they take.

In: a request table, a service and a seed. Out: a job's folder whose answers came through the
realtime API, so that reading, joining and reusing them is what it is for any job; a frozen
:class:`Pilot`.
Must not know: how answers are read.

A realtime request has no batch to be found by, so each is noted in the journal before it is asked
and asked once: an answer that was lost stays ``missing`` here, and is asked by the batch.
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
import numpy.typing as npt
import pandas as pd

from batchframe._base.clock import SYSTEM, Clock
from batchframe._base.errors import JobError
from batchframe._base.private_files import replacing, sha256_of
from batchframe._display import Card, Shown, money, plural
from batchframe._endpoints import endpoint_of
from batchframe._estimate.counting import part_of
from batchframe._estimate.estimate import Estimate, in_words
from batchframe._jobs.preparation import Plan, plan_of, prepare
from batchframe._requests.table import RequestTable, kept_requests, kept_table
from batchframe._results.earlier import Earlier
from batchframe._services.advice import may_pass
from batchframe._services.batch import Batch
from batchframe._services.protocol import REALTIME, Asked, Identity, Service
from batchframe._services.provider_table import Provider
from batchframe._store.events import Answered, Asking, Fetched, read_events
from batchframe._store.folder import JobFolder
from batchframe._store.manifest import Manifest, read_state

PILOT: Final = "pilot"
"""The run label of every pilot."""

_AT_ONCE: Final = 8
_TRIES: Final = 5
_LONGEST_PAUSE: Final = 30.0


@dataclass(frozen=True, repr=False, eq=False)
class Pilot(Shown):
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
                ("rest", f"{plural(rest.requests, 'request')}, {in_words(rest.cost, money)}"),
            ),
            notes=rest.notes,
            next_step="job = requests.submit(name=..., max_cost=...)",
        )


def pilot_in_words(known: Estimate) -> str:
    """Say what a pilot will ask and cost, before it does."""
    high = None if known.standard_cost is None else known.standard_cost.high
    most = "for a price that nothing bounds" if high is None else f"for at most {money(high)}"
    return f"Pilot: {plural(known.requests, 'request')} in real time, {most}, at standard price."


def pilot_plan(
    asked: Earlier,
    identity: Identity,
    known: Estimate,
    prices: Mapping[str, Any] | None,
    tokens: npt.NDArray[np.int64],
    *,
    provider: Provider,
) -> Plan:
    """Decide a pilot's job."""
    known = replace(known, cost=known.standard_cost)
    plan = plan_of(
        asked,
        identity,
        known,
        name=None,
        rerun=PILOT,
        prices=prices,
        tokens=tokens,
        provider=provider,
    )
    return replace(plan, name=f"pilot {plan.job_id[:6]}", tier="standard")


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
        [request for _, request in part_of(table, chosen).each_request()],
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
        run = _Run(plan, folder, service, prepare(plan, folder))
        if run.manifest.inputs:
            _ask_all(run)
    return folder


@dataclass(frozen=True)
class _Run:
    plan: Plan
    folder: JobFolder
    service: Service
    manifest: Manifest
    clock: Clock = SYSTEM

    def note(self, event: str, **facts: Any) -> None:
        self.folder.append({"event": event, "shard": 0, "at": self.clock.now(), **facts})


def _ask_all(run: _Run) -> None:
    begun = not_to_ask_again(run.folder)
    with run.folder.input(0).open("rb") as file:
        lines = [msgspec.json.decode(line, type=dict[str, Any]) for line in file]
    left = [line for line in lines if line["custom_id"] not in begun]
    state = read_state(run.folder, 1).shards[0]
    if not left and state.fetched:
        return
    started = Batch(REALTIME, "in_progress", total=len(lines))
    # From here on the job is under way, for every kernel that looks.
    run.note("CREATED", batch=started.to_json())
    _ask_side_by_side(run, left)
    ended, home = end(run.folder, started)
    run.note("STATUS", batch=ended.to_json())
    run.note("FETCHED", output=asdict(home))


def _ask_side_by_side(run: _Run, lines: Sequence[Mapping[str, Any]]) -> None:
    writing = threading.Lock()

    def ask_one(line: Mapping[str, Any]) -> None:
        with writing:
            run.note("ASKING", custom_id=line["custom_id"])
        told = _ask_patiently(run, line)
        with writing:
            run.note("ANSWERED", line=_as_result(line["custom_id"], told))

    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        for done in [pool.submit(ask_one, line) for line in lines]:
            done.result()
    finally:
        # Interrupted, what was not begun is not asked; what was asked is waited for and kept.
        pool.shutdown(cancel_futures=True)


def _ask_patiently(run: _Run, line: Mapping[str, Any]) -> Asked:
    """Ask once; again only what the service provably did not take, and may take later."""
    told = run.service.ask(line["url"], line["body"])
    for attempt in range(_TRIES):
        if not (told.unsent or _is_busy(told)):
            break
        pause = 2.0**attempt if told.retry_after is None else told.retry_after
        run.clock.sleep(min(pause, _LONGEST_PAUSE))
        told = run.service.ask(line["url"], line["body"])
    return told


def _is_busy(told: Asked) -> bool:
    error = told.body.get("error") if isinstance(told.body, Mapping) else None
    if told.status != 429 or not isinstance(error, Mapping):  # noqa: PLR2004 - HTTP's own number
        return False
    return may_pass(error.get("code"), error.get("message") or "")


def _as_result(custom_id: str, told: Asked) -> dict[str, Any]:
    """Write an answer as a line of a batch's result file."""
    if told.status is None:
        return {"custom_id": custom_id, "error": {"message": told.reason}}
    response = {"status_code": told.status, "body": told.body}
    return {"custom_id": custom_id, "response": response}


_GOOD = 200


def answered(folder: JobFolder) -> dict[str, dict[str, Any]]:
    """Return the last result line of each request that was answered, by ``custom_id``."""
    lines = [event.line for event in read_events(folder) if isinstance(event, Answered)]
    return {line["custom_id"]: line for line in lines}


def not_to_ask_again(folder: JobFolder) -> set[str]:
    """Name the requests that were asked and may be billed: all but those the service refused."""
    asked = {event.custom_id for event in read_events(folder) if isinstance(event, Asking)}
    return asked - {name for name, line in answered(folder).items() if _was_refused(line)}


def _was_refused(line: dict[str, Any]) -> bool:
    # A 5xx proves nothing; what was refused outright is not billed.
    status = (line.get("response") or {}).get("status_code")
    return isinstance(status, int) and 400 <= status < 500  # noqa: PLR2004 - HTTP's own numbers


def end(folder: JobFolder, batch: Batch) -> tuple[Batch, Fetched]:
    """Write the result file of all that was answered so far, and say that the pilot has ended."""
    lines = list(answered(folder).values())
    with replacing(folder.output(0)) as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in lines)
    good = sum((line.get("response") or {}).get("status_code") == _GOOD for line in lines)
    ended = replace(batch, status="completed", completed=good, failed=len(lines) - good)
    return ended, Fetched(folder.output(0).stat().st_size, sha256_of(folder.output(0)))
