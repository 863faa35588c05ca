"""The at-most-once protocol: an input file in a job folder → one batch on the server.

In: a prepared job folder and a service. Out: the journal, with CREATED for every shard.
Must not know: frames, templates, prices, answers.

Creating a batch spends money and cannot be repeated safely, so its intent is on the disk before it
is begun, it is asked exactly once, and whatever is not a clear yes or no is settled by looking for
the batch on the server. docs/reliability.md tells the whole protocol and what it cannot promise.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal

from batchframe._clock import SYSTEM, Clock
from batchframe._folder import JobFolder
from batchframe._journal import JobState, ShardState, fold
from batchframe._providers import Profile
from batchframe._service import Ambiguous, Batch, Created, Rejected, Service, Unsent
from batchframe.errors import (
    JobError,
    ServiceError,
    SeveralBatchesWarning,
    SubmissionError,
    SubmissionUncertain,
)

OnUncertain = Literal["ask", "recreate"]

_CLOCK_SLACK: Final = 60.0
_UNSENT_TRIES: Final = 5
_REFUSED_TRIES: Final = 4
_LONGEST_PAUSE: Final = 120.0
_LOOKBACK: Final = 100


@dataclass(frozen=True)
class Submission:
    """What one run of the protocol works on, and what it may do.

    Attributes
    ----------
    recreate
        Whether the user asked, in so many words, to create again what cannot be found.
    """

    folder: JobFolder
    manifest: Mapping[str, Any]
    service: Service
    profile: Profile
    on_uncertain: OnUncertain = "ask"
    recreate: bool = False
    clock: Clock = SYSTEM

    @property
    def shards(self) -> int:
        """How many input files the job has."""
        return len(self.manifest["shards"])

    def state(self) -> JobState:
        """Replay the journal."""
        return fold(self.folder.read_journal(), self.shards)

    def note(self, event: str, shard: int, **facts: Any) -> None:
        """Append to the journal, durably."""
        self.folder.append({"event": event, "shard": shard, "at": self.clock.now(), **facts})

    def fingerprint(self, shard: int) -> str:
        """Name the content of one input file within its job."""
        content = f"{self.manifest['id']} {self.manifest['shards'][shard]['sha256']}"
        return hashlib.sha256(content.encode()).hexdigest()


def submit(run: Submission) -> None:
    """Bring every shard to a batch. The caller holds the job's lock.

    Raises
    ------
    SubmissionError
        If the service refuses; what was created before goes on.
    SubmissionUncertain
        If nobody can know yet whether a batch was created.
    ServiceError
        If the service cannot be reached for anything but the create.
    """
    state = run.state()
    if not state.understood:
        raise JobError.newer_journal(str(run.folder.path))
    if not state.intended:
        run.folder.append({"event": "INTENT", "at": run.clock.now()})
    for shard in range(run.shards):
        _bring_to_batch(run, shard)


def _bring_to_batch(run: Submission, shard: int) -> None:
    refusals = unsent = 0
    while (state := run.state().shards[shard]).step != "created":
        if state.step == "creating":
            _reconcile(run, shard, state)
        elif state.step == "new":
            _upload(run, shard)
        elif state.attempts == 0 and (batch := _created_elsewhere(run, shard)):
            run.note("CREATED", shard, batch=batch.to_json(), adopted=True)
        else:
            outcome = _create(run, shard, state)
            if isinstance(outcome, Unsent):
                unsent += 1
                _pause_unsent(run, outcome, unsent)
            elif isinstance(outcome, Rejected):
                refusals += 1
                _pause_refused(run, shard, outcome, refusals)


def _upload(run: Submission, shard: int) -> None:
    told = run.manifest["shards"][shard]
    path = run.folder.input(shard)
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != told["sha256"]:
            raise JobError.damaged(str(path), "it is not what was written")
    name = f"batchframe-{run.fingerprint(shard)[:16]}-s{shard:03d}.jsonl"
    stored = run.service.upload(path, name)
    if stored.bytes is not None and stored.bytes != told["bytes"]:
        raise ServiceError.upload_differs(name, told["bytes"], stored.bytes)
    run.note("UPLOADED", shard, file_id=stored.id, created_at=stored.created_at)


def _create(run: Submission, shard: int, state: ShardState) -> object:
    file_id = state.uploads[-1].file_id
    run.note("CREATING", shard, file_id=file_id, attempt=state.attempts + 1)
    # An interrupt from here to the note below leaves CREATING as the last word: the next run looks
    # for the batch before it does anything else.
    outcome = run.service.create_batch(
        file_id, run.manifest["recipe"]["endpoint"], _metadata(run, shard), run.fingerprint(shard)
    )
    match outcome:
        case Created(batch):
            run.note("CREATED", shard, batch=batch.to_json())
        case Unsent(reason):
            run.note("UNSENT", shard, reason=reason)
        case Rejected(status, code, message):
            lost = file_id in message or code == "file_not_found"
            run.note("REJECTED", shard, status=status, code=code, reason=message, file_lost=lost)
        case Ambiguous(reason):
            run.note("AMBIGUOUS", shard, reason=reason)
    return outcome


def _metadata(run: Submission, shard: int) -> dict[str, str]:
    return {
        "bf_fp": run.fingerprint(shard),
        "bf_job": run.manifest["id"],
        "bf_name": (run.manifest["name"] or "")[:512],
        "bf_shard": f"{shard + 1}/{run.shards}",
        "bf_v": "1",
    }


def _pause_unsent(run: Submission, outcome: Unsent, tries: int) -> None:
    if tries >= _UNSENT_TRIES:
        raise ServiceError.unreachable(outcome.reason)
    run.clock.sleep(2.0 ** (tries - 1))


def _pause_refused(run: Submission, shard: int, outcome: Rejected, tries: int) -> None:
    busy = outcome.status == 429 and outcome.code != "insufficient_quota"  # noqa: PLR2004
    # A fresh upload may not be visible everywhere yet.
    unseen = run.state().shards[shard].step == "new"
    pause = outcome.retry_after if outcome.retry_after is not None else 2.0**tries
    if tries >= _REFUSED_TRIES or pause > _LONGEST_PAUSE or not (busy or unseen):
        raise SubmissionError.refused(
            run.manifest["id"], shard + 1, run.shards, outcome.status, outcome.code, outcome.message
        )
    run.clock.sleep(pause)


def _created_elsewhere(run: Submission, shard: int) -> Batch | None:
    """Look among the newest batches for this very input, sent from a folder that is gone."""
    try:
        newest = list(islice(run.service.list_batches(), _LOOKBACK))
    except ServiceError as reason:
        if reason.status in {404, 405, 501}:
            return None
        raise
    return _oldest(run, shard, [batch for batch in newest if _is_ours(run, shard, batch)])


def _is_ours(run: Submission, shard: int, batch: Batch) -> bool:
    if batch.metadata.get("bf_fp") == run.fingerprint(shard):
        return True
    uploads = run.state().shards[shard].uploads
    return batch.input_file_id in {upload.file_id for upload in uploads}


def _oldest(run: Submission, shard: int, found: list[Batch]) -> Batch | None:
    if len(found) > 1:
        ids = [batch.id for batch in found]
        warnings.warn(SeveralBatchesWarning.found(run.manifest["id"], shard, ids), stacklevel=2)
    return min(found, key=lambda batch: batch.created_at or 0.0, default=None)


def _reconcile(run: Submission, shard: int, state: ShardState) -> None:
    """Find out what became of a create whose outcome is not known."""
    found, seen_all = _look_until_settled(run, shard, state)
    if found is not None:
        run.note("CREATED", shard, batch=found.to_json(), adopted=True)
        return
    may_recreate = run.on_uncertain == "recreate" and run.profile.list_is_complete
    if not seen_all or not (run.recreate or may_recreate):
        raise SubmissionUncertain.not_found(
            run.manifest["id"], shard + 1, run.shards, state.reason, list_was_complete=seen_all
        )
    # A create on a deleted file is refused, so no answer that is still under way can bill.
    for upload in state.uploads:
        run.service.delete_file(upload.file_id)
    late = _oldest(run, shard, list(_scan(run, shard, state)))
    if late is not None:
        run.note("CREATED", shard, batch=late.to_json(), adopted=True)
        return
    run.note("FENCED", shard)


def _look_until_settled(
    run: Submission, shard: int, state: ShardState
) -> tuple[Batch | None, bool]:
    """Return the batch, if it shows, and whether the last look saw the whole list."""
    already = max(0.0, run.clock.now() - state.creating_at)
    deadline = run.clock.elapsed() + max(0.0, run.profile.settle - already)
    pause = 1.0
    while True:
        try:
            found = _oldest(run, shard, list(_scan(run, shard, state)))
            seen_all = True
        except ServiceError:
            found, seen_all = None, False
        left = deadline - run.clock.elapsed()
        if found is not None or left <= 0:
            return found, seen_all
        run.clock.sleep(min(pause, left))
        pause *= 2


def _scan(run: Submission, shard: int, state: ShardState) -> Iterator[Batch]:
    # Both dates are the server's: this machine's clock may be wrong by a day.
    dates = [upload.created_at for upload in state.uploads]
    known = [date for date in dates if date is not None]
    oldest = min(known) - _CLOCK_SLACK if len(known) == len(dates) and known else None
    for batch in run.service.list_batches():
        if oldest is not None and batch.created_at is not None and batch.created_at < oldest:
            return
        if _is_ours(run, shard, batch):
            yield batch
