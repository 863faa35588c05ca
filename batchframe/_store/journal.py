"""The journal's events → how far each shard has come.

In: events as they were appended. Out: frozen :class:`ShardState` values. Pure.
Must not know: files, the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import msgspec

from batchframe._services.batch import Batch

Step = Literal["new", "uploaded", "creating", "created", "dropped"]

KNOWN_EVENTS: Final = frozenset(
    {
        "INTENT", "UPLOADED", "CREATING", "CREATED", "UNSENT", "REJECTED", "AMBIGUOUS", "FENCED",
        "STATUS", "SHORT", "FETCHED", "FENCING", "DROPPED", "ASKING", "ANSWERED", "QUEUED",
    }
)  # fmt: skip


_OF_A_PILOT: Final = frozenset({"ASKING", "ANSWERED"})


@dataclass(frozen=True)
class Upload:
    """An input file that reached the server; `created_at` is on the server's clock."""

    file_id: str
    created_at: float | None


@dataclass(frozen=True)
class Fetched:
    """A result file that came home, as it then was."""

    bytes: int
    sha256: str


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


class _Told(msgspec.Struct):
    """The types of what an event may say; each says some of it."""

    event: str
    shard: int = 0
    at: float = 0.0
    file_id: str = ""
    created_at: float | None = None
    reason: str | None = None
    file_lost: bool = False
    batch: dict[str, Any] = {}
    output: Fetched | None = None
    errors: Fetched | None = None
    gone: list[str] = []
    incomplete: bool = False


def fold(events: Iterable[Mapping[str, Any]], shards: int) -> JobState:
    """Replay the journal.

    Raises
    ------
    ValueError, LookupError
        If an event is none that could have been appended.

    Examples
    --------
    >>> fold([{"event": "INTENT"}, {"event": "UPLOADED", "shard": 0, "file_id": "file-1"}], 1)
    JobState(intended=True, shards=(ShardState(step='uploaded', ...
    """
    states = [ShardState() for _ in range(shards)]
    intended = False
    understood = True
    for event in events:
        name = msgspec.convert({"event": event.get("event")}, _Told).event
        if name not in KNOWN_EVENTS:
            understood = False
        elif name == "INTENT":
            intended = True
        elif name in _OF_A_PILOT:
            continue  # it has no batch until all is answered
        else:
            shard = event["shard"]
            if not 0 <= msgspec.convert(event, _Told).shard < shards:
                raise IndexError(_NO_SHARD)
            states[shard] = after(states[shard], event)
    return JobState(intended, tuple(states), understood)


def after(state: ShardState, event: Mapping[str, Any]) -> ShardState:
    """Return how far a shard has come after one more event."""
    match event["event"]:
        case "UPLOADED":
            upload = Upload(event["file_id"], event.get("created_at"))
            return replace(state, step="uploaded", uploads=(*state.uploads, upload))
        case "CREATING":
            attempts, at = state.attempts + 1, event.get("at", 0.0)
            return replace(state, step="creating", attempts=attempts, creating_at=at, reason=None)
        case "AMBIGUOUS":
            return replace(state, reason=event.get("reason"))
        case "UNSENT" | "REJECTED":
            step: Step = "new" if event.get("file_lost") else "uploaded"
            return replace(state, step=step, reason=event.get("reason"))
        case "QUEUED":
            return _queued(state, event)
        case "FENCING":
            return replace(state, fenced=len(state.uploads))
        case "SHORT":
            return _with_files(replace(state, short=state.short + 1), event)
        case "DROPPED" | "FENCED" as name:
            return replace(state, **_MARKS[name])
        case "FETCHED":
            gone, incomplete = tuple(event.get("gone", ())), event.get("incomplete", False)
            return _with_files(
                replace(state, fetched=True, gone=gone, incomplete=incomplete), event
            )
        case _:
            batch = Batch.from_json(event["batch"])
            return replace(
                state, step="created", batch=batch, reason=None, queued=False, retry_at=0.0
            )


_MARKS: Final[Mapping[str, Mapping[str, Any]]] = {
    "DROPPED": {"step": "dropped", "fetched": True, "queued": False, "retry_at": 0.0},
    "FENCED": {"step": "new", "reason": None},
}
"""What an event without facts of its own changes."""


def _queued(state: ShardState, event: Mapping[str, Any]) -> ShardState:
    dead = (*state.dead, state.batch.id) if state.batch is not None else state.dead
    retry_at = event.get("retry_at", 0.0)
    return replace(
        state,
        step="uploaded" if state.uploads else "new",
        batch=None,
        reason=event.get("reason"),
        queued=True,
        retry_at=retry_at,
        refusals=state.refusals + (retry_at > 0),
        dead=dead,
    )


def _with_files(state: ShardState, event: Mapping[str, Any]) -> ShardState:
    return replace(
        state, output=_fetched(event.get("output")), errors=_fetched(event.get("errors"))
    )


def _fetched(told: Mapping[str, Any] | None) -> Fetched | None:
    return None if told is None else Fetched(told["bytes"], told["sha256"])


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
    told = [shard.batch.status for shard in state.shards if shard.batch is not None]
    words = ["in_progress" if word in _OURS else word for word in told]
    words += ["queued" for shard in state.shards if shard.queued]
    words += ["cancelled" for shard in state.shards if shard.step == "dropped"]
    if len(words) < len(state.shards):
        return "submitting" if state.intended else "preparing"
    unseen = [word for word in words if word not in {*_ACTIVE, *_ENDED}]
    order = (*unseen, *_ACTIVE, *_ENDED)
    return min(words, key=order.index, default="completed")
