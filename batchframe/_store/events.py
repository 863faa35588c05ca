"""Typed events of a job's journal.

Writers append plain dicts; readers decode and validate them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from batchframe._base.errors import JobError
from batchframe._requests.input_files import InputFile
from batchframe._store.folder import JobFolder

_Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
# An unset clock may be before 1970; dates beyond these bounds cannot be formatted.
_Date = Annotated[float, msgspec.Meta(ge=-1e10, le=1e11)]
_Amount = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,20}(\.[0-9]{1,60})?\Z")]
_Limit = Annotated[int, msgspec.Meta(ge=1, le=2**62)]


@dataclass(frozen=True)
class Fetched:
    """Size and hash of a result file at its download."""

    bytes: _Bytes
    sha256: str


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """Base class of events; `at` is in seconds on this machine's clock."""

    shard: int = 0
    at: _Date = 0.0


class Intent(_Event, frozen=True, tag="INTENT"):
    """The job is about to be sent; `max_tokens` is the user's queue limit."""

    max_tokens: _Limit | None = None


class _FileEvent(_Event, frozen=True):
    """Base class of events of one input file."""

    shard: int


class Uploaded(_FileEvent, frozen=True, tag="UPLOADED"):
    """The input file was uploaded; `created_at` is on the server's clock."""

    file_id: str
    created_at: _Date | None = None


class Creating(_FileEvent, frozen=True, tag="CREATING"):
    """A batch is about to be created."""


class Created(_FileEvent, frozen=True, tag="CREATED"):
    """A batch exists."""

    batch: dict[str, Any]


class Status(Created, frozen=True, tag="STATUS"):
    """The service described the batch again."""


class Unsent(_FileEvent, frozen=True, tag="UNSENT"):
    """A create did not reach the service."""

    reason: str | None = None
    file_lost: bool = False


class Rejected(Unsent, frozen=True, tag="REJECTED"):
    """The service rejected a create."""


class Ambiguous(_FileEvent, frozen=True, tag="AMBIGUOUS"):
    """The outcome of a create is unknown; `refused` after a foreign error."""

    reason: str | None = None
    refused: bool = False


class Queued(_FileEvent, frozen=True, tag="QUEUED"):
    """The input file waits because the service's queue is full.

    `max_tokens` and `max_requests` are the limits of the queue, as the service stated them.
    """

    reason: str | None = None
    retry_at: _Date = 0.0
    max_tokens: _Limit | None = None
    max_requests: _Limit | None = None


class Divided(_FileEvent, frozen=True, tag="DIVIDED"):
    """Smaller input files, with the next numbers, replace one that never ran."""

    files: tuple[InputFile, ...]
    retry_at: _Date = 0.0


class Fencing(_FileEvent, frozen=True, tag="FENCING"):
    """Uploads are about to be deleted, so that no late create can use them."""


class Fenced(_FileEvent, frozen=True, tag="FENCED"):
    """The uploads are deleted."""


class Dropped(_FileEvent, frozen=True, tag="DROPPED"):
    """The job was canceled before the input file was sent."""


class Abandoned(_FileEvent, frozen=True, tag="ABANDONED"):
    """The user closed the job without waiting for the batch any longer."""


class Short(_FileEvent, frozen=True, tag="SHORT"):
    """An ended batch had fewer lines than requests."""

    output: Fetched | None = None
    errors: Fetched | None = None


class AllFetched(Short, frozen=True, tag="FETCHED"):
    """All available result files are downloaded."""

    gone: tuple[str, ...] = ()
    incomplete: bool = False


class Paused(_Event, frozen=True, tag="PAUSED"):
    """An input file cost more than its upper bound; amounts are USD."""

    file: int
    cost: _Amount
    high: _Amount


class Resumed(_Event, frozen=True, tag="RESUMED"):
    """The user consented to the rest of a paused job."""


class Asking(_Event, frozen=True, tag="ASKING"):
    """One request of a pilot is about to be sent."""

    custom_id: str


class _Response(msgspec.Struct):
    status_code: int | None = None


class _ResultLine(msgspec.Struct):
    custom_id: str
    response: _Response | None = None


class Answered(_Event, frozen=True, tag="ANSWERED"):
    """One request of a pilot was answered; `line` is its result line."""

    line: dict[str, Any]

    def __post_init__(self) -> None:
        msgspec.convert(self.line, _ResultLine)


class Unknown(_Event, frozen=True, tag="?"):
    """An event of a newer version."""


Event = (
    Intent | Uploaded | Creating | Created | Status | Unsent | Rejected | Ambiguous | Queued
    | Divided | Fencing | Fenced | Dropped | Abandoned | Short | AllFetched | Paused | Resumed
    | Asking | Answered
)  # fmt: skip


class _Name(msgspec.Struct):
    event: str


_EVENT: Final = msgspec.json.Decoder(Event)
_NAMES: Final = frozenset(kind.__struct_config__.tag for kind in Event.__args__)


def parse_event(line: bytes) -> Event | Unknown:
    """Parse one line of a journal.

    Raises
    ------
    msgspec.DecodeError
        If the line is damaged.

    Examples
    --------
    >>> parse_event(b'{"event": "UPLOADED", "shard": 0, "file_id": "file-1"}').file_id
    'file-1'
    >>> isinstance(parse_event(b'{"event": "TELEPORTED"}'), Unknown)
    True
    """
    name = msgspec.json.decode(line, type=_Name).event
    return _EVENT.decode(line) if name in _NAMES else Unknown()


def read_events(folder: JobFolder) -> list[Event | Unknown]:
    """Read a job's journal.

    Raises
    ------
    JobError
        If the journal is damaged.
    """
    return parse_events(folder, folder.read_journal())


def parse_events(folder: JobFolder, lines: Iterable[bytes]) -> list[Event | Unknown]:
    """Parse lines of a job's journal.

    Raises
    ------
    JobError
        If the journal is damaged.
    """
    try:
        return list(map(parse_event, lines))
    except (msgspec.DecodeError, RecursionError) as reason:
        raise JobError.damaged(str(folder.journal), str(reason)) from None
