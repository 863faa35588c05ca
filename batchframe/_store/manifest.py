"""The manifest of a job, and its record: manifest and journal together.

:class:`Manifest` is the schema of ``manifest.json``: the fields are its keys, and their types and
bounds validate a file that may have been edited.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec

from batchframe._base.errors import JobError, UnreadableJobWarning, warn_user
from batchframe._base.ranges import Range
from batchframe._models.price import Tier
from batchframe._output import parse_answers
from batchframe._recipe.arguments import checked_prompt
from batchframe._recipe.recipe import Recipe
from batchframe._requests.input_files import InputFile
from batchframe._services.protocol import Identity
from batchframe._services.provider import Provider, profile_of
from batchframe._store.events import parse_events
from batchframe._store.folder import STATE_VERSION, JobFolder, job_folders
from batchframe._store.index import Index
from batchframe._store.journal import JobState, Replay
from batchframe._version import __version__

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_Tokens = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, lt=2**33)]
LARGEST_COST: Final = Decimal(10**15)
_MIN_EXPONENT: Final = -40


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of ``manifest.json``.

    Attributes
    ----------
    inputs
        The input files as prepared; the journal may divide them again.
    created_at
        Time of preparation, in seconds on this machine's clock.
    reused
        Number of requests that earlier jobs answered; they come last.
    reuse
        Whether answers of other jobs may be reused.
    cost
        Estimated cost in USD; None if the price was unknown.
    prices
        The user's own prices, as strings.
    max_enqueued_tokens
        Maximum input tokens in the service's queue: the user's, or the one that the service stated
        to an earlier job; None if neither did.
    tier
        Price tier: "batch", or "standard" for a pilot, whose requests are sent in real time.
    recovered
        Whether the job was recovered from the server, which stores neither frame nor template;
        the rows are then the requests, in order.
    input_cost
        Estimated cost of the input, in USD; None if the price was unknown.
    file_highs
        Upper bound of the cost of each input file, in USD; empty if unknown, or for one file.
    source
        File or folder of the rows; None if they were in memory.
    metadata
        The user's own metadata of the batches.
    output_expires_after
        Seconds after which the service deletes the result files; None for its default.
    aliases
        Earlier names under which the same requests were submitted.
    state_version
        Format of the folder; 2 once an input file was divided, which earlier versions cannot read.
    provider
        Provider profile as of the preparation; later runs on the job use the same.
    """

    id: str
    name: str | None
    created_at: _Seconds
    fingerprint: str
    identity: Identity
    rerun: str | None
    recipe: Recipe
    rows: _Count
    requests: _Count
    reused: _Count
    reuse: bool
    inputs: tuple[InputFile, ...]
    input_tokens: Range[_Tokens]
    output_tokens: Range[_Tokens]
    cost: Range[Decimal] | None
    prices: Mapping[str, Any] | None
    provider: Provider
    recovered: bool
    tier: Tier
    max_enqueued_tokens: _Tokens | None
    input_cost: Range[Decimal] | None = None
    source: str | None = None
    file_highs: tuple[Decimal, ...] = ()
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)
    output_expires_after: _Tokens | None = None
    aliases: tuple[str, ...] = ()
    state_version: int = STATE_VERSION

    @property
    def display_name(self) -> str:
        """Name that finds the job, or its id if it has none that does."""
        return self.id if self.name is None or self.shadowed else self.name

    @property
    def shadowed(self) -> bool:
        """Whether its name finds another job."""
        found = None if self.name is None else _newest_of(self.name)
        return found is not None and found != self.id


@dataclass(frozen=True)
class Record:
    """Snapshot of a job: its folder, manifest and state."""

    folder: JobFolder
    manifest: Manifest
    state: JobState

    @property
    def done(self) -> bool:
        """Whether every batch has ended and its answers are downloaded."""
        return all(state.fetched for state in self.state.inputs)

    @property
    def begun(self) -> bool:
        """Whether a batch may have been created; the input files are then final."""
        return bool(self.state.divided) or any(
            state.step not in {"new", "uploaded"} or state.fenced or state.queued
            for state in self.state.inputs
        )

    @property
    def reference(self) -> str:
        """What ``bf.job()`` takes to find this job: name, id or path."""
        is_listed = _newest_of(self.manifest.id) == self.manifest.id
        return self.manifest.display_name if is_listed else str(self.folder.path)

    @property
    def changed_at(self) -> float:
        """Time of the last event, in seconds on this machine's clock."""
        with suppress(OSError):
            return self.folder.journal.lstat().st_mtime
        return self.manifest.created_at

    @property
    def sent(self) -> bool:
        """Whether every input file has a batch, is queued, or is dropped."""
        return all(
            state.step in {"created", "dropped"} or state.queued for state in self.state.inputs
        )


def read_manifest(folder: JobFolder) -> Manifest:
    """Read and validate a manifest.

    Raises
    ------
    JobError
        If the manifest is missing, damaged, or written by a newer version.
    """
    stored = folder.read_manifest()
    try:
        manifest = msgspec.convert(_with_defaults(stored), Manifest)
        _check(manifest)
    except _DAMAGE as reason:
        raise JobError.damaged(str(folder.manifest), _reason(reason)) from None
    return manifest


_DAMAGE: Final = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError,
)  # fmt: skip
"""Exceptions that an invalid manifest can raise."""


