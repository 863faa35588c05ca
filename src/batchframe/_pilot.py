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

from batchframe._clock import SYSTEM, Clock
from batchframe._display import Card, Shown, money, plural
from batchframe._earlier import Earlier
from batchframe._endpoints import endpoint_of
from batchframe._estimate import Estimate, in_words
from batchframe._folder import JobFolder
from batchframe._job_answers import write_reused
from batchframe._journal import Fetched
from batchframe._kept import kept_requests, kept_table
from batchframe._manifest import write_manifest
from batchframe._preparation import Plan, manifest_of, plan_of
from batchframe._private import replacing, sha256_of
from batchframe._request_table import RequestTable
from batchframe._rows import rows_of, write_rows
from batchframe._service import REALTIME, Asked, Batch, Identity, Service
from batchframe._shards import write_inputs

_AT_ONCE: Final = 8
_TRIES: Final = 5
_LONGEST_PAUSE: Final = 30.0
_BUSY: Final = {429, 503}


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
    """

    frame: pd.DataFrame
    estimate: Estimate
    cost: Decimal | None

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
) -> Plan:
    """Decide a pilot's job."""
    known = replace(known, cost=known.standard_cost)
    name = f"pilot of {asked.table.requests}"
    return plan_of(asked, identity, known, name=name, rerun="pilot", prices=prices, tokens=tokens)


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
    wanted = set(chosen.tolist())
    rows = np.flatnonzero(np.isin(table.number, chosen))
    identity = table.source.identity
    return kept_table(
        table.recipe,
        [request for at, (_, request) in enumerate(table.each_request()) if at in wanted],
        np.searchsorted(chosen, table.number[rows]),
        digest=table.digest[rows],
        identity=None if identity is None else identity[rows],
        labels=table.source.labels[rows],
    )


def ask(plan: Plan, service: Service) -> JobFolder:
    """Ask what a pilot has not asked yet, and keep the answers as a job of their own.

    Interrupted, it goes on where it stopped: nothing that was asked is asked again.

    Raises
    ------
    ServiceError
        If the service cannot be reached; what was answered is kept.
    """
    folder = JobFolder.of(plan.job_id)
    folder.create()
    with folder.lock() as held:
        if held and not folder.manifest.is_file():
            _ask_all(_Run(plan, folder, service))
    return folder


@dataclass(frozen=True)
class _Run:
    plan: Plan
    folder: JobFolder
    service: Service
    clock: Clock = SYSTEM

    def note(self, event: str, **facts: Any) -> None:
        self.folder.append({"event": event, "shard": 0, "at": self.clock.now(), **facts})


def _ask_all(run: _Run) -> None:
    journal = run.folder.read_journal()
    begun = {event["custom_id"] for event in journal if event["event"] == "ASKING"}
    lines = [msgspec.json.decode(line) for line in run.plan.table.lines()]
    writing = threading.Lock()

    def ask_one(line: Mapping[str, Any]) -> None:
        with writing:
            run.note("ASKING", custom_id=line["custom_id"])
        told = _ask_patiently(run, line)
        with writing:
            run.note("ANSWERED", line=_as_result(line["custom_id"], told))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        left = [line for line in lines if line["custom_id"] not in begun]
        for done in [pool.submit(ask_one, line) for line in left]:
            done.result()
    _keep(run, [event["line"] for event in run.folder.read_journal() if "line" in event])


def _ask_patiently(run: _Run, line: Mapping[str, Any]) -> Asked:
    """Ask once; again only what the service provably did not take."""
    told = run.service.ask(line["url"], line["body"])
    for attempt in range(_TRIES):
        if told.status not in _BUSY and not told.unsent:
            break
        pause = 2.0**attempt if told.retry_after is None else told.retry_after
        run.clock.sleep(min(pause, _LONGEST_PAUSE))
        told = run.service.ask(line["url"], line["body"])
    return told


def _as_result(custom_id: str, told: Asked) -> dict[str, Any]:
    """Write an answer as a line of a batch's result file."""
    if told.status is None:
        return {"custom_id": custom_id, "error": {"message": told.reason}}
    response = {"status_code": told.status, "body": told.body}
    return {"custom_id": custom_id, "response": response}


def _keep(run: _Run, results: Sequence[Mapping[str, Any]]) -> None:
    """Make a finished job of the answers."""
    plan, folder = run.plan, run.folder
    paths = map(folder.input, range(len(plan.shards)))
    written = tuple(write_inputs(plan.table, plan.shards, paths, plan.tokens))
    write_rows(rows_of(plan.table), folder.rows)
    if plan.table.reused:
        write_reused(folder, plan.asked.answers)
    if written:
        _keep_results(run, results)
    write_manifest(folder, manifest_of(plan, written, tier="standard"))


def _keep_results(run: _Run, results: Sequence[Mapping[str, Any]]) -> None:
    """Write what a batch would have brought: a result file, and a batch that has ended."""
    folder = run.folder
    with replacing(folder.output(0)) as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in results)
    good = sum(line.get("response", {}).get("status_code") == 200 for line in results)  # noqa: PLR2004 - HTTP's own number
    total = run.plan.table.to_send
    batch = Batch(REALTIME, "completed", total=total, completed=good, failed=total - good)
    home = Fetched(folder.output(0).stat().st_size, sha256_of(folder.output(0)))
    run.note("CREATED", batch=batch.to_json())
    run.note("FETCHED", output=asdict(home))
