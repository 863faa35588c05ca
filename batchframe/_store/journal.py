"""State of a job, replayed from the events of its journal.

The functions are pure, so that the at-most-once protocol can be tested without files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

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

    @property
    def fenced_files(self) -> set[str]:
        """Ids of the uploads that batchframe may have deleted."""
        return {upload.file_id for upload in self.uploads[: self.fenced]}


@dataclass(frozen=True)
class JobState:
    """State of a job; not `understood` if a newer version wrote the journal."""

    intended: bool
    inputs: tuple[InputFileState, ...]
    understood: bool = True

    @property
    def batches(self) -> list[Batch]:
        """Batches on the server, as of the last poll."""
        return [file.batch for file in self.inputs if file.batch is not None]


def replay(events: Iterable[Event | Unknown], input_count: int) -> JobState:
    """Replay the journal.

    Raises
    ------
    ValueError, LookupError
        If an event does not belong to this job.

    Examples
    --------
    >>> replay([ev.Intent(), ev.Uploaded(shard=0, file_id="file-1")], 1)
    JobState(intended=True, inputs=(InputFileState(step='uploaded', ...
    """
    states = [InputFileState() for _ in range(input_count)]
    intended = False
    understood = True
    for event in events:
        match event:
            case Unknown():
                understood = False
            case ev.Intent():
                intended = True
            case ev.Asking() | ev.Answered():
                pass  # a pilot has no batch until all requests are answered
            case _:
                if not 0 <= event.shard < input_count:
                    raise IndexError("an event names an unknown input file")
                states[event.shard] = after(states[event.shard], event)
    return JobState(intended, tuple(states), understood)


def after(state: InputFileState, event: Event | Unknown) -> InputFileState:  # noqa: C901 - one case per event
    """Return the state of an input file after an event."""
    match event:
        case ev.Uploaded():
            upload = Upload(event.file_id, event.created_at)
            return replace(state, step="uploaded", uploads=(*state.uploads, upload))
        case ev.Creating():
            attempts, at = state.attempts + 1, event.at
            return replace(state, step="creating", attempts=attempts, creating_at=at, reason=None)
        case ev.Created():
            batch = Batch.from_json(event.batch)
            return replace(
                state, step="created", batch=batch, reason=None, queued=False, retry_at=0.0
            )
        case ev.Ambiguous():
            return replace(state, reason=event.reason)
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


def status_word(state: JobState) -> str:
    """Return the status of a job, in one word.

    Before all batches exist: "preparing", "submitting", or "uncertain" if the outcome of a create
    is unknown; "queued" if all remaining input files are queued. Then OpenAI's batch statuses: that
    of the least advanced batch while one is in progress, and the worst at the end, or "abandoned".
    An unknown status is returned unchanged, unless it equals one of batchframe's own.

    Examples
    --------
    >>> status_word(replay([], 1)), status_word(replay([], 0))
    ('preparing', 'completed')
    """
    if any(file.step == "creating" for file in state.inputs):
        return "uncertain"
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