def _with_defaults(stored: dict[str, Any]) -> dict[str, Any]:
    """Add fields that manifests of earlier versions lack."""
    if "provider" not in stored:
        profile = profile_of(str(stored["identity"]["base_url"]))
        stored["provider"] = msgspec.to_builtins(profile)
    if isinstance(stored.get("input_cost"), str):
        # Earlier versions stored only the expected cost.
        stored["input_cost"] = dict.fromkeys(("low", "expected", "high"), stored["input_cost"])
    return stored


def _check(manifest: Manifest) -> None:
    """Check constraints that the types do not express."""
    urlsplit(manifest.identity.base_url)
    if manifest.recipe.prompt is not None:
        checked_prompt(manifest.recipe.prompt)
    manifest.recipe.output.check_fields()
    # An invalid schema is reported now, and not after the answers are downloaded.
    parse_answers(manifest.recipe.output, [])
    ends = [0, *(file.stop for file in manifest.inputs)]
    starts = [*(file.start for file in manifest.inputs), manifest.requests - manifest.reused]
    if starts != ends or ends != sorted(ends):
        raise ValueError("its input files do not cover its requests in order")
    costs = [cost for cost in (manifest.cost, manifest.input_cost) if cost is not None]
    amounts = [amount for cost in costs for amount in (cost.low, cost.expected, cost.high)]
    if not all(amount is None or _is_amount(amount) for amount in amounts):
        raise ValueError("its estimate is not a valid amount")


def _is_amount(amount: Decimal) -> bool:
    # Sums of amounts are exact, which limits their digits.
    return 0 <= amount <= LARGEST_COST and int(amount.as_tuple().exponent) > _MIN_EXPONENT


def write_manifest(folder: JobFolder, manifest: Manifest) -> None:
    """Replace the manifest atomically."""
    folder.write_manifest({**msgspec.to_builtins(manifest), "batchframe": __version__})


def read_record(folder: JobFolder) -> Record:
    """Read a job's manifest and replay its journal.

    Raises
    ------
    JobError
        If one of them is damaged.
    """
    manifest = read_manifest(folder)
    return Record(folder, manifest, read_state(folder, manifest))


def read_state(folder: JobFolder, manifest: Manifest) -> JobState:
    """Replay a job's journal.

    Raises
    ------
    JobError
        If the journal is damaged.
    """
    return JournalReader(folder, manifest).state()


class JournalReader:
    """State of a job, updated from new events of its journal."""

    def __init__(self, folder: JobFolder, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest
        self._inode, self._end = -1, 0

    def state(self) -> JobState:
        """Return the state of the job as of the last event.

        Raises
        ------
        JobError
            If the journal is damaged.
        """
        inode, size = self._folder.journal_version()
        if inode != self._inode or size < self._end:
            manifest = self._manifest
            self._replay = Replay(manifest.inputs, manifest.max_enqueued_tokens)
            self._inode, self._end = inode, 0
            self._read()
        elif size > self._end:
            self._read()
        return self._state

    def _read(self) -> None:
        lines = self._folder.read_journal(self._end)
        events = parse_events(self._folder, lines)
        try:
            self._state = self._replay.add(events)
        except (ValueError, LookupError) as reason:
            self._inode = -1
            raise JobError.damaged(str(self._folder.journal), _reason(reason)) from None
        self._end += sum(len(line) + 1 for line in lines)


def _reason(reason: Exception) -> str:
    # The message of a KeyError is only the key.
    return f"{reason} is missing" if isinstance(reason, KeyError) else str(reason)


_RECORDS: Final = Index[Record]("manifest.json", "journal.jsonl")


class _Names(msgspec.Struct):
    """The fields by which a job is looked up."""

    id: str
    name: str | None
    created_at: float
    aliases: tuple[str, ...] = ()


_NAMES: Final = Index[_Names]("manifest.json")


def _named(name: str) -> list[tuple[_Names, JobFolder]]:
    """List the jobs of an id or name, by the newest; by alias last."""
    matches = []
    for folder in job_folders():
        with suppress(JobError, msgspec.DecodeError):
            names = _NAMES.get(folder.path, partial(folder.decode_manifest, _Names))
            if name in (names.id, names.name, *names.aliases):
                matches.append((names, folder))
    matches.sort(key=lambda match: match[0].created_at, reverse=True)
    return sorted(matches, key=lambda match: name in match[0].aliases)


def _newest_of(name: str) -> str | None:
    with warnings.catch_warnings(), suppress(JobError):
        warnings.simplefilter("ignore", UnreadableJobWarning)
        return next((names.id for names, _ in _named(name)), None)
    return None


def find_record(name: str) -> Record | None:
    """Find the newest readable job of an id or name; None without one."""
    for _, folder in _named(name):
        with suppress(JobError):
            return _RECORDS.get(folder.path, partial(read_record, folder))
    return None


def records() -> Iterator[Record]:
    """Yield all jobs on this machine, newest first; warn of unreadable ones."""
    readable, folders = [], job_folders()
    _RECORDS.retain([folder.path for folder in folders])
    for folder in folders:
        try:
            readable.append(_RECORDS.get(folder.path, partial(read_record, folder)))
        except JobError as reason:
            warn_user(UnreadableJobWarning.skipped(reason))
    yield from sorted(readable, key=lambda record: record.manifest.created_at, reverse=True)


def quiet_records() -> list[Record]:
    """List the readable jobs, without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreadableJobWarning)
        return list(records())
