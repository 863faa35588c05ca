"""Checks that create one batch of one request.

The at-most-once protocol relies on two undocumented behaviors of a service: a new batch appears in
the list soon, and a batch whose input file was deleted is rejected or fails unbilled. The second is
tested first; if it creates a batch, that batch also tests the first, so there is never more than
one.
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

_MAX_SECONDS: Final = 300.0
"""Maximum seconds to poll the list for a batch."""
_FIRST_POLL: Final = 0.5
_LAST_POLL: Final = 5.0
_ADVICE: Final = (
    "Keep --on-uncertain ask, the default, and do not use --recreate with this service."
)
_NEWEST: Final = 100
_NAME: Final = "batchframe-doctor.jsonl"
_METADATA: Final = {"bf_doctor": "1"}


def probe(model: str, agrees: Callable[[str], bool], clock: Clock = SYSTEM) -> Iterator[Finding]:
    """Create at most one batch, of one request, and report its behavior.

    Parameters
    ----------
    agrees
        Function that asks the user for consent before anything is sent.

    Raises
    ------
    ClientError
        If ``OPENAI_API_KEY`` is not set.
    """
    frame, prompt = pd.DataFrame({"word": ["yes"]}), "Answer with the word {{ word }}."
    request = requests(frame, prompt, model=model, max_completion_tokens=16)
    cost = format_range(request.estimate(reuse=False).cost, money)
    if not agrees(f"Create one batch of one request to {model} for {cost}, and cancel it?"):
        yield Finding("live", "ok", "not confirmed; nothing was sent", "In a script, add --yes.")
        return
    service = connect()
    with TemporaryDirectory(prefix="batchframe-doctor-") as folder:
        [line] = request.to_jsonl(folder, provider=service.profile)
        try:
            yield from _test(service, request, line, clock)
        except ServiceError as reason:
            yield Finding("live", "problem", "the service returned an error", in_shell(reason))


def _test(service: Service, request: Requests, line: Path, clock: Clock) -> Iterator[Finding]:
    file_id = _upload(service, line)
    service.delete_file(file_id)
    start = clock.elapsed()
    outcome = _create(service, file_id, request)
    is_rejected = isinstance(outcome, Rejected)
    if isinstance(outcome, Rejected):
        text = f"a batch of a deleted file is rejected (HTTP {outcome.status}, {outcome.code})"
        yield Finding("fence", "ok", f"{text}, so --recreate is safe here")
        file_id = _upload(service, line)
        start = clock.elapsed()
        outcome = _create(service, file_id, request)
    yield _measure_listing(service, file_id, outcome, start, clock)
    if not is_rejected:
        yield _check_fence(service, outcome, clock)
    yield from _clean_up(service, file_id, outcome)


def _upload(service: Service, line: Path) -> str:
    profile = service.profile
    by_redirect = profile.uploads_by_redirect
    return service.upload(line, _NAME, profile.purpose, by_redirect=by_redirect).id


def _create(service: Service, file_id: str, request: Requests) -> CreateOutcome:
    return service.create_batch(
        file_id, service.profile.created_for(request.endpoint), _METADATA, f"doctor-{file_id}"
    )


def _measure_listing(
    service: Service, file_id: str, outcome: CreateOutcome, start: float, clock: Clock
) -> Finding:
    """Measure how soon the batch appears in the list."""
    if isinstance(outcome, Rejected):
        text = f"HTTP {outcome.status}, {outcome.code}: {outcome.message}"
        return Finding("list", "problem", f"a batch was rejected: {text}")
    settle = service.profile.settle
    is_listed = _poll_list(service, file_id, clock, start)
    seconds = clock.elapsed() - start
    if not is_listed and not isinstance(outcome, Created):
        text = f"no batch appeared within {seconds:.0f} s, and it is unknown whether one exists"
        return Finding("list", "warning", f"{text}: {outcome.reason}", "Try again later.")
    if not is_listed:
        text = f"the batch did not appear in the list within {seconds:.0f} s"
        return Finding("list", "problem", text, _ADVICE)
    text = f"the batch appeared {seconds:.1f} s after it was created"
    if seconds > settle:
        return Finding("list", "warning", f"{text}; batchframe waits {settle:.0f} s", _ADVICE)
    return Finding("list", "ok", text)


def _check_fence(service: Service, outcome: CreateOutcome, clock: Clock) -> Finding:
    """Check the outcome of a batch of a deleted file that was not rejected."""
    if not isinstance(outcome, Created):
        text = "unknown whether a batch of a deleted file is rejected: the response was lost"
        return Finding("fence", "warning", text, "Try again later.")
    batch, start = outcome.batch, clock.elapsed()
    while batch.status == "validating" and clock.elapsed() - start < _MAX_SECONDS:
        clock.sleep(1.0)
        batch = service.retrieve_batch(batch.id)
    if batch.status == "failed":
        text = "a batch of a deleted file fails validation, and nothing is billed"
        return Finding("fence", "ok", f"{text}, so --recreate is safe here")
    text = f"a batch of a deleted file was accepted ({batch.id}, {batch.status})"
    return Finding("fence", "problem", text, _ADVICE)


def _poll_list(service: Service, file_id: str, clock: Clock, start: float) -> bool:
    pause = _FIRST_POLL
    while True:
        newest = islice(service.list_batches(), _NEWEST)
        if any(batch.input_file_id == file_id for batch in newest):
            return True
        if clock.elapsed() - start > _MAX_SECONDS:
            return False
        clock.sleep(pause)
        pause = min(pause * 1.5, _LAST_POLL)


def _clean_up(service: Service, file_id: str, outcome: CreateOutcome) -> Iterator[Finding]:
    if isinstance(outcome, Created):
        batch_id = outcome.batch.id
        try:
            status = service.cancel_batch(batch_id).status
        except ServiceError:
            # The batch ended before the cancellation.
            status = service.retrieve_batch(batch_id).status
        yield Finding("clean-up", "ok", f"batch {batch_id}: cancellation requested ({status})")
    try:
        service.delete_file(file_id)
    except ServiceError as reason:
        text = f"input file {file_id} is still on the server"
        yield Finding("clean-up", "warning", text, in_shell(reason))
    else:
        yield Finding("clean-up", "ok", "input files deleted")
