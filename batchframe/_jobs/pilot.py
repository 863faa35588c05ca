"""The pilot: a random sample of requests, sent in real time as a job.

A realtime request cannot be found on the server later. Each is therefore recorded in the journal
before it is sent, and sent once: a lost response stays ``missing``, and the batch sends it again.
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

from batchframe._base.clock import SYSTEM, Backoff, Retries
from batchframe._base.errors import JobError
from batchframe._base.private_files import replacing, sha256_of
from batchframe._display import (
    Card,
    CardRepr,
    Details,
    Table,
    count,
    format_range,
    money,
    plural,
)
from batchframe._endpoints import endpoint_of
from batchframe._estimate.counting import part_of
from batchframe._estimate.estimate import Estimate
from batchframe._jobs.preparation import Plan, prepare
from batchframe._jobs.run import SubmissionContext
from batchframe._requests.table import RequestTable, encoded_requests, table_of_requests
from batchframe._results.earlier import ReusePlan
from batchframe._services.advice import may_pass
from batchframe._services.batch import Batch
from batchframe._services.protocol import REALTIME, RealtimeResponse, Service
from batchframe._store.events import Answered, Asking, Fetched, read_events
from batchframe._store.folder import JobFolder

PILOT: Final = "pilot"
"""Run label of every pilot."""

_MAX_CONCURRENT: Final = 8
_ATTEMPTS: Final = 6
_BACKOFF: Final = Backoff(maximum=30.0)


@dataclass(frozen=True, repr=False, eq=False)
class Pilot(CardRepr):
    """Result of a pilot.

    Attributes
    ----------
    frame
        The sampled rows, with their index labels, ``bf_prompt``, the answer columns, ``bf_status``
        and ``bf_error``.
    estimate
        Estimate for the remaining requests; its range is a 95% interval, not a bound.
    cost
        Cost of the pilot, in USD at the standard price; None if the price is unknown.
    job
        Id of the job that stores the answers.
    """

    frame: pd.DataFrame
    estimate: Estimate
    cost: Decimal | None
    job: str
    _examples: Table | None = None
    _new_notes: tuple[str, ...] = ()

    def _card(self) -> Card:
        counts = self.frame["bf_status"].value_counts()
        statuses = [f"{number:,} {status}" for status, number in counts.items() if number]
        rest = self.estimate
        return Card(
            title=f"Pilot of {plural(len(self.frame), 'row')}",
            figures=(
                ("answers", ", ".join(statuses) or "none"),
                ("spent", money(self.cost)),
                ("requests left", count(rest.requests)),
                ("cost of the rest", format_range(rest.cost, money)),
            ),
            table=self._examples,
            notes=self._new_notes,
            details=Details(
                facts=(("price of the pilot", "standard, in real time"), ("job", self.job))
            ),
            next_step=rest._next_step,  # noqa: SLF001 - the same line as on its card
        )


def format_pilot_cost(estimate: Estimate) -> str:
    """Format the number of requests and the cost of a pilot."""
    high = None if estimate.standard_cost is None else estimate.standard_cost.high
    limit = "no upper bound on the cost" if high is None else f"at most {money(high)}"
    return f"Pilot: {plural(estimate.requests, 'request')} in real time at standard price, {limit}."


def sampled(table: RequestTable, results: pd.DataFrame) -> pd.DataFrame:
    """Add the prompts and the index labels of the frame to the answers."""
    lines = [msgspec.json.decode(b'{"custom_id":"' + r) for r in encoded_requests(table)]
    prompt_text = endpoint_of(table.recipe.endpoint).prompt_text
    results = results.set_index(table.source.labels)
    results.insert(0, "bf_prompt", [prompt_text(line["body"]) for line in lines])
    return results


def draw(table: RequestTable, n: int, seed: int) -> RequestTable:
    """Sample `n` requests uniformly at random, with their rows.

    Answered requests are included, so that the same seed draws the same sample.
    """
    sample = np.sort(np.random.default_rng(seed).permutation(table.requests)[:n])
    rows = np.flatnonzero(np.isin(table.number, sample))
    identity = table.source.identity
    return table_of_requests(
        table.recipe,
        list(part_of(table, sample).requests_to_send()),
        np.searchsorted(sample, table.number[rows]),
        digest=table.digest[rows],
        identity=None if identity is None else identity[rows],
        labels=table.source.labels[rows],
    )


def without_sent(plan: ReusePlan) -> ReusePlan:
    """Keep the requests that repeating a pilot would send."""
    if plan.job is None:
        return plan
    # A custom_id ends in the first digits of its request's digest.
    sent = {custom_id.rpartition("-")[2] for custom_id in _sent_ids(plan.job.folder)}
    digests = (digest.tobytes().hex() for digest in plan.table.request_digest)
    is_sent = np.array([any(map(digest.startswith, sent)) for digest in digests], dtype=bool)
    return replace(plan, table=plan.table.without(is_sent))


def ask(plan: Plan, service: Service) -> JobFolder:
    """Send the requests of a pilot, and store the answers as a job.

    A repeated call continues an interrupted pilot. A request is sent again only if the service
    rejected it.

    Raises
    ------
    JobError
        If another kernel is sending the pilot.
    """
    folder = JobFolder.of(plan.job_id)
    folder.create()
    with folder.lock() as locked:
        if not locked:
            raise JobError.busy(plan.name or plan.job_id)
        run = SubmissionContext(folder, prepare(plan, folder), service)
        if run.manifest.inputs:
            _send_all(run)
    return folder


def _send_all(run: SubmissionContext) -> None:
    sent = _sent_ids(run.folder)
    with run.folder.input(0).open("rb") as file:
        lines = [msgspec.json.decode(line, type=dict[str, Any]) for line in file]
    unsent = [line for line in lines if line["custom_id"] not in sent]
    if not unsent and run.state().inputs[0].fetched:
        return
    started = Batch(REALTIME, "in_progress", total=len(lines))
    # This event marks the job as in progress for other kernels.
    run.record_event("CREATED", 0, batch=started.to_json())
    _send_concurrently(run, unsent)
    finish(run.folder, started)


def _send_concurrently(run: SubmissionContext, lines: Sequence[Mapping[str, Any]]) -> None:
    lock = threading.Lock()

    def send(line: Mapping[str, Any]) -> None:
        with lock:
            run.record_event("ASKING", 0, custom_id=line["custom_id"])
        outcome = _send_with_retries(run, line)
        with lock:
            run.record_event("ANSWERED", 0, line=_result_line(line["custom_id"], outcome))

    pool = ThreadPoolExecutor(_MAX_CONCURRENT)
    try:
        for future in [pool.submit(send, line) for line in lines]:
            future.result()
    finally:
        # An interrupt cancels requests not sent yet; responses to sent ones are awaited and stored.
        pool.shutdown(cancel_futures=True)


def _send_with_retries(run: SubmissionContext, line: Mapping[str, Any]) -> RealtimeResponse:
    """Send a request; retry only if the service provably did not process it."""
    retries = Retries(_BACKOFF, run.clock, attempts=_ATTEMPTS)
    while True:
        outcome = run.service.ask(line["url"], line["body"])
        passing = outcome.unsent or _is_busy(outcome)
        if not passing or not retries.pause(outcome.retry_after):
            return outcome


def _is_busy(outcome: RealtimeResponse) -> bool:
    error = outcome.body.get("error") if isinstance(outcome.body, Mapping) else None
    if outcome.status != 429 or not isinstance(error, Mapping):  # noqa: PLR2004 - HTTP's own number
        return False
    return may_pass(error.get("code"), error.get("message") or "")


def _result_line(custom_id: str, outcome: RealtimeResponse) -> dict[str, Any]:
    """Format a response as a line of a result file."""
    if outcome.status is None:
        return {"custom_id": custom_id, "error": {"message": outcome.reason}}
    response = {"status_code": outcome.status, "body": outcome.body}
    return {"custom_id": custom_id, "response": response}


def _result_lines(folder: JobFolder) -> dict[str, dict[str, Any]]:
    """Return the last result line of each answered request, by ``custom_id``."""
    lines = [event.line for event in read_events(folder) if isinstance(event, Answered)]
    return {line["custom_id"]: line for line in lines}


def _sent_ids(folder: JobFolder) -> set[str]:
    """Return the ids of requests that were sent and not rejected."""
    ids = {event.custom_id for event in read_events(folder) if isinstance(event, Asking)}
    # A 4xx response is not billed; a 5xx response may be.
    return ids - {
        name
        for name, line in _result_lines(folder).items()
        if 400 <= _status_code(line) < 500  # noqa: PLR2004 - HTTP's own numbers
    }


def _status_code(line: Mapping[str, Any]) -> int:
    code = (line.get("response") or {}).get("status_code")
    return code if isinstance(code, int) else 0


def finish(folder: JobFolder, batch: Batch) -> None:
    """Write the result file of the answers, and record the end of the pilot."""
    path, lines = folder.output(0), list(_result_lines(folder).values())
    with replacing(path) as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in lines)
    completed = sum(_status_code(line) == 200 for line in lines)  # noqa: PLR2004 - HTTP's own number
    ended = replace(batch, status="completed", completed=completed, failed=len(lines) - completed)
    common = {"shard": 0, "at": SYSTEM.now()}
    folder.append({"event": "STATUS", **common, "batch": ended.to_json()})
    output = asdict(Fetched(path.stat().st_size, sha256_of(path)))
    folder.append({"event": "FETCHED", **common, "output": output})
