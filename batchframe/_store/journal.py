"""State of a job, replayed from the events of its journal.

The functions are pure, so that the at-most-once protocol can be tested without files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from batchframe._requests.input_files import InputFile
from batchframe._services.batch import Batch
from batchframe._store import events as ev
from batchframe._store.events import Event, Fetched, Unknown

Step = Literal["new", "uploaded", "creating", "created", "dropped"]


@dataclass(frozen=True)
class Upload:
    """Uploaded input file; `created_at` is on the server's clock."""

    file_id: str
    created_at: float | None


@dataclass(frozen=True)
class InputFileState:
    """State of one input file.

    Attributes
    ----------
    step
        "creating" means that the outcome of a create is unknown; "dropped", that the job was
        canceled before the input file was sent.
    uploads
        All uploads of this input file, since each may have a batch.
    creating_at
        Time of the last create, in seconds on this machine's clock.
    output, errors
        The result files as last downloaded; they count as answers once `fetched`.
    gone
        Ids of result files that the service named but did not return.
    short
        Number of polls at which an ended batch had fewer lines than requests.
    incomplete
        Whether lines were still missing at the last poll.
    fenced
        Number of uploads, from the first, that batchframe may have deleted.
    queued
        Whether it waits for the service's queue, to be sent by a later poll.
    retry_at
        End of the pause after a full queue, in seconds on this machine's clock.
    refusals
        Number of full-queue rejections.
    dead
        Batches that the service rejected for a full queue, and that bill nothing.
    rejections
        Number of rejected creates.
    abandoned
        Whether the user closed the job before its batch ended or was found.
    refused
        Whether the last create was rejected by an error in a foreign format. The step is then
        "creating", because a gateway may send such an error for a batch that was created.
    number
        Its number in the journal and in the names of its files.
    """

    step: Step = "new"
    uploads: tuple[Upload, ...] = ()
    attempts: int = 0
    creating_at: float = 0.0
    reason: str | None = None
    batch: Batch | None = None
    output: Fetched | None = None
    errors: Fetched | None = None
    fetched: bool = False
    gone: tuple[str, ...] = ()
    short: int = 0
    incomplete: bool = False
    fenced: int = 0
    queued: bool = False
    retry_at: float = 0.0
    refusals: int = 0
    dead: tuple[str, ...] = ()
    rejections: int = 0
    abandoned: bool = False
    refused: bool = False
    number: int = 0

    @property
    def fenced_files(self) -> set[str]:
        """Ids of the uploads that batchframe may have deleted."""
        return {upload.file_id for upload in self.uploads[: self.fenced]}


@dataclass(frozen=True)
class QueueLimit:
    """Limit of a service's queue, as the service stated it at the time `at`."""

    tokens: int | None = None
    requests: int | None = None
    at: float = 0.0


@dataclass(frozen=True)
class JobState:
    """State of a job.

    Attributes
    ----------
    inputs, files
        The current input files, in the order of their requests.
    understood
        False if a newer version wrote the journal.
    divided
        Input files that smaller ones have replaced.
    max_tokens
        Maximum tokens in the queue, from the user or the service; None if neither stated one.
    stated
        The limit that the service stated.
    paused
        Why unsent input files are held back, or None.
    resumed
        Whether the user resumed the job after a pause.
    """

    intended: bool
    inputs: tuple[InputFileState, ...]
    understood: bool = True
    files: tuple[InputFile, ...] = ()
    divided: tuple[InputFileState, ...] = ()
    max_tokens: int | None = None
    stated: QueueLimit = QueueLimit()
    paused: ev.Paused | None = None
    resumed: bool = False

    @property
    def batches(self) -> list[Batch]:
        """Batches on the server, as of the last poll."""
        return [file.batch for file in self.inputs if file.batch is not None]

    @property
    def uploads(self) -> list[str]:
        """Ids of the uploaded input files that batchframe did not delete."""
        return [upload.file_id for file in self.inputs for upload in file.uploads[file.fenced :]]


