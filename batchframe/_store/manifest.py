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
from operator import itemgetter
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
from batchframe._store.events import read_events
from batchframe._store.folder import JobFolder, job_folders
from batchframe._store.index import Index
from batchframe._store.journal import JobState, replay
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
        Maximum input tokens in the service's queue; None if not set.
    tier
        Price tier: "batch", or "standard" for a pilot, whose requests are sent in real time.
    recovered
        Whether the job was recovered from the server, which stores neither frame nor template;
        the rows are then the requests, in order.
    input_cost
        Estimated cost of the input, in USD; None if the price was unknown.
    source
        File or folder of the rows; None if they were in memory.
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

    @property
    def display_name(self) -> str:
        """Name of the job, or its id without a name."""
        return self.name or self.id


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
        return any(
            state.step not in {"new", "uploaded"} or state.fenced or state.queued
            for state in self.state.inputs
        )

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
    return Record(folder, manifest, read_state(folder, len(manifest.inputs)))


def read_state(folder: JobFolder, input_count: int) -> JobState:
    """Replay a job's journal.

    Raises
    ------
    JobError
        If the journal is damaged.
    """
    events = read_events(folder)
    try:
        return replay(events, input_count)
    except (ValueError, LookupError) as reason:
        raise JobError.damaged(str(folder.journal), _reason(reason)) from None


def _reason(reason: Exception) -> str:
    # The message of a KeyError is only the key.
    return f"{reason} is missing" if isinstance(reason, KeyError) else str(reason)


_RECORDS: Final = Index[Record]("manifest.json", "journal.jsonl")


class _Names(msgspec.Struct):
    """What a job is looked up by, without the rest of its manifest."""

    id: str
    name: str | None
    created_at: float


_NAMES: Final = Index[_Names]("manifest.json")


def find_record(name: str) -> Record | None:
    """Find the newest readable job of an id or name; None without one."""
    matches = []
    for folder in job_folders():
        with suppress(JobError, msgspec.DecodeError):
            names = _NAMES.get(folder.path, partial(folder.decode_manifest, _Names))
            if name in (names.id, names.name):
                matches.append((names.created_at, folder))
    for _, folder in sorted(matches, key=itemgetter(0), reverse=True):
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
    """List all jobs without warnings, for a caller that needs only readable ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreadableJobWarning)
        return list(records())
