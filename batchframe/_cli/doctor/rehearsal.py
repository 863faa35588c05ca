"""Check what can only be learned by creating one batch of one request.

The promise of at most one batch rests on two habits of a service that nobody documents: a batch
shows in the list soon after it was created, and a batch whose input file was deleted is refused, or
fails before it is billed. The second is tried first: if a batch is created it serves for the first
too, so that there is never more than one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pandas as pd

from batchframe._api.functions import requests
from batchframe._api.requests import Requests
from batchframe._base.clock import SYSTEM, Clock
from batchframe._base.errors import ServiceError
from batchframe._base.safe_text import in_shell
from batchframe._cli.doctor.finding import Finding
from batchframe._display import format_range, money
from batchframe._services.connect import connect
from batchframe._services.protocol import Created, CreateOutcome, Rejected, Service

_LONGEST: Final = 300.0
"""Seconds to look for a batch in the list before giving up."""
_QUICKEST_LOOK: Final = 0.5
_SLOWEST_LOOK: Final = 5.0
_ASK: Final = "Keep to --on-uncertain ask, the default, and do not use --recreate here."
_NEWEST: Final = 100
_NAME: Final = "batchframe-doctor.jsonl"
_MARK: Final = {"bf_doctor": "1"}


def probe(model: str, agrees: Callable[[str], bool], clock: Clock = SYSTEM) -> Iterator[Finding]:
    """Create at most one batch, of one request, and learn from it.

    Parameters
    ----------
    agrees
        Is asked before anything is sent.

    Raises
    ------
    ClientError
        If there is no key.
    """
    asked = _one_request(model)
    cost = format_range(asked.estimate(reuse=False).cost, money)
    if not agrees(f"Create one batch of one request to {model}, for {cost}, and cancel it?"):
        yield Finding("live", "ok", "nothing was sent, as nobody said yes", "Or add --yes.")
        return
    there = connect()
    with TemporaryDirectory(prefix="batchframe-doctor-") as folder:
        [line] = asked.to_jsonl(folder, provider=there.profile)
        try:
            yield from _learn(there, asked, line, clock)
        except ServiceError as reason:
            yield Finding("live", "problem", "the service gave trouble", in_shell(reason))


def _one_request(model: str) -> Requests:
    frame = pd.DataFrame({"word": ["yes"]})
    prompt = "Answer with the word {{ word }}."
    return requests(frame, prompt, model=model, max_completion_tokens=16)


def _learn(there: Service, asked: Requests, line: Path, clock: Clock) -> Iterator[Finding]:
    file_id = there.upload(line, _NAME, there.profile.purpose).id
    there.delete_file(file_id)
    began = clock.elapsed()
    outcome = _create(there, file_id, asked)
    is_refused = isinstance(outcome, Rejected)
    if isinstance(outcome, Rejected):
        told = f"a batch of a deleted file is refused (HTTP {outcome.status}, {outcome.code})"
        yield Finding("fence", "ok", f"{told}, so --recreate is safe here")
        file_id = there.upload(line, _NAME, there.profile.purpose).id
        began = clock.elapsed()
        outcome = _create(there, file_id, asked)
    yield _showing(there, file_id, outcome, began, clock)
    if not is_refused:
        yield _fate(there, outcome, clock)
    yield from _clean_up(there, file_id, outcome)


def _create(there: Service, file_id: str, asked: Requests) -> CreateOutcome:
    return there.create_batch(
        file_id, there.profile.created_for(asked.endpoint), _MARK, f"doctor-{file_id}"
    )


def _showing(
    there: Service, file_id: str, outcome: CreateOutcome, began: float, clock: Clock
) -> Finding:
    """Say how soon the batch shows in the list."""
    if isinstance(outcome, Rejected):
        told = f"HTTP {outcome.status}, {outcome.code}: {outcome.message}"
        return Finding("list", "problem", f"a batch was refused: {told}")
    settle = there.profile.settle
    shown = _look(there, file_id, clock, began)
    took = clock.elapsed() - began
    if not shown and not isinstance(outcome, Created):
        told = f"no batch showed within {took:.0f} s, and nobody knows whether one was created"
        return Finding("list", "warning", f"{told}: {outcome.reason}", "Try again later.")
    if not shown:
        told = f"the batch did not show in the list within {took:.0f} s"
        return Finding("list", "problem", told, _ASK)
    told = f"the batch showed {took:.1f} s after it was asked for"
    if took > settle:
        return Finding("list", "warning", f"{told}; batchframe waits {settle:.0f} s", _ASK)
    return Finding("list", "ok", told)


def _fate(there: Service, outcome: CreateOutcome, clock: Clock) -> Finding:
    """Say what became of a batch of a deleted file that was not refused at once."""
    if not isinstance(outcome, Created):
        told = "nobody knows whether a batch of a deleted file is refused: the answer was lost"
        return Finding("fence", "warning", told, "Try again later.")
    batch, began = outcome.batch, clock.elapsed()
    while batch.status == "validating" and clock.elapsed() - began < _LONGEST:
        clock.sleep(1.0)
        batch = there.retrieve_batch(batch.id)
    if batch.status == "failed":
        told = "a batch of a deleted file fails at validation, and nothing is billed"
        return Finding("fence", "ok", f"{told}, so --recreate is safe here")
    told = f"a batch of a deleted file was taken ({batch.id}, {batch.status})"
    return Finding("fence", "problem", told, _ASK)


def _look(there: Service, file_id: str, clock: Clock, began: float) -> bool:
    pause = _QUICKEST_LOOK
    while True:
        newest = islice(there.list_batches(), _NEWEST)
        if any(batch.input_file_id == file_id for batch in newest):
            return True
        if clock.elapsed() - began > _LONGEST:
            return False
        clock.sleep(pause)
        pause = min(pause * 1.5, _SLOWEST_LOOK)


def _clean_up(there: Service, file_id: str, outcome: CreateOutcome) -> Iterator[Finding]:
    if isinstance(outcome, Created):
        batch_id = outcome.batch.id
        try:
            status = there.cancel_batch(batch_id).status
        except ServiceError:
            # It ended first.
            status = there.retrieve_batch(batch_id).status
        yield Finding("clean-up", "ok", f"batch {batch_id} was asked to stop: {status}")
    try:
        there.delete_file(file_id)
    except ServiceError as reason:
        told = f"the input file {file_id} is still on the server"
        yield Finding("clean-up", "warning", told, in_shell(reason))
    else:
        yield Finding("clean-up", "ok", "the input files are removed")