def replay(
    events: Iterable[Event | Unknown], files: Sequence[InputFile], max_tokens: int | None = None
) -> JobState:
    """Replay the journal.

    Parameters
    ----------
    files, max_tokens
        The input files and the user's limit of the queue, as of the preparation.

    Raises
    ------
    ValueError, LookupError
        If an event does not belong to this job.

    Examples
    --------
    >>> replay([ev.Intent(), ev.Uploaded(shard=0, file_id="file-1")], [InputFile(0, 1, 9, "")])
    JobState(intended=True, inputs=(InputFileState(step='uploaded', ...
    """
    return Replay(files, max_tokens).add(events)


class Replay:
    """Replay of a journal that grows, so that no event is replayed twice.

    Parameters
    ----------
    files, max_tokens
        As in :func:`replay`.
    """

    def __init__(self, files: Sequence[InputFile], max_tokens: int | None = None) -> None:
        self._parts = dict(enumerate(files))
        self._states = {number: InputFileState(number=number) for number in self._parts}
        self._order = list(self._parts)
        self._state = JobState(
            intended=False,
            inputs=tuple(self._states.values()),
            files=tuple(files),
            max_tokens=max_tokens,
        )

    def add(self, events: Iterable[Event | Unknown]) -> JobState:
        """Return the state of the job after more events.

        Raises
        ------
        ValueError, LookupError
            If an event does not belong to this job.
        """
        for event in events:
            self._add(event)
        inputs = tuple(map(self._states.__getitem__, self._order))
        self._state = replace(self._state, inputs=inputs)
        return self._state

    def _add(self, event: Event | Unknown) -> None:
        state = self._state
        match event:
            case Unknown():
                self._state = replace(state, understood=False)
            case ev.Intent():
                max_tokens = event.max_tokens or state.max_tokens
                self._state = replace(state, intended=True, max_tokens=max_tokens)
            case ev.Paused():
                self._state = replace(state, paused=event)
            case ev.Resumed():
                self._state = replace(state, paused=None, resumed=True)
            case ev.Asking() | ev.Answered():
                pass  # a pilot has no batch until all requests are answered
            case ev.Divided() if event.shard in self._states:
                self._divide(event)
            case _ if event.shard in self._states:
                self._states[event.shard] = after(self._states[event.shard], event)
            case _ if state.understood:
                raise IndexError("an event names an unknown input file")
        if isinstance(event, ev.Queued) and (event.max_tokens or event.max_requests):
            limits = filter(None, (state.max_tokens, event.max_tokens))
            max_tokens = min(limits, default=None)
            stated = _stated(event, state.stated)
            self._state = replace(self._state, max_tokens=max_tokens, stated=stated)

    def _divide(self, event: ev.Divided) -> None:
        file = self._states.pop(event.shard)
        _check_division(self._parts.pop(event.shard), event.files)
        divided = (*self._state.divided, file)
        for number, part in enumerate(event.files, len(self._parts) + len(divided)):
            self._parts[number] = part
            self._states[number] = _part(number, file, event)
        self._order = sorted(self._parts, key=lambda number: self._parts[number].start)
        files = tuple(map(self._parts.__getitem__, self._order))
        self._state = replace(self._state, divided=divided, files=files)


def _check_division(file: InputFile, parts: Sequence[InputFile]) -> None:
    ends = [file.start, *(part.stop for part in parts)]
    if [*(part.start for part in parts), file.stop] != ends:
        raise ValueError("a division does not cover the requests of its input file in order")


def _part(number: int, file: InputFileState, event: ev.Divided) -> InputFileState:
    """Return the initial state of one part of a divided input file."""
    paused = event.retry_at > 0
    return InputFileState(
        number=number,
        refusals=file.refusals,
        reason=file.reason if paused else None,
        queued=paused,
        retry_at=event.retry_at,
    )


def _stated(event: ev.Queued, before: QueueLimit) -> QueueLimit:
    tokens, requests = event.max_tokens or before.tokens, event.max_requests or before.requests
    return QueueLimit(tokens, requests, event.at)


