"""Selection of the input files whose batch may be created now.

A service limits the tokens in its queue. Input files beyond the limit wait here; their batches are
created in order as earlier ones end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from batchframe._requests.input_files import InputFile
from batchframe._store.journal import InputFileState

_HOUR: Final = 3600.0
_UNSENT: Final = {"new", "uploaded"}


@dataclass(frozen=True)
class Queue:
    """Limits of a service's queue.

    Attributes
    ----------
    max_tokens
        Maximum input tokens in the queue per model; None if unknown.
    elsewhere
        Input tokens that other jobs have queued.
    max_creates
        Maximum number of batches created per hour.
    """

    max_tokens: int | None
    elsewhere: int
    max_creates: int


def due(
    inputs: Sequence[InputFile], states: Sequence[InputFileState], queue: Queue, now: float
) -> list[int]:
    """List the input files whose batch may be created now, in order.

    Creates of unknown outcome come first, whatever the queue. No new batch is created during the
    pause after a full-queue rejection.

    Examples
    --------
    >>> files = [InputFile(i, i + 1, 100, "", tokens=40) for i in range(4)]
    >>> due(files, [InputFileState()] * 4, Queue(100, 0, 2000), now=0.0)
    [0, 1]
    >>> ended = InputFileState(step="dropped", fetched=True)
    >>> due(files, [ended] + [InputFileState()] * 3, Queue(100, 30, 2000), now=0.0)
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


def is_full(code: str | None, message: str | None) -> bool:
    """Check whether an error says that the service's queue is full.

    OpenAI's error code, or the message that Azure sends without it (openai-python issue 2084;
    Azure OpenAI Batch guide, 2026-03).

    Examples
    --------
    >>> is_full("token_limit_exceeded", None), is_full("insufficient_quota", "No money.")
    (True, False)
    """
    words = (message or "").lower()
    return code == "token_limit_exceeded" or "enqueued token" in words


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
    if queue.max_tokens is None:
        return waiting
    active = [index for index, state in enumerate(states) if is_in_queue(state)]
    queued = queue.elsewhere + sum(inputs[index].tokens for index in active)
    fitting: list[int] = []
    for index in waiting:
        queued += inputs[index].tokens
        # One input file is always sent to an empty queue, or a job could wait forever.
        if queued > queue.max_tokens and (active or fitting or queue.elsewhere):
            break
        fitting.append(index)
    return fitting


def is_in_queue(state: InputFileState) -> bool:
    """Check whether an input file is, or may be, in the service's queue."""
    if state.step == "creating":
        return True
    has_ended = state.abandoned or (state.batch is not None and state.batch.ended)
    return state.step == "created" and not has_ended


def may_be_in_queue(state: InputFileState, now: float, hours: float) -> bool:
    """Check whether an input file may still be queued, without a recent poll.

    Parameters
    ----------
    hours
        Completion window of a batch, in hours.
    """
    return is_in_queue(state) and state.creating_at > now - hours * _HOUR
