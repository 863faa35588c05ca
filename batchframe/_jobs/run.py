"""The context of one run of the at-most-once protocol on a job."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from batchframe._base.clock import SYSTEM, Clock
from batchframe._services.protocol import Service, Transfers
from batchframe._services.provider_table import Provider
from batchframe._services.transfers import Prefetcher
from batchframe._store.folder import JobFolder
from batchframe._store.journal import JobState
from batchframe._store.manifest import Manifest, Record, read_state
from batchframe._store.queue import Queue, due, pause

OnUncertain = Literal["ask", "recreate"]


@dataclass(frozen=True)
class SubmissionContext:
    """What one run of the protocol works on, and what it may do.

    Attributes
    ----------
    recreate
        Whether the user asked, in so many words, to create again what cannot be found.
    elsewhere
        Batches of this job that another folder here holds.
    queued_elsewhere
        Input tokens that other jobs have in the service's queue for the same model.
    prefetcher
        Transfers of the service that are under way already.
    """

    folder: JobFolder
    manifest: Manifest
    service: Service
    on_uncertain: OnUncertain = "ask"
    recreate: bool = False
    elsewhere: frozenset[str] = frozenset()
    queued_elsewhere: int = 0
    clock: Clock = SYSTEM
    prefetcher: Prefetcher | None = None

    @property
    def transfers(self) -> Transfers:
        """Where uploads, polls and downloads go."""
        return self.prefetcher or self.service

    @property
    def profile(self) -> Provider:
        """The service's limits and habits, as they were when the job was prepared."""
        return self.manifest.provider

    @property
    def shards(self) -> int:
        """How many input files the job has."""
        return len(self.manifest.inputs)

    @property
    def queue(self) -> Queue:
        """What the service lets wait at once."""
        limit = self.manifest.max_enqueued_tokens or self.profile.max_enqueued_tokens
        return Queue(limit, self.queued_elsewhere, self.profile.max_creates)

    def state(self) -> JobState:
        """Replay the journal."""
        return read_state(self.folder, self.shards)

    def record(self) -> Record:
        """Return the job as it stands now."""
        return Record(self.folder, self.manifest, self.state())

    def due(self) -> list[int]:
        """List the shards that may be brought to a batch now, in order."""
        return due(self.manifest.inputs, self.state().shards, self.queue, self.clock.now())

    def record_event(self, event: str, shard: int, **facts: Any) -> None:
        """Append to the journal, durably."""
        self.folder.append({"event": event, "shard": shard, "at": self.clock.now(), **facts})

    def fingerprint(self, shard: int) -> str:
        """Name the content of one input file within its job."""
        return shard_fingerprint(self.manifest.id, self.manifest.inputs[shard].sha256)


def shard_fingerprint(job_id: str, sha256: str) -> str:
    """Name the content of one input file within its job, as its batch's metadata has it."""
    return hashlib.sha256(f"{job_id} {sha256}".encode()).hexdigest()


def queue_again(run: SubmissionContext, shard: int, reason: str | None) -> None:
    """Put a shard back that the service had no room for, and leave its queue alone for a time."""
    refusals = run.state().shards[shard].refusals
    retry_at = run.clock.now() + pause(run.profile.queue_pause, refusals)
    run.record_event("QUEUED", shard, reason=reason, retry_at=retry_at)