def after(state: InputFileState, event: Event | Unknown) -> InputFileState:  # noqa: C901 - one case per event
    """Return the state of an input file after an event."""
    match event:
        case ev.Uploaded():
            upload = Upload(event.file_id, event.created_at)
            return replace(state, step="uploaded", uploads=(*state.uploads, upload))
        case ev.Creating():
            return replace(
                state,
                step="creating",
                refused=False,
                attempts=state.attempts + 1,
                creating_at=event.at,
                reason=None,
            )
        case ev.Created():
            batch = Batch.from_json(event.batch)
            return replace(
                state, step="created", batch=batch, reason=None, queued=False, retry_at=0.0
            )
        case ev.Ambiguous():
            rejections = state.rejections + event.refused
            return replace(state, reason=event.reason, refused=event.refused, rejections=rejections)
        case ev.Unsent():
            return _unsent(state, event)
        case ev.Queued():
            return _queued(state, event)
        case ev.Fencing():
            return replace(state, fenced=len(state.uploads))
        case ev.Fenced():
            return replace(state, step="new", reason=None)
        case ev.Dropped():
            return replace(state, step="dropped", fetched=True, queued=False, retry_at=0.0)
        case ev.Abandoned():
            return replace(
                state, step="created", abandoned=True, fetched=True, queued=False, retry_at=0.0
            )
        case ev.Short():
            return _fetched(state, event)
        case _:
            return state


def _unsent(state: InputFileState, event: ev.Unsent) -> InputFileState:
    step: Step = "new" if event.file_lost else "uploaded"
    rejections = state.rejections + isinstance(event, ev.Rejected)
    return replace(state, step=step, reason=event.reason, rejections=rejections)


def _fetched(state: InputFileState, event: ev.Short) -> InputFileState:
    state = replace(state, output=event.output, errors=event.errors)
    if isinstance(event, ev.AllFetched):
        return replace(state, fetched=True, gone=event.gone, incomplete=event.incomplete)
    return replace(state, short=state.short + 1)


def _queued(state: InputFileState, event: ev.Queued) -> InputFileState:
    return replace(
        state,
        step="uploaded" if state.uploads else "new",
        batch=None,
        reason=event.reason,
        queued=True,
        retry_at=event.retry_at,
        refusals=state.refusals + (event.retry_at > 0),
        dead=state.dead if state.batch is None else (*state.dead, state.batch.id),
    )


_ACTIVE: Final = ("validating", "in_progress", "finalizing", "cancelling", "queued")
_OURS: Final = ("preparing", "submitting", "uncertain", "queued", "abandoned")
_ENDED: Final = ("abandoned", "failed", "expired", "cancelled", "completed")


def is_paused(state: JobState) -> bool:
    """Return whether unsent input files are held back."""
    unsent = any(file.step in {"new", "uploaded"} for file in state.inputs)
    return state.paused is not None and unsent


def is_held(state: JobState) -> bool:
    """Return whether a paused job has only held-back input files left."""
    rest = [file for file in state.inputs if file.step not in {"new", "uploaded"}]
    return is_paused(state) and all(file.fetched for file in rest)


def status_word(state: JobState) -> str:
    """Return the status of a job, in one word.

    Before all batches exist: "preparing", "submitting", or "uncertain" if the outcome of a create
    is unknown; "queued" if all remaining input files are queued, "paused" if they are held back
    because the bill exceeded the estimate. Then OpenAI's batch statuses: that
    of the least advanced batch while one is in progress, and the worst at the end, or "abandoned".
    An unknown status is returned unchanged, unless it equals one of batchframe's own.

    Examples
    --------
    >>> status_word(replay([], [InputFile(0, 1, 9, "")])), status_word(replay([], []))
    ('preparing', 'completed')
    """
    if any(file.step == "creating" and not file.refused for file in state.inputs):
        return "uncertain"
    if is_paused(state):
        return "paused"
    words = ["abandoned" for file in state.inputs if file.abandoned]
    batches = [file.batch for file in state.inputs if file.batch and not file.abandoned]
    words += ["in_progress" if batch.status in _OURS else batch.status for batch in batches]
    words += ["queued" for file in state.inputs if file.queued]
    words += ["cancelled" for file in state.inputs if file.step == "dropped"]
    if len(words) < len(state.inputs):
        return "submitting" if state.intended else "preparing"
    unknown = [word for word in words if word not in {*_ACTIVE, *_ENDED}]
    order = (*unknown, *_ACTIVE, *_ENDED)
    return min(words, key=order.index, default="completed")
