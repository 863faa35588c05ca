"""How far a job has come: what the events of its journal add up to.

Pure, so that every rule of the at-most-once protocol can be tested without a disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from batchframe._services.batch import Batch
from batchframe._store import events as ev
from batchframe._store.events import Event, Fetched, Unknown

Step = Literal["new", "uploaded", "creating", "created", "dropped"]


@dataclass(frozen=True)
class Upload:
    """An input file that reached the server; `created_at` is on the server's clock."""

    file_id: str
    created_at: float | None


@dataclass(frozen=True)
class ShardState:
    """How far one input file has come.

    Attributes
    ----------
    step
        "creating" means that a create was begun and its outcome is not known; "dropped", that the
        job was cancelled before the shard was sent.
    uploads
        Every upload of this shard, since any of them may have become a batch.
    creating_at
        When the last create was begun, in seconds on this machine's clock.
    output, errors
        The result files as they last came home; they count as answers once `fetched`.
    gone
        The ids of result files that the service named and did not give.
    short
        How often an ended batch had fewer lines than requests.
    incomplete
        Whether there were still fewer at the last look of all.
    fenced
        How many of the uploads, from the first, may be gone because we deleted them.
    queued
        Whether it waits for room in the service's queue, to be sent by a later look.
    retry_at
        Until when the queue is to be left alone, in seconds on this machine's clock.
    refusals
        How often the queue was full.
    dead
        Batches of this shard that the service refused for a full queue, and that bill nothing.
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

    @property
    def fenced_files(self) -> set[str]:
        """The uploads that may be gone because we deleted them."""
        return {upload.file_id for upload in self.uploads[: self.fenced]}


@dataclass(frozen=True)
class JobState:
    """How far a job has come; not `understood` if a newer version wrote part of the journal."""

    intended: bool
    shards: tuple[ShardState, ...]
    understood: bool = True


_NO_SHARD: Final = "it names an input file that the job does not have"


def fold(events: Iterable[Event | Unknown], shards: int) -> JobState:
    """Replay the journal.

    Raises
    ------
    ValueError, LookupError
        If an event cannot have been appended to this job's journal.

    Examples
    --------
    >>> fold([ev.Intent(), ev.Uploaded(shard=0, file_id="file-1")], 1)
    JobState(intended=True, shards=(ShardState(step='uploaded', ...
    """
    states = [ShardState() for _ in range(shards)]
    intended = False
    understood = True
    for event in events:
        match event:
            case Unknown():
                understood = False
            case ev.Intent():
                intended = True
            case ev.Asking() | ev.Answered():
                pass  # a pilot has no batch until all is answered
            case _:
                if not 0 <= event.shard < shards:
                    raise IndexError(_NO_SHARD)
                states[event.shard] = after(states[event.shard], event)
    return JobState(intended, tuple(states), understood)


def after(state: ShardState, event: Event | Unknown) -> ShardState:
    """Return how far an input file has come after one more event."""
    match event:
        case ev.Uploaded():
            upload = Upload(event.file_id, event.created_at)
            return replace(state, step="uploaded", uploads=(*state.uploads, upload))
        case ev.Creating():
            attempts = state.attempts + 1
            return replace(
                state, step="creating", attempts=attempts, creating_at=event.at, reason=None
            )
        case ev.Created():
            batch = Batch.from_json(event.batch)
            return replace(
                state, step="created", batch=batch, reason=None, queued=False, retry_at=0.0
            )
        case ev.Ambiguous():
            return replace(state, reason=event.reason)
        case ev.Unsent():
            step: Step = "new" if event.file_lost else "uploaded"
            return replace(state, step=step, reason=event.reason)
        case ev.Queued():
            return _queued(state, event)
        case ev.Fencing():
            return replace(state, fenced=len(state.uploads))
        case ev.Fenced() | ev.Dropped():
            return replace(state, **_MARKS[type(event)])
        case ev.Short():
            return _fetched(state, event)
        case _:
            return state


_MARKS: Final[Mapping[type, Mapping[str, Any]]] = {
    ev.Dropped: {"step": "dropped", "fetched": True, "queued": False, "retry_at": 0.0},
    ev.Fenced: {"step": "new", "reason": None},
}
"""What an event without facts of its own changes."""


def _fetched(state: ShardState, event: ev.Short) -> ShardState:
    state = replace(state, output=event.output, errors=event.errors)
    if isinstance(event, ev.AllFetched):
        return replace(state, fetched=True, gone=event.gone, incomplete=event.incomplete)
    return replace(state, short=state.short + 1)


def _queued(state: ShardState, event: ev.Queued) -> ShardState:
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
_OURS: Final = ("preparing", "submitting", "uncertain", "queued")
_ENDED: Final = ("failed", "expired", "cancelled", "completed")


def status_word(state: JobState) -> str:
    """Fold the parts of a job into one word.

    Before all batches exist: "preparing", "submitting", or "uncertain" if the outcome of a create
    is not known; "queued" if all that is left waits for room. Then OpenAI's words: while any part
    is under way, that of the part furthest behind; at the end, the worst; a word never seen before
    is passed on, unless it is one of ours.

    Examples
    --------
    >>> status_word(fold([], 1)), status_word(fold([], 0))
    ('preparing', 'completed')
    """
    if any(shard.step == "creating" for shard in state.shards):
        return "uncertain"
    statuses = [shard.batch.status for shard in state.shards if shard.batch is not None]
    words = ["in_progress" if word in _OURS else word for word in statuses]
    words += ["queued" for shard in state.shards if shard.queued]
    words += ["cancelled" for shard in state.shards if shard.step == "dropped"]
    if len(words) < len(state.shards):
        return "submitting" if state.intended else "preparing"
    unseen = [word for word in words if word not in {*_ACTIVE, *_ENDED}]
    order = (*unseen, *_ACTIVE, *_ENDED)
    return min(words, key=order.index, default="completed")
