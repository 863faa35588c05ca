"""What a job is, and how far it has come: its manifest and its journal, read together.

In: a job folder. Out: frozen values. Must not know: the network, answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec

from batchframe._base.errors import JobError, UnreadableJobWarning, warn_user
from batchframe._base.ranges import Range
from batchframe._models.price import Tier
from batchframe._output import parse_answers
from batchframe._recipe.recipe import Recipe
from batchframe._requests.input_files import InputFile
from batchframe._services.protocol import Identity
from batchframe._services.provider_table import Provider, profile_of
from batchframe._store.folder import JobFolder, job_folders
from batchframe._store.journal import JobState, fold
from batchframe._version import __version__


@dataclass(frozen=True)
class Manifest:
    """What a job is.

    Attributes
    ----------
    created_at
        When it was prepared, in seconds on this machine's clock.
    reused
        How many of the requests, the last ones, earlier jobs had answered already.
    reuse
        Whether answers of other jobs were to be taken over.
    cost
        The estimate in USD, to set the actual cost against; None where no price was known.
    prices
        The user's own prices, as text.
    max_enqueued_tokens
        How many input tokens may be in the service's queue; None where nobody says.
    tier
        Of the prices: "batch", or "standard" for a pilot, whose requests were asked in real time.
    recovered
        Whether it was rebuilt from the server, which knows neither frame nor template; then the
        rows are the requests, in order.
    input_cost
        The part of the estimate that the input makes, in USD; None where no price was known.
    source
        The file or folder that the rows were read from; None where they were in memory.
    provider
        The limits and habits of the service, as they were when the job was prepared: whoever goes
        on with it follows the same.
    """

    id: str
    name: str | None
    created_at: float
    fingerprint: str
    identity: Identity
    rerun: str | None
    recipe: Recipe
    rows: int
    requests: int
    reused: int
    reuse: bool
    inputs: tuple[InputFile, ...]
    input_tokens: Range[int]
    output_tokens: Range[int]
    cost: Range[Decimal] | None
    prices: Mapping[str, Any] | None
    provider: Provider
    recovered: bool = False
    tier: Tier = "batch"
    max_enqueued_tokens: int | None = None
    input_cost: Range[Decimal] | None = None
    source: str | None = None

    @property
    def called(self) -> str:
        """What to find the job by."""
        return self.name or self.id

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as plain JSON."""
        # msgspec writes and reads the parts by their types; the recipe has words of its own.
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**told, "recipe": self.recipe.to_json(), "batchframe": __version__}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Manifest:
        """Read what :meth:`to_json` wrote; raise ``ValueError`` or ``LookupError`` if it is not."""
        # Jobs of earlier versions state none of these.
        known = profile_of(str(stored["identity"]["base_url"]))
        added = {"input_cost": None, "source": None, "provider": msgspec.to_builtins(known)}
        stored = {**added, **stored}
        if isinstance(stored["input_cost"], str):
            # Of an earlier version, which stated what was expected alone.
            stored["input_cost"] = dict.fromkeys(_ENDS, stored["input_cost"])
        told = {name: stored[name] for name in cls.__dataclass_fields__}
        for name, kind in _KINDS.items():
            told[name] = msgspec.convert(told[name], kind)
        msgspec.convert(told["recipe"], _StoredRecipe)
        told["recipe"] = Recipe.from_json(told["recipe"])
        # A schema that cannot be read is found now, and not when the answers are at home.
        parse_answers(told["recipe"].output, [])
        _check_inputs(told["inputs"], told["requests"] - told["reused"])
        return cls(**told)


_ENDS: Final = ("low", "expected", "high")
_NOT_IN_ORDER: Final = "its input files do not hold its requests, one after the other"


def _check_inputs(inputs: Sequence[InputFile], sent: int) -> None:
    ends = [0, *(file.stop for file in inputs)]
    starts = [*(file.start for file in inputs), sent]
    if starts != ends or ends != sorted(ends):
        raise ValueError(_NOT_IN_ORDER)


