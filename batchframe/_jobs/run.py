"""Context of one run of the at-most-once protocol."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

from batchframe._base.clock import SYSTEM, Clock
from batchframe._services.protocol import Service, Transfers
from batchframe._services.provider import Provider
from batchframe._services.transfers import Prefetcher
from batchframe._store.folder import JobFolder
from batchframe._store.journal import JobState
from batchframe._store.manifest import Manifest, Record, read_state
from batchframe._store.queue import Queue, due, pause

OnUncertain = Literal["ask", "recreate"]


@dataclass(frozen=True)
class SubmissionContext:
    """Job, service and options of one run of the protocol.

    Attributes
    ----------
    recreate
        Whether the user explicitly allows creating a batch again that cannot be found.
    consents
        Input files whose uncertain batch may be created again, once each.
    elsewhere
        Batches of this job that belong to another folder on this machine.
    queued_elsewhere
        Input tokens that other jobs have in the service's queue for the same model.
    prefetcher
        Transfers that run in the background already.
    """

    folder: JobFolder
    manifest: Manifest
    service: Service
    recreate: bool = False
    consents: set[int] = field(default_factory=set)
    elsewhere: frozenset[str] = frozenset()
    queued_elsewhere: int = 0
    clock: Clock = SYSTEM
    prefetcher: Prefetcher | None = None

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
        return len(self.manifest.inputs)

    def state(self) -> JobState:
        """Replay the journal."""
        return read_state(self.folder, self.input_count)

    def record(self) -> Record:
        """Return the current record of the job."""
        return Record(self.folder, self.manifest, self.state())

    def due(self) -> list[int]:
        """List the input files whose batch may be created now, in order."""
        limit = self.manifest.max_enqueued_tokens or self.profile.max_enqueued_tokens
        queue = Queue(limit, self.queued_elsewhere, self.profile.max_creates)
        return due(self.manifest.inputs, self.state().inputs, queue, self.clock.now())

    def describe(self, index: int) -> str:
        """Format the job and the number of an input file, for messages."""
        return f"Job {self.manifest.display_name!r}, input file {index + 1} of {self.input_count}"

    def record_event(self, event: str, index: int, **facts: Any) -> None:
        """Append an event to the journal, durably."""
        self.folder.append({"event": event, "shard": index, "at": self.clock.now(), **facts})

    def fingerprint(self, index: int) -> str:
        """Return the fingerprint of an input file within its job."""
        return input_file_fingerprint(self.manifest.id, self.manifest.inputs[index].sha256)


def input_file_fingerprint(job_id: str, sha256: str) -> str:
    """Hash an input file and its job id, as stored in the batch metadata."""
    return hashlib.sha256(f"{job_id} {sha256}".encode()).hexdigest()


def queue_again(run: SubmissionContext, index: int, reason: str | None) -> None:
    """Queue an input file again after a full-queue rejection, with a pause."""
    refusals = run.state().inputs[index].refusals
    retry_at = run.clock.now() + pause(run.profile.queue_pause, refusals)
    run.record_event("QUEUED", index, reason=reason, retry_at=retry_at)
