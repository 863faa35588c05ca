"""Context of one run of the at-most-once protocol."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from batchframe._base.clock import SYSTEM, Clock
from batchframe._services.advice import stated_limit
from batchframe._services.batch import Batch
from batchframe._services.protocol import Service, Transfers
from batchframe._services.provider import Provider
from batchframe._services.transfers import Prefetcher
from batchframe._store.folder import JobFolder
from batchframe._store.journal import JobState
from batchframe._store.manifest import JournalReader, Manifest, Record
from batchframe._store.queue import Load, Queue, due, limits_of, pause

OnUncertain = Literal["ask", "recreate"]
_KEEP_LISTING: Final = {"INTENT", "UPLOADED", "CREATING", "CREATED"}
"""Events after which the list of batches is not read again."""


class Listing:
    """Batches of the service, newest first, by fingerprint and input file.

    Attributes
    ----------
    has_fingerprints
        Whether the service returns the metadata that was sent with a batch.
    other
        Ids of batches of this job with other input files: its rows in another order.
    read_at
        Time of the request, in seconds of the monotonic clock.
    """

    def __init__(self, batches: Sequence[Batch], other: Sequence[str], read_at: float) -> None:
        self.other, self.read_at = other, read_at
        self._batches = batches
        self.has_fingerprints = any("bf_fp" in batch.metadata for batch in batches)
        self._places: dict[str | None, list[int]] = defaultdict(list)
        for place, batch in enumerate(batches):
            for key in {batch.metadata.get("bf_fp"), batch.input_file_id}:
                self._places[key].append(place)

    def select(self, keys: Iterable[str]) -> list[Batch]:
        """Select batches by fingerprint or input file, newest first."""
        places = {place for key in keys for place in self._places.get(key, ())}
        return [self._batches[place] for place in sorted(places)]


@dataclass
class Memory:
    """State of a run: the journal and the list of batches."""

    journal: JournalReader | None = None
    listing: Listing | None = None


@dataclass(frozen=True)
class SubmissionContext:
    """Job, service and options of one run of the protocol.

    Attributes
    ----------
    recreate
        Whether the user explicitly allows creating a batch again that cannot be found.
    consents
        Numbers of input files whose uncertain batch may be created again, once each.
    elsewhere
        Batches of this job that belong to another folder on this machine.
    queued_elsewhere
        What other jobs have in the service's queue for the same model.
    prefetcher
        Transfers that run in the background already.
    memory
        What this run has read, so that nothing is read once per input file.
    """

    folder: JobFolder
    manifest: Manifest
    service: Service
    recreate: bool = False
    consents: set[int] = field(default_factory=set)
    elsewhere: frozenset[str] = frozenset()
    queued_elsewhere: Load = field(default_factory=Load)
    clock: Clock = SYSTEM
    prefetcher: Prefetcher | None = None
    memory: Memory = field(default_factory=Memory)

    @property
    def transfers(self) -> Transfers:
        """Target of uploads, polls and downloads."""
        return self.prefetcher or self.service

    @property
    def profile(self) -> Provider:
        """Provider profile as of the preparation of the job."""
        return self.manifest.provider

    @property
    def input_count(self) -> int:
        """Number of input files of the job."""
        return len(self.state().files)

    def state(self) -> JobState:
        """Return the state of the job, and read only new events of the journal."""
        if self.memory.journal is None:
            self.memory.journal = JournalReader(self.folder, self.manifest)
        return self.memory.journal.state()

    def record(self) -> Record:
        """Return the current record of the job."""
        return Record(self.folder, self.manifest, self.state())

    def due(self) -> list[int]:
        """List the input files whose batch may be created now, in order."""
        state = self.state()
        if state.paused is not None:
            return []
        limits = limits_of(state, self.profile, self.manifest.recipe.endpoint)
        queue = Queue(limits, self.queued_elsewhere, self.profile.max_creates)
        return due(state.files, state.inputs, queue, self.clock.now())

    def describe(self, index: int) -> str:
        """Format the job and the number of an input file, for messages."""
        return f"Job {self.manifest.display_name!r}, input file {index + 1} of {self.input_count}"

    def record_event(self, event: str, index: int, **facts: Any) -> None:
        """Append an event of an input file to the journal, durably."""
        self.append(event, {"shard": self.state().inputs[index].number}, **facts)

    def append(self, event: str, subject: Mapping[str, Any] | None = None, **facts: Any) -> None:
        """Append an event to the journal, durably."""
        if event not in _KEEP_LISTING:
            self.memory.listing = None
        self.folder.append({"event": event, **(subject or {}), "at": self.clock.now(), **facts})

    def upload_name(self, index: int) -> str:
        """Return the name under which an input file is uploaded."""
        number = self.state().inputs[index].number
        return f"batchframe-{self.fingerprint(index)[:16]}-s{number:03d}.jsonl"

    def fingerprint(self, index: int) -> str:
        """Return the fingerprint of an input file within its job."""
        return input_file_fingerprint(self.manifest.id, self.state().files[index].sha256)


def input_file_fingerprint(job_id: str, sha256: str) -> str:
    """Hash an input file and its job id, as stored in the batch metadata."""
    return hashlib.sha256(f"{job_id} {sha256}".encode()).hexdigest()


def queue_again(run: SubmissionContext, index: int, reason: str | None) -> None:
    """Queue an input file again after a full-queue rejection, with a pause."""
    refusals = run.state().inputs[index].refusals
    retry_at = run.clock.now() + pause(run.profile.queue_pause, refusals)
    limit = stated_limit(reason)
    facts = {} if limit is None else {f"max_{limit.unit}": limit.number}
    run.record_event("QUEUED", index, reason=reason, retry_at=retry_at, **facts)