class _StoredMessage(msgspec.Struct):
    role: str
    content: str | list[dict[str, Any]]


class _StoredField(msgspec.Struct):
    name: str
    path: list[str]
    kind: str
    levels: list[str | int] | None


class _StoredOutput(msgspec.Struct):
    schema: dict[str, Any] | None
    schema_name: str
    fields: list[_StoredField]


class _StoredRecipe(msgspec.Struct):
    """The types of a recipe's words."""

    endpoint: str
    model: str
    prompt: str | list[_StoredMessage] | None
    system: str | None
    output: _StoredOutput
    on_missing: str
    dedupe: bool
    body: dict[str, Any]
    columns: list[str]
    images: list[str] | None = None
    image_root: str | None = None
    image_detail: str | None = None
    image_max_size: int | None = None


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, lt=2**33)]
_KINDS: dict[str, Any] = {
    "id": str,
    "name": str | None,
    "created_at": _Seconds,
    "fingerprint": str,
    "identity": Identity,
    "rerun": str | None,
    "rows": _Count,
    "requests": _Count,
    "reused": _Count,
    "reuse": bool,
    "inputs": tuple[InputFile, ...],
    "input_tokens": Range[int],
    "output_tokens": Range[int],
    "cost": Range[Decimal] | None,
    "prices": dict[str, Any] | None,
    "provider": Provider,
    "recovered": bool,
    "input_cost": Range[Decimal] | None,
    "tier": Tier,
    "max_enqueued_tokens": int | None,
}


@dataclass(frozen=True)
class Record:
    """A job as its folder tells it at one moment."""

    folder: JobFolder
    manifest: Manifest
    state: JobState

    @property
    def done(self) -> bool:
        """Whether every batch has ended and its answers are at home."""
        return all(shard.fetched for shard in self.state.shards)

    @property
    def begun(self) -> bool:
        """Whether a batch was created, or may have been; before, a job can be divided anew."""
        return any(
            shard.step not in {"new", "uploaded"} or shard.fenced or shard.queued
            for shard in self.state.shards
        )

    @property
    def sent(self) -> bool:
        """Whether every input file has become a batch, waits to become one, or never will."""
        return all(
            shard.step in {"created", "dropped"} or shard.queued for shard in self.state.shards
        )


def read_manifest(folder: JobFolder) -> Manifest:
    """Read what a job is.

    Raises
    ------
    JobError
        If the manifest is absent, damaged, or written by a newer version.
    """
    try:
        return Manifest.from_json(folder.read_manifest())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as reason:
        raise JobError.damaged(str(folder.manifest), _why(reason)) from None


def write_manifest(folder: JobFolder, manifest: Manifest) -> None:
    """Replace the manifest as a whole."""
    folder.write_manifest(manifest.to_json())


def read_record(folder: JobFolder) -> Record:
    """Read a job's manifest and replay its journal.

    Raises
    ------
    JobError
        If either is damaged.
    """
    manifest = read_manifest(folder)
    return Record(folder, manifest, read_state(folder, len(manifest.inputs)))


def read_state(folder: JobFolder, shards: int) -> JobState:
    """Replay a job's journal.

    Raises
    ------
    JobError
        If it is damaged.
    """
    try:
        return fold(folder.read_journal(), shards)
    except (ValueError, LookupError, RecursionError) as reason:
        raise JobError.damaged(str(folder.journal), _why(reason)) from None


def _why(reason: Exception) -> str:
    # A KeyError says no more than the key.
    return f"it has no {reason}" if isinstance(reason, KeyError) else str(reason)


def records() -> Iterator[Record]:
    """Yield all jobs of this machine, newest first; one that cannot be read is warned of."""
    found = []
    for folder in job_folders():
        try:
            found.append(read_record(folder))
        except JobError as reason:
            warn_user(UnreadableJobWarning.skipped(str(reason)))
    yield from sorted(found, key=lambda record: record.manifest.created_at, reverse=True)
