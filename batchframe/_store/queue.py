"""Selection of the input files whose batch may be created now.

A service limits the tokens in its queue. Input files beyond the limit wait here; their batches are
created in order as earlier ones end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Final

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._requests.input_files import InputFile
from batchframe._services.provider import Provider
from batchframe._store.journal import InputFileState, JobState

_HOUR: Final = 3600.0
_UNSENT: Final = {"new", "uploaded"}


@dataclass(frozen=True)
class Load:
    """Contents of a service's queue, or its limits; None if unlimited."""

    tokens: int | None = 0
    requests: int | None = 0


@dataclass(frozen=True)
class Queue:
    """Limits of a service's queue.

    Attributes
    ----------
    limits
        Maximum in the queue per model.
    elsewhere
        What other jobs have queued.
    max_creates
        Maximum number of batches created per hour.
    """

    limits: Load
    elsewhere: Load
    max_creates: int


def limits_of(state: JobState, provider: Provider, endpoint: str) -> Load:
    """Return the limits of a job's queue: stated ones, or the provider's."""
    inputs = provider.max_enqueued_inputs if endpoint == EndpointPath.EMBEDDINGS else None
    return Load(state.max_tokens or provider.max_enqueued_tokens, state.stated.requests or inputs)


def due(
    inputs: Sequence[InputFile], states: Sequence[InputFileState], queue: Queue, now: float
) -> list[int]:
    """List the input files whose batch may be created now, in order.

    Creates of unknown outcome come first, even if the queue is full. No new batch is created
    during the pause after a full-queue rejection.

    Examples
    --------
    >>> files = [InputFile(i, i + 1, 100, "", tokens=40) for i in range(4)]
    >>> limits = Load(tokens=100, requests=None)
    >>> due(files, [InputFileState()] * 4, Queue(limits, Load(), 2000), now=0.0)
    [0, 1]
    >>> ended = InputFileState(step="dropped", fetched=True)
    >>> due(files, [ended] + [InputFileState()] * 3, Queue(limits, Load(30), 2000), now=0.0)
    [1]
    """
    unsettled = [index for index, state in enumerate(states) if state.step == "creating"]
    waiting = [index for index, state in enumerate(states) if state.step in _UNSENT]
    # No pause exceeds an hour; a later date means that the clock was wrong.
    if any(now < states[index].retry_at <= now + _HOUR for index in waiting):
        return unsettled
    recent = sum(state.attempts > 0 and state.creating_at > now - _HOUR for state in states)
    remaining = max(0, queue.max_creates - recent)
    return unsettled + _select_fitting(inputs, states, waiting, queue)[:remaining]


def pause(first: float, refusals: int) -> float:
    """Return the pause after a full queue, in seconds: doubles up to an hour.

    Examples
    --------
    >>> [pause(60.0, refusals) for refusals in (0, 1, 2, 9)]
    [60.0, 120.0, 240.0, 3600.0]
    """
    return min(first * 2.0**refusals, _HOUR)


def _select_fitting(
    inputs: Sequence[InputFile], states: Sequence[InputFileState], waiting: list[int], queue: Queue
) -> list[int]:
    active = [inputs[index] for index, state in enumerate(states) if is_in_queue(state)]
    files = [inputs[index] for index in waiting]
    elsewhere, limits = queue.elsewhere, queue.limits
    count = min(
        _count_fitting([elsewhere.tokens or 0, *_tokens(active)], _tokens(files), limits.tokens),
        _count_fitting(
            [elsewhere.requests or 0, *_requests(active)], _requests(files), limits.requests
        ),
    )
    is_empty = not active and elsewhere == Load()
    # One input file is always sent to an empty queue, or a job could wait forever.
    return waiting[: max(count, 1 if is_empty else 0)]


def _tokens(files: Sequence[InputFile]) -> list[int]:
    return [file.tokens for file in files]


def _requests(files: Sequence[InputFile]) -> list[int]:
    return [file.stop - file.start for file in files]


def _count_fitting(queued: Sequence[int], waiting: Sequence[int], limit: int | None) -> int:
    """Count the leading numbers that fit in the rest of a queue."""
    if limit is None:
        return len(waiting)
    totals = accumulate(waiting, initial=sum(queued))
    return sum(total <= limit for total in islice(totals, 1, None))


def is_in_queue(state: InputFileState) -> bool:
    """Check whether an input file is, or may be, in the service's queue."""
    if state.step == "creating":
        return True
    has_ended = state.abandoned or (state.batch is not None and state.batch.ended)
    return state.step == "created" and not has_ended


def may_be_in_queue(state: InputFileState, now: float, hours: float) -> bool:
    """Check without a poll whether an input file may still be queued.

    Parameters
    ----------
    hours
        Completion window of a batch, in hours.
    """
    return is_in_queue(state) and state.creating_at > now - hours * _HOUR
