"""Deletion of a job: its folder and, optionally, its files on the server."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from batchframe._base.clock import SYSTEM
from batchframe._base.errors import JobError, ServiceError
from batchframe._base.safe_text import NextStep, in_shell, job_step
from batchframe._display import Card, CardRepr, plural
from batchframe._jobs.pilot import finish
from batchframe._services.accounts import Account
from batchframe._services.protocol import REALTIME, Service
from batchframe._store.manifest import Record, records
from batchframe._store.queue import is_in_queue


@dataclass(frozen=True, repr=False)
class Forgotten(CardRepr):
    """Result of deleting a job.

    Attributes
    ----------
    removed
        The folder and the files on the server that were deleted.
    remaining
        What still exists, and why.
    """

    job: str
    removed: tuple[str, ...]
    remaining: tuple[str, ...]

    def _card(self) -> Card:
        return Card(
            title=f"Job {self.job}: {plural(len(self.removed), 'item')} removed",
            facts=(
                ("removed", "\n".join(self.removed) or "nothing"),
                ("remaining", "\n".join(self.remaining) or "nothing"),
            ),
        )


def refuse_if_under_way(record: Record) -> None:
    """Raise an error for a job that may still be billed.

    Raises
    ------
    JobError
        If a batch has not ended, or may exist without a record here.
    """
    name = record.manifest.display_name
    if any(state.step == "creating" for state in record.state.inputs):
        raise JobError(
            f"Job {name!r} may have a batch on the service that is not recorded here.",
            next_step="Fix: search for it, "
            + job_step(name, "resume")
            + ", or give it up, "
            + job_step(name, "abandon")
            + ".",
        )
    if any(map(is_in_queue, record.state.inputs)):
        raise JobError(
            f"Job {name!r} is still running, and its answers are billed.",
            next_step="Fix: first "
            + job_step(name, "wait")
            + " or "
            + job_step(name, "cancel")
            + "; if it never ends, "
            + job_step(name, "abandon")
            + ".",
        )


def abandon(record: Record) -> None:
    """Close a job without its missing answers; send nothing.

    The caller holds the job's lock.
    """
    for state in record.state.inputs:
        if state.batch is not None and state.batch.id == REALTIME and not state.fetched:
            finish(record.folder, state.batch)
        elif not state.fetched:
            event = "DROPPED" if state.step in {"new", "uploaded"} else "ABANDONED"
            record.folder.append({"event": event, "shard": state.number, "at": SYSTEM.now()})


def forget(record: Record, service: Service | None) -> Forgotten:
    """Delete a job's folder and, with a service, its files on the server.

    The caller holds the job's lock. If a file on the server cannot be deleted, the folder stays,
    so that the call can be repeated.
    """
    name = record.manifest.display_name
    removed: list[str] = []
    failed: list[str] = []
    if service is not None:
        for file_id in _remote_files(record):
            try:
                deleted = service.delete_file(file_id)
                removed.append(f"{file_id} on the server{'' if deleted else ' (already deleted)'}")
            except ServiceError as reason:
                failed.append(
                    f"{file_id} on the server: " + NextStep(str(reason), in_shell(reason))
                )
    if failed:
        retry = job_step(name, "forget", "remote")
        again = f"{record.folder.path}: not deleted. To retry: " + retry
        return Forgotten(name, tuple(removed), (*failed, again))
    remaining = _remaining_places(record, remote=service is not None)
    shutil.rmtree(record.folder.path)
    return Forgotten(name, (str(record.folder.path), *removed), tuple(remaining))


def _remote_files(record: Record) -> list[str]:
    ids: list[str | None] = []
    for state in (*record.state.inputs, *record.state.divided):
        ids += [upload.file_id for upload in state.uploads]
        if batch := state.batch:
            ids += [batch.input_file_id, batch.output_file_id, batch.error_file_id]
    return [file_id for file_id in dict.fromkeys(ids) if file_id]


def _remaining_places(record: Record, *, remote: bool) -> list[str]:
    """List where data of the job remains: the server, other job folders."""
    batches = [batch.id for batch in record.state.batches if batch.id != REALTIME]
    places: list[str] = []
    if batches and not remote:
        places.append(
            "its files on the server: not deleted without "
            + NextStep("forget(remote=True)", "--remote")
            + "; OpenAI deletes them after 30 days"
        )
    if batches:
        places.append(
            f"{', '.join(batches)} on the server: the job's name and counts, without row text; the "
            "API cannot delete it"
        )
    own = record.manifest
    places += [
        f"{other.folder.path}: job {other.manifest.display_name!r} may have reused answers"
        for other in records()
        if other.manifest.reused
        and other.manifest.id != own.id
        and Account(own.identity).may_own(other.manifest.identity)
        and other.manifest.recipe.model == own.recipe.model
    ]
    return places
